"""Whole commands: the seconds of wall and CPU that they and all their processes take."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lt_sweeps.config.schema import CONF


class Cost(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float


def cost(commands: Sequence[Sequence[str]], folder: Path | None = None, **variables: str) -> Cost:
    """What these python commands take, each a list of words after `python`, all begun at once. Raises RuntimeError."""
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(CONF.parent), **variables}
    before, begun = _children(), time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", *words],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for words in commands
    ]
    for process in running:
        output = process.communicate()[0]
        if process.returncode:
            raise RuntimeError(f"{process.args}: {output[-2000:]}")
    return Cost(time.perf_counter() - begun, _children() - before)


def _children() -> float:
    """CPU seconds of all processes of ours that have ended, with theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
