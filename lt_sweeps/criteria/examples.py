"""A network of one linear layer, small enough to score by hand: for docstrings and tests."""

from __future__ import annotations

import torch
from torch import nn

from lt_sweeps.criteria.probe import HeldExamples, Probe


def tiny(weights: list[list[float]], ref: list[list[float]] | None = None) -> Probe:
    """Returns a probe of `nn.Linear` without bias, with `weights` (classes, inputs) and unit vectors of class 0."""
    value = torch.tensor(weights)
    classes, inputs = value.shape
    return Probe(
        weights={"weight": value},
        unmasked={"weight": value},
        mask={"weight": torch.ones_like(value, dtype=torch.bool)},
        ref=None if ref is None else {"weight": torch.tensor(ref)},
        generator=torch.Generator().manual_seed(0),
        make_network=lambda: nn.Linear(inputs, classes, bias=False),
        make_source=lambda: HeldExamples(torch.eye(inputs), torch.zeros(inputs, dtype=torch.long)),
        shape=(inputs,),
    )
