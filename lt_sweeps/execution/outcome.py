"""The outcome of executing a job."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lt_sweeps.errors import Mistake
from lt_sweeps.execution.plan import Job
from lt_sweeps.foreign.reach import one_line
from lt_sweeps.store.disk import full_message, is_full
from lt_sweeps.store.store import Missing

if TYPE_CHECKING:
    from lt_sweeps.execution.worker import Worker
    from lt_sweeps.training.recorder import Tell

Kind = Literal["done", "again", "failed", "refused"]


class Disagreement(Exception):
    """A replay did not reproduce the stored run."""


@dataclass(frozen=True)
class Outcome:
    """`done`: committed. `again`: the store changed, plan anew. `failed`: this job. `refused`: any job would fail."""

    kind: Kind
    reason: str = ""
    seconds: float = 0.0
    memory: bool = False  # whether it ran out of memory; alone it may not
    shared: bool = False  # whether it failed in a process with others, which may be the cause
    broken: bool = False  # whether nothing works on the GPU in this process any more
    trace: str = ""  # the traceback of a failure


def attempt(worker: Worker, job: Job, on_step: Tell) -> Outcome:
    """Executes a job and returns its outcome; raises only Terminated, such as Left, and KeyboardInterrupt.

    Of a rank of several also SystemExit: it is to end its process.
    """
    began = time.monotonic()
    try:
        worker.do(job, on_step)
    except Missing:  # something in the store was damaged, or another process put something else there
        return Outcome("again")
    except Disagreement as reason:
        return Outcome("again", str(reason))
    except Mistake as mistake:
        return Outcome("refused", str(mistake))
    except (Exception, SystemExit) as error:  # a user's network may call sys.exit
        if isinstance(error, SystemExit) and worker.ranks.world > 1:
            if worker.ranks.rank == 0 and (cause := error.__cause__) and is_full(cause):  # no other job comes
                return Outcome("refused", full_message(cause))
            raise  # the other ranks wait for this one: if it took another job, they would take it for theirs
        if is_full(error):
            return Outcome("refused", full_message(error))
        trace = "".join(traceback.format_exception(error))
        broken = type(error).__name__ == "AcceleratorError"  # of torch: the process cannot use the GPU again
        return Outcome("failed", one_line(error), memory=_is_memory(error), broken=broken, trace=trace)
    return Outcome("done", seconds=time.monotonic() - began)


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "AcceleratorOutOfMemoryError")
