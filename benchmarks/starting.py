"""What a sweep costs beside its trainings: the smallest one against the imports of any program with Lightning."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from benchmarks.commands import cost
from benchmarks.table import Row

SMOKE = ("-m", "lt_sweeps.main", "budget=smoke", "prune.levels=1")
IMPORTS = ("-c", "import pytorch_lightning, torchmetrics, torchvision")
GOAL = 2.0


def rows(rounds: int) -> list[Row]:
    """Two trainings of eight iterations on the digits, wall time; the first run of each is not counted."""
    sweeps, imports = [], []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds + 1):
            sweeps.append(cost([[*SMOKE, f"paths.output_dir={Path(folder) / str(turn)}"]]).wall)
            imports.append(cost([IMPORTS]).wall)
    ratios = [sweep / bare for sweep, bare in zip(sweeps[1:], imports[1:], strict=True)]
    value = median(ratios)
    detail = f"{median(sweeps[1:]):.1f} s against {median(imports[1:]):.1f} s"
    return [
        Row("two trainings", "/ import pytorch_lightning", min(ratios), value, "x", detail, f"<= {GOAL}", value <= GOAL)
    ]
