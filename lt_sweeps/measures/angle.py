"""The angle between two tickets."""

from __future__ import annotations

from math import acos, pi, sqrt

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import by_tensor, same_layers, six_digits
from lt_sweeps.registry import register


@register("measure", version=1, needs=("pair",), quantity="Angle of weights", unit="right angles")
def angular_distance(ends: Ends) -> Table:
    """The angle between the weights that both masks keep, in right angles: 2 angle / pi, from 0 to 2.

    0 is the same direction, 1 no relation, 2 the opposite. It is of all tensors together (tensor 0) and of each; a
    vector of zeros, or of no weights, has no direction, and counts as unrelated (1). It looks at no examples.

    >>> import torch
    >>> one, other = {"w": torch.tensor([1.0, 0.0, 9.0])}, {"w": torch.tensor([2.0, 2.0, 0.0])}
    >>> masks = {"w": torch.tensor([True] * 3)}, {"w": torch.tensor([True, True, False])}
    >>> angular_distance(Ends((one, other), masks, 2, lambda state: None, lambda part: iter(())))["angular_distance"]
    0.5
    """
    names, (first, second) = same_layers(ends), ends.weights
    both = {name: ends.masks[0][name] & ends.masks[1][name] for name in names}
    pairs = [(first[name].double()[both[name]], second[name].double()[both[name]]) for name in names]
    sums = [tuple(float(x @ y) for x, y in ((a, b), (a, a), (b, b))) for a, b in pairs]
    rows = [tuple(map(sum, zip(*sums, strict=True))), *sums]
    angles = [_right_angles(*row) for row in rows]
    return {"angular_distance": angles[0], **by_tensor(len(rows), tensor_angular_distance=angles)}


def _right_angles(product: float, first: float, second: float) -> float:
    if not first * second:
        return 1.0
    return six_digits(2 * acos(max(-1.0, min(1.0, product / sqrt(first * second)))) / pi)
