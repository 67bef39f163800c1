"""How far a training moves the weights that are pruned after it, and those that are not."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import by_tensor, percent, same_layers, six_digits
from lt_sweeps.registry import register


@register("measure", version=1, needs=("before",), quantity="Movement of kept weights", unit="s.d. of draw")
def movement(ends: Ends) -> Table:
    """How far the weights that survive were moved by the training before, in deviations of their layer's initial draw.

    Of the training that a mask was pruned from, with start w_0 and end w_T (Frankle & Carbin 2019, appendix F.5):
    mean |w_T - w_0| / s over the survivors, where s is the standard deviation of all initial weights of the layer.
    Lists are of all tensors together (tensor 0) and of each: `moved` is this mean, `distance` the mean of
    |w_T - w_0| itself, `outward` the percentage of survivors whose magnitude has grown (so that they moved away from
    zero). `movement_pruned` is the same of the weights that were pruned. They ask it of the dense training, for each
    ticket; here it is asked of the training just before: at level 1 they are one. Magnitude pruning keeps what is large
    at the end, so that outward survivors are partly its own doing. A layer whose draw has no deviation cannot be
    measured so, which raises ValueError.

    The draw is 1 and -1, s = 1. The survivor moves from 1 to 4, away from zero, and the other from -1 to -0.5.

    >>> draw, end = {"w": torch.tensor([1.0, -1.0])}, {"w": torch.tensor([4.0, -0.5])}
    >>> whole, left = {"w": torch.tensor([True, True])}, {"w": torch.tensor([True, False])}
    >>> ends = Ends((draw, draw, end, end), (whole, whole, whole, left), 2, lambda state: None, lambda part: iter(()))
    >>> table = movement(ends)
    >>> table["movement"], table["distance"], table["outward"]
    (3.0, [3.0, 3.0], [100.0, 100.0])
    """
    moved = _moved(ends, pruned=False)
    return {
        "movement": moved[0].deviations,
        **by_tensor(
            len(moved),
            moved=[m.deviations for m in moved],
            distance=[m.distance for m in moved],
            outward=[m.outward for m in moved],
        ),
    }


@register(
    "measure",
    version=1,
    needs=("before",),
    quantity="Movement of pruned weights",
    unit="s.d. of draw",
)
def movement_pruned(ends: Ends) -> Table:
    """How far the weights that are pruned were moved by the training before, in deviations of their layer's draw.

    As `movement`, of the weights that the training had and that the mask pruned from it does not keep.

    >>> draw, end = {"w": torch.tensor([1.0, -1.0])}, {"w": torch.tensor([4.0, -0.5])}
    >>> whole, left = {"w": torch.tensor([True, True])}, {"w": torch.tensor([True, False])}
    >>> ends = Ends((draw, draw, end, end), (whole, whole, whole, left), 2, lambda state: None, lambda part: iter(()))
    >>> table = movement_pruned(ends)
    >>> table["movement_pruned"], table["pruned_distance"], table["pruned_outward"]
    (0.5, [0.5, 0.5], [0.0, 0.0])
    """
    moved = _moved(ends, pruned=True)
    return {
        "movement_pruned": moved[0].deviations,
        **by_tensor(
            len(moved),
            pruned_moved=[m.deviations for m in moved],
            pruned_distance=[m.distance for m in moved],
            pruned_outward=[m.outward for m in moved],
        ),
    }


class _Moved(NamedTuple):
    """Means over some weights; of none they are 0."""

    deviations: float
    distance: float
    outward: float


def _moved(ends: Ends, *, pruned: bool) -> list[_Moved]:
    """The movement of the weights of all tensors together, and of each."""
    names = same_layers(ends)
    draw, begun, ended, _ = ends.weights
    _, _, had, left = ends.masks
    layers = []
    for name in names:
        chosen = had[name] & (~left[name] if pruned else left[name])
        before, after = (state[name].double()[chosen] for state in (begun, ended))
        deviation = draw[name].double().std(correction=0)
        if not deviation:
            raise ValueError(f"movement is in deviations of the initial weights, and those of {name} are all the same")
        distance = (after - before).abs()
        layers.append((distance / deviation, distance, (after.abs() > before.abs()).double()))
    together = [torch.cat(columns) for columns in zip(*layers, strict=True)]
    return [_Moved(*_means(*columns)) for columns in (together, *layers)]


def _means(deviations: Tensor, distance: Tensor, outward: Tensor) -> tuple[float, float, float]:
    count = len(distance)
    means = (six_digits(values.sum() / max(1, count)) for values in (deviations, distance))
    return *means, percent(float(outward.sum()), count)  # type: ignore[return-value]
