"""Results as rows: a Markdown table for reading, JSON for keeping."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Row:
    """One figure: its least and median value over the rounds, and what was hoped for."""

    comparison: str
    contender: str
    least: float
    median: float
    unit: str
    detail: str = ""
    goal: str = ""
    met: bool | None = None


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| comparison | contender | min | median | unit | detail | goal | met |", "|" + "---|" * 8]
    for row in rows:
        met = {None: "", True: "yes", False: "NO"}[row.met]
        numbers = f"{row.least:.3g} | {row.median:.3g}"
        lines.append(
            f"| {row.comparison} | {row.contender} | {numbers} | {row.unit} | {row.detail} | {row.goal} | {met} |"
        )
    return "\n".join(lines)


def record(rows: Sequence[Row], rounds: int) -> dict[str, Any]:
    """The rows with what they were measured on."""
    return {"machine": machine(), "rounds": rounds, "threads": 1, "rows": [asdict(row) for row in rows]}


def machine() -> dict[str, str]:
    """What a figure depends on beside the code."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": f"{len(models)} x {models[0]}" if models else platform.processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: version(name) for name in ("pytorch-lightning", "torchvision", "numpy", "lt-sweeps")},
    }
