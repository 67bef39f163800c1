"""Deployed forms beside the best dense form: a layer of 4096 x 4096 at 95 % sparsity, and LeNet-300-100."""

from __future__ import annotations

from statistics import median

import torch
from torch import nn

from benchmarks.sparse import at_density
from benchmarks.stand_in import LENET
from benchmarks.table import Row
from lt_sweeps.deploy import compact, csr, measure, onnx
from lt_sweeps.deploy.form import Form
from lt_sweeps.deploy.plain import plain
from lt_sweeps.masks import effective
from lt_sweeps.networks.build import build, initial

WIDE, DENSITY, GOAL = 4096, 0.05, 3.0
BATCHES = (1, 32)


def rows(rounds: int) -> list[Row]:
    """The wide layer as sparse rows; LeNet at three densities, its output layer at their root, in each form."""
    made = []
    wide = nn.Sequential(measure.thin(nn.Linear(WIDE, WIDE), DENSITY, units=False)).requires_grad_(False)
    for batch in BATCHES:
        x = torch.randn(batch, WIDE)
        goal = GOAL if batch == max(BATCHES) else None
        made += _rows(f"{WIDE} x {WIDE} at {DENSITY:.0%}, batch {batch}", wide, csr.forms(wide, x), x, rounds, goal)
    for density in (0.2, 0.05, 0.02):
        lenet = build(LENET)
        lenet.load_state_dict(effective(initial(LENET, 0), at_density(density), None))
        network = plain(lenet)
        for batch in BATCHES:
            x = torch.randn(batch, *LENET.shape)
            forms = [
                *csr.forms(network, x),
                *compact.forms(network, x),
                *(onnx.forms(network, x) if onnx.is_here() else []),
            ]
            made += _rows(f"LeNet at {density:.0%}, batch {batch}", network, forms, x, rounds, None)
    return made


def _rows(
    comparison: str, network: nn.Sequential, forms: list[Form], x: torch.Tensor, rounds: int, goal: float | None
) -> list[Row]:
    """How often each form is faster than the best dense one; the goal is that of the fastest form."""
    rivals, _ = measure.dense(network, x)
    taken = measure.times([*rivals, *forms], x, rounds)
    best = min(rivals, key=lambda form: median(taken[form.name])).name
    fastest = min(forms, key=lambda form: median(taken[form.name])).name
    dense = ", ".join(f"{form.name} {median(taken[form.name]):.3f}" for form in rivals)
    made = []
    for form in forms:
        faster = sorted(there / here for there, here in zip(taken[best], taken[form.name], strict=True))
        wanted = goal if form.name == fastest else None
        made.append(
            Row(
                comparison,
                form.name,
                faster[0],
                median(faster),
                f"x faster than {best}",
                f"{median(taken[form.name]):.3f} ms; {dense}",
                "" if wanted is None else f">= {wanted:g}",
                None if wanted is None else median(faster) >= wanted,
            )
        )
    return made
