"""Several trainings in one process: the bits of each alone, and a process that dies takes no job with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_pool import CONNECTS, job
from test_sweep import SMALL, command, store_content, sweep
from warm import Started

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.execution import crew, pool, worker_handle
from lt_sweeps.execution import process as processes
from lt_sweeps.execution.channel import Channel
from lt_sweeps.execution.outcome import Outcome, attempt
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.pool import Pool
from lt_sweeps.execution.slots import CPU, MOST, slots, together
from lt_sweeps.graph import Train
from lt_sweeps.store.store import Store

SPEAKS = f"""{CONNECTS}
address, *names = sys.argv[3:]
def work(name):
    channel, lines, say = connected(address, name)
    lines.readline(); say(able=True)
    while (line := lines.readline()):
        do(name, json.loads(line), say)
threads = [threading.Thread(target=work, args=(name,)) for name in names]
"""
BEGIN = "for thread in threads: thread.start()\n"
WAITS = """def do(name, job, say):
    say(step=1, history=[{'pid': os.getpid()}], fits=FITS)
    while not os.path.exists(sys.argv[0] + job['run'][:6]): time.sleep(0.01)
    if os.path.exists(sys.argv[0] + 'dies'): os._exit(3)
    say(outcome={'kind': 'failed' if os.path.exists(sys.argv[0] + 'fails') else 'done'})
"""


class Watched:
    """A pool, what its jobs are told to do, and what came of them."""

    def __init__(self, made: Pool, script: Path) -> None:
        self.pool, self._script, self.pids, self.outcomes = made, script, dict[Job, int](), dict[Job, Outcome]()

    def give(self, *jobs: Job) -> None:
        """Gives jobs, and waits until they run."""
        for each in jobs:
            assert self.pool.room(each)
            Path(f"{self._script}{each.run.key[:6]}").unlink(missing_ok=True)
            self.pool.give(each)
        self.until(lambda: all(each in self.pids for each in jobs))

    def end(self, *jobs: Job) -> None:
        """Lets jobs end, and waits until they have."""
        for each in jobs:
            Path(f"{self._script}{each.run.key[:6]}").touch()
        self.until(lambda: all(each in self.outcomes for each in jobs))

    def die(self) -> None:
        """What ends from now on dies."""
        Path(f"{self._script}dies").touch()

    def fail(self, *jobs: Job) -> None:
        """Lets jobs fail."""
        mark = Path(f"{self._script}fails")
        mark.touch()
        self.end(*jobs)
        mark.unlink()

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not true():
            assert time.monotonic() < end
            for about, outcome in self.pool.wait(self._note, 0.1):
                self.outcomes[about] = outcome

    def _note(self, about: Job, step: int, history: Any) -> None:
        self.pids[about] = history[0]["pid"]


@pytest.fixture
def pool_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(free: list[str], size: int | None, fits: int | None = None) -> Watched:
        script = tmp_path / "worker"
        script.write_text(SPEAKS + WAITS.replace("FITS", str(fits)) + BEGIN)
        script.chmod(0o755)
        monkeypatch.setattr(worker_handle.sys, "executable", str(script))  # type: ignore[attr-defined]
        trainer = TrainerConfig(together=size)
        made = Pool(free, Store(tmp_path / "store"), tmp_path, trainer, tmp_path / "logs", print)
        return Watched(made, script)

    return make


def test_a_crew_is_one_process_and_takes_a_slot_for_each(pool_of: Any) -> None:
    with (watched := pool_of([CPU] * 5, 3)).pool:
        jobs = [job(seed) for seed in range(5)]
        watched.give(*jobs)
        assert not watched.pool.room(job(9))
        assert len({watched.pids[each] for each in jobs[:3]}) == 1
        assert len({watched.pids[each] for each in jobs}) == 2
        watched.end(*jobs)
        watched.give(job(9))
        assert watched.pids[job(9)] in {watched.pids[each] for each in jobs}
        watched.end(job(9))


def test_jobs_that_died_together_are_tried_again_alone(pool_of: Any) -> None:
    with (watched := pool_of([CPU] * 3, 3)).pool:
        watched.give(job(0), job(1))
        watched.die()
        watched.end(job(0), job(1))
        for seed in (0, 1):
            outcome = watched.outcomes[job(seed)]
            assert (outcome.kind, outcome.shared) == ("failed", True)
            assert "left with code 3" in outcome.reason
        watched.give(job(2))
        watched.end(job(2))
        assert (watched.outcomes[job(2)].kind, watched.outcomes[job(2)].shared) == ("failed", False)
        assert len(watched.pool._free) == 3


def test_what_failed_beside_others_gets_a_new_process_of_its_own(pool_of: Any) -> None:
    with (watched := pool_of([CPU] * 3, 3)).pool:
        watched.give(job(0), job(1))
        before = watched.pids.pop(job(0))
        watched.fail(job(0))
        assert watched.outcomes.pop(job(0)).shared
        watched.end(job(1))
        watched.give(job(0))
        assert watched.pids[job(0)] != before
        assert len(watched.pool._handles) == 1  # nothing holds memory beside it
        watched.fail(job(0))
        assert (watched.outcomes[job(0)].kind, watched.outcomes[job(0)].shared) == ("failed", False)


def test_memory_decides_how_many_share_a_gpu(pool_of: Any) -> None:
    with (watched := pool_of(["0"] * MOST, None, fits=3)).pool:
        first = job(0)
        assert watched.pool.room(first)
        watched.pool.give(first)
        assert not watched.pool.room(job(1))  # how much memory it takes is not known
        watched.until(lambda: first in watched.pids)
        watched.give(job(1), job(2))
        assert not watched.pool.room(job(3))
        assert len(set(watched.pids.values())) == 1
        watched.end(first, job(1), job(2))


def test_a_gpu_that_nobody_uses_comes_before_one_that_is_shared(pool_of: Any) -> None:
    with (watched := pool_of(["0", "1"] * 2, 2)).pool:
        watched.give(job(0), job(1))
        assert len(set(watched.pids.values())) == 2
        watched.give(job(2), job(3))
        assert len(set(watched.pids.values())) == 2
        watched.end(*map(job, range(4)))


def test_foreign_code_has_a_process_of_its_own(pool_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change what the others see."""
    foreign = {job(1).run, job(2).run}
    monkeypatch.setattr(pool, "owner", lambda run: ("theirs 1",) if run in foreign else ())
    with (watched := pool_of([CPU] * 3, 2)).pool:
        watched.give(job(0), job(1))
        assert len(set(watched.pids.values())) == 2
        assert not watched.pool.room(job(2))  # an idle thread beside our own training is no place for it
        assert watched.pool.room(job(3))
        watched.end(job(0), job(1))
        watched.give(job(2))
        watched.end(job(2))


