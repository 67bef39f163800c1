"""The pool of workers, on processes that speak as workers do and die as they do, but import nothing."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.execution import process, worker_handle
from lt_sweeps.execution.outcome import Outcome
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.pool import Pool
from lt_sweeps.execution.worker_handle import WorkerHandle
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.registry import part
from lt_sweeps.specs import Data, Network, Part, Recipe
from lt_sweeps.store.store import Store

CONNECTS = f"""#!{sys.executable} -S
import json, os, signal, socket, sys, threading, time
def connected(address, name):
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.connect(address)
    def say(**message):
        channel.sendall(json.dumps(message).encode() + b"\\n")
    say(hand=name, rank=0, pid=os.getpid())
    return channel, channel.makefile("r"), say
"""
SPEAKS = f"""{CONNECTS}
address, name = sys.argv[-2:]
channel, lines, say = connected(address, name)
"""
BEGINS = "lines.readline(); say(able=True); job = json.loads(lines.readline())\n"
DONE = "say(outcome={'kind': 'done'}); lines.readline()\n"


def job(seed: int = 0, devices: int = 1) -> Job:
    """Something to do."""
    network = Network(Part("lenet_300_100", 1), (1, 8, 8), 10)
    recipe = Recipe(steps=5, batch_size=60, optimizer=Part("torch.optim.SGD", args={"lr": 0.1}))
    ticket = Ticket(network, Init(network, seed), Dense(network))
    return Job(Train(ticket, Data(part("dataset", "digits"), 10, (1, 8, 8)), recipe), frozenset(), devices=devices)


@pytest.fixture
def pool_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a pool whose workers run these lines."""

    def make(slots: list[str], lines: str | None = None) -> Pool:
        if lines is not None:
            script = tmp_path / "worker"
            script.write_text(SPEAKS + lines)
            script.chmod(0o755)
            monkeypatch.setattr(worker_handle.sys, "executable", str(script))  # type: ignore[attr-defined]
        return Pool(slots, Store(tmp_path / "store"), tmp_path, TrainerConfig(), tmp_path / "logs", print)

    return make


def outcome(pool: Pool, given: Job, seconds: float = 20.0) -> Outcome:
    """What comes of one job."""
    pool.give(given)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for about, found in pool.wait(lambda *_: None, 0.2):
            assert about == given
            return found
    raise AssertionError("nothing came of it")


def test_a_worker_does_a_job_after_another(pool_of: Any) -> None:
    with pool_of([""], BEGINS + "say(outcome={'kind': 'done'}); job = json.loads(lines.readline())\n" + DONE) as pool:
        assert outcome(pool, job(0)).kind == "done"
        assert outcome(pool, job(1)).kind == "done"


def test_a_worker_that_dies_fails_its_job_and_no_other(pool_of: Any) -> None:
    with pool_of([""], BEGINS + "if name == '0': os._exit(3)\n" + DONE) as pool:
        first = outcome(pool, job(0))
        assert (first.kind, first.memory, "left with code 3" in first.reason) == ("failed", False, True)
        assert outcome(pool, job(1)).kind == "done"


def test_where_no_worker_can_begin_the_sweep_is_refused_instead_of_failing_job_by_job(pool_of: Any) -> None:
    with pool_of([""], "print('ImportError: no torch'); sys.stdout.flush(); os._exit(1)\n") as pool:
        found = outcome(pool, job())
    assert found.kind == "refused"
    assert "left with code 1: ImportError: no torch" in found.reason


def test_a_worker_killed_for_memory_while_it_begins_is_a_failure_for_memory(pool_of: Any) -> None:
    with pool_of([""], "os.kill(os.getpid(), signal.SIGKILL)\n") as pool:
        found = outcome(pool, job())
    assert (found.kind, found.memory) == ("failed", True)


def test_a_worker_that_hangs_up_and_stays_was_not_short_of_memory(
    pool_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pool._dismiss, "__defaults__", (0.1,))
    with pool_of([""], BEGINS + "lines.close(); channel.close(); time.sleep(60)\n") as pool:
        found = outcome(pool, job())
    assert (found.kind, found.memory) == ("failed", False)
    assert "closed its connection, and did not end" in found.reason


