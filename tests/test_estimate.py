"""What a plan says of hours and disk, against what by hand must come out, and against what a sweep really writes."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small import NETWORK, run_of
from test_chains import job, pruned
from test_sparse import mlp
from test_sparse import run_of as sparse_run
from test_sweep import SMALL, cells_of, sweep

from lt_sweeps.cell import Cell
from lt_sweeps.cli import main as lt_sweeps
from lt_sweeps.execution import estimate, rates, reporter
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution.chains import chains
from lt_sweeps.execution.machine import fingerprint
from lt_sweeps.execution.plan import Job, Plan
from lt_sweeps.execution.rates import By, Kinds, Rate
from lt_sweeps.forecast import disk
from lt_sweeps.forecast.kernels import Kernels
from lt_sweeps.forecast.sizes import Sizes
from lt_sweeps.graph import Train
from lt_sweeps.networks.build import build
from lt_sweeps.registry import part
from lt_sweeps.specs import Network
from lt_sweeps.store.store import Store
from lt_sweeps.store.tensors import encode, encode_mask, encode_masked
from lt_sweeps.training import optim
from lt_sweeps.training.progress import optimizer_state
from lt_sweeps.training.sparse import choose as choosing

pytestmark = pytest.mark.sweeps

MACHINE = {"torch": "2", "machine": "x86_64", "device": "cpu AVX2", "threads": 1, "deterministic": True}
HOURS = r"hours: (?P<work>.+) of one core(?:, (?P<wall>.+) with \d+ workers \(longest chain (?P<longest>.+?)\))?"


def plan_of(*runs: Train, asks: int = 1) -> Plan:
    jobs = [job(run) for run in runs]
    return Plan(2, asks * len(runs), len(runs), jobs, asks=dict.fromkeys(runs, asks), shown=runs)


def said(word: str) -> float:
    """Seconds in `1 h 3 min`.

    >>> said("1 h 1 min"), said("2 min 3 s")
    (3660.0, 123.0)
    """
    units = {"h": 3600.0, "min": 60.0, "s": 1.0}
    return sum(int(n.replace(",", "")) * units[unit] for n, unit in re.findall(r"([\d,]+) (h|min|s)", word))


# ---------------------------------------------------------------------------------------- hours


def test_hours_are_what_a_hand_would_schedule() -> None:
    """Two chains of 100 and 30 after a dense 100, and one of 150 beside them."""
    dense, alone = run_of(steps=100), run_of(steps=150)
    one = pruned(dense, dense)
    short = replace(one, recipe=replace(one.recipe, steps=30))
    runs = (alone, short, one, dense)
    kind = Kinds()
    found = [estimate.estimate(plan_of(*runs, asks=2), {kind(dense): Rate(1.0)}, slots) for slots in (1, 2, 3)]
    assert [(e.work, e.wall, e.longest) for e in found if e] == [(380, 380, 200), (380, 200, 200), (380, 200, 200)]
    assert [e.separate for e in found if e] == [760] * 3


@pytest.mark.parametrize("slots", [1, 2, 3, 7, 100])
def test_no_plan_takes_longer_than_its_sum_or_less_than_its_longest_chain(slots: int) -> None:
    tree: list[Train] = []
    for seed in range(5):
        dense = replace(run_of(steps=50 + 10 * seed), order=seed)
        chain = [dense]
        for _ in range(4):
            chain.append(pruned(dense, chain[-1]))
        tree += [*chain, *(replace(run, augment=9) for run in chain)]
    jobs = [job(run) for run in tree]

    def seconds(job: Job) -> float:
        return job.iterations + 3.0

    work, longest = sum(map(seconds, jobs)), max(chains(jobs, seconds).values())
    took = estimate.schedule(jobs, seconds, slots)
    assert max(longest, work / slots) <= took + 1e-9 <= work + 2e-9
    assert estimate.schedule(jobs, lambda job: 2 * seconds(job), slots) == pytest.approx(2 * took)
    if slots in (1, 100):
        assert took == pytest.approx(work if slots == 1 else longest)


def test_a_long_plan_is_told_in_whole_hours() -> None:
    line = estimate.summary(estimate.Estimate(43e6, 22e6, 8.8e5, 2, 96, None), "GPU")
    assert line == "hours: 11,944 h of one GPU, 6,111 h with 2 workers (longest chain 244 h)"


def test_without_a_rate_nothing_is_made_up(tmp_path: Path) -> None:
    dense, adam = run_of(), run_of("adam")
    kind = Kinds()
    plan = plan_of(dense, adam)
    assert estimate.estimate(plan, {kind(dense): Rate(1.0)}, 2) is None
    assert [run.recipe.optimizer.name for run in rates.missing(plan, {kind(dense)}, kind)] == ["torch.optim.Adam"]
    assert rates.known(plan, Store(tmp_path), MACHINE, kind) == {}


def test_a_measured_rate_is_kept_for_its_kind_and_its_machine_alone(tmp_path: Path) -> None:
    store, kind, dense = Store(tmp_path), Kinds(), run_of()
    rates.keep(store, dense, MACHINE, Rate(0.5, 2.0, 1.0))
    longer = replace(dense, order=3, recipe=replace(dense.recipe, steps=900))
    assert rates.known(plan_of(longer), store, MACHINE, kind) == {kind(dense): Rate(0.5, 2.0, 1.0)}
    assert not rates.known(plan_of(dense), store, {**MACHINE, "device": "cpu AVX512"}, kind)
    assert not rates.known(plan_of(run_of("adam")), store, MACHINE, kind)
    assert not rates.known(plan_of(run_of(batch_size=61)), store, MACHINE, kind)


def test_finished_trainings_correct_what_was_measured(tmp_path: Path) -> None:
    store, kind, dense = Store(tmp_path), Kinds(), run_of(steps=50)
    plan = plan_of(dense, pruned(dense, dense))
    plan.records[dense] = store.commit(dense.key, dense.describe(), [], {"status": "done"}, {}, MACHINE)
    store.save_timing(dense.key, {"seconds": 100.0})
    assert rates.known(plan, store, MACHINE, kind)[kind(dense)].step == 2.0
    rates.keep(store, dense, MACHINE, Rate(0.5, 2.0, 15.0))  # 50 iterations, 5 evaluations: 50 seconds
    assert rates.known(plan, store, MACHINE, kind) == {kind(dense): Rate(1.0, 4.0, 30.0)}
    assert rates.known(plan, store, {**MACHINE, "threads": 2}, kind) == {}, "another machine says nothing of this one"


def test_each_kernel_has_rates_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sparse: one for each power of two of the kept share. What one kernel computed says nothing of another."""
    monkeypatch.setattr(choosing, "vector_bytes", lambda library: 64)
    dense = sparse_run("sgd", mlp(), steps=500)
    chain = [dense]
    for _ in range(10):
        chain.append(pruned(dense, chain[-1]))
    kernel = Kernels(Sizes({}), "auto", "cpu", 1)
    chosen = [by for run in chain if (by := kernel(run)) is not None]
    assert [by.kernel for by in chosen] == ["dense"] * 8 + ["sparse"] * 3
    assert [by.kept for by in chosen] == pytest.approx([0.8**level for level in range(11)], rel=1e-2)
    for option, device, devices in (("masked", "cpu", 1), ("auto", "cuda", 1), ("auto", "cpu", 2)):
        assert Kernels(Sizes({}), option, device, devices)(chain[10]) is None
    assert Kernels(Sizes({}), "sparse", "cpu", 1)(dense) == By("sparse", 1.0)
    assert Kernels(Sizes({}), "dense", "cpu", 1)(dense) == By("dense", 1.0)
    with monkeypatch.context() as without:
        without.setattr(choosing, "library", lambda dtype, **_: None)
        assert Kernels(Sizes({}), "dense", "cpu", 1)(dense) is None, "no compiler: as in the worker"
    assert Kernels(Sizes({}), "auto", "cpu", 1)(sparse_run("sgd", mlp(), steps=50)) is None
    convolutions = sparse_run("sgd", Network(part("network", "conv2"), (3, 32, 32), 10), steps=500)
    assert Kernels(Sizes({}), "sparse", "cpu", 1)(convolutions) is None
    kind, store, plan = Kinds(kernel), Store(tmp_path), plan_of(*chain)
    assert kind(chain[8]) == kind(chain[9]) != kind(chain[10])
    assert len({kind(run) for run in chain}) == 3
    assert kind(dense) == kind(chain[7]) != Kinds()(dense)
    rates.keep(store, chain[8], MACHINE, Rate(0.01), kind)
    assert rates.known(plan, store, MACHINE, kind) == {kind(chain[8]): Rate(0.01)}
    for run, made_by in ((chain[9], MACHINE), (chain[8], {**MACHINE, "kernel": "sparse (C)"})):
        plan.records[run] = store.commit(run.key, run.describe(), [], {"status": "done"}, {}, made_by)
        store.save_timing(run.key, {"seconds": 500 * (0.02 if "kernel" in made_by else 1.0)})
    assert rates.known(plan, store, MACHINE, kind) == {kind(chain[8]): Rate(0.02)}