def test_double_precision_has_a_process_of_its_own(pool_of: Any) -> None:
    """Lightning changes torch's default type for it, which is the process's."""

    def double(seed: int) -> Job:
        run = job(seed).run
        assert isinstance(run, Train)
        return replace(job(seed), run=replace(run, recipe=replace(run.recipe, precision="64-true")))

    with (watched := pool_of([CPU] * 4, 2)).pool:
        watched.give(job(0))
        assert watched.pool.room(double(1))
        watched.give(double(1), double(2))
        assert len(set(watched.pids.values())) == 3
        assert not watched.pool.room(double(3))  # an idle thread is no place for it
        watched.end(job(0), double(1), double(2))
        watched.give(job(4), double(3))
        assert watched.pids[job(4)] != watched.pids[double(3)]
        watched.end(job(4), double(3))


def test_memory_is_measured_by_the_first_training_alone(pool_of: Any) -> None:
    """What a later one says is of several."""
    with (watched := pool_of(["0"] * 4, None, fits=3)).pool:
        watched.give(job(0))
        (handle, *_) = watched.pool._handles.values()
        handle.memory_fits(1)
        assert handle.fits == 3
        watched.end(job(0))
    with (watched := pool_of(["0"] * 3, 3, fits=1)).pool:
        watched.give(job(1), job(2), job(3))  # as many as were asked for
        watched.end(job(1), job(2), job(3))


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        (TrainerConfig(accelerator="gpu", together=3), ["0", "1"] * 3),
        (TrainerConfig(accelerator="gpu", together=2, workers_per_device=2), ["0", "1"] * 4),
        (TrainerConfig(accelerator="gpu", together=None), ["0", "1"] * MOST),
        (TrainerConfig(accelerator="gpu", together=4, processes=3), ["0", "1", "0"]),
        (TrainerConfig(accelerator="cpu", together=None, processes=3), [CPU] * 3),
    ],
)
def test_slots(trainer: TrainerConfig, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert slots(trainer) == expected
    assert together(TrainerConfig(together=None), CPU) == 1


class AcceleratorError(RuntimeError):
    """Named as torch's."""


class Breaks:
    """A worker whose GPU does not work any more."""

    def do(self, *_: Any) -> None:
        raise AcceleratorError("CUDA error: an illegal memory access was encountered")


def test_a_process_whose_gpu_is_broken_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = job()
    outcome = attempt(Breaks(), given, lambda *_: None)  # type: ignore[arg-type]
    assert (outcome.kind, outcome.broken) == ("failed", True)

    class Ended(BaseException):
        pass

    class Connection:
        def next(self) -> Any:
            return processes.message_of(given)

        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    def ended(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(processes.os, "_exit", ended)  # type: ignore[attr-defined]
    monkeypatch.setattr(processes, "attempt", lambda *_: outcome)
    setup = {"trainer": {"accelerator": "cpu"}, "data_dir": ".", "store": "."}
    with pytest.raises(Ended, match="1"):
        processes._serve(Connection(), setup)  # type: ignore[arg-type]
    assert "an illegal memory access" in capsys.readouterr().err


def test_each_worker_says_who_it_is_before_the_next_connects(tmp_path: Path) -> None:
    """Else crews that begin at once fill the queue of connections, and the scheduler waits for one of them for ever."""
    names = ["0", "1", "2", "3"]
    with ExitStack() as stack:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        words = [sys.executable, "-m", "lt_sweeps.execution.process", str(tmp_path / "s"), *names]
        running = stack.enter_context(subprocess.Popen(words))
        stack.enter_context(listener)  # closed first: the process ends
        for name in names:
            connection = stack.enter_context(listener.accept()[0])
            connection.settimeout(60)
            hello = Channel(connection).next()
            assert hello is not None
            assert hello["hand"] == name
    assert running.returncode == 0


def test_an_error_that_nobody_expects_ends_the_process(tmp_path: Path) -> None:
    if (child := os.fork()) == 0:
        crew.serve([lambda: time.sleep(30), lambda: [][0]], [])
        os._exit(0)  # not reached
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


# -------------------------------------------------------------------------------------- whole sweeps

TOGETHER = ["trainer.processes=3", "trainer.together=3"]
LONG = ["seed=0,1", "prune.levels=1", "recipe.steps=1500it", "trainer.kernel=masked"]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the store holds after trainings one by one."""
    folder = tmp_path_factory.mktemp("calm")
    sweep(folder, *LONG)
    return store_content(folder)


@pytest.mark.sweeps
def test_a_sweep_has_the_bytes_that_it_has_alone(tmp_path: Path) -> None:
    words = ["seed=0,1", "control=none,reinit", "measure=overlap"]
    sweep(tmp_path / "alone", *words)
    sweep(tmp_path / "crew", *words, *TOGETHER)
    assert store_content(tmp_path / "crew") == store_content(tmp_path / "alone")
    for name in ("results.csv", "measures.csv"):
        assert (tmp_path / "crew" / "s" / name).read_bytes() == (tmp_path / "alone" / "s" / name).read_bytes()


@pytest.mark.sweeps
def test_precisions_do_not_change_one_another(tmp_path: Path) -> None:
    words = ["seed=0,1", "recipe.precision=64-true,32-true"]
    sweep(tmp_path / "alone", *words)
    sweep(tmp_path / "crew", *words, *TOGETHER)
    assert store_content(tmp_path / "crew") == store_content(tmp_path / "alone")


@pytest.mark.sweeps
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_crew_that_is_killed_costs_no_training(number: int, tmp_path: Path, calm: dict[str, bytes]) -> None:
    running = begun(tmp_path)
    os.kill(worker(running.pid), number)
    out, errors = running.communicate(timeout=400)
    assert running.returncode == 0, errors
    assert "beside others in its process: tried again alone" in out + errors
    assert store_content(tmp_path) == calm


@pytest.mark.sweeps
def test_an_interrupted_crew_checkpoints_and_goes_on(tmp_path: Path, calm: dict[str, bytes]) -> None:
    running = begun(tmp_path)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=200)
    assert running.returncode == 130, errors
    assert len([*(tmp_path / "store" / "work").glob("*")]) == 2  # each has a checkpoint
    sweep(tmp_path, *LONG, *TOGETHER)
    assert store_content(tmp_path) == calm


def begun(folder: Path) -> Started:
    """A sweep of which two trainings run in one process."""
    running = command(folder, *SMALL, *LONG, *TOGETHER, f"paths.output_dir={folder}")
    until = time.monotonic() + 200
    while len([*folder.glob("store/lease/*")]) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1.0)  # it begins
    return running


def worker(scheduler: int) -> int:
    """The process of a sweep's workers: a fork of its spare."""
    (spare,) = children(scheduler, "lt-spare")
    (found,) = children(spare, "lt-worker")
    return found


def children(process: int, name: str) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == process and (place / "comm").read_text().strip() == name:
                found.append(int(place.name))
    return found
