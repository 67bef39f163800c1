"""One training on several devices is the same training; and a training that is told to leave leaves in good order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small import examples, half_mask, run_of, weights
from test_folder import write_images
from test_sweep import cells_of
from together import CASES, Watched, behind_a_search, compared, jobs
from torch import Tensor, nn

from lt_sweeps.datasets.order import Share
from lt_sweeps.errors import Mistake
from lt_sweeps.execution.machine import fingerprint
from lt_sweeps.masks import TicketTensors
from lt_sweeps.specs import Batching
from lt_sweeps.store.tensors import decode
from lt_sweeps.training.batchnorm import WholeBatch
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.leaving import Left
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.ranks import ALONE, Ranks
from lt_sweeps.training.recorder import Session, state_digest

HERE = Path(__file__).parent
RANKS = 2
CPU = Hardware("cpu", False)
# Sums over ranks round otherwise than sums in one process, and training makes that grow: to 167 units of rounding in
# the worst of these trainings. This many are 9e-13 in double precision, where a wrong share, sum, draw or statistic is
# 9e-6 and more (tried).
UNITS = 4096
# Of ResNet-20's millions of activations some lie within a rounding error of the kink of their ReLU. One unit of
# rounding in the weights that it begins with moved its end, in single precision, by 2, 850, 2,009 or 17,733 units (40
# draws, one process); which of them it is depends on the processor. Its weights are compared in double precision alone.
KINKED = ("resnet20", "32-true")
PRECISIONS = {"32-true": torch.float32, "64-true": torch.float64}


def group(ranks: int, *words: str | Path) -> subprocess.Popen[str]:
    """Processes that torch.distributed.run has started as one."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}", "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"}
    return subprocess.Popen(
        [*command, *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(group: subprocess.Popen[str], seconds: float) -> str:
    """What a group printed, which must end by then."""
    try:
        return group.communicate(timeout=seconds)[0]
    finally:
        if group.poll() is None:
            os.killpg(group.pid, signal.SIGKILL)
            group.wait()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "farm", "train", 26)
    write_images(folder / "farm", "val", 9)
    return folder


@pytest.fixture(scope="module")
def done(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two ranks wrote what came of everything in together.py."""
    folder = tmp_path_factory.mktemp("together")
    running = group(RANKS, HERE / "together.py", folder, tree)
    printed = ended(running, 300)
    assert running.returncode == 0, printed
    return folder


def told(done: Path, name: str) -> list[Any]:
    """By each rank."""
    return [json.loads((done / f"{name}.{rank}.json").read_text()) for rank in range(RANKS)]


def states(done: Path, name: str) -> list[dict[str, Tensor]]:
    """Of each rank."""
    return [decode((done / f"{name}.{rank}").read_bytes())[0] for rank in range(RANKS)]


def apart(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """The largest difference of two states, relative to values above 1."""
    assert one.keys() == two.keys()
    return max(
        float(((one[n].double() - two[n].double()).abs() / one[n].double().abs().clamp(min=1)).max()) for n in one
    )


# --------------------------------------------------------------------------------- the same training


@pytest.mark.processes
@pytest.mark.parametrize(("name", "precision"), CASES)
def test_a_training_on_two_devices_is_the_training_on_one(name: str, precision: str, done: Path, tree: Path) -> None:
    here, alone = compared(name, precision, CPU, tree)
    ours, theirs = states(done, f"{name} {precision}")
    assert state_digest(ours) == state_digest(theirs)
    if (name, precision) != KINKED:
        assert apart(here, ours) < UNITS * torch.finfo(PRECISIONS[precision]).eps
    if not behind_a_search(name):  # whose weights are those that it began with
        assert apart(here, ours) > 0, "the same bits: nothing was added up over ranks"
    for with_two in told(done, f"{name} {precision}"):
        assert [row["step"] for row in with_two["history"]] == [row["step"] for row in alone["history"]]
        close = 1e-3 if precision == "32-true" else 2e-6  # losses are told to 6 places
        for one, two in zip(alone["history"], with_two["history"], strict=True):
            assert {k: one[k] for k in ("train_loss", "val_loss")} == pytest.approx(
                {k: two[k] for k in ("train_loss", "val_loss")}, abs=close
            )
        if precision == "64-true":
            assert with_two["end"] == pytest.approx(list(alone["end"]), abs=2e-6)
            assert with_two["early_stop"] == pytest.approx(list(alone["early_stop"]), abs=2e-6)


@pytest.mark.processes
@pytest.mark.parametrize(("name", "precision"), CASES)
def test_masks_and_densities_are_those_of_one_device(name: str, precision: str, done: Path, tree: Path) -> None:
    here, alone = compared(name, precision, CPU, tree)
    assert [found["mask"] for found in told(done, f"{name} {precision}")] == [alone["mask"]] * RANKS
    for state in states(done, f"{name} {precision}"):
        pruned = {n: here[n] == 0 for n in here}
        assert all(torch.equal(state[n] == 0, zeros) for n, zeros in pruned.items() if here[n].is_floating_point())


@pytest.mark.processes
def test_a_training_on_two_devices_resumes_to_the_same_bits(done: Path) -> None:
    by_rank = told(done, "resumed")
    assert [found["saved"] for found in by_rank] == [2, 0], "rank 0 alone writes"
    assert len({digest for found in by_rank for digest in found["digests"]}) == 1


@pytest.mark.processes
def test_all_ranks_leave_at_the_same_step_whichever_is_told_to(done: Path) -> None:
    for rank, found in enumerate(told(done, "left")):
        for one, sent in zip(found, (0, 19, 49), strict=True):
            assert (one["left"], one["at"], one["code"]) == (sent + 1, sent + 1, 143)
            assert one["saved"] == (rank == 0)
            assert len(set(one["digests"])) == 1, "and go on to the same bits"


@pytest.mark.processes
def test_a_loss_that_is_not_finite_on_one_rank_stops_all_before_the_step(done: Path) -> None:
    assert told(done, "diverged") == [{"diverged_at": 13, "state": None, "step": 13}] * RANKS


@pytest.mark.processes
def test_ranks_that_differ_are_refused_by_name(done: Path) -> None:
    for found in told(done, "refused"):
        assert found["mask"].startswith("RuntimeError: the mask of rank 1 is not that of rank 0")
        assert found["start"].startswith("RuntimeError: the start of rank 1 is not that of rank 0")
        assert found["buffer"].startswith("RuntimeError: the network after step 10 of rank 1 is not that of rank 0")


@pytest.mark.processes
def test_what_would_mean_something_else_on_two_devices_is_refused(done: Path) -> None:
    for found in told(done, "refused"):
        assert re.match(r"ValueError: small\.Net draws random numbers .* on 2 devices", found["dropout"])
        assert found["groups"] == "ValueError: recipe.batchnorm_groups=7 takes as many devices"


@pytest.mark.processes
def test_statistics_per_device_are_those_of_torchs_distributed_data_parallel(done: Path) -> None:
    ours, theirs, here = states(done, "ours"), states(done, "theirs"), compared("everything", "64-true", CPU, Path())[0]
    assert state_digest(ours[0]) == state_digest(ours[1]), "of its buffers too, which follow rank 0"
    assert apart(ours[0], theirs[0]) < UNITS * torch.finfo(torch.float64).eps
    assert ours[0].keys() == here.keys()


@pytest.mark.processes
def test_a_worker_of_two_ranks_does_the_jobs_that_one_does(done: Path, tmp_path: Path) -> None:
    alone, (first, second) = jobs(tmp_path), told(done, "jobs")
    assert [{k: v for k, v in one.items() if k != "steps"} for one in first] == [
        {k: v for k, v in two.items() if k != "steps"} for two in second
    ]
    assert [bool(job["steps"]) for job in first] == [bool(job["steps"]) for job in alone]
    assert not any(job["steps"] for job in second), "rank 0 alone tells"
    dense, pruned, collapsed, orphan, replayed, foreign = first
    assert [job["record"]["result"]["status"] for job in (dense, pruned, collapsed)] == ["done", "done", "collapsed"]
    assert dense["record"]["fingerprint"]["devices"] == RANKS
    assert pruned["record"]["blobs"]["mask"] == alone[1]["record"]["blobs"]["mask"]
    assert [pruned["record"]["result"][n] for n in ("kept", "total")] == [
        alone[1]["record"]["result"][n] for n in ("kept", "total")
    ]
    assert orphan["raised"] == "Missing"
    assert orphan["why"] == alone[3]["why"]
    assert replayed["record"] is None
    assert foreign["raised"] == "Disagreement"


# ------------------------------------------------------------------------------- what it is made of


@pytest.mark.parametrize("shape", [(6, 3, 4, 4), (5, 3), (7, 3, 2), (2, 3, 2, 2, 2)])
@pytest.mark.parametrize(
    ("affine", "momentum", "tracked"), [(True, 0.1, True), (False, None, True), (True, 0.3, False)]
)
def test_batch_normalisation_over_one_rank_is_torchs(
    shape: tuple[int, ...], affine: bool, momentum: float | None, tracked: bool
) -> None:
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)]
    modules = [kind(3, affine=affine, momentum=momentum, track_running_stats=tracked).double() for _ in range(2)]
    given = [torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 5 for _ in range(2)]
    slope = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for x in given:
        x.requires_grad_()
    for _ in range(2):
        theirs = modules[0](given[0])
        with WholeBatch(ALONE):
            ours = modules[1](given[1])
        for made in (theirs, ours):
            (made * slope).sum().backward()
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)
    assert torch.allclose(given[0].grad, given[1].grad, rtol=0, atol=1e-12)
    for one, two in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad, rtol=0, atol=1e-12)
    for one, two in zip(modules[0].buffers(), modules[1].buffers(), strict=True):
        assert torch.allclose(one, two, rtol=0, atol=1e-12)


def test_gradients_of_several_ranks_lie_as_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranks, "add", lambda self, values: values)
    whole = torch.arange(24.0).view(2, 3, 2, 2)
    weights = [nn.Parameter(whole.clone(memory_format=form)) for form in (torch.contiguous_format, torch.channels_last)]
    for weight in weights:
        weight.grad = torch.empty_like(weight).copy_(whole.sin())
        Ranks(0, 2).add_gradients([weight])
        torch.optim.SGD([weight], lr=1.0, fused=True).step()
    assert torch.equal(*weights)


def test_batch_normalisation_of_a_single_value_is_refused_as_torch_does() -> None:
    with WholeBatch(ALONE), pytest.raises(ValueError, match="more than 1 value per channel"):
        nn.BatchNorm1d(3)(torch.ones(1, 3))


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_shares_are_every_batch_cut_in_order(world: int) -> None:
    data = examples()
    whole = data.batches(5, Batching(101, "keep"))
    parts = [data.batches(5, Batching(101, "keep"), Share(rank, world)) for rank in range(world)]
    for _ in range(15):
        x, y = next(whole)
        cut = [next(part) for part in parts]
        assert torch.equal(torch.cat([x for x, _ in cut]), x)
        assert torch.equal(torch.cat([y for _, y in cut]), y)
    held = [list(data.chunks("test", Share(rank, world))) for rank in range(world)]
    assert torch.equal(torch.cat([x for part in held for x, _ in part]), torch.cat([x for x, _ in data.chunks("test")]))


def test_how_many_devices_is_in_the_fingerprint_if_several_and_never_in_a_key() -> None:
    assert "devices" not in fingerprint(torch.device("cpu"), True)
    assert fingerprint(torch.device("cpu"), True, 2)["devices"] == 2
    one, two = (cells_of(f"trainer.devices={n}")[0].levels for n in (1, 2))
    assert [run.key for run in one] == [run.key for run in two]


def test_statistics_per_device_are_another_meaning_and_another_key() -> None:
    whole, cut = (cells_of("trainer.devices=2", f"recipe.batchnorm_groups={n}")[0].levels for n in (1, 2))
    assert not {run.key for run in whole} & {run.key for run in cut}
    assert cells_of("recipe.batchnorm_groups=1")[0].levels == whole
    with pytest.raises(Mistake, match=r"^recipe\.batchnorm_groups=2: give 1, or as many as trainer\.devices=1$"):
        cells_of("recipe.batchnorm_groups=2")
    with pytest.raises(Mistake, match="batchnorm_groups=0: must be at least 1"):
        cells_of("recipe.batchnorm_groups=0")


# ------------------------------------------------------------------------------------------ leaving


class Interrupted:
    """The digits, of which the n-th evaluation of a part brings a SIGTERM."""

    def __init__(self, part: str, nth: int) -> None:
        self._data, self._part, self._left = examples(), part, nth

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def chunks(self, part: str, *rest: Any) -> Iterator[Any]:
        self._left -= part == self._part
        if part == self._part and self._left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return self._data.chunks(part, *rest)


def before(step: int) -> Watched:
    """The digits, with a SIGTERM before a step."""

    def send(now: int, batch: Any) -> Any:
        if now == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch

    return Watched(examples(), send)


PLACES = {
    "before the first step": (before(0), 1),
    "inside an epoch and a stretch": (before(23), 24),
    "at the end of a stretch": (before(15), 16),
    "at the end of an epoch": (before(19), 20),
    "before the last step": (before(49), 50),
    "in an evaluation": (Interrupted("validation", 2), 21),
    "in the last evaluation on the way": (Interrupted("validation", 5), 50),
    "in the test": (Interrupted("test", 1), 50),
    "in the test at the early stop": (Interrupted("test", 2), 50),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_terminated_training_is_checkpointed_at_its_step_and_goes_on_to_the_same_bits(place: str) -> None:
    data, step = PLACES[place]
    run, mask, saved = run_of("sgd"), half_mask(), list[bytes]()
    ours = signal.getsignal(signal.SIGTERM)

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {}))

    with pytest.raises(Left) as left:
        fit(run, TicketTensors(weights(), mask, weights(7)), data, CPU, Session(checkpoint=save))  # type: ignore[arg-type]
    assert (left.value.code, left.value.step) == (143, step)
    assert signal.getsignal(signal.SIGTERM) == ours
    (content,) = saved
    progress = decode_progress(content)[0]
    assert progress.step == step
    whole = fit(run, TicketTensors(weights(), mask, weights(7)), examples(), CPU)
    resumed = fit(run, TicketTensors(weights(), mask, weights(7)), examples(), CPU, Session(progress=progress))
    assert whole.state is not None
    assert resumed.state is not None
    assert state_digest(resumed.state) == state_digest(whole.state)
    assert resumed.progress.history == whole.progress.history
    assert (resumed.end, resumed.early_stop) == (whole.end, whole.early_stop)


def test_whoever_runs_a_training_may_ask_it_to_leave() -> None:
    asked, saved = iter([False] * 7 + [True] * 9), list[int]()
    with pytest.raises(Left) as left:
        fit(
            run_of(),
            TicketTensors(weights(), half_mask()),
            examples(),
            CPU,
            Session(checkpoint=lambda progress: saved.append(progress.step), leave=lambda: next(asked)),
        )
    assert (left.value.step, saved) == (8, [8])


def test_a_training_in_another_thread_leaves_signals_alone() -> None:
    ours, found = signal.getsignal(signal.SIGTERM), []

    def tell(*_: Any) -> None:
        found.append(signal.getsignal(signal.SIGTERM))

    def run() -> None:
        fit(run_of(steps=10), TicketTensors(weights(), half_mask()), examples(), CPU, Session(tell=tell))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found
    assert set(found) == {ours}


def signalled(folder: Path, running: subprocess.Popen[str], rank: int) -> float:
    """Seconds from a SIGTERM to a rank, in the midst of its training, to the end of all."""
    begun = time.monotonic()
    while not (folder / "step").exists() and time.monotonic() - begun < 120:
        assert running.poll() is None, ended(running, 1)
        time.sleep(0.05)
    os.kill(int((folder / f"pid.{rank}").read_text()), signal.SIGTERM)
    begun = time.monotonic()
    printed = ended(running, 60)
    assert running.returncode, printed
    return time.monotonic() - begun


def saved_step(folder: Path) -> int:
    """The step of the only checkpoint in a store."""
    (work,) = (folder / "store" / "work").iterdir()
    return decode_progress(work.read_bytes().partition(b"\n")[2])[0].step


@pytest.mark.processes
def test_a_process_that_is_terminated_saves_where_it_is_and_leaves_with_143(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, str(HERE / "endless.py"), str(tmp_path), "nothing"],
        env={**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    seconds = signalled(tmp_path, running, 0)
    assert running.returncode == 143
    assert saved_step(tmp_path) >= int((tmp_path / "step").read_text())
    print(f"{seconds:.2f} s from the signal to the end of one process")


@pytest.mark.processes
@pytest.mark.parametrize("rank", range(RANKS))
def test_a_group_of_which_one_rank_is_terminated_saves_once_and_leaves(rank: int, tmp_path: Path) -> None:
    seconds = signalled(tmp_path, group(RANKS, HERE / "endless.py", tmp_path, "nothing"), rank)
    assert saved_step(tmp_path) >= int((tmp_path / "step").read_text())
    print(f"{seconds:.2f} s from the signal to rank {rank} to the end of the group")


@pytest.mark.processes
@pytest.mark.parametrize(("what", "message"), [("raises", "rank 1 of 2: IndexError"), ("exits", "exitcode  : 7")])
def test_a_rank_that_fails_ends_the_group_with_a_message(what: str, message: str, tmp_path: Path) -> None:
    running = group(RANKS, HERE / "endless.py", tmp_path, what)
    printed = ended(running, 120)
    assert running.returncode == 1
    assert message in printed
    assert not (tmp_path / "store" / "record").exists()
