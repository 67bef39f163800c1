"""Runs jobs on long-lived worker processes: each imports torch and reads data once; a crash costs only its own job.

A slot is a group of cores, a GPU, or a share of a GPU. A worker takes one slot; for a training on several devices, a
group of processes takes one slot per device. With `trainer.together` a process is several workers: a crew of threads,
which takes a slot for each. Workers are started on demand, and kept.
"""

from __future__ import annotations

import os
import platform
import selectors
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Self

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.execution.channel import Channel, Message
from lt_sweeps.execution.executor import OnStep
from lt_sweeps.execution.outcome import Kind, Outcome
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.process import message_of
from lt_sweeps.execution.slots import together
from lt_sweeps.execution.spare import Forked, Spare
from lt_sweeps.execution.worker_handle import WorkerHandle, started
from lt_sweeps.graph import Train, Work
from lt_sweeps.provenance.ownership import owner
from lt_sweeps.store.store import Store

LONGEST = 80  # bytes of the path of the socket's folder; a socket's whole path has at most 104 on macOS, 108 on Linux
GRACE = 20.0  # seconds for a checkpoint, before an unfinished worker is killed; SLURM gives 30


class Pool:
    """Executor that runs jobs on worker processes, as many at a time as the slots allow."""

    def __init__(
        self,
        slots: Sequence[str],
        store: Store,
        data_dir: Path,
        trainer: TrainerConfig,
        logs: Path,
        say: Callable[[str], None],
        spare: Spare | None = None,
    ) -> None:
        self._spare = spare
        self._free, self._trainer, self._logs, self._say = list(slots), trainer, logs, say
        self._setup: Message = {
            "path": [entry or str(Path.cwd()) for entry in sys.path],  # not all are folders: some are of import hooks
            "store": str(store.root.resolve()),
            "data_dir": str(data_dir.resolve()),
            "trainer": asdict(trainer),
        }
        self._handles: dict[str, WorkerHandle] = {}
        self._started = 0
        self._shown_lines: set[str] = set()
        self._again: set[Work] = set()  # what failed beside others, or for want of memory
        self._able = False  # whether any worker has ever finished its imports
        self._folder = _short_folder()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._folder / "s"))
        self._listener.listen(128)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    # --------------------------------------------------------------------------------- giving

    def warm(self, devices: Sequence[int]) -> None:
        """Starts a worker for each of these numbers of devices, as long as slots are free."""
        for count in devices:
            if (slots := self._chosen(count)) is not None:
                self._start(slots)

    def room(self, job: Job) -> bool:
        """Whether an idle worker can take the job, or a new one has slots (those of idle workers included)."""
        return self.idle(job) or self._chosen(job.devices, idle=True) is not None

    def idle(self, job: Job) -> bool:
        """Whether an idle worker can take the job."""
        return self._idle(job) is not None

    def give(self, job: Job) -> None:
        """Gives a job to an idle worker, or to a new one; for a new one, idle workers may have to end."""
        if job.run in self._again:  # in a new process, and no other keeps memory of a GPU
            for other in [other for other in self._handles.values() if not other.active]:
                self._dismiss(other)
        handle = self._idle(job)
        unused = [slot for slot in self._free if all(slot not in other.slots for other in self._handles.values())]
        if handle is not None and handle.active and any(unused):
            handle = self._start([next(filter(None, unused))], alone=self._is_alone(job))  # a GPU that nobody uses
        if handle is None:
            slots = self._chosen(job.devices)
            for other in [other for other in self._handles.values() if not other.active]:
                if slots is not None:
                    break
                self._dismiss(other)
                slots = self._chosen(job.devices)
            assert slots is not None
            handle = self._start(slots, alone=self._is_alone(job))
        handle.take(job, owner(job.run))
        if handle.ready:
            handle.send(message_of(job))

    def _idle(self, job: Job) -> WorkerHandle | None:
        """An idle worker with as many devices as the job; its earlier jobs, if any, had the same foreign code.

        For a job that shares no process it is no other worker's either.
        """
        mine = owner(job.run)
        free = [handle for handle in self._handles.values() if handle.job is None and handle.devices == job.devices]
        idle = [handle for handle in free if handle.active < handle.fits]
        able = [h for h in idle if h.owner in (None, mine) and (len(h.crew) == 1 or not self._is_alone(job))]
        return min(able, key=lambda handle: (handle.owner is None, not handle.ready, handle.active), default=None)

    def _is_alone(self, job: Job) -> bool:
        """Whether a job shares no process: foreign code may change what others see, and Lightning does in double
        precision: torch's default type. What failed beside others is not tried beside them again.
        """
        double = isinstance(job.run, Train) and job.run.recipe.precision == "64-true"
        return double or bool(owner(job.run)) or job.run in self._again

    def _chosen(self, devices: int, *, idle: bool = False) -> list[str] | None:
        """Free slots for a worker with `devices` devices, on distinct GPUs; with `idle` also those of idle workers."""
        free = [*self._free]
        if idle:
            free += [slot for handle in self._handles.values() if not handle.active for slot in handle.slots]
        if any(free):  # GPUs
            free = list(dict.fromkeys(free))
        return free[:devices] if len(free) >= devices else None

    def _start(self, slots: list[str], *, alone: bool = False) -> WorkerHandle:
        """Starts a worker, and with it those that share its process, unless it is to be `alone`; returns the first."""
        for slot in slots:
            self._free.remove(slot)
        names = [str(self._started)]
        if len(slots) == 1 and not alone:
            while len(slots) < together(self._trainer, slots[0]) and slots[0] in self._free:
                self._free.remove(slots[0])
                slots = [*slots, slots[0]]
                names.append(str(self._started + len(names)))
        self._started += len(names)
        log = self._logs / f"worker-{platform.node()}-{os.getpid()}-{names[0]}.log"  # other processes log here too
        fits = None if self._trainer.together is None else len(names)
        handles = started(names, slots, str(self._folder / "s"), self._trainer.threads, log, self._spare, fits)
        self._handles |= {handle.name: handle for handle in handles}
        return handles[0]

    def _dismiss(self, handle: WorkerHandle, seconds: float = 5.0) -> int:
        """Ends a worker, killing it after `seconds`, and frees its slots; returns the exit code."""
        for channel in handle.channels.values():
            self._selector.unregister(channel)
        handle.close_connections()
        code = handle.end(seconds)
        del self._handles[handle.name]
        self._free += handle.slots
        return code

    # -------------------------------------------------------------------------------- waiting

    def wait(self, on_step: OnStep, seconds: float) -> list[tuple[Job, Outcome]]:
        """Listens until a job has an outcome, or for at most `seconds`."""
        until, outcomes = time.monotonic() + seconds, list[tuple[Job, Outcome]]()
        while not outcomes and (left := until - time.monotonic()) > 0:
            ended = [handle.name for handle in self._handles.values() if handle.process.poll() is not None]
            heard = set()
            for key, _ in self._selector.select(0.0 if ended else min(left, 1.0)):
                heard.add(key.data)
                if key.fileobj is self._listener:
                    self._connect()
                elif key.data in self._handles:  # else it died earlier in this loop
                    outcomes += self._listen(self._handles[key.data], key.fileobj, on_step)  # type: ignore[arg-type]
            for name in ended:  # before it connected, or while its children keep the connection open
                if name in self._handles and name not in heard:
                    outcomes += self._outcomes_of_dead(self._handles[name])
        return outcomes

    def _connect(self) -> None:
        channel = Channel(self._listener.accept()[0])
        hello = channel.next()
        if hello is None or hello["hand"] not in self._handles:
            channel.close()
            return
        handle = self._handles[hello["hand"]]
        handle.send_setup(channel, hello, self._setup)
        self._selector.register(channel, selectors.EVENT_READ, handle.name)
        if handle.ready and handle.job is not None:
            handle.send(message_of(handle.job))

    def _listen(self, handle: WorkerHandle, channel: Channel, on_step: OnStep) -> list[tuple[Job, Outcome]]:
        try:
            messages = channel.receive()
        except EOFError:
            return self._outcomes_of_dead(handle)
        outcomes = []
        for message in messages:
            if "say" in message and message["say"] not in self._shown_lines:  # each worker sends it, print it once
                self._shown_lines.add(message["say"])
                self._say(message["say"])
            if "step" in message and handle.job is not None:
                handle.history += message["history"]
                on_step(handle.job, message["step"], handle.history)
            self._able |= "able" in message
            handle.memory_fits(message.get("fits"))
            if "outcome" in message and channel is handle.channels[0] and handle.job is not None:
                outcome = Outcome(**message["outcome"])
                outcome = replace(outcome, shared=handle.shared and outcome.kind == "failed")
                outcomes.append(self._noted(handle.job, outcome))
                handle.job = None
                if message.get("last"):
                    self._dismiss(handle)
                    break
        return outcomes

    def _outcomes_of_dead(self, handle: WorkerHandle) -> list[tuple[Job, Outcome]]:
        crew = list(handle.crew)  # a thread ends with its process only
        jobs = [(mate.job, mate.shared) for mate in crew if mate.job is not None]
        for mate in crew:
            code = self._dismiss(mate)
        if isinstance(mate.process, Forked) and mate.process.lost:
            return [(job, Outcome("again")) for job, _ in jobs]
        memory = mate.ran_out_of_memory(code)
        # If no worker has ever become ready, every job would fail; else the failure is this job's.
        kind: Kind = "failed" if self._able or memory else "refused"
        reason = mate.reason(code)
        return [self._noted(job, Outcome(kind, reason, memory=memory, shared=shared)) for job, shared in jobs]

    def _noted(self, job: Job, outcome: Outcome) -> tuple[Job, Outcome]:
        if outcome.memory or outcome.shared:
            self._again.add(job.run)
        return job, outcome

    # --------------------------------------------------------------------------------- ending

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Ends idle workers at once; running trainings get GRACE seconds to checkpoint and leave."""
        self._selector.close()
        for handle in self._handles.values():
            if handle.job is not None or kind is not None:  # on an interrupt, do not wait for imports
                handle.leave()
            handle.close_connections()
        until = time.monotonic() + GRACE
        for handle in self._handles.values():
            handle.end(max(0.0, until - time.monotonic()))
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _short_folder() -> Path:
    """Creates a temporary folder for the socket; the system limits the length of a socket's path."""
    place = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="lt-", dir=place if len(os.fsencode(place)) <= LONGEST else "/tmp"))
