"""How far a training goes."""

from __future__ import annotations

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import by_tensor, kept_weights, same_layers, six_digits
from lt_sweeps.registry import register


@register("measure", version=1, needs=("pair",), quantity="L2 distance", unit="unit of the weights")
def l2_distance(ends: Ends) -> Table:
    """The Euclidean distance between two tickets, over the weights that the second keeps: ||w - w_0||.

    Of a ticket as its training begins and as it ends it is how far the training goes (He et al. 2022). Lists are of all
    tensors together (tensor 0) and of each: `tensor_distance`, and `relative`, that distance over ||w_0||, of nothing
    0. Biases and normalisation do not count.

    >>> import torch
    >>> start, end = {"w": torch.tensor([3.0, 4.0, 9.0])}, {"w": torch.tensor([3.0, 14.0, 0.0])}
    >>> mask = {"w": torch.tensor([True, True, False])}
    >>> l2_distance(Ends((start, end), (mask, mask), 2, lambda state: None, lambda part: iter(())))
    {'l2_distance': 10.0, 'tensor': [0.0, 1.0], 'tensor_distance': [10.0, 10.0], 'relative': [2.0, 2.0]}
    """
    names = same_layers(ends)
    before, after = (kept_weights(names, state, ends.masks[-1]) for state in ends.weights)
    moved = [float((w - w0).square().sum()) for w0, w in zip(before, after, strict=True)]
    whole = [float(w0.square().sum()) for w0 in before]
    moved, whole = [sum(moved), *moved], [sum(whole), *whole]
    distances = [six_digits(square**0.5) for square in moved]
    return {
        "l2_distance": distances[0],
        **by_tensor(
            len(distances),
            tensor_distance=distances,
            relative=[six_digits((m / w) ** 0.5) if w else 0.0 for m, w in zip(moved, whole, strict=True)],
        ),
    }
