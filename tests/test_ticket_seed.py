"""Tickets as a seed and a mask: the same bits again, with and without this project, or a refusal in one line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mutate import sign
from torch import nn

import lt_sweeps as lt
from lt_sweeps.cli import main as cli
from lt_sweeps.errors import Mistake
from lt_sweeps.main import main
from lt_sweeps.masks import State
from lt_sweeps.networks.build import initial
from lt_sweeps.registry import catalogue, part
from lt_sweeps.specs import Network
from lt_sweeps.store_tools.gc import collect
from lt_sweeps.sweeps.notebook import Run
from lt_sweeps.ticket_files import card as cards
from lt_sweeps.ticket_files import seed as seeds
from lt_sweeps.ticket_files.as_seed import record
from lt_sweeps.ticket_files.card import BadTicket
from lt_sweeps.ticket_files.seed import Seed

pytestmark = pytest.mark.sweeps

HERE = Path(__file__).parent
FOUND = ("prune=learned", "survivors=keep", "train=untrained")
GEM = ("gate=gem", "hook=freeze_scores", "hook.args.keep=0.3")
CLOCK = ("hook.every=2it", "hook.begin=2it")
# What a mask finds on frozen weights, and what a seed says of its layers: is it signs, is there a factor?
STRONG = {
    "edge_popup": ((*FOUND, "gate=edge_popup"), False, True),
    "edge_popup unscaled": ((*FOUND, "gate=edge_popup", "gate.args.scale=false"), False, False),
    "bernoulli": ((*FOUND, "gate=bernoulli"), False, False),
    "bernoulli rescaled": ((*FOUND, "gate=bernoulli", "gate.args.rescale=true"), False, True),
    "biprop": ((*FOUND, "gate=biprop"), True, True),
    "gem": ((*FOUND, *GEM, *CLOCK), False, False),
}
# What trains weights, from a start that is drawn.
STARTS = {
    "imp": ((), False, False),
    "signed constant": (("survivors=constant_signed",), True, True),
    "reinitialised": (("control=reinit",), False, False),
    "a mask that is learned, rewound": (("prune=learned", "gate=edge_popup"), False, False),
    "frozen": (("pruned=freeze",), False, False),
    "truncated": (("model.initialiser=truncated_glorot_normal",), False, False),
    "constants": (("model.initialiser=signed_constant",), False, False),
    "torch's own": (("model.initialiser=null",), False, False),
}
CHANGED = {
    "sign_in": ("gate=sign_in",),
    "powerpropagation": ("gate=powerpropagation",),
    "rigl": ("prune=at_init", "criterion=random", "hook=rigl", "hook.every=2it", "hook.until=6it"),
    "set": ("prune=at_init", "criterion=random", "hook=set", *CLOCK),
    "early_bird": ("hook=early_bird", "hook.every=2it", "hook.args.window=1"),
}
OUTSIDE = """
import hashlib, json, os, sys
sys.modules["lt_sweeps"] = None  # whoever imports it fails
import torch
from torch.nn.functional import linear
import safetensors.torch as st
data, here, told = st.load_file("test"), os.getcwd(), {}
for folder in json.loads(sys.argv[1]):
    os.chdir(folder)
    inside = {}
    exec("\\n".join(json.load(open("card.json"))["how to load without lt_sweeps"]), inside)
    state = inside["state"]
    x = data["x"]
    for layer in ("fc1", "fc2"):
        x = linear(x, state[layer + ".weight"], state[layer + ".bias"]).relu()
    labels = linear(x, state["output.weight"], state["output.bias"]).argmax(1)
    content = b"".join(state[name].numpy().tobytes() for name in sorted(state))
    told[folder] = 100 * float((labels == data["y"]).double().mean()), hashlib.sha256(content).hexdigest()
    os.chdir(here)
