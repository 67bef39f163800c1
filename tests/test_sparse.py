"""Steps that leave pruned weights out come to the weights of masked steps, and are trusted only where they do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import NETWORK as FOREIGN
from small import OPTIMIZERS
from torch import nn

from lt_sweeps.datasets.examples import Examples
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.masks import Mask, TicketTensors, dense
from lt_sweeps.networks.build import build, initial
from lt_sweeps.registry import part
from lt_sweeps.specs import Data, Network, Part, Recipe
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.leaving import Left
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest
from lt_sweeps.training.sparse import choose as choosing
from lt_sweeps.training.sparse import native
from lt_sweeps.training.sparse.chain import Unfit, chain
from lt_sweeps.training.sparse.choose import choose
from lt_sweeps.training.sparse.kernels import Compiled
from lt_sweeps.training.sparse.step import ChainKernel
from lt_sweeps.training.sparse.update import update_of

DIGITS = Data(part("dataset", "digits"), 10, (1, 8, 8), mean=(0.3,), std=(0.4,), validation=237)
MOVED = replace(DIGITS, augment=("crop",))  # batches come as floats
MORE = {
    "rmsprop": Part("torch.optim.RMSprop", args={"lr": 1e-3, "momentum": 0.5}),
    "plain": Part("torch.optim.SGD", args={"lr": 0.1}),
    "dampened": Part("torch.optim.SGD", args={"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    "amsgrad": Part("torch.optim.Adam", args={"lr": 5e-3, "amsgrad": True}),
    "decoupled": Part("torch.optim.Adam", args={"lr": 5e-3, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "uphill": Part("torch.optim.SGD", args={"lr": 0.01, "maximize": True}),
}
STEPPERS = {name: described for name, described in OPTIMIZERS.items() if name not in ("mixing", "grouped")} | MORE
KERNELS = ("compiled", "torch", "dense")
FORCED = Hardware(kernel="sparse")


def mlp(**args: Any) -> Network:
    return Network(part("network", "mlp", {"hidden": (30, 20), **args}), (1, 8, 8), 10)


def run_of(optimizer: str, network: Network, data: Data = DIGITS, start: int = 0, **recipe: Any) -> Train:
    settings = {"steps": 60, "batch_size": 50, "eval_every": 20, "last_batch": "keep", **recipe}
    described = Recipe(optimizer=STEPPERS[optimizer], **settings)
    return Train(Ticket(network, Init(network, 0), Dense(network), start=start), data, described)


def mask_of(network: Network, density: float = 0.2, seed: int = 0) -> Mask:
    """A random mask; some units of each hidden layer have no input, others no output."""
    draw = torch.Generator().manual_seed(seed)
    mask = {name: torch.rand(ones.shape, generator=draw) < density for name, ones in dense(build(network))[0].items()}
    names = sorted(mask)
    mask[names[0]][:4] = False  # units without inputs, but for their bias
    mask[names[0]][:, 5:25] = False
    mask[names[1]][:, 3:9] = False  # and without outputs
    return mask


@pytest.fixture(scope="module")
def examples() -> Callable[[Data], Examples]:
    made: dict[Data, Examples] = {}
    return lambda data: made.setdefault(data, Examples(data, Path(), torch.device("cpu")))


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(choosing, "library", lambda dtype, **_: None)
    if request.param == "dense":
        monkeypatch.setattr(sys.modules[__name__], "FORCED", Hardware(kernel="dense"))
    return str(request.param)


def chosen(run: Train, mask: Mask, on: Examples) -> ChainKernel:
    chained = choose(run, TicketTensors(initial(run.ticket.network, 0), mask), on, FORCED)
    assert chained is not None
    return chained


def trained(
    run: Train, mask: Mask, on: Examples, chained: ChainKernel | None, session: Session | None = None
) -> Trained:
    return fit(run, TicketTensors(initial(run.ticket.network, 0), mask), on, FORCED, session, chained)


def state_of(made: Trained) -> dict[str, torch.Tensor]:
    assert made.state is not None
    return made.state


def require_close(one: Trained, other: Trained, tolerance: float) -> None:
    ones, others = state_of(one), state_of(other)
    for name, value in ones.items():
        torch.testing.assert_close(value, others[name], rtol=tolerance, atol=tolerance, msg=name)
    for row, twin in zip(one.progress.history, other.progress.history, strict=True):
        assert row["step"] == twin["step"]
        assert abs(row["train_loss"] - twin["train_loss"]) <= max(2e-6, tolerance)
        assert abs(row["val_loss"] - twin["val_loss"]) <= max(2e-6, tolerance)


# ---------------------------------------------------------------------------------------- the closeness law


@pytest.mark.parametrize("optimizer", STEPPERS)
def test_in_float64_sparse_steps_come_to_the_masked_weights(optimizer: str, kernel: str, examples: Any) -> None:
    schedule = part("schedule", "warmup_multistep", {"milestones": [40], "warmup": 5})
    network = mlp()
    run = run_of(optimizer, network, precision="64-true", clip_norm=0.5, schedule=schedule)
    mask, on = mask_of(network), examples(DIGITS)
    chained = chosen(run, mask, on)
    assert chained.compiled is (kernel != "torch")
    assert chained.name.startswith("dense (" if kernel == "dense" else "sparse (")
    require_close(trained(run, mask, on, chained), trained(run, mask, on, None), 1e-9)


@pytest.mark.parametrize("data", [DIGITS, MOVED], ids=["pixels", "floats"])
@pytest.mark.parametrize("batch", [1, 16, 50, 130, 200])
@pytest.mark.parametrize("bias", [True, False])
def test_batches_of_any_size_and_source(data: Data, batch: int, bias: bool, kernel: str, examples: Any) -> None:
    network = mlp(bias=bias)
    run = run_of("sgd", network, data, batch_size=batch, steps=30, precision="64-true")
    mask, on = mask_of(network), examples(data)
    chained = chosen(run, mask, on)
    assert chained.pixels is (data is DIGITS and kernel != "torch")
    require_close(trained(run, mask, on, chained), trained(run, mask, on, None), 1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_in_float32_they_are_close(optimizer: str, kernel: str, examples: Any) -> None:
    network = mlp()
    run, mask, on = run_of(optimizer, network, steps=40), mask_of(network), examples(DIGITS)
    require_close(trained(run, mask, on, chosen(run, mask, on)), trained(run, mask, on, None), 2e-3)


@pytest.mark.parametrize("hidden", [(), (7,), (12, 9, 8, 5)])
@pytest.mark.parametrize("exclude", [(), ("output.weight",)])
def test_chains_of_any_depth_and_layers_that_no_mask_covers(
    hidden: tuple[int, ...], exclude: tuple[str, ...], kernel: str, examples: Any
) -> None:
    network = mlp(hidden=hidden)
    mask = {name: ones for name, ones in dense(build(network))[0].items() if name not in exclude}
    draw = torch.Generator().manual_seed(3)
    mask = {name: torch.rand(ones.shape, generator=draw) < 0.4 for name, ones in mask.items()}
    run, on = run_of("adamw", network, precision="64-true", steps=30), examples(DIGITS)
    require_close(trained(run, mask, on, chosen(run, mask, on)), trained(run, mask, on, None), 1e-9)


def test_pruned_weights_stay_zero_and_have_no_state(kernel: str, examples: Any) -> None:
    network = mlp()
    run, mask, on = run_of("adam", network), mask_of(network), examples(DIGITS)
    saved: list[Progress] = []
    left = Session(checkpoint=saved.append, leave=lambda: True)
    with pytest.raises(Left):
        trained(run, mask, on, chosen(run, mask, on), left)
    (progress,) = saved
    names = [name for name, _ in build(network).named_parameters()]
    for name, state in zip(names, progress.optimizer, strict=True):
        assert {"step", "exp_avg", "exp_avg_sq"} <= set(state)
        if name in mask:
            assert not bool(progress.state[name][~mask[name]].any())
            assert not bool(state["exp_avg"][~mask[name]].any())
            assert bool(state["exp_avg"][mask[name]].any())


def as_bytes(x: torch.Tensor, y: torch.Tensor, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    return x, y.to(torch.uint8)


def one_too_many(x: torch.Tensor, y: torch.Tensor, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    return x, torch.where(y == 9, classes, y)


def floats(x: torch.Tensor, y: torch.Tensor, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    return x, y.double()


def test_labels_of_a_users_corruption_are_what_the_kernel_reads(kernel: str) -> None:
    """In C labels are 64 bits wide, and no label is compared with the number of classes."""
    data, network = replace(DIGITS, corruption=Part("test_sparse.as_bytes")), mlp()
    run, mask = run_of("sgd", network, data, precision="64-true", steps=30), mask_of(network)
    on = Examples(data, Path(), torch.device("cpu"))
    require_close(trained(run, mask, on, chosen(run, mask, on)), trained(run, mask, on, None), 1e-9)
    for name, told in (("one_too_many", "labels from 0 to 10, and there are 10 classes"), ("floats", "float64 labels")):
        with pytest.raises(ValueError, match=told):
            Examples(replace(DIGITS, corruption=Part(f"test_sparse.{name}")), Path(), torch.device("cpu"))


# ---------------------------------------------------------------------------------------- resume, divergence


@pytest.mark.parametrize("optimizer", STEPPERS)
def test_a_training_left_after_any_step_ends_in_the_same_bits(optimizer: str, kernel: str, examples: Any) -> None:
    network = mlp()
    run, mask, on = run_of(optimizer, network, steps=12, eval_every=5), mask_of(network), examples(DIGITS)
    chained = chosen(run, mask, on)
    whole = trained(run, mask, on, chained)
    progress: Progress | None = None
    saved: list[bytes] = []

    def save(now: Progress) -> None:
        saved.append(encode_progress(now, {}))

    for _ in range(run.recipe.steps):
        session = Session(progress, checkpoint=save, leave=lambda: True)
        with pytest.raises(Left):
            trained(run, mask, on, chosen(run, mask, on), session)
        progress, _ = decode_progress(saved[-1])
    last = trained(run, mask, on, chained, Session(progress))
    assert state_digest(state_of(last)) == state_digest(state_of(whole))
    assert last.progress.history == whole.progress.history
    assert (last.end, last.early_stop) == (whole.end, whole.early_stop)


def test_a_loss_that_is_not_finite_stops_at_the_step_of_the_masked_training(kernel: str, examples: Any) -> None:
    network = mlp()
    run = run_of("plain", network, steps=60)
    run = replace(run, recipe=replace(run.recipe, optimizer=Part("torch.optim.SGD", args={"lr": 1e38})))
    mask, on = mask_of(network, 0.5), examples(DIGITS)
    masked, chained = trained(run, mask, on, None), trained(run, mask, on, chosen(run, mask, on))
    assert masked.diverged_at is not None
    assert chained.diverged_at == masked.diverged_at
    assert chained.state is None


# ---------------------------------------------------------------------------------------- which trainings


class Skipping(nn.Module):
    """A chain but for a connection that skips a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        return self.two(self.one(x).relu() + x)