@pytest.mark.parametrize(("start", "steps", "every", "count"), [(0, 50, 10, 5), (10, 50, 10, 4), (5, 33, 10, 4)])
def test_evaluations_are_counted_as_they_are_made(start: int, steps: int, every: int, count: int) -> None:
    made = [step for step in range(start + 1, steps + 1) if step % every == 0 or step == steps]
    assert rates.evaluations(job(run_of(start=start, steps=steps, eval_every=every))) == len(made) == count


# ----------------------------------------------------------------------------------------- disk


def test_a_file_has_the_size_that_was_counted() -> None:
    """To the byte: a state with live values only, a mask, and what an optimizer remembers."""
    sizes, module = Sizes({}), build(NETWORK)
    for optimizer in ("sgd", "adam", "adamw", "nesterov"):
        run = run_of(optimizer)
        form = sizes.layout(run)
        whole = sizes.kept(run.ticket.mask)
        mask = {name: torch.arange(n).view(module.get_parameter(name).shape) % 3 == 0 for name, n in whole.items()}
        live = {name: int(ones.sum()) for name, ones in mask.items()}
        assert abs(form.state(live) - len(encode_masked(module.state_dict(), mask))) < 32, "digits of the header"
        assert form.state(whole) == len(encode_masked(module.state_dict(), {n: ones >= 0 for n, ones in mask.items()}))
        assert form.mask(live) == len(encode_mask(mask))
        taking = optim.optimizer(run.recipe.optimizer, module)
        for parameter in module.parameters():
            parameter.grad = torch.ones_like(parameter)
        taking.step()
        held = [v for entry in optimizer_state(taking) for v in entry.values() if torch.is_tensor(v)]
        assert form.optimizer == sum(v.numel() * v.element_size() for v in held) > 0
    assert disk.file_size({"w": ((3,), "F32")}, "x") == len(encode({"w": torch.zeros(3)}, "x"))