print(json.dumps(told))
"""
Forge = Callable[[dict[str, Any], dict[str, Any]], Any]


def sweep(folder: Path, name: str, *words: str) -> Run:
    """The ticket of a sweep at smoke budget."""
    small = ("budget=smoke", "prune.levels=1", "prune.rate=0.5", "logger=none", "trainer.processes=0")
    assert main(["-m", *small, *words, f"sweep={name}", f"paths.output_dir={folder}"]) == 0
    return lt.open(folder / name).ticket(level=1)


def digest(state: State) -> str:
    return hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()


class Runs:
    """A training of each kind, made when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._runs = folder, dict[str, Run]()

    def __getitem__(self, name: str) -> Run:
        words = {name: words for name, (words, _, _) in {**STRONG, **STARTS}.items()} | CHANGED
        if name not in self._runs:
            self._runs[name] = sweep(
                self.folder, name.replace(" ", "_").replace("'", "").replace(",", ""), *words[name]
            )
        return self._runs[name]

    def begun(self, name: str) -> State:
        """The start weights of a ticket."""
        return self[name].state(self[name].expression.ticket.start)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def outside(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[float, str]]:
    """Test accuracy and digest of the weights of each ticket, by its card's lines, where this project is not there."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("outside")
    examples = runs["imp"]._values().examples(runs["imp"].expression.data)
    x, y = (torch.cat(values).contiguous() for values in zip(*examples.chunks("test"), strict=True))
    save_file({"x": x.flatten(1), "y": y}, folder / "test")
    names = []
    for name in (*STRONG, *STARTS, *CHANGED):
        runs[name].export(folder / f"{name}, trained", trained=True)
        names.append(f"{name}, trained")
        for is_trained in (False, True) if name in STRONG else (False,) if name in STARTS else ():
            names.append(f"{name}, seed{', trained' * is_trained}")
            runs[name].export(folder / names[-1], trained=is_trained, as_seed=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", OUTSIDE, json.dumps(names)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: tuple(values) for name, values in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def binary(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A multi-prize ticket as a seed: never changed by a test."""
    return runs["biprop"].export(tmp_path_factory.mktemp("binary") / "t", as_seed=True, trained=True)


@pytest.fixture
def folder(binary: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(binary, tmp_path / "ticket"))


# ------------------------------------------------------------------------------------ there and back


@pytest.mark.parametrize("name", [*STRONG, *STARTS])
def test_a_seed_is_the_very_ticket(runs: Runs, tmp_path: Path, name: str) -> None:
    run, (_, signs, factors) = runs[name], {**STRONG, **STARTS}[name]
    plain, seed = cards.read(run.export(tmp_path / "p")), cards.read(run.export(tmp_path / "s", as_seed=True))
    assert sorted(path.name for path in seed.folder.iterdir()) == ["card.json", "mask.safetensors", "seed.safetensors"]
    assert (seed.weights, seed.mask, seed.tensors) == (plain.weights, plain.mask, plain.tensors)
    assert seed.weights_sha256 == plain.weights_sha256
    assert digest(lt.load_ticket(seed.folder).state_dict()) == digest(runs.begun(name))
    drawn = seed.fields["drawn"]
    assert bool(drawn["signs"]) is signs
    assert bool(drawn["factors"]) is factors
    assert drawn["stored"] == [], "biases are drawn too"
    assert set(drawn["signs"]) | set(drawn["factors"]) <= set(run.mask)
    assert seed.seed is not None
    assert len(seed.content) < 2000, "three layers: their steps, and no weights"


@pytest.mark.parametrize("name", [*STRONG, *STARTS])
def test_a_seed_is_drawn_to_the_same_bits_without_this_project(
    runs: Runs, outside: dict[str, tuple[float, str]], name: str
) -> None:
    assert outside[f"{name}, seed"][1] == digest(runs.begun(name))
    if name in STRONG:
        accuracy, content = outside[f"{name}, seed, trained"]
        assert content == digest(runs[name].state())
        assert accuracy == pytest.approx(runs[name].row["test_accuracy"], abs=1e-3)


@pytest.mark.parametrize("name", [*STRONG, *STARTS, *CHANGED])
def test_what_a_gate_or_a_hook_ended_in_has_its_accuracy_without_this_project(
    runs: Runs, outside: dict[str, tuple[float, str]], name: str
) -> None:
    accuracy, content = outside[f"{name}, trained"]
    assert content == digest(runs[name].state())
    assert accuracy == pytest.approx(runs[name].row["test_accuracy"], abs=1e-3)


