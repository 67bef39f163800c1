"""The spare process: its workers begin, end and are told of as processes of their own are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_pool import job

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.execution import spare as module
from lt_sweeps.execution.pool import Pool
from lt_sweeps.execution.spare import Forked, Spare, possible
from lt_sweeps.store.store import Store

pytestmark = pytest.mark.skipif(not possible(), reason="workers are forked on Linux")
HERE = Path(__file__).parent
Begin = Callable[..., Forked]


@pytest.fixture
def spare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spare]:
    monkeypatch.setattr(module, "MODULE", "forking_lightly")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(HERE), str(HERE.parent))))
    with Spare(1) as made:
        yield made


@pytest.fixture
def begin(spare: Spare, tmp_path: Path) -> Begin:
    """Starts a worker that runs a program."""

    def begun(program: str, name: str = "0", **environment: str) -> Forked:
        return spare.fork([program], name, environment, tmp_path / name)

    return begun


@pytest.mark.parametrize(
    ("program", "code", "log"),
    [
        ("print('done')", 0, "done\n"),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('a reason')", 1, "a reason\n"),
        ("raise ValueError('wrong')", 1, "ValueError: wrong\n"),
        ("import os; os._exit(3)", 3, ""),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import os; os.abort()", -signal.SIGABRT, ""),
        ("import atexit; atexit.register(print, 'last')", 0, "last\n"),
        (
            "import threading, time; threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()",
            0,
            "thread\n",
        ),
        ("import sys; print(repr(sys.stdin.read()))", 0, "''\n"),
        ("import os; print(sorted(os.environ))", 0, "['ONLY']\n"),
        ("import signal as s; print(s.getsignal(s.SIGTERM) == s.getsignal(s.SIGINT) == s.SIG_DFL)", 0, "True\n"),
        ("import os; print(len(os.listdir('/proc/self/fd')))", 0, "4\n"),  # one is of the listing
    ],
)
def test_a_worker_ends_as_a_process_of_its_own(begin: Begin, tmp_path: Path, program: str, code: int, log: str) -> None:
    assert begin(program, ONLY="this").wait(20) == code
    said = (tmp_path / "0").read_text()
    assert said.endswith(log)
    assert "Traceback" in said or said == log


def test_workers_run_beside_each_other_and_each_end_is_told(begin: Begin) -> None:
    slow, quick = begin("import time; time.sleep(30)", "slow"), begin("import sys; sys.exit(5)", "quick")
    assert quick.wait(20) == 5
    assert slow.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        slow.wait(0.05)
    slow.terminate()
    assert slow.wait(20) == -signal.SIGTERM
    slow.kill()  # nobody: its number may be another's
    assert slow.poll() == -signal.SIGTERM


def test_a_signal_that_comes_right_after_the_fork_is_not_lost(begin: Begin) -> None:
    for number in range(20):
        worker = begin("import time; time.sleep(60)", str(number))
        worker.terminate()
        assert worker.wait(20) == -signal.SIGTERM


def test_a_worker_that_has_ended_is_no_zombie(begin: Begin, tmp_path: Path) -> None:
    assert begin("import os; print(os.getpid())").wait(20) == 0
    assert not Path("/proc", (tmp_path / "0").read_text().strip()).exists()


def test_a_worker_ended_before_the_spare_is_ready_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time; time.sleep(60)\n")
    monkeypatch.setattr(module, "MODULE", "slow_to_import")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    began = time.monotonic()
    with Spare(1) as spare:
        asked = spare.fork(["pass"], "0", {}, tmp_path / "log")
        asked.kill()
        assert asked.wait(20) == -signal.SIGKILL
    assert time.monotonic() - began < 20
    assert not (tmp_path / "log").exists()


def test_a_spare_that_dies_takes_its_workers_along_and_says_so(begin: Begin, spare: Spare, tmp_path: Path) -> None:
    running = begin("import os, time; print(os.getppid(), os.getpid(), flush=True); time.sleep(60)")
    until = time.monotonic() + 20
    while len(words := (tmp_path / "0").read_text().split() if (tmp_path / "0").exists() else []) < 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(int(words[0]), signal.SIGKILL)
    assert running.wait(20) == -signal.SIGKILL
    while Path(f"/proc/{words[1]}").exists() and "zombie" not in Path(f"/proc/{words[1]}/status").read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    assert not spare.alive
    assert begin("pass", "1").wait(1) == -signal.SIGKILL


def test_jobs_of_workers_whose_spare_died_are_no_failures(spare: Spare, tmp_path: Path) -> None:
    """How their workers ended nobody knows: the jobs are given again, to workers of their own."""
    pid = int(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()[-1])  # the youngest child
    os.kill(pid, signal.SIGSTOP)
    store, found = Store(tmp_path / "store"), list[str]()
    with Pool(["", ""], store, tmp_path, TrainerConfig(), tmp_path / "logs", print, spare) as pool:
        for seed in (0, 1):
            pool.give(job(seed))
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + 20
        while len(found) < 2 and time.monotonic() < until:
            found += [outcome.kind for _, outcome in pool.wait(lambda *_: None, 0.2)]
    assert found == ["again", "again"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", True),
        ("import lt_sweeps.main, numpy", True),
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", False),
        ("import torch; torch.set_num_threads(4); torch.rand(500, 500) @ torch.rand(500, 500)", False),
        ("import forking_lightly", False),  # as a user's own module
    ],
)
def test_a_process_is_forked_only_where_a_worker_inherits_nothing(lines: str, expected: bool) -> None:
    code = f"{lines}\nfrom lt_sweeps.execution.spare import _may_be_forked\nprint(_may_be_forked())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), str(HERE.parent)))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"{expected}\n"
