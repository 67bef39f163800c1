"""The attendant, which every engine runs: it starts an agent as a separate process and watches over it.

So an agent receives the same signals under every engine, whatever signal handlers the engine's library installs
(submitit, Ray and loky do): SIGTERM lets it checkpoint and leave. When the attendant is gone, even by kill -9, the
agent's standard input ends, and it leaves likewise.
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
    """Creates a file that makes the attendant of the agent with this log stop it, for engines without signals."""
    Path(f"{log}.cancel").touch()


def is_cancelled(log: Path) -> bool:
    """Whether `cancel` was called for the agent with this log."""
    return Path(f"{log}.cancel").exists()


class Died(RuntimeError):
    """An agent ended with an exit code other than 0."""


@dataclass
class Attend:
    """Callable that runs an agent on the machine where it is called, until the agent ends. Raises Died."""

    folder: str
    log: str
    processes: int | None = None  # trainings at a time
    launcher: int | None = None  # id of a process on this machine; when it is gone, the agent is stopped
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __call__(self) -> None:
        """Starts the agent and waits for its end."""
        with open(self.log, "ab") as out:
            # SLURM sends SIGUSR2 to every process of a job when its time is up, which ends most of them. The agent and
            # its workers inherit that the signal is blocked; the attendant stops them by SIGTERM.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "lt_sweeps.engines.agent", *self._words()],
                    stdin=subprocess.PIPE,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches the launching process, which cancels its agents
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            try:
                while self._is_needed() and not self._ended():
                    time.sleep(0.2)
            finally:
                code = self.stop()
        if code:
            raise Died(f"the agent ended with exit code {code}")

    def stop(self) -> int:
        """Lets the agent checkpoint and leave; returns its exit code. A signal handler may call it at any time."""
        assert self._process is not None
        deadline = time.monotonic() + GRACE
        process = self._process
        with contextlib.suppress(ProcessLookupError):
            if not self._ended():
                os.kill(process.pid, signal.SIGTERM)
            while not self._ended() and time.monotonic() < deadline:
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGKILL)  # the agent, or processes that it left behind
        assert process.stdin is not None
        process.stdin.close()
        return process.wait()

    def checkpoint(self) -> object:
        """Called by submitit before a timeout or on preemption; returns the call to repeat after requeueing."""
        from submitit.helpers import DelayedSubmission

        self.stop()
        return DelayedSubmission(Attend(self.folder, self.log, self.processes))

    def _words(self) -> list[str]:
        return [self.folder] if self.processes is None else [self.folder, str(self.processes)]

    def _is_needed(self) -> bool:
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
