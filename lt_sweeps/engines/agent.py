"""The process of an agent: `python -m lt_sweeps.engines.agent FOLDER [PROCESSES]`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path

from lt_sweeps.ending import leave, run_and_exit
from lt_sweeps.errors import Mistake
from lt_sweeps.execution.agent import trainer, work
from lt_sweeps.execution.spare import spare


def main(folder: str, processes: str | None = None) -> int:
    """Executes jobs of a sweep until none is left that can be done; returns the exit code."""
    signal.signal(signal.SIGTERM, leave)
    try:
        settings = trainer(Path(folder), None if processes is None else int(processes))
        with spare(settings) as forking:  # before there is a second thread
            threading.Thread(target=_leave_with_the_attendant, daemon=True).start()
            work(Path(folder), settings, spare=forking)
    except Mistake as mistake:
        print(f"lt_sweeps: {mistake}", file=sys.stderr)
        return 2
    return 0


def _leave_with_the_attendant() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    run_and_exit(lambda: main(*sys.argv[1:]))
