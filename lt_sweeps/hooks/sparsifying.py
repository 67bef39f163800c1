"""Hooks that take a dense network to a density while it trains: gradual pruning, and phases of pruning and regrowth."""

from __future__ import annotations

from lt_sweeps.gates.gate import top
from lt_sweeps.hooks.moment import Change, Moment
from lt_sweeps.registry import register


@register("hook", version=1, needs=("until",))
def gradual(moment: Moment, keep: float = 0.05, ranking: str = "layer") -> Change:
    """Prune the smallest weights along a cubic schedule, while the network trains (Zhu & Gupta 2017, gradual pruning).

    At the n + 1 moments of the hook's clock the sparsity is s = s_f (1 - (1 - i / n)^3), i = 0 ... n, s_f = 1 - `keep`:
    much is pruned early, little late. `ranking` is "layer", every layer at that sparsity, or "global".
    Differs: a pruned weight is zero from then on; in the authors' code its value waits behind the mask, and may come
    back. The paper prunes in steps of 100 to 1,000 iterations and goes on training at the last sparsity.

    >>> from lt_sweeps.hooks.moment import example
    >>> weights = [0.9, 0.1, 0.5, 0.7, 0.2, 0.6, 0.8, 0.3]  # asked at 0, 10 and 20: s = 0, 0.4375, 0.5
    >>> [int(gradual(example(weights=weights, mask=[1] * 8, step=at), 0.5).mask["w"].sum()) for at in (0, 10, 20)]
    [8, 4, 4]
    """
    _require_share(keep)
    count = (moment.until - moment.begin) // moment.every
    left = 1 - (moment.step - moment.begin) // moment.every / count if count else 0.0
    sizes = {name: weight.abs() for name, weight in moment.weights.items()}
    chosen = top(sizes, moment.mask, 1 - (1 - keep) * (1 - left**3), ranking)
    return Change({name: ones.bool() for name, ones in chosen.items()})


@register("hook", version=1, needs=("until",))
def ac_dc(moment: Moment, keep: float = 0.05, ranking: str = "global") -> Change:
    """Train in turns with the largest weights alone and with all of them (Peste et al. 2021, AC/DC).

    Training is dense up to the hook's first step. Then each of its moments begins a phase: the share `keep` of the
    largest weights of all layers ("layer": of each), or the mask of the hook's first moment again. The last phase goes
    on to the training's end and is of the largest weights; the others take turns backwards from it. Weights that come
    back begin at zero, without momentum.
    Differs: in the authors' code a flag, which is off by default, takes the momentum of all other weights too.

    >>> from lt_sweeps.hooks.moment import example
    >>> first = ac_dc(example(weights=[0.9, 0.1, 0.5, 0.7], mask=[1, 1, 1, 1], step=0), 0.5)
    >>> later = ac_dc(example(weights=[0.9, 0.0, 0.0, 0.7], mask=[1, 0, 0, 1], step=10, memory=first.memory), 0.5)
    >>> [change.mask["w"].int().tolist() for change in (first, later)]
    [[1, 0, 0, 1], [1, 1, 1, 1]]
    """
    _require_share(keep)
    whole = dict(moment.memory or moment.mask)
    phases_left = (moment.until - moment.begin) // moment.every - (moment.step - moment.begin) // moment.every
    if phases_left % 2:
        return Change({name: ones.bool() for name, ones in whole.items()}, whole)
    sizes = {name: weight.abs() for name, weight in moment.weights.items()}
    chosen = top(sizes, {name: ones.bool() for name, ones in whole.items()}, keep, ranking)
    return Change({name: ones.bool() for name, ones in chosen.items()}, whole)


def _require_share(keep: float) -> None:
    if not 0 < keep <= 1:
        raise ValueError(f"keep={keep}: give a share above 0, and at most 1")
