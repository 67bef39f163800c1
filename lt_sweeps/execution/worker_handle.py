"""The scheduler's handle to a worker process, or to a group of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lt_sweeps.execution.channel import Channel, Message
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.slots import CPU, VISIBLE
from lt_sweeps.execution.spare import Forked, Spare, threads_of
from lt_sweeps.foreign import files
from lt_sweeps.provenance.ownership import Owner

MEMORY = (-signal.SIGKILL, 128 + signal.SIGKILL)  # exit codes of a process that the system killed for memory
RANK_KILLED = re.compile(rf"exitcode\s*: -{signal.SIGKILL:d}\b")  # how torch.distributed.run reports a killed rank
FIRST_WORDS = re.compile(r"Fatal Python error|rank \d+ of \d+: ")  # lines that state the cause of an end


class WorkerHandle:
    """A worker: one process per slot, several as a group of `torch.distributed.run`; or one of a process's crew."""

    def __init__(self, name: str, slots: Sequence[str], log: Path, process: subprocess.Popen[bytes] | Forked) -> None:
        self.name, self.slots, self.log, self.process = name, tuple(slots), log, process
        self.channels: dict[int, Channel] = {}  # by rank
        self.job: Job | None = None
        self.owner: Owner | None = None  # of the foreign code it has imported; None before its first job
        self.history: list[Message] = []  # the evaluations of its job
        self.crew = [self]  # those whose threads share its process and have not ended
        self.shared = False  # whether others were at work in its process, at any time of its job
        self.fits = 1  # how many trainings its process may do at once
        self.measures = False  # whether its process is still to say that
        self._pids: dict[int, int] = {}
        self._killed = False  # by us

    @property
    def devices(self) -> int:
        """Number of devices it trains on."""
        return len(self.slots)

    def take(self, job: Job, owner: Owner) -> None:
        """A job, of this owner's code, is given to it."""
        self.job, self.owner, self.history = job, owner, []
        at_work = [mate for mate in self.crew if mate.job is not None]
        for mate in at_work:
            mate.shared = len(at_work) > 1 or (mate.shared and mate is not self)

    @property
    def active(self) -> int:
        """How many trainings its process does."""
        return sum(mate.job is not None for mate in self.crew)

    def memory_fits(self, count: int | None) -> None:
        """The process says for how many trainings like its first, which is alone, a GPU has memory."""
        if self.measures and count is not None:
            for mate in self.crew:
                mate.fits, mate.measures = max(1, count), False

    def send_setup(self, channel: Channel, hello: Message, setup: Message) -> None:
        """Registers a process that has connected, and sends it the setup: paths, store, trainer."""
        self.channels[hello["rank"]] = channel
        self._pids[hello["rank"]] = hello["pid"]
        with suppress(OSError):
            channel.send(setup)

    @property
    def ready(self) -> bool:
        """Whether all its processes have connected."""
        return len(self.channels) == self.devices

    def send(self, message: Message) -> None:
        """Sends a message to every rank; a dead one is noticed later, by `Pool.wait`."""
        for channel in self.channels.values():
            with suppress(OSError):
                channel.send(message)

    def leave(self) -> None:
        """Sends SIGTERM to rank 0, which checkpoints and ends; the other ranks end with it."""
        if 0 not in self._pids:
            self.process.terminate()
            return
        with suppress(ProcessLookupError):
            os.kill(self._pids[0], signal.SIGTERM)

    def close_connections(self) -> None:
        """Closes the connections: an idle worker then ends, a training one checkpoints first."""
        for channel in self.channels.values():
            channel.close()

    def end(self, seconds: float) -> int:
        """Waits up to `seconds` for the process to end, then kills it; returns the exit code.

        If others of its crew go on, only its thread ends; returns 0.
        """
        self.crew.remove(self)
        if self.crew and self.process.poll() is None:
            return 0
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds if self.ready else 0.0)  # before it is ready there is nothing to lose
        if self.process.poll() is None:
            self._killed = True
            for pid in self._pids.values():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.kill()
        code = self.process.wait()
        with suppress(FileNotFoundError):
            if not self.log.stat().st_size:
                self.log.unlink()
        return code

    def ran_out_of_memory(self, code: int) -> bool:
        """Whether the system killed it or one of its ranks, as it does when memory is short."""
        return not self._killed and (code in MEMORY or any(RANK_KILLED.search(line) for line in self._last_lines()))

    def reason(self, code: int) -> str:
        """Why it ended, in one line, from its exit code and the last lines of its log."""
        lines = self._last_lines()
        number = -code if code < 0 else code - 128 if code > 128 else None
        try:
            ending = f"was ended by {signal.Signals(number).name}" if number is not None else f"left with code {code}"
        except ValueError:
            ending = f"left with code {code}"
        if self._killed:
            ending = "closed its connection, and did not end"
        elif self.ran_out_of_memory(code):
            ending += ", as a system does that is out of memory"
        last = lines[-1] if lines else None
        word = next((line for line in lines if FIRST_WORDS.match(line)), None)
        word = word or next((line for line in reversed(lines) if "Error" in line and "ChildFailed" not in line), last)
        where = f" (log: {self.log})" if lines else ""
        return f"its worker {ending}{f': {word}' if word else ''}{where}"

    def _last_lines(self) -> list[str]:
        lines = self.log.read_text(errors="replace").splitlines()[-400:] if self.log.exists() else []
        return [line.strip() for line in lines if line.strip()]


def started(
    names: Sequence[str],
    slots: Sequence[str],
    address: str,
    threads: int,
    log: Path,
    spare: Spare | None = None,
    fits: int | None = 1,
) -> list[WorkerHandle]:
    """Starts a process for each slot as one worker of this name, or with several names one process with a thread for
    each, of which `fits` may work at once; None: as many as its first training says that there is memory for. A process
    on the CPU is forked from the spare where there is one.
    """
    words = ["-m", "lt_sweeps.execution.process", address, *names]
    if len(slots) > len(names):
        group = f"--nproc-per-node={len(slots)} --max-restarts=0 --rdzv-backend=c10d --rdzv-endpoint=127.0.0.1:0"
        words = ["-m", "torch.distributed.run", *group.split(), *words]
    environment = {**files.environment(), **threads_of(threads)}
    if slots[0] != CPU:
        environment.update(dict.fromkeys(VISIBLE, ",".join(dict.fromkeys(slots))))
    log.parent.mkdir(parents=True, exist_ok=True)
    process: subprocess.Popen[bytes] | Forked
    if spare is not None and spare.alive and slots[0] == CPU and len(slots) == len(names):
        process = spare.fork([address, *names], names[0], environment, log)
    else:
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *words], env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
    if len(names) == 1:
        return [WorkerHandle(names[0], slots, log, process)]
    crew = [WorkerHandle(name, [slot], log, process) for name, slot in zip(names, slots, strict=True)]
    for handle in crew:
        handle.crew, handle.fits, handle.measures = crew, fits or 1, fits is None
        handle.owner = ()  # no foreign code: it could change what others see
    return crew
