"""What every engine runs: it starts an agent as a process of its own, and looks after it.

So an agent meets the same signals whoever started it, and whatever its attendant does about signals (submitit
catches them, Ray and loky have habits of their own): SIGTERM lets it checkpoint and leave. When the attendant is
gone, by kill -9 or with its machine's patience, the agent's standard input ends, and it leaves likewise.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

GRACE = 60.0  # seconds for a checkpoint; less than what SLURM gives between SIGUSR2 and the end, 120 by default


def cancel(log: Path) -> None:
    """The attendant of the agent that writes this log lets it leave, where its engine has no other way to tell it."""
    Path(f"{log}.cancel").touch()


def is_cancelled(log: Path) -> bool:
    """Whether somebody has done that."""
    return Path(f"{log}.cancel").exists()


class Died(RuntimeError):
    """An agent ended otherwise than well."""


@dataclass
class Attend:
    """Called where the agent is to be; returns when it has nothing left to do. Raises Died."""

    folder: str
    log: str
    processes: int | None = None  # trainings at a time
    launcher: int | None = None  # a process of this machine: when it is gone, agents leave
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __call__(self) -> None:
        """Start, and wait."""
        with open(self.log, "ab") as out:
            # SLURM tells every process of a job that its time is up, and to most that is death: the agent and its
            # workers are told by their attendant, and inherit that the signal itself stays out.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "lt_sweeps.engines.agent", *self._words()],
                    stdin=subprocess.PIPE,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for whoever launched the sweep, who then cancels its agents
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            try:
                while self._wanted() and not self._ended():
                    time.sleep(0.2)
            finally:
                code = self.stop()
        if code:
            raise Died(f"the agent ended with exit code {code}")

    def stop(self) -> int:
        """Let the agent checkpoint and leave; returns its exit code. May be called by a signal's handler meanwhile."""
        assert self._process is not None
        deadline = time.monotonic() + GRACE
        process = self._process
        with contextlib.suppress(ProcessLookupError):
            if not self._ended():
                os.kill(process.pid, signal.SIGTERM)
            while not self._ended() and time.monotonic() < deadline:
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGKILL)  # it, or what it left behind
        assert process.stdin is not None
        process.stdin.close()
        return process.wait()

    def checkpoint(self) -> object:
        """Called by submitit before the time is up or on preemption: the same again, when SLURM requeues the job."""
        from submitit.helpers import DelayedSubmission

        self.stop()
        return DelayedSubmission(Attend(self.folder, self.log, self.processes))

    def _words(self) -> list[str]:
        return [self.folder] if self.processes is None else [self.folder, str(self.processes)]

    def _wanted(self) -> bool:
        if self.launcher is not None:
            try:
                os.kill(self.launcher, 0)
            except ProcessLookupError:
                return False
        return not is_cancelled(Path(self.log))

    def _ended(self) -> bool:
        """Whether the agent has ended; it is not reaped, so that a signal's handler may call this at any time."""
        assert self._process is not None
        if self._process.returncode is not None:
            return True
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is not None