class Tanh(Skipping):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.tanh(self.one(x.flatten(1))))


class Twice(Skipping):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(nn.functional.relu(self.one(nn.functional.relu(self.one(x.flatten(1))))))


class Branching(Skipping):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(x.flatten(1)) if x.sum() > 0 else self.one(x.flatten(1))


@pytest.mark.parametrize("network", [Skipping(), Tanh(), Twice(), Branching(), nn.Flatten(), nn.Sequential(nn.ReLU())])
def test_what_is_not_a_chain_is_refused(network: nn.Module) -> None:
    with pytest.raises(Unfit):
        chain(network)


def test_a_chain_is_read_off_its_operations() -> None:
    made = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Identity(), nn.ReLU(), nn.Linear(3, 2, bias=False))
    assert [(layer.weight, layer.bias) for layer in chain(made)] == [("1.weight", "1.bias"), ("4.weight", None)]
    assert len(chain(build(mlp()))) == 3


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"network": mlp(batchnorm=True)}, "BatchNorm1d"),
        ({"network": mlp(activation="sign")}, "more than linear layers and ReLU"),
        ({"network": Network(part("network", "conv2"), (3, 32, 32), 10)}, "Conv2d"),
        ({"network": FOREIGN}, "a user's own network"),
        ({"precision": "bf16-mixed"}, "recipe.precision=bf16-mixed"),
        ({"optimizer": Part("small.Mixing", args={"lr": 0.1})}, "does not treat weights one by one"),
        ({"optimizer": Part("torch.optim.LBFGS", args={})}, "does not treat weights one by one"),
        ({"gate": part("gate", "edge_popup")}, "a gate or a hook"),
        ({"fill": True}, "pruned weights are not zero"),
    ],
)
def test_what_cannot_be_sparse_is_masked_and_says_why(changed: dict[str, Any], why: str, examples: Any) -> None:
    network = changed.get("network", mlp())
    recipe = {name: changed[name] for name in ("precision",) if name in changed}
    run = run_of("sgd", network, **recipe)
    if "optimizer" in changed:
        run = replace(run, recipe=replace(run.recipe, optimizer=changed["optimizer"]))
    run = replace(run, gate=changed.get("gate"))
    start, mask = initial(network, 0), dense(build(network))[0]
    ticket = TicketTensors(start, mask, start if changed.get("fill") else None)
    lines: list[str] = []
    assert choose(run, ticket, examples(DIGITS), replace(FORCED, say=lines.append)) is None
    assert len(lines) == 1
    assert why in lines[0]
    assert choose(run, ticket, examples(DIGITS), Hardware(kernel="auto", say=lines.append)) is None
    assert len(lines) == 1  # nobody asked for it