@pytest.mark.parametrize(
    "name", sorted(name for name, entry in catalogue("network").items() if "transformers" not in entry.needs)
)
def test_the_draw_of_every_network_is_steps_of_torch(name: str) -> None:
    args = {"width": 0.1, **({"hidden": [5]} if name == "mlp" else {})}
    shape = (6,) if "tokens" in catalogue("network")[name].needs else (3, 32, 32)
    for initialiser in (
        (*sorted({*catalogue("initialiser")} - {"planted"}), None) if name == "resnet20" else ("kaiming_normal", None)
    ):
        chosen = None if initialiser is None else part("initialiser", initialiser, {})
        network = Network(part("network", name, args), shape, 10, chosen)
        steps, _ = record(network, 5)
        drawn = initial(network, 5)
        again = seeds.replay(Seed(5, {n: tuple(drawn[n].shape) for n, _, _ in steps}, tuple(steps), (), {}, {}))
        assert again.keys() == {n for n, value in drawn.items() if value.is_floating_point()}
        assert digest(again) == digest({n: drawn[n] for n in again})


def test_values_that_no_seed_gives_are_stored(tmp_path: Path) -> None:
    """Batch normalisation has seen examples while scores were learned."""
    run = sweep(tmp_path, "s", *FOUND, "gate=edge_popup", "model=custom", "model._target_=small.Net")
    folder = run.export(tmp_path / "t", as_seed=True)
    card = cards.read(folder)
    assert card.fields["drawn"]["stored"] == ["bn.num_batches_tracked", "bn.running_mean", "bn.running_var"]
    from small import Net

    for module in (lt.load_ticket(folder, Net((1, 8, 8), 10)), lt.load_ticket(folder, trust=True)):
        assert digest(module.state_dict()) == digest(run.state(0))
    with pytest.raises(BadTicket, match=r"is of small\.Net, which is code, not data"):
        lt.load_ticket(folder)


# ---------------------------------------------------------------------------------- what cannot be one


