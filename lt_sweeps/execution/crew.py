"""The threads of a process that is several workers: on a GPU their trainings run at the same time.

Each has a connection, data and a CUDA stream of its own, so a training gives the bits that it gives alone. Draws from
torch's global generators exclude one another (`randomness.GENERATORS`).
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Sequence
from typing import Protocol

from lt_sweeps.ending import Terminated
from lt_sweeps.foreign.watch import Hand


class Leaver(Protocol):
    """What can be told to leave."""

    def leave(self) -> None:
        """Its training is to leave, and no other job comes."""


def serve(workers: Sequence[Callable[[], None]], leavers: Sequence[Leaver]) -> None:
    """Runs workers on a thread each until all have ended; on SIGTERM all leave, and Terminated is raised.

    An error that a worker does not expect ends the process: nobody would hear of a thread that died.
    """
    signalled = list[int]()

    def leave(number: int, _: object) -> None:
        signalled.append(number)
        for leaver in leavers:
            leaver.leave()

    signal.signal(signal.SIGTERM, leave)
    threads = [Hand(target=_guarded, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if signalled:
        raise Terminated(signalled[0])


def _guarded(worker: Callable[[], None]) -> None:
    try:
        worker()
    except Terminated:  # its training has left, after a checkpoint
        pass
    except BaseException:
        traceback.print_exc()
        os._exit(1)
