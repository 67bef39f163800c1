"""Hooks that make a mask smaller as training goes on, or end the training when its mask has settled."""

from __future__ import annotations

import torch

from lt_sweeps.gates.gate import top
from lt_sweeps.hooks.moment import Change, Moment
from lt_sweeps.registry import register


@register("hook", version=1)
def freeze_scores(moment: Moment, keep: float = 0.05) -> Change:
    """Freeze the lowest scores at zero, until a share `keep` of all is left (Sreenivasan et al. 2022, GEM-MINER).

    Between its first and its last step the kept share falls exponentially; scores of all layers compete. Frozen scores
    never come back. For gates of one score per weight, and for weights themselves, whose |value| counts.

    >>> from lt_sweeps.hooks.moment import example
    >>> freeze_scores(example(weights=[0.9, 0.1, 0.5, 0.7], mask=[1, 1, 1, 1], step=10), 0.5).mask["w"].int().tolist()
    [1, 0, 0, 1]
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep={keep}: give a share above 0, and at most 1")
    done = min(1.0, (moment.step - moment.begin + moment.every) / max(moment.every, moment.until - moment.begin))
    sizes = {name: weight.abs() for name, weight in moment.weights.items()}
    return Change({name: ones.bool() for name, ones in top(sizes, moment.mask, keep**done, "global").items()})


@register("hook", version=1)
def early_bird(
    moment: Moment,
    keep: float = 0.5,
    tolerance: float = 0.1,
    window: int = 5,
    narrow: bool = True,
    unit: str = "weight",
) -> Change:
    """End the training when the mask of the largest weights has settled (You et al. 2020, early-bird tickets).

    At each of its steps the share `keep` of the largest |weights| of all layers makes a mask. The training ends when
    the newest of the last `window` such masks differs from none of the others in more than a share `tolerance` of their
    places; masks of a share k differ in 2 min(k, 1 - k) of them at most. With `narrow` the newest mask becomes the
    training's; `find.hook` sets it to false, so that the criterion prunes what the search leaves.
    `unit` "channel" makes masks of the |scales| of all batch normalisation, as the paper does; the default is weights.
    The distances of the newest mask are recorded at each step, from the oldest to the latest of the others.
    Differs: exactly the share `keep` is kept; the authors' code keeps one channel less, and of equal scales none.

    >>> from lt_sweeps.hooks.moment import example
    >>> first = early_bird(example(weights=[0.9, 0.1, 0.5, 0.7], mask=[1, 1, 1, 1]), window=2)
    >>> later = example(weights=[0.8, 0.1, 0.5, 0.7], mask=[1, 1, 1, 1], memory=first.memory)
    >>> first.end, early_bird(later, window=2).end
    (False, True)
    """
    if window < 1 or tolerance < 0:
        raise ValueError(f"window={window}, tolerance={tolerance}: give 1 or more masks, and a share of places")
    if unit not in ("weight", "channel"):
        raise ValueError(f"unit={unit}: choose weight or channel")
    if unit == "channel" and (narrow or not moment.scales):
        why = "it only ends a training, as find.hook.name=early_bird" if narrow else "there is no batch normalisation"
        raise ValueError(f"unit=channel: {why}")
    sizes = {name: weight.abs() for name, weight in (moment.weights if unit == "weight" else moment.scales).items()}
    parent = moment.mask if unit == "weight" else {name: size >= 0 for name, size in sizes.items()}
    mask = {name: ones.bool() for name, ones in top(sizes, parent, keep, "global").items()}
    newest = torch.cat([ones.flatten() for ones in mask.values()])
    earlier = moment.memory.get("masks", newest[None][:0])[-(window - 1) :] if window > 1 else newest[None][:0]
    distances = (earlier != newest).cpu().double().mean(dim=1)  # not every GPU has doubles
    settled = len(earlier) == window - 1 and bool((distances <= tolerance).all())
    memory = {"masks": torch.cat([earlier, newest[None]])}
    noted = {"distances": [round(float(distance), 6) for distance in distances]}
    return Change(mask if settled and narrow else None, memory, end=settled, noted=noted)