def composed(*words: str) -> list[Cell]:
    """The cells of a multirun."""
    choices = [[word] if set(word) & {*"{["} else split(word) for word in words]
    return [one for chosen in product(*choices) for one in cells_of(*chosen)]


def split(word: str) -> list[str]:
    name, _, values = word.partition("=")
    return [f"{name}={value}" for value in values.split(",")]


def on_disk(folder: Path, *kinds: str) -> int:
    return sum(path.stat().st_size for kind in kinds for path in (folder / "store" / kind).rglob("*") if path.is_file())


SGD = ("recipe.optimizer._target_=torch.optim.SGD", "++recipe.optimizer.args={lr:0.1}")
CUTS: Sequence[tuple[str, ...]] = (
    ("control=none,mask_shuffle", "seed=0,1"),
    ("rewind=step", "rewind.step=15it", "pruned=freeze", "prune.groups=global", "model.width=0.5"),
    ("model=custom", "model._target_=small.Net", "prune=one_shot", "recipe.precision=64-true", *SGD),
    ("prune=learned", "gate=edge_popup", "survivors=rewind,keep"),
    ("prune=learned", "gate=edge_popup", "++gate.args.ranking=global", "prune.levels=1"),
)


@pytest.mark.parametrize("words", CUTS, ids=["controls", "rewound", "batchnorm", "learned", "learned globally"])
def test_a_sweep_writes_what_was_foretold(tmp_path: Path, words: tuple[str, ...]) -> None:
    cells = composed(*words, f"paths.output_dir={tmp_path}")
    store = Store(tmp_path / "store")
    sizes, machine = Sizes({}), fingerprint(torch.device("cpu"), True)
    plan = planning.make(cells, store)
    foretold = disk.estimate(plan, store, sizes.layout, sizes.kept, machine, 1)
    sweep(tmp_path, *words)
    blobs = on_disk(tmp_path, "blob")
    assert foretold.weights + foretold.snapshots + foretold.masks == pytest.approx(blobs, rel=0.01)
    assert foretold.records == pytest.approx(on_disk(tmp_path, "record", "timing"), rel=0.05)
    again = planning.make(cells, store)
    left = disk.estimate(again, store, sizes.layout, sizes.kept, machine, 1)
    assert (left.total, left.checkpoints, left.tickets) == (0, 0, foretold.tickets)


