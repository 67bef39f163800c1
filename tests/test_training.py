"""Laws 3, 4 and 5: training changes live weights only, resumes exactly, and stops before a step it cannot take."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from small import DATA, NETWORK, OPTIMIZERS, Net, examples, half_mask, run_of, trained_state, weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lt_sweeps.datasets.examples import Examples
from lt_sweeps.graph import Train
from lt_sweeps.masks import TicketTensors, effective
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.networks.build import build
from lt_sweeps.specs import Batching, Network, Part
from lt_sweeps.training import optim, recorder
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.leaving import Left
from lt_sweeps.training.masking import ELEMENTWISE, MaskedOptimizer, check_masked
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

State = dict[str, torch.Tensor]
FILLS = {"zero": None, "filled": weights(7)}
CPU = Hardware()


@pytest.fixture(scope="module")
def digits() -> Examples:
    return examples()


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("clip", "precision"), [(None, "32-true"), (0.1, "bf16-mixed"), (None, "64-true")])
def test_pruned_places_equal_their_fill_exactly_after_training(
    optimizer: str, fill: str, clip: float | None, precision: str, digits: Examples
) -> None:
    mask, start = half_mask(), weights()
    run = run_of(optimizer, clip_norm=clip, precision=precision, steps=25)
    after = trained_state(fit(run, TicketTensors(start, mask, FILLS[fill]), digits, CPU))
    held = FILLS[fill] or {name: torch.zeros_like(value) for name, value in start.items()}
    for name, ones in mask.items():
        assert torch.equal(after[name][~ones], held[name][~ones])
        assert not torch.equal(after[name][ones], start[name][ones])  # and the live ones did train
        assert int((after[name] != 0).sum()) >= 0.99 * int(ones.sum())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_stood_at_pruned_places_changes_nothing(optimizer: str, digits: Examples) -> None:
    mask, start = half_mask(), weights()
    other = {n: torch.where(mask[n], v, torch.full((), 9.0)) if n in mask else v for n, v in start.items()}
    run = run_of(optimizer, clip_norm=0.1)
    one, two = (trained_state(fit(run, TicketTensors(begun, mask), digits, CPU)) for begun in (start, other))
    assert state_digest(one) == state_digest(two)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizer_state_and_gradient_norms_know_live_weights_only(optimizer: str, fill: str, digits: Examples) -> None:
    mask, network = half_mask(), build(NETWORK)
    network.load_state_dict(effective(weights(), mask, FILLS[fill]))
    stepper = optim.optimizer(OPTIMIZERS[optimizer], network)
    masked = MaskedOptimizer(mask, FILLS[fill])
    masked.attach(network, stepper)
    batches = digits.batches(0, Batching(60))
    parameters = dict(network.named_parameters())
    for _ in range(3):
        stepper.zero_grad()
        x, y = next(batches)
        nn.functional.cross_entropy(network(x), y).backward()
        live = sum(
            float((p.grad[mask[n]] if n in mask else p.grad).square().sum())
            for n, p in parameters.items()
            if p.grad is not None
        )
        masked.mask_gradients()
        norm = float(nn.utils.clip_grad_norm_(network.parameters(), 0.1))
        assert norm == pytest.approx(live**0.5, rel=1e-5)
        stepper.step(lambda: None) if optimizer == "mixing" else stepper.step()
        masked.mask_weights()
    states = [(name, value) for name in mask for value in stepper.state[parameters[name]].values()]
    shaped = [(name, value) for name, value in states if torch.is_tensor(value) and value.shape == mask[name].shape]
    assert shaped or optimizer == "none"
    for name, value in shaped:
        assert not bool(value[~mask[name]].any())
        assert bool(value[mask[name]].any())


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
def test_an_element_wise_optimizer_cannot_move_a_zero_without_a_gradient(name: str, digits: Examples) -> None:
    """What the callback relies on when it leaves the weights of these alone."""
    mask, network = half_mask(), build(NETWORK)
    network.load_state_dict(effective(weights(), mask))
    stepper = getattr(torch.optim, name)(network.parameters(), lr=0.01, weight_decay=0.1)
    masked = MaskedOptimizer(mask, None)
    masked.attach(network, stepper)
    batches, parameters = digits.batches(0, Batching(60)), dict(network.named_parameters())
    for _ in range(4):
        stepper.zero_grad()
        x, y = next(batches)
        nn.functional.cross_entropy(network(x), y).backward()
        masked.mask_gradients()
        stepper.step()
    for n, ones in mask.items():
        assert not bool(parameters[n][~ones].any())
        shaped = [v for v in stepper.state[parameters[n]].values() if torch.is_tensor(v) and v.shape == ones.shape]
        assert all(not bool(value[~ones].any()) for value in shaped)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_weights_with_gaps_in_memory_take_the_steps_of_those_without(optimizer: str) -> None:
    described, ends = Part(f"torch.optim.{optimizer}", args={"lr": 0.1}), []
    for lies_in_rows in (True, False):
        start = torch.arange(40.0).view(5, 8)[:, :4]
        network = nn.ParameterDict({"weight": nn.Parameter(start.contiguous() if lies_in_rows else start)})
        stepper = optim.optimizer(described, network)
        network["weight"].grad = start.contiguous() - 9
        stepper.step()
        ends.append(network["weight"].detach())
    torch.testing.assert_close(*ends)
    with pytest.raises(ValueError, match="gaps in memory, and weight has some"):
        optim.optimizer(replace(described, args={"lr": 0.1, "fused": True}), network)


class Plain(pl.LightningModule):
    """Somebody's own module, optimized as Lightning does by default."""

    def __init__(self, optimizer: str) -> None:
        super().__init__()
        self.network, self.optimizer = build(NETWORK), optimizer

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optim.optimizer(OPTIMIZERS[self.optimizer], self.network)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_callback_masks_any_lightning_module(optimizer: str, fill: str, digits: Examples) -> None:
    mask, theirs = half_mask(), Plain(optimizer)
    before = {name: value.clone() for name, value in theirs.network.state_dict().items()}
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        gradient_clip_val=0.1,
        callbacks=[MaskedOptimizer(mask, FILLS[fill])],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    images, classes = digits.train
    trainer.fit(theirs, DataLoader(TensorDataset(digits.seen(images[:300]), classes[:300]), batch_size=60))
    check_masked(theirs.network.state_dict(), mask, FILLS[fill])
    assert all(not torch.equal(theirs.network.state_dict()[n][ones], before[n][ones]) for n, ones in mask.items())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true"])
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("start", [0, 7])
def test_an_interrupted_training_resumes_to_the_same_bits(
    optimizer: str, fill: str, start: int, precision: str, digits: Examples
) -> None:
    """From inside every epoch, through bytes, with batch normalisation, dropout, augmentation and a schedule."""
    schedule = Part("torch.optim.lr_scheduler.CosineAnnealingLR", args={"T_max": 50})
    run, mask = run_of(optimizer, start=start, schedule=schedule, precision=precision), half_mask()
    saved: list[bytes] = []

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {"torch": "here"}))

    whole = fit(
        run, TicketTensors(weights(), mask, FILLS[fill]), digits, CPU, Session(checkpoint=save, wait=lambda cost: 0.0)
    )
    assert [decode_progress(content)[0].step for content in saved] == [16, 32, 48]  # epochs end at 20 and 40
    for content in saved:
        progress, made_by = decode_progress(content)
        assert made_by == {"torch": "here"}
        assert state_digest(progress.state) != state_digest(trained_state(whole))
        torch.manual_seed(999)  # whatever random state the new process is in
        resumed = fit(run, TicketTensors(weights(), mask, FILLS[fill]), digits, CPU, Session(progress=progress))
        assert state_digest(trained_state(resumed)) == state_digest(trained_state(whole))
        assert resumed.progress.history == whole.progress.history
        assert resumed.progress.best == whole.progress.best
        assert (resumed.end, resumed.early_stop) == (whole.end, whole.early_stop)