@pytest.mark.parametrize(
    ("density", "steps", "vectors", "kind"),
    [
        (0.12, 250, 64, "sparse"),
        (0.25, 250, 64, "dense"),
        (0.25, 250, 32, "sparse"),
        (0.25, 250, 16, "sparse"),
        (0.4, 250, 32, "dense"),
        (0.4, 250, 16, None),
        (1.0, 250, 64, "dense"),
        (0.12, 150, 64, None),
    ],
)
def test_auto_chooses_by_density_and_length(
    density: float, steps: int, vectors: int, kind: str | None, examples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, lines = mlp(), list[str]()
    run, on = run_of("sgd", network, steps=steps), examples(DIGITS)
    draw = torch.Generator().manual_seed(1)
    full = dense(build(network))[0]
    mask = {name: torch.rand(ones.shape, generator=draw) < density for name, ones in full.items()}
    ticket = TicketTensors(initial(network, 0), mask)
    monkeypatch.setattr(choosing, "vector_bytes", lambda library: vectors)
    made = choose(run, ticket, on, Hardware(kernel="auto", say=lines.append))
    assert (made and made.name.partition(" ")[0]) == kind
    assert [line.count("(trainer.kernel=masked: not)") for line in lines] == [1] * (kind is not None)
    assert choose(run, ticket, on, Hardware(kernel="masked")) is None
    assert choose(run, ticket, on, Hardware(kernel="graph")) is None
    for name, value in (("MOST_WEIGHTS", 2000), ("MOST_EXAMPLES", 49)):
        with monkeypatch.context() as changed:
            changed.setattr(choosing, name, value)
            made = choose(run, ticket, on, Hardware(kernel="auto"))
        expected = "sparse" if density < 0.3 and steps >= 200 else None
        assert (made and made.name.partition(" ")[0]) == expected, f"torch is as fast: {name}"


def spoil_slopes(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[torch.Tensor], object]) -> None:
    """The compiled kernels get this done to the slopes that they write."""
    right = Compiled.slopes

    def wrong(self: Compiled, batch: Any) -> float:
        loss = right(self, batch)
        spoil(self._held[1])
        return loss

    monkeypatch.setattr(Compiled, "slopes", wrong)