def test_a_mask_from_a_deeper_network_is_counted_there(tmp_path: Path) -> None:
    deeper = ("model=mlp", "dataset=digits", "recipe=lenet_digits", "++find.model.args.hidden=[9,9,9,5]")
    words = (*deeper, "model.args.hidden=[9,5]", "transfer=elastic", f"paths.output_dir={tmp_path}")
    store, sizes = Store(tmp_path / "store"), Sizes({})
    plan = planning.make(composed(*words), store)
    foretold = disk.estimate(plan, store, sizes.layout, sizes.kept, fingerprint(torch.device("cpu"), True), 1)
    sweep(tmp_path, *words[:-1])
    assert sizes.at_most
    assert on_disk(tmp_path, "blob") <= foretold.weights + foretold.snapshots + foretold.masks


def test_what_is_pruned_by_factor_and_group_is_counted_as_it_will_be() -> None:
    words = ("prune.groups=global", "prune.levels=3", "prune.rate=0.5", "++prune.factors={output.weight: 0.1}")
    *_, sparsest = cells_of(*words)[0].levels
    kept = Sizes({}).kept(sparsest.ticket.mask)
    assert kept["output.weight"] == 857  # 1,000 less a twentieth, three times: 950, then 902, then 857
    assert kept["fc1.weight"] + kept["fc2.weight"] == 6150  # of 49,200, halved three times
    assert kept["fc1.weight"] / kept["fc2.weight"] == pytest.approx(19_200 / 30_000, rel=0.01)


@pytest.mark.parametrize(
    ("words", "most"),
    [
        (("prune=learned", "gate=bernoulli", "prune.levels=1"), True),
        (("prune=learned", "gate=edge_popup"), False),
        (("gate=sign_in",), False),
        (("find.hook.name=set",), True),
    ],
)
def test_what_only_the_training_will_tell_is_counted_whole_and_said(
    words: tuple[str, ...], most: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lt_sweeps(["plan", *SMALL, *words, f"paths.output_dir={tmp_path}"]) == 0
    assert ("\ndisk: at most " in capsys.readouterr().out) is most


# -------------------------------------------------------------------------------- the whole plan


def test_a_plan_says_hours_and_disk_in_two_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SMALL, "seed=0,1", "control=none,reinit", f"paths.output_dir={tmp_path}"]
    assert lt_sweeps(["plan", *words]) == 0
    hours, written, table = capsys.readouterr().out.splitlines()[2:5]
    assert hours == "hours: unknown; lt-sweeps plan --calibrate measures for some seconds"
    sizes = r"disk: \S+ .B \(weights \S+ .B, snapshots \S+ .B, masks \S+ .B, records \S+ .B\)"
    assert re.fullmatch(rf"{sizes}, checkpoints in progress \S+ .B; all tickets as files: \S+ .B", written)
    assert table.startswith("lenet_300_100, 1x8x8, 10 classes")
    assert not (tmp_path / "store").exists()


def test_a_calibrated_plan_knows_the_hours_and_leaves_only_a_rate_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, "seed=0,1", "control=none,reinit", f"paths.output_dir={tmp_path}"]
    long = [*words, "recipe.steps=200000it"]
    assert lt_sweeps(["plan", "--calibrate", *long]) == 0
    line = capsys.readouterr().out.splitlines()[2]
    found = re.fullmatch(HOURS + r"; as 4 separate jobs: (?P<separate>.+)", line)
    assert found, line
    assert 0 < said(found["work"]) < said(found["separate"])
    if found["wall"]:
        assert said(found["longest"]) <= said(found["wall"]) <= said(found["work"])
    [rate] = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert rate.parent.name == "calibration"
    assert lt_sweeps(["plan", *long, "recipe.steps=800000it"]) == 0, "the same kind, four times as long"
    again = re.match(HOURS, capsys.readouterr().out.splitlines()[2])
    assert again
    assert said(again["work"]) / said(found["work"]) == pytest.approx(4, rel=0.2)


