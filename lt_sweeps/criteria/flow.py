"""Criteria that measure flow through the network and need no data."""

from __future__ import annotations

import torch

from lt_sweeps.criteria.probe import Probe, Scores
from lt_sweeps.registry import register


@register("criterion", version=1, needs=("pixels",))
def synflow(probe: Probe) -> Scores:
    """Synaptic flow, |w| dR/d|w|; R is the sum of the outputs for an input of ones, with all weights made positive.

    Tanaka et al. 2020: scored again in each of 100 exponential rounds (`criterion.rounds`), so that no layer empties
    before the others must. Computed in double precision and evaluation mode: single precision overflows from ResNet-44
    on, and batch statistics would cancel the flow. Raises ValueError if R is not finite.

    A network of tokens takes no ones; `model=` and `dataset=` of tokens are refused.

    >>> from lt_sweeps.criteria.examples import tiny
    >>> synflow(tiny(weights=[[1.0, -3.0]]))["weight"].tolist()
    [[1.0, 3.0]]
    """
    network = probe.network.double().eval()
    with torch.no_grad():
        for value in (*network.parameters(), *network.buffers()):
            if value.is_floating_point():
                value.abs_()
    names = sorted(probe.mask)
    weights = [network.get_parameter(name) for name in names]
    with torch.enable_grad():
        flow = network(torch.ones(1, *probe.shape, dtype=torch.float64)).sum()
        if not bool(flow.isfinite()):
            raise ValueError("synflow: what flows through the network is more than a double can hold")
        slopes = torch.autograd.grad(flow, weights)
    return {name: (w.detach() * slope) for name, w, slope in zip(names, weights, slopes, strict=True)}