def test_the_death_of_a_worker_is_seen_though_its_children_keep_its_connection(pool_of: Any) -> None:
    """As processes that decode images do."""
    fork = "if os.fork() == 0:\n    time.sleep(6); os._exit(0)\n"
    with pool_of([""], BEGINS + fork + "os.kill(os.getpid(), signal.SIGKILL)\n") as pool:
        began = time.monotonic()
        assert outcome(pool, job(), 5.0).memory
        assert time.monotonic() - began < 5.0


def test_what_a_worker_said_before_it_died_counts(pool_of: Any) -> None:
    with pool_of([""], BEGINS + "say(outcome={'kind': 'done'}); os._exit(1)\n") as pool:
        pool.give(job())
        time.sleep(1.0)
        assert [found.kind for _, found in pool.wait(lambda *_: None, 5.0)] == ["done"]


def test_a_sweep_that_is_interrupted_waits_for_no_worker_that_begins(pool_of: Any) -> None:
    pool = pool_of([""], "time.sleep(10)\n")
    pool.warm([1])
    until = time.monotonic() + 20
    while not next(iter(pool._handles.values())).ready and time.monotonic() < until:
        pool.wait(lambda *_: None, 0.1)
    began = time.monotonic()
    pool.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert time.monotonic() - began < 5


def test_a_folder_of_logs_that_is_gone_ends_nothing(pool_of: Any, tmp_path: Path) -> None:
    with pool_of([""], BEGINS + DONE) as pool:
        assert outcome(pool, job()).kind == "done"
        for path in (tmp_path / "logs").iterdir():
            path.unlink()


def test_a_long_path_of_temporary_files_is_no_obstacle(
    pool_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pool_of([""], BEGINS + DONE) as pool:
        assert outcome(pool, job()).kind == "done"


def test_the_path_of_modules_is_the_schedulers_word_for_word(pool_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setuptools marks editable installations by entries that are no folders."""
    mark = "__editable__.something.finder.__path_hook__"
    monkeypatch.setattr(sys, "path", ["", mark, *sys.path])
    with pool_of([""]) as pool:
        assert pool._setup["path"][:2] == [str(Path.cwd()), mark]


def test_a_training_on_two_devices_is_never_twice_on_one_gpu(pool_of: Any) -> None:
    """Though each has room for two."""
    with pool_of(["0", "1", "0", "1"], BEGINS) as pool:
        assert pool._chosen(2) == ["0", "1"]
        pool._free = ["0", "0"]
        assert pool._chosen(2) is None
        assert pool._chosen(1) == ["0"]


@pytest.mark.processes
def test_a_group_of_which_one_was_killed_for_memory_is_tried_again_alone(pool_of: Any) -> None:
    with pool_of(["", ""]) as pool:
        pool._able = True
        pool.give(job(devices=2))
        group: WorkerHandle = next(iter(pool._handles.values()))
        until = time.monotonic() + 400
        while not group.ready and time.monotonic() < until:
            pool.wait(lambda *_: None, 0.1)
        os.kill(group._pids[1], signal.SIGKILL)
        found = []
        while not found and time.monotonic() < until:
            found = pool.wait(lambda *_: None, 0.5)
        ((_, told),) = found
        assert (told.kind, told.memory) == ("failed", True), told.reason


def test_a_worker_hears_neither_an_interruption_nor_the_end_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both reach all processes of a terminal; the scheduler hears them, and lets what trains checkpoint."""
    heard: dict[int, Any] = {}

    def nobody(address: str) -> None:
        raise OSError(address)

    monkeypatch.setattr(process.signal, "signal", heard.__setitem__)  # type: ignore[attr-defined]
    monkeypatch.setattr(process.faulthandler, "enable", lambda: None)  # type: ignore[attr-defined]
    monkeypatch.setattr(process.Channel, "to", nobody)
    monkeypatch.setattr(sys, "argv", ["process", "nowhere", "0"])
    with pytest.raises(OSError, match="nowhere"):
        process.main()
    assert heard[signal.SIGINT] == heard[signal.SIGHUP] == signal.SIG_IGN
