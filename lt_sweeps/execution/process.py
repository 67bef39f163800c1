"""The process of a worker, started by a pool: `python -m lt_sweeps.execution.process ADDRESS HAND [HAND ...]`.

It imports torch and reads data once, then executes one job after another until the scheduler closes the socket; a
running training is then checkpointed and left. Under `torch.distributed.run` each rank is such a process, and gets
every job. With several hands it is a worker for each, on a thread of its own.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.ending import run_and_exit
from lt_sweeps.execution import crew
from lt_sweeps.execution.channel import Channel, Message
from lt_sweeps.execution.outcome import attempt
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.wire import decoded, encoded
from lt_sweeps.graph import Work
from lt_sweeps.provenance.ownership import changes, import_own, owner

TELL_EVERY = 0.2  # seconds between two messages about one training, if nothing but its step is new


def message_of(job: Job) -> Message:
    """Encodes a job as a message."""
    return {
        "run": job.run.key,
        "table": encoded([job.run]),
        "snapshots": sorted(job.snapshots),
        "replay_to": job.replay_to,
        "devices": job.devices,
    }


def job_of(message: Message) -> Job:
    """Decodes the job of a message."""
    run = decoded(message["table"])[message["run"]]
    assert isinstance(run, Work)
    return Job(run, frozenset(message["snapshots"]), message["replay_to"], message["devices"])


def main() -> None:
    """Connects to the scheduler, once for each of its hands, and executes jobs until the connections close."""
    address, *hands = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGHUP):  # the scheduler handles Ctrl-C and a closed terminal
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()
    rank = int(os.environ.get("RANK", 0))
    peers = list[Peer]()
    for hand in hands:  # one after another: a connection that says nothing holds up the scheduler
        channel = Channel.to(address)
        channel.send({"hand": hand, "rank": rank, "pid": os.getpid()})  # of every rank
        peers.append(Peer(channel, rank))
    setups = [peer.next() for peer in peers]
    if (setup := setups[0]) is None:
        return
    sys.path[:] = setup["path"]  # where a user's own networks are found
    if len(peers) == 1:
        _serve(peers[0], setup)
    else:
        importlib.import_module("lt_sweeps.execution.worker")  # once, not by all threads at the same time
        crew.serve([partial(_serve, peer, setup, alone=False) for peer in peers], peers)


def _serve(peer: Peer, setup: Message, *, alone: bool = True) -> None:
    """Executes one job after another until the connection closes; `alone` in its process, or beside other threads."""
    from lt_sweeps.execution.worker import Worker
    from lt_sweeps.foreign.state import GlobalState
    from lt_sweeps.store.store import Store

    trainer = TrainerConfig(**setup["trainer"])
    data_dir = Path(setup["data_dir"])
    worker = Worker(Store(Path(setup["store"]), {"data": data_dir}), data_dir, trainer, peer.say, lambda: peer.gone)
    if not alone:
        peer.fits = worker.fits
    peer.send({"able": True})
    while (message := peer.next()) is not None:
        job = job_of(message)
        import_own(job.run)
        before = GlobalState() if owner(job.run) else None
        outcome = attempt(worker, job, peer.on_step())
        if outcome.broken:
            print(outcome.trace, file=sys.stderr, flush=True)
            os._exit(1)  # the scheduler starts another
        changed = before.changed() if before else []
        if changed:
            peer.say(f"{changes(job.run, changed)}: each of its trainings gets a process of its own")
        if alone:
            worker.free_cached_memory()
        peer.send({"outcome": asdict(outcome), "last": bool(changed)})
        if changed:
            return


class Peer:
    """A worker's connection to the scheduler; ranks other than 0 send outcomes only."""

    def __init__(self, channel: Channel, rank: int) -> None:
        self._channel, self._rank = channel, rank
        self.gone = False
        self.fits: Callable[[], int | None] = lambda: None  # for how many trainings a GPU has memory

    def next(self) -> Message | None:
        """Returns the next message, waiting if there is none yet; None if the scheduler has closed the connection."""
        return self._channel.next()

    def leave(self) -> None:
        """Its training is to leave, and no other job comes: what the scheduler sends is not read any more."""
        self.gone = True
        self._channel.hang_up()

    def send(self, message: Message) -> None:
        """Sends a message; sets `gone` if the scheduler has closed the connection."""
        if self._rank == 0 or "outcome" in message:
            try:
                self._channel.send(message)
            except OSError:
                self.gone = True

    def say(self, line: str) -> None:
        """Sends a line for the user."""
        self.send({"say": line})

    def on_step(self) -> Callable[[int, Any], None]:
        """Returns a callback that sends each evaluation at once, and the step at most every TELL_EVERY seconds."""
        sent, sent_at = 0, 0.0

        def tell(step: int, history: Any) -> None:
            nonlocal sent, sent_at
            now = time.monotonic()
            if len(history) == sent and now - sent_at < TELL_EVERY:
                return
            fits = self.fits() if history and not sent else None
            self.send({"step": step, "history": list(history[sent:]), "fits": fits})
            sent, sent_at = len(history), now

        return tell


if __name__ == "__main__":
    run_and_exit(main)
