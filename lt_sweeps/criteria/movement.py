"""Criteria that compare initial weights, w_i, with trained weights, w_f (Zhou et al. 2019, mask criteria).

Differs from their code: criteria by sign exclude weights with a score of -inf instead of 0, since negative scores are
below 0; ties, also those of excluded weights, are broken at random.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.criteria.probe import Probe, Scores
from lt_sweeps.registry import register


@register("criterion", version=1)
def small_final(probe: Probe) -> Scores:
    """The smallest trained weights, -|w_f| (Zhou et al. 2019): the control of `magnitude`.

    >>> from lt_sweeps.criteria.examples import tiny
    >>> small_final(tiny(weights=[[1.0, -3.0]]))["weight"].tolist()
    [[-1.0, -3.0]]
    """
    return {name: -probe.weights[name].abs() for name in probe.mask}


@register("criterion", version=1, needs=("ref",))
def large_init(probe: Probe) -> Scores:
    """The largest initial weights, |w_i| (Zhou et al. 2019).

    >>> from lt_sweeps.criteria.examples import tiny
    >>> large_init(tiny(weights=[[1.0, -3.0]], ref=[[-2.0, 1.0]]))["weight"].tolist()
    [[2.0, 1.0]]
    """
    return {name: _ref(probe, name).abs() for name in probe.mask}


@register("criterion", version=1, needs=("ref",))
def small_init(probe: Probe) -> Scores:
    """The smallest initial weights, -|w_i| (Zhou et al. 2019): a control.

    >>> from lt_sweeps.criteria.examples import tiny
    >>> small_init(tiny(weights=[[1.0, -3.0]], ref=[[-2.0, 1.0]]))["weight"].tolist()
    [[-2.0, -1.0]]
    """
    return {name: -_ref(probe, name).abs() for name in probe.mask}


@register("criterion", version=1, needs=("ref",))
def large_init_large_final(probe: Probe) -> Scores:
    """Large initial and trained weights: the smaller of the ranks of |w_i| and |w_f| in the layer (Zhou et al. 2019).

    Keeping the best k equals cutting both distributions at the one quantile that leaves k weights in common, which
    their code finds by bisection. A rank is the share of the layer's kept weights that are smaller.

    >>> from lt_sweeps.criteria.examples import tiny
    >>> large_init_large_final(tiny(weights=[[1.0, -3.0, 2.0, 4.0]], ref=[[4.0, 3.0, 2.0, 1.0]]))["weight"].tolist()
    [[0.0, 0.5, 0.25, 0.0]]
    """
    return {
        name: torch.minimum(
            _rank(probe.weights[name].abs(), probe.mask[name]), _rank(_ref(probe, name).abs(), probe.mask[name])
        )
        for name in probe.mask
    }


@register("criterion", version=1, needs=("ref",))
def small_init_small_final(probe: Probe) -> Scores:
    """Small initial and trained weights, by ranks as in `large_init_large_final` (Zhou et al. 2019): its control.

    >>> from lt_sweeps.criteria.examples import tiny
    >>> small_init_small_final(tiny(weights=[[1.0, -3.0, 2.0, 4.0]], ref=[[4.0, 3.0, 2.0, 1.0]]))["weight"].tolist()
    [[0.0, 0.25, 0.5, 0.0]]
    """
    return {
        name: torch.minimum(
            _rank(-probe.weights[name].abs(), probe.mask[name]), _rank(-_ref(probe, name).abs(), probe.mask[name])
        )
        for name in probe.mask
    }


@register("criterion", version=1, needs=("ref",))
def movement(probe: Probe) -> Scores:
    """How far a weight moved, |w_f - w_i| (Zhou et al. 2019).

    >>> from lt_sweeps.criteria.examples import tiny
    >>> movement(tiny(weights=[[1.0, -3.0]], ref=[[-2.0, 1.0]]))["weight"].tolist()
    [[3.0, 4.0]]
    """
    return {name: (probe.weights[name] - _ref(probe, name)).abs() for name in probe.mask}


@register("criterion", version=1, needs=("ref",))
def large_final_same_sign(probe: Probe) -> Scores:
    """|w_f| of weights that kept their sign, the others excluded (Zhou et al. 2019, the criterion of supermasks).

    >>> from lt_sweeps.criteria.examples import tiny
    >>> large_final_same_sign(tiny(weights=[[1.0, -3.0]], ref=[[-2.0, -1.0]]))["weight"].tolist()
    [[-inf, 3.0]]
    """
    return {name: _only(probe.weights[name].abs(), _same_sign(probe, name)) for name in probe.mask}


@register("criterion", version=1, needs=("ref",))
def large_final_diff_sign(probe: Probe) -> Scores:
    """|w_f| of weights that changed their sign, the others excluded (Zhou et al. 2019): a control.

    >>> from lt_sweeps.criteria.examples import tiny
    >>> large_final_diff_sign(tiny(weights=[[1.0, -3.0]], ref=[[-2.0, -1.0]]))["weight"].tolist()
    [[1.0, -inf]]
    """
    return {name: _only(probe.weights[name].abs(), ~_same_sign(probe, name)) for name in probe.mask}


@register("criterion", version=1, needs=("ref",))
def magnitude_increase_same_sign(probe: Probe) -> Scores:
    """|w_f| - |w_i| of weights that kept their sign, the others excluded (Zhou et al. 2019).

    >>> from lt_sweeps.criteria.examples import tiny
    >>> magnitude_increase_same_sign(tiny(weights=[[1.0, -3.0]], ref=[[-2.0, -1.0]]))["weight"].tolist()
    [[-inf, 2.0]]
    """
    return {name: _only(_increase(probe, name), _same_sign(probe, name)) for name in probe.mask}


@register("criterion", version=1, needs=("ref",))
def magnitude_increase_diff_sign(probe: Probe) -> Scores:
    """|w_f| - |w_i| of weights that changed their sign, the others excluded (Zhou et al. 2019): a control.

    >>> from lt_sweeps.criteria.examples import tiny
    >>> magnitude_increase_diff_sign(tiny(weights=[[1.0, -3.0]], ref=[[-2.0, -1.0]]))["weight"].tolist()
    [[-1.0, -inf]]
    """
    return {name: _only(_increase(probe, name), ~_same_sign(probe, name)) for name in probe.mask}


def _ref(probe: Probe, name: str) -> Tensor:
    assert probe.ref is not None
    return probe.ref[name]


def _increase(probe: Probe, name: str) -> Tensor:
    return probe.weights[name].abs() - _ref(probe, name).abs()


def _same_sign(probe: Probe, name: str) -> Tensor:
    return probe.weights[name].sign() == _ref(probe, name).sign()


def _only(scores: Tensor, wanted: Tensor) -> Tensor:
    return scores.masked_fill(~wanted, -torch.inf)


def _rank(value: Tensor, ones: Tensor) -> Tensor:
    """Returns for each weight the share of the layer's kept weights that are smaller; 0 at pruned places."""
    kept = value[ones]
    ranks = torch.zeros(value.shape, dtype=torch.float64)
    ranks[ones] = torch.searchsorted(kept.sort().values, kept).double() / max(1, len(kept))
    return ranks
