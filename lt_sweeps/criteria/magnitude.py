"""Criteria that use weight magnitudes, and the random control."""

from __future__ import annotations

import torch

from lt_sweeps.criteria.probe import Probe, Scores
from lt_sweeps.registry import register


@register("criterion", version=1)
def magnitude(probe: Probe) -> Scores:
    """The magnitude of the trained weight, |w_f| (Frankle & Carbin 2019; Zhou et al.'s *large final*).

    >>> from lt_sweeps.criteria.examples import tiny
    >>> magnitude(tiny(weights=[[1.0, -3.0]]))["weight"].tolist()
    [[1.0, 3.0]]
    """
    return {name: probe.weights[name].abs() for name in probe.mask}


@register("criterion", version=1, needs=("seed",))
def random(probe: Probe) -> Scores:
    """A uniform draw for each weight: the control of every criterion.

    >>> from lt_sweeps.criteria.examples import tiny
    >>> random(tiny(weights=[[1.0, -3.0]]))["weight"].shape
    torch.Size([1, 2])
    """
    return {name: torch.rand(probe.mask[name].shape, generator=probe.generator) for name in sorted(probe.mask)}


@register("criterion", version=1, needs=("ref",))
def magnitude_increase(probe: Probe) -> Scores:
    """The increase of a weight's magnitude, |w_f| - |w_i| (Zhou et al. 2019).

    >>> from lt_sweeps.criteria.examples import tiny
    >>> magnitude_increase(tiny(weights=[[1.0, -3.0]], ref=[[-2.0, 1.0]]))["weight"].tolist()
    [[-1.0, 2.0]]
    """
    assert probe.ref is not None
    return {name: probe.weights[name].abs() - probe.ref[name].abs() for name in probe.mask}