@pytest.mark.parametrize("kernel", ["compiled", "dense"], indirect=True)
@pytest.mark.parametrize("place", [7, 0, -1])
def test_a_kernel_that_is_wrong_is_not_trusted(
    place: int, kernel: str, monkeypatch: pytest.MonkeyPatch, examples: Any
) -> None:
    network, lines = mlp(), list[str]()
    run, mask, on = run_of("sgd", network), mask_of(network), examples(DIGITS)
    spoil_slopes(monkeypatch, lambda slopes: slopes[place].add_(0.01))  # one of many
    ticket = TicketTensors(initial(network, 0), mask)
    assert choose(run, ticket, on, replace(FORCED, say=lines.append)) is None
    assert "differs from a masked one" in lines[0]


def test_an_update_that_is_wrong_is_not_trusted(monkeypatch: pytest.MonkeyPatch, examples: Any) -> None:
    from lt_sweeps.training.sparse import update

    network, lines = mlp(), list[str]()
    run, mask, on = run_of("adam", network), mask_of(network), examples(DIGITS)
    right = update._Update.adam

    def wrong(self: Any) -> None:
        right(self)
        self._live.data[3] *= 1.001

    monkeypatch.setattr(update._Update, "adam", wrong)
    ticket = TicketTensors(initial(network, 0), mask)
    assert choose(run, ticket, on, replace(FORCED, say=lines.append)) is None
    assert "differs from a masked one" in lines[0]