def test_tickets_that_are_not_trained_are_calibrated_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where no ticket of their kind is trained: a rate is that of a step, however few are taken."""
    words = [*SMALL, "prune=learned", "gate=edge_popup", "gate.args.keep=0.1", "prune.levels=1"]
    untrained = ["survivors=keep", "train=untrained", "trainer.kernel=sparse", f"paths.output_dir={tmp_path}"]
    assert lt_sweeps(["plan", "--calibrate", *words, *untrained]) == 0
    assert re.match(HOURS, capsys.readouterr().out.splitlines()[2])


def test_what_was_trained_says_how_long_the_rest_will_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Coarsely: timings of others on this machine are not under a test's control."""
    sweep(tmp_path, "recipe.steps=400it")
    capsys.readouterr()
    assert lt_sweeps(["plan", *SMALL, "recipe.steps=400it", "seed=0,1", f"paths.output_dir={tmp_path}"]) == 0
    line = capsys.readouterr().out.splitlines()[2]
    assert re.match(HOURS, line), line


def test_a_finished_sweep_has_nothing_more_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path)
    capsys.readouterr()
    assert lt_sweeps(["plan", *SMALL, f"paths.output_dir={tmp_path}"]) == 0
    line = capsys.readouterr().out.splitlines()[2]
    assert re.fullmatch(r"disk: nothing more; all tickets as files: \S+ kB", line)


def test_missing_data_is_told_before_anything_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=resnet50", "dataset=imagenet", "recipe=resnet50_imagenet", f"paths.data_dir={tmp_path}"]
    assert lt_sweeps(["plan", "--calibrate", *words, f"paths.output_dir={tmp_path}"]) == 2
    assert "is not under paths.data_dir" in capsys.readouterr().err


# ------------------------------------------------------------------------------- while it runs


def test_a_long_sweep_is_announced_once_and_its_pace_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 steps at 0.5 a second are five and a half hours, known within three messages."""
    now, out = [0.0], io.StringIO()
    monkeypatch.setattr(reporter, "time", SimpleNamespace(monotonic=lambda: now[0]))
    dense = run_of(steps=10_000)
    told = reporter.Reporter({dense: "it"}, out)
    told.expect([job(dense)])
    told.begin(job(dense))
    for step, at in ((1, 2.0), (8, 16.0), (16, 32.0)):
        now[0] = at
        told.step(job(dense), step, ())
    note, first, second = out.getvalue().splitlines()
    assert note.startswith("note: this takes about 5 h 33 min; it can be interrupted at any time")
    assert first == "[1/1] it  step 8/10,000 (0.5 steps/s)  5 h 33 min left"
    assert second == "[1/1] it  step 16/10,000 (0.5 steps/s)  5 h 32 min left"


def test_what_is_left_is_taken_from_the_usual_pace_not_from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first training of a sweep took ten times as long as those after it."""
    now, out = [0.0], io.StringIO()
    monkeypatch.setattr(reporter, "time", SimpleNamespace(monotonic=lambda: now[0]))
    runs = [run_of(steps=100, batch_size=60 + number) for number in range(5)]
    told = reporter.Reporter({}, out)
    told.expect([job(run) for run in runs])
    record = {"result": {"status": "done", "end": {"test_accuracy": 1.0}, "kept": 1, "total": 1, "steps": 1}}
    for run, seconds in zip(runs[:3], (100.0, 10.0, 10.0), strict=True):
        told.begin(job(run))
        told.finish(job(run), record, seconds)
    told.begin(job(runs[3]))
    assert out.getvalue().splitlines()[-1].endswith("10.0 s  20 s left")


def test_a_training_on_several_devices_takes_as_many_workers() -> None:
    two = [replace(job(run_of(steps=10 + n)), devices=2) for n in range(2)]
    assert estimate.schedule(two, lambda job: 10.0, 2) == 20.0
    assert estimate.schedule(two, lambda job: 10.0, 4) == 10.0
    assert estimate.schedule([*two, job(run_of(steps=5))], lambda job: 10.0, 3) == 20.0