def test_a_training_resumes_to_the_same_bits_from_every_single_step(
    digits: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LOOK_EVERY", 1)
    run, mask, saved = run_of("adam", steps=25), half_mask(), list[bytes]()

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {}))

    whole = fit(run, TicketTensors(weights(), mask), digits, CPU, Session(checkpoint=save, wait=lambda cost: 0.0))
    steps = [decode_progress(content)[0].step for content in saved]
    assert steps == list(range(1, 25)), "the epoch's end at 20 is a step like any other"
    for content in saved:
        resumed = fit(run, TicketTensors(weights(), mask), digits, CPU, Session(progress=decode_progress(content)[0]))
        assert state_digest(trained_state(resumed)) == state_digest(trained_state(whole))
        assert resumed.progress.history == whole.progress.history


def test_saving_takes_a_fiftieth_of_the_time_at_most(digits: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which a step takes 1 s and a save 2 s: 5 s after the start, then 100 s after each save."""
    monkeypatch.setattr(recorder, "LOOK_EVERY", 1)
    now, saved = [0.0], list[tuple[int, float]]()
    monkeypatch.setattr(recorder, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def tick(step: int, accuracy: float | None) -> None:
        now[0] = max(now[0], step + 2.0 * len(saved))

    def save(progress: Progress) -> None:
        saved.append((progress.step, now[0]))
        now[0] += 2

    fit(
        run_of(steps=220, eval_every=220),
        TicketTensors(weights(), half_mask()),
        digits,
        CPU,
        Session(checkpoint=save, tell=tick),
    )
    assert [step for step, _ in saved] == [5, 105, 205]
    assert [end - begin for (_, begin), (_, end) in itertools.pairwise(saved)] == pytest.approx([102, 102])


def test_a_start_inside_an_epoch_goes_on_as_the_run_it_was_taken_from(digits: Examples) -> None:
    """Order, augmentation, dropout and schedule are functions of the step: only momentum is fresh, so SGD has none."""
    plain = Part("torch.optim.SGD", args={"lr": 0.05})
    schedule = Part("torch.optim.lr_scheduler.MultiStepLR", args={"milestones": [5, 30]})
    run = run_of(schedule=schedule)
    whole_run = Train(run.ticket, run.data, replace(run.recipe, optimizer=plain))
    mask, taken = half_mask(), {}
    whole = fit(whole_run, TicketTensors(weights(), mask), digits, CPU, Session(until=13))
    taken = trained_state(whole)
    later = Train(type(run.ticket)(NETWORK, run.ticket.weights, run.ticket.mask, start=13), DATA, whole_run.recipe)
    one = fit(whole_run, TicketTensors(weights(), mask), digits, CPU)
    two = fit(later, TicketTensors(taken, mask), digits, CPU)
    assert state_digest(trained_state(one)) == state_digest(trained_state(two))


def test_a_replay_passes_the_digests_of_the_run(digits: Examples) -> None:
    run, mask = run_of(), half_mask()
    whole = fit(run, TicketTensors(weights(), mask), digits, CPU)
    part = fit(run, TicketTensors(weights(), mask), digits, CPU, Session(until=30))
    assert [row["digest"] for row in part.progress.history] == [r["digest"] for r in whole.progress.history][:3]
    assert state_digest(trained_state(part)) == whole.progress.history[2]["digest"]


@pytest.mark.parametrize("step", [0, 3, 10])
def test_a_loss_that_is_not_finite_stops_before_the_step(step: int, digits: Examples) -> None:
    class Poisoned(Examples):
        def batches(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]
            for index, (x, y) in enumerate(super().batches(*args, **kwargs)):  # type: ignore[arg-type]
                yield (x * float("nan") if index == step else x), y

    poisoned = Poisoned.__new__(Poisoned)
    poisoned.__dict__ = digits.__dict__
    trained = fit(run_of(), TicketTensors(weights(), half_mask()), poisoned, CPU)
    assert trained.diverged_at == step
    assert trained.state is None
    assert trained.progress.step == step
    assert all(row["step"] <= step for row in trained.progress.history)


def test_early_stop_is_the_least_validation_loss_and_its_test_accuracy(digits: Examples) -> None:
    trained = fit(run_of("adam"), TicketTensors(weights(), half_mask()), digits, CPU)
    losses = {row["step"]: row["val_loss"] for row in trained.progress.history}
    assert list(losses) == [10, 20, 30, 40, 50]
    assert trained.progress.best is not None
    assert trained.progress.best.step == min(losses, key=lambda step: losses[step])
    short = fit(
        run_of("adam"), TicketTensors(weights(), half_mask()), digits, CPU, Session(until=trained.progress.best.step)
    )
    assert trained.early_stop is not None
    network = build(NETWORK)
    network.load_state_dict(trained_state(short))
    network.eval()
    x, y = digits.test
    right = (network(digits.seen(x)).argmax(1) == y).float().mean()
    assert trained.early_stop.accuracy == pytest.approx(100 * float(right), abs=1e-3)


def test_a_validation_loss_of_nan_is_never_the_least(digits: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is less than nan, and nan is less than nothing: held as the least, it would stay."""
    losses = iter([math.nan, 3.0, math.nan, 2.0, 2.5])
    monkeypatch.setattr(recorder, "evaluate", lambda *args: evaluate(*args)._replace(loss=next(losses)))
    trained = fit(run_of("adam"), TicketTensors(weights(), half_mask()), digits, CPU)
    assert trained.progress.best is not None
    assert (trained.progress.best.step, trained.progress.best.val_loss) == (40, 2.0)


class FrozenStatistics(Net):
    """Its batch normalisation is in evaluation mode from the start."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        self.bn.eval()


def test_what_a_network_keeps_in_evaluation_mode_stays_so_after_an_evaluation(digits: Examples) -> None:
    run = run_of(network=Network(Part("test_training.FrozenStatistics"), (1, 8, 8), 10))
    ticket, saved = TicketTensors(weights(), half_mask()), list[bytes]()
    whole = fit(run, ticket, digits, CPU)
    assert torch.equal(trained_state(whole)["bn.running_mean"], weights()["bn.running_mean"])
    leave = iter([False] * 14 + [True])  # after step 15: the evaluation of step 10 is behind it
    session = Session(checkpoint=lambda p: saved.append(encode_progress(p, {})), leave=lambda: next(leave))
    with pytest.raises(Left):
        fit(run, ticket, digits, CPU, session)
    resumed = fit(run, ticket, digits, CPU, Session(decode_progress(saved[-1])[0]))
    assert state_digest(trained_state(resumed)) == state_digest(trained_state(whole))


def test_moved_pruned_weights_are_refused() -> None:
    mask, state = half_mask(), effective(weights(), half_mask())
    check_masked(state, mask, None)
    state["fc.weight"] = state["fc.weight"] + 1e-12
    with pytest.raises(RuntimeError, match=r"pruned weights of fc\.weight moved"):
        check_masked(state, mask, None)


def test_every_torch_schedule_stands_where_stepping_would_have_put_it() -> None:
    for path, args in {
        "torch.optim.lr_scheduler.OneCycleLR": {"max_lr": 0.1, "total_steps": 50},
        "torch.optim.lr_scheduler.CosineAnnealingLR": {"T_max": 50},
        "torch.optim.lr_scheduler.MultiStepLR": {"milestones": [3, 9]},
        "warmup_multistep": {"milestones": [9], "warmup": 5},
        "cosine": {"total_steps": 40, "hold": 3},
        "triangular": {"warmup": 5, "total_steps": 20, "start": 0.2},
    }.items():
        sgd = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
        walked = optim.schedule(Part(path, args=args), sgd, 0)
        for step in range(1, 20):
            sgd.step()
            walked.step()
            fresh = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
            optim.schedule(Part(path, args=args), fresh, step)
            assert fresh.param_groups[0]["lr"] == pytest.approx(sgd.param_groups[0]["lr"], rel=1e-12)


def test_a_plateau_is_followed_and_resumed_to_the_same_bits(digits: Examples) -> None:
    """Its evaluations are part of what a checkpoint holds."""
    plateau = Part("torch.optim.lr_scheduler.ReduceLROnPlateau", args={"patience": 0, "factor": 0.01, "threshold": 0.5})
    run, mask, saved = run_of("sgd", schedule=plateau), half_mask(), list[bytes]()

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {}))

    whole = fit(run, TicketTensors(weights(), mask), digits, CPU, Session(checkpoint=save, wait=lambda cost: 0.0))
    assert len(saved) == 3
    for content in saved:
        resumed = fit(run, TicketTensors(weights(), mask), digits, CPU, Session(progress=decode_progress(content)[0]))
        assert state_digest(trained_state(resumed)) == state_digest(trained_state(whole))
    constant = fit(run_of("sgd"), TicketTensors(weights(), mask), digits, CPU)
    same = [a["digest"] == b["digest"] for a, b in zip(whole.progress.history, constant.progress.history, strict=True)]
    assert same == [True, True, False, False, False]  # at 20 it is not better by half, so from then on 0.01 of the rate
