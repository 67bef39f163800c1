"""A process that has imported what a worker needs, and forks workers that begin at once. Linux only.

It is a fork of the scheduler's process where that is safe: nothing foreign was imported, whose changes each worker
would inherit, no thread runs and torch has not computed. Otherwise it is started anew, and does its own imports.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.execution.channel import Channel, Message
from lt_sweeps.execution.forking import SIGNALS, load, serve
from lt_sweeps.execution.slots import CPU, slots
from lt_sweeps.foreign import files
from lt_sweeps.foreign.reach import is_foreign

MODULE = "lt_sweeps.execution.forking"


class Forked:
    """A forked worker, with the methods that `subprocess.Popen` has."""

    def __init__(self, spare: Spare, name: str) -> None:
        self._spare, self._name = spare, name
        self._code: int | None = None

    def poll(self) -> int | None:
        """Returns the exit code; None while it runs."""
        if self._code is None:
            self._spare.receive(0.0)
            self._code = self._spare.code(self._name)
        return self._code

    @property
    def lost(self) -> bool:
        """Whether nobody knows how it ended: its spare died before."""
        return self._spare.lost(self._name)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the exit code. Raises subprocess.TimeoutExpired."""
        until = time.monotonic() + (86400.0 * 365 if timeout is None else timeout)
        while (code := self.poll()) is None:
            if (left := until - time.monotonic()) <= 0:
                raise subprocess.TimeoutExpired([MODULE, self._name], timeout or 0.0)
            self._spare.receive(min(left, 60.0))
        return code

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        self._spare.send({"name": self._name, "signal": number})
        if not self._spare.ready and self._code is None:  # it is not waited for: it will be ended as soon as it begins
            self._code = -number


class Spare:
    """The scheduler's end: asks for workers, and hears their exit codes."""

    def __init__(self, threads: int) -> None:
        """`threads` is the number of threads of a worker's libraries."""
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        self.ready, self.alive = False, True
        self._pids: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        if _may_be_forked():
            with _variables(threads_of(threads)):
                load()
            sys.stdout.flush()
            sys.stderr.flush()
            gc.freeze()  # so that collections in workers do not write to the pages that processes share
            before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # our handlers are not for the fork
            pid = os.fork()
            if not pid:
                self._channel.close()
                serve(theirs)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            gc.unfreeze()
            self._end: Callable[[], Any] = lambda: os.waitpid(pid, 0)
        else:
            begun = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(theirs.fileno())],
                env={**files.environment(), **threads_of(threads)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # where it cannot begin, a worker of its own tells why
            )
            self._end = lambda: _killed(begun)
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it; its workers have been ended before."""
        self._channel.close()
        self._end()

    def fork(self, words: Sequence[str], name: str, environment: Mapping[str, str], log: Path) -> Forked:
        """Starts a worker: `process.main` with these arguments and variables; it prints to `log`."""
        self.send({"name": name, "words": list(words), "environment": dict(environment), "log": str(log.absolute())})
        return Forked(self, name)

    def send(self, message: Message) -> None:
        """Sends a message, unless the other end has died."""
        with suppress(OSError):
            self._channel.send(message)

    def receive(self, seconds: float) -> None:
        """Takes the messages that have come, after waiting for one for up to `seconds`."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        if not self.alive or not poll.poll(seconds * 1000):
            return
        try:
            messages = self._channel.receive()
        except EOFError:
            self._died()
            return
        for message in messages:
            self.ready |= "ready" in message
            if "pid" in message:
                self._pids[message["name"]] = message["pid"]
            if "code" in message:
                self._codes[message["name"]] = message["code"]

    def code(self, name: str) -> int | None:
        """The exit code of a worker; None while it runs."""
        return self._codes.get(name, None if self.alive else -signal.SIGKILL)

    def lost(self, name: str) -> bool:
        """Whether the other end died before it told of a worker's end."""
        return not self.alive and name not in self._codes

    def _died(self) -> None:
        """Nobody can wait for its workers any more: they are killed, and their jobs continue from checkpoints."""
        self.alive = False
        for name in self._pids.keys() - self._codes.keys():
            with suppress(ProcessLookupError):
                os.kill(self._pids[name], signal.SIGKILL)


def _killed(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def threads_of(number: int) -> dict[str, str]:
    """The variables by which libraries, when they are imported, learn how many threads they may have."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(number))


def spare(trainer: TrainerConfig, devices: int = 1) -> AbstractContextManager[Spare | None]:
    """Returns a Spare for these settings and trainings on so many devices; None where no worker is forked: on GPUs, in
    this process, and on systems that do not tell of the end of a process by a file descriptor.
    """
    here = trainer.processes != 0 and CPU in slots(trainer, devices)
    return Spare(trainer.threads) if here and possible() else nullcontext()


def possible() -> bool:
    """Whether this system is Linux, and one with pidfd_open."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return sys.platform == "linux"


def _may_be_forked() -> bool:
    """Whether a fork of this process is like a new one."""
    if any(_is_foreign(name, module) for name, module in sys.modules.copy().items()):
        return False
    tasks = len([*Path("/proc/self/task").iterdir()])
    return tasks == 1 or (threading.active_count() == 1 and "torch" not in sys.modules)


def _is_foreign(name: str, module: Any) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or name.startswith(("hydra_plugins.lt_sweeps_", "torch.")):  # torch.ops: no real file
        return False
    is_command = name in ("__main__", "__mp_main__") and Path(file).parent.samefile(sysconfig.get_path("scripts"))
    return is_foreign(file) and not is_command


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Context manager: environment variables that are set meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