# ---------------------------------------------------------------------------------------- the compiler


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_a_schedule_that_turns_uphill_does(optimizer: Any, kernel: str) -> None:
    library, ends = native.library(torch.float64) if kernel == "compiled" else None, []
    for own in (False, True):
        live = nn.Parameter(torch.arange(1.0, 9.0, dtype=torch.float64))
        live.grad = live.detach().sin()
        made = optimizer([live], lr=0.1, fused=True)
        update = made.step if own else update_of(made, live, library and library.functions)
        for step in range(4):
            made.param_groups[0]["maximize"] = step > 1
            update()
        ends.append(live.detach().clone())
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing is compiled yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(native, "library", native.library.__wrapped__)
    return tmp_path


def test_a_kernel_has_another_name_where_a_file_that_it_includes_has_other_text(
    cold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in (native.SOURCE, native.DENSE):
        shutil.copy(source, cold)
    monkeypatch.setattr(native, "DENSE", cold / native.DENSE.name)
    before = native.library(torch.float32, dense=True)
    with (cold / native.SOURCE.name).open("a") as included:
        included.write("/* changed */\n")
    after = native.library(torch.float32, dense=True)
    assert before is not None
    assert after is not None
    assert before.name != after.name


def test_a_kernel_is_compiled_once(cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = native.library(torch.float32)
    assert made is not None
    (kept,) = (cold / "cache" / "lt_sweeps").iterdir()
    monkeypatch.setattr(native, "_compile", None)  # it would be called
    again = native.library(torch.float32)
    assert again is not None
    assert again.name == made.name
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    monkeypatch.setattr(native, "_processor", lambda: "another one")
    with pytest.raises(TypeError):  # on another kind of machine, with the same home folder
        native.library(torch.float32)


@pytest.mark.parametrize("compiler", ["/nonexistent/cc", "false", "true"])
def test_without_a_compiler_that_works_there_is_no_kernel(
    compiler: str, cold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: found(compiler) if name == "cc" else None)
    monkeypatch.delenv("CC", raising=False)
    assert native.library(torch.float32) is None
    assert native.library(torch.bfloat16) is None