class Sums(nn.Module):
    """Draws its weight as a sum, which is no step in place."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(64, classes)
        self.output.weight = nn.Parameter(0.01 * (torch.randn(classes, 64) + torch.rand(classes, 64)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(x.flatten(1))
        return logits


REFUSED = {
    "trained": ((), True, "fc1.weight is not what seed 0 draws: it was trained"),
    "rewound": (("rewind=step", "rewind.step=4it"), False, "fc1.weight is not what seed 0 draws: it was trained"),
    "shuffled": (("survivors=shuffle",), False, "fc1.weight is not what seed 0 draws: shuffle has changed it"),
    "two draws": (("survivors=reinit_signed",), False, "fc1.weight is not what seed 0 draws: signs has changed it"),
    "sign_in": (("gate=sign_in",), True, "fc1.weight is not what seed 0 draws: gate sign_in has changed it"),
    "sums": (
        ("model=custom", "model._target_=test_ticket_seed.Sums"),
        False,
        "output.weight is drawn by more than torch's own in-place functions",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_seed_draws_is_refused_in_one_line(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, trained, line = REFUSED[name]
    sweep(tmp_path, "s", *words)
    capsys.readouterr()
    command = ["ticket", "export", str(tmp_path / "s"), "level=1", "--as-seed", "--to", str(tmp_path / "t")]
    assert cli([*command, *(["--trained"] if trained else [])]) == 2
    said = capsys.readouterr().err
    assert said == f"lt_sweeps: ticket export --as-seed: {line}: export it without --as-seed\n"
    assert not (tmp_path / "t").exists()


def test_weights_that_came_from_a_file_have_no_seed(runs: Runs, folder: Path, tmp_path: Path) -> None:
    begin = ["-m", "budget=smoke", f"ticket={folder}", "prune.levels=0", "sweep=on", f"paths.output_dir={tmp_path}"]
    assert main(begin) == 0
    with pytest.raises(Mistake, match="the weights come from a file, and no seed gives them"):
        lt.open(tmp_path / "on").ticket(level=0).export(tmp_path / "t", as_seed=True)


# ------------------------------------------------------------------------------- wherever a folder is taken


def test_a_seed_is_verified_listed_and_says_what_it_saves(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, folder = runs["biprop"], tmp_path / "t"
    capsys.readouterr()
    export = ["ticket", "export", str(runs.folder / "biprop"), "level=1", "--to", str(folder), "--trained"]
    assert cli([*export, "--as-seed"]) == 0
    out = capsys.readouterr().out
    seed, sparse, dense = cards.read(folder).sizes.values()
    assert seed == sum((folder / name).stat().st_size for name in (cards.SEED, cards.MASK))
    assert dense == 4 * sum(value.numel() for value in run.state().values())
    assert f"seed and mask: {seed:,} bytes" in out
    assert f"{sparse / seed:.1f} x smaller than weights and mask ({sparse:,} bytes)" in out
    assert f"{dense / seed:.1f} x smaller than dense float32 ({dense:,} bytes)" in out
    assert list(json.loads((folder / "card.json").read_text())["drawn"]["bytes"].values()) == [seed, sparse, dense]
    assert cli(["ticket", "verify", str(folder)]) == 0
    assert f"test accuracy {run.row['test_accuracy']:.2f} %, as promised" in capsys.readouterr().out
    assert cli(["ticket", "list", str(tmp_path)]) == 0
    assert "trained weights at step 0 drawn by seed 0, " in capsys.readouterr().out
    assert cli(export) == 2
    assert "holds another ticket (trained of " in capsys.readouterr().err


def test_a_seed_is_trained_as_its_weights_are(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs["imp"]
    plain, seed = run.export(tmp_path / "p"), run.export(tmp_path / "s", as_seed=True)
    for folder, trains in ((seed, 1), (plain, 0)):  # the second is the first's training, found in the store
        capsys.readouterr()
        assert cli(["ticket", "train", str(folder), "--runs", str(tmp_path / "runs")]) == 0
        out = capsys.readouterr().out
        assert out.count("[1/1]") == trains
        assert f"promised {run.row['test_accuracy']:g} (+0)" in out


@pytest.mark.parametrize("setting", ["ticket", "mask_from"])
def test_a_sweep_begins_with_a_seed_as_with_its_weights(runs: Runs, tmp_path: Path, setting: str) -> None:
    run = runs["imp"]
    plain, seed = run.export(tmp_path / "p"), run.export(tmp_path / "s", as_seed=True)
    begun = []
    for folder in (seed, plain):
        words = ["-m", "budget=smoke", "prune.levels=1", "sweep=s", f"{setting}={folder}"]
        assert main([*words, f"paths.output_dir={tmp_path / f'runs_{folder.name}'}"]) == 0
        opened = lt.open(tmp_path / f"runs_{folder.name}" / "s")
        begun.append([opened.ticket(level=level).key for level in (0, 1)])
    assert begun[0] == begun[1]
    kept = tmp_path / "runs_s" / "s" / "given"
    assert sorted(path.name for path in kept.glob("*/*")) == ["card.json", "mask.safetensors", "seed.safetensors"]
    shutil.rmtree(seed)
    again = lt.open(tmp_path / "runs_s" / "s").ticket(level=1)
    assert again.evaluate().accuracy == again.row["test_accuracy"]
    collect(tmp_path / "runs_s" / "store", dry=False, older_than=0, quarantine=False)
    again.export(tmp_path / "again")  # with the weights that no file of the folder has, and no record names
    assert cli(["measure", str(tmp_path / "runs_s" / "s"), "live_density"]) == 0


# ------------------------------------------------------------------------------------------ hostile


def forge(folder: Path, how: Forge) -> None:
    """Changes a card and the note of its seed, and signs both."""
    content = (folder / cards.SEED).read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    card, told = json.loads((folder / "card.json").read_text()), json.loads(content[8:end])
    note = json.loads(told["__metadata__"]["note"])
    how(card, note)
    told["__metadata__"]["note"] = json.dumps(note)
    text = json.dumps(told).encode()
    (folder / cards.SEED).write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
    (folder / "card.json").write_text(json.dumps(card))
    sign(folder)


def both(change: Callable[[dict[str, Any]], Any]) -> Forge:
    """The same change of the card and of the seed."""
    return lambda card, note: (change(card["drawn"]), change(note))


def swap(told: dict[str, Any]) -> None:
    factors = told["factors"]
    factors["fc1.weight"], factors["fc2.weight"] = factors["fc2.weight"], factors["fc1.weight"]


def step(*words: Any) -> Forge:
    return lambda card, note: note["steps"].append(list(words))


FORGERIES: dict[str, tuple[Forge, str]] = {
    "another seed": (both(lambda told: told.update(seed=1)), "seed 1 draws other weights than those exported"),
    "another seed on the card": (lambda card, note: card["drawn"].update(seed=1), "says another seed, sign or factor"),
    "another seed in the file": (lambda card, note: note.update(seed=1), "says another seed, sign or factor"),
    "a seed that is a word": (both(lambda told: told.update(seed="0")), "its seed is no integer"),
    "a seed without end": (both(lambda told: told.update(seed=10**30)), "its seed is no integer"),
    "factors of other layers": (both(swap), "seed 0 draws other weights"),
    "values, not signs": (both(lambda told: told.update(signs=[])), "seed 0 draws other weights"),
    "a factor that is none": (
        lambda card, note: note["factors"].update({"fc1.weight": float("nan")}),
        "it is not JSON (NaN is no finite number)",
    ),
    "a factor at length": (both(lambda told: told["factors"].update({"fc1.weight": 0.1})), "no float32"),
    "a factor of nothing": (both(lambda told: told["factors"].update({"fc1.bias": 1.0})), "of no masked tensor"),
    "a network that is another": (
        lambda card, note: card["network"]["build"].update(name="resnet20"),
        "its files and its network",
    ),
    "a layer of another shape": (
        lambda card, note: note["shapes"].update({"fc1.weight": [64, 300]}),
        "not drawn in the shape of its mask",
    ),
    "a layer that is not drawn": (lambda card, note: note["shapes"].pop("fc1.weight"), "not drawn in the shape of"),
    "a tensor without end": (lambda card, note: note["shapes"].update(x=[10**9, 10**9]), "draws more than a network"),
    "a tensor too many": (lambda card, note: note["shapes"].update(x=[3]), "its files and its network differ in x"),
    "another function": (step("fc1.weight", "apply_", 1.0), "a step 'apply_' that draws nothing"),
    "another tensor": (step("x", "zero_"), "a step 'zero_' that draws nothing"),
    "too many numbers": (step("fc1.weight", "uniform_", 0.0, 1.0, 2.0), "a step 'uniform_' that draws nothing"),
    "too few numbers": (step("fc1.weight", "mul_"), "a step 'mul_' that draws nothing"),
    "numbers that are too large": (
        lambda card, note: note.update(steps=note["steps"] + [["fc1.bias", "fill_", 3e38], ["fc1.bias", "mul_", 3e38]]),
        "its weights cannot be drawn",
    ),
    "a number that is none": (
        step("fc1.weight", "mul_", float("inf")),
        "it is not JSON (Infinity is no finite number)",
    ),
    "bounds the wrong way round": (step("fc1.weight", "uniform_", 1.0, 0.0), "its weights cannot be drawn"),
    "a draw that hardly ends": (
        step("fc1.weight", "trunc_normal_", 0.0, 1.0, 30.0, 31.0),
        "truncates a normal distribution within its deviation",
    ),
    "steps without end": (
        lambda card, note: note.update(steps=note["steps"] + [["fc1.weight", "zero_"]] * 40),
        "more than 32 steps for a tensor",
    ),
    "one step more": (step("fc1.bias", "fill_", 1.0), "seed 0 draws other weights"),
    "another order": (lambda card, note: note["steps"].reverse(), "seed 0 draws other weights"),
    "no note": (lambda card, note: note.clear(), "its note is not that of a seed"),
    "other weights promised": (
        lambda card, note: card["drawn"]["weights"].update(sha256="0" * 64),
        "seed 0 draws other weights",
    ),
    "words that clear a screen": (
        lambda card, note: (card["drawn"].update(by="\x1b[2J", seed=1), note.update(seed=1)),
        "draws other numbers than ?[2J",
    ),
    "a hash that is a path": (
        lambda card, note: card["drawn"]["weights"].update(sha256="../../../../tmp/x"),
        "does not say 'drawn' as it should",
    ),
    "nothing promised": (lambda card, note: card["drawn"].pop("weights"), "does not say 'drawn' as it should"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_seed_is_refused(folder: Path, name: str) -> None:
    how, line = FORGERIES[name]
    forge(folder, how)
    with pytest.raises(BadTicket) as refused:
        lt.load_ticket(folder)
    assert line in str(refused.value)
    assert str(refused.value).startswith(f"{folder}: ")
    assert str(refused.value).isprintable()


def test_a_forged_seed_trains_nothing(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forge(folder, both(lambda told: told.update(seed=1)))
    for words in (["ticket"], ["mask_from"]):
        assert main(["-m", "budget=smoke", f"{words[0]}={folder}", f"paths.output_dir={tmp_path / 'runs'}"]) == 2
        said = capsys.readouterr().err
        assert "seed 1 draws other weights than those exported" in said
        assert said.count("\n") == 1
    assert not list((tmp_path / "runs").rglob("*.json"))
    assert cli(["ticket", "verify", str(folder)]) == 1
    assert "BAD: " in capsys.readouterr().out


def test_damage_is_noticed_wherever_it_is(folder: Path) -> None:
    for name in (cards.SEED, cards.MASK, "card.json"):
        content = (folder / name).read_bytes()
        at = content.index(b"0.05") if name == cards.SEED else content.index(b"drawn") if name == "card.json" else -1
        at %= len(content)
        for damaged in (content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], content[:-1], b""):
            (folder / name).write_bytes(damaged)
            with pytest.raises(BadTicket):
                cards.read(folder)
        (folder / name).write_bytes(content)
    for name in (cards.SEED, cards.MASK):
        (folder / name).rename(folder / "away")
        with pytest.raises(BadTicket, match=f"is no ticket, there is no {name} in it"):
            cards.read(folder)
        (folder / "away").rename(folder / name)
    cut = (folder / cards.MASK).read_bytes()[:-100]
    (folder / cards.MASK).write_bytes(cut)
    sign(folder)
    with pytest.raises(BadTicket, match=r"mask\.safetensors: its tensors do not end where the file ends"):
        cards.read(folder)


def test_a_mask_with_other_places_is_noticed(folder: Path) -> None:
    """An ordinary ticket could not know: a mask with as many ones, signed anew."""
    content = bytearray((folder / cards.MASK).read_bytes())
    at = next(n for n in range(len(content) - 2000, len(content)) if content[n] != content[n + 1])
    content[at], content[at + 1] = content[at + 1], content[at]
    (folder / cards.MASK).write_bytes(bytes(content))
    sign(folder)
    with pytest.raises(BadTicket, match="seed 0 draws other weights"):
        lt.load_ticket(folder)


def test_other_random_numbers_are_noticed(runs: Runs, tmp_path: Path) -> None:
    """Torch without AVX draws other normal numbers, as another version may: the line says so."""
    folder = runs["edge_popup"].export(tmp_path / "t", as_seed=True)
    shown = "import sys, torch, lt_sweeps as lt; torch.manual_seed(0); print(torch.empty(1000).normal_().tolist())"
    command = [sys.executable, "-c", f"{shown}; lt.load_ticket(sys.argv[1])", str(folder)]
    other = {**os.environ, "PYTHONPATH": str(HERE.parent), "ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run(command, env=other, capture_output=True, text=True)
    if done.stdout.strip() == str(torch.empty(1000).normal_(generator=torch.Generator().manual_seed(0)).tolist()):
        pytest.skip("this processor draws the same normal numbers either way")
    last = done.stderr.strip().splitlines()[-1]
    assert "seed 0 draws other weights than those exported: the folder was edited, or torch " in last
    assert last.endswith(f"draws other numbers than {seeds.drawn_by()}")


def test_hundreds_of_damaged_and_forged_seeds_end_in_a_module_or_in_one_line(binary: Path) -> None:
    command = [sys.executable, str(HERE / "mutate.py"), str(binary), "400", "1"]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    outcome = json.loads(done.stdout)
    assert outcome["refused"] > 300
    assert outcome["read"] > 4, "some forgeries change nothing that matters"
