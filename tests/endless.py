"""A training that will not end by itself: `endless.py FOLDER WHAT`, where WHAT happens to the last rank at step 20.

FOLDER gets the store, the process id of each rank, and the step that was last told of.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from small import run_of
from together import LENET, Watched

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.ending import run_and_exit
from lt_sweeps.execution.outcome import attempt
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.worker import Worker
from lt_sweeps.store.store import Store


def main() -> None:
    """Train until something happens."""
    folder, what = Path(sys.argv[1]), sys.argv[2]
    worker = Worker(Store(folder / "store"), Path(), TrainerConfig(accelerator="cpu"), print)
    (folder / f"pid.{worker.ranks.rank}").write_text(str(os.getpid()))
    run = run_of("adam", network=LENET, steps=10**6, eval_every=10**6)

    def at_20(step: int, batch: Any) -> Any:
        if step == 20 and what == "exits":
            os._exit(7)
        if step == 20 and what == "raises":
            raise IndexError("there is no such example")
        return batch

    if worker.ranks.rank == worker.ranks.world - 1:
        real = worker.values.examples
        worker.values.examples = lambda data: Watched(real(data), at_20)  # type: ignore[assignment]
    attempt(worker, Job(run, frozenset()), lambda step, _: (folder / "step").write_text(str(step)) and None)
    time.sleep(1000)  # for another job, as a worker does


if __name__ == "__main__":
    run_and_exit(main)
