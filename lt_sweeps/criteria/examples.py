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


def normalised(scale: list[float]) -> Probe:
    """Returns a probe of one input, a unit for each scale of its batch normalisation, and one output."""
    units = len(scale)
    network = nn.Sequential(nn.Linear(1, units, bias=False), nn.BatchNorm1d(units), nn.Linear(units, 1, bias=False))
    weights = network.state_dict() | {"1.weight": torch.tensor(scale)}
    return Probe(
        weights=weights,
        unmasked=weights,
        mask={name: torch.ones(weights[name].shape, dtype=torch.bool) for name in ("0.weight", "1.weight")},
        ref=None,
        generator=torch.Generator().manual_seed(0),
        make_network=lambda: network,
        make_source=lambda: HeldExamples(torch.zeros(1, 1), torch.zeros(1, dtype=torch.long)),
        shape=(1,),
    )
