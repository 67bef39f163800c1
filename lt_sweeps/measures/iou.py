"""How alike two masks are."""

from __future__ import annotations

from math import sqrt

from torch import Tensor

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import by_tensor, percent, same_layers
from lt_sweeps.registry import register


@register("measure", version=1, needs=("pair",), quantity="Mask overlap", unit="% of the union")
def overlap(ends: Ends) -> Table:
    """The weights that both masks keep, in percent of those that either keeps: intersection over union.

    Beside it stand three nulls, of masks that are drawn at random. `independent`: each keeps its share of all weights
    anywhere, p and q, and the overlap is p q / (p + q - p q). `same_layers`: each keeps in every layer l as many as it
    does, p_l and q_l of N_l, and the overlap is sum N_l p_l q_l / sum N_l (p_l + q_l - p_l q_l). The second is the one
    to compare with: equal shares of layers alone raise the overlap. `deviation` is its standard deviation
    over draws with these counts, to first order: sqrt(sum of hypergeometric variances) (a + b) / (a + b - i)^2, where a
    and b are counted and i is expected. `same_inputs` is the same of each input of each layer, in place of each layer:
    what two masks share because both prefer some inputs, such as pixels, is in it. Lists are of all tensors together
    (tensor 0) and of each; of nested masks, such as levels of IMP, the overlap is the ratio of their counts. Masks that
    are both empty have an overlap of 0.

    Both keep one of the four weights of w, which is the same; of v one keeps both and the other one.

    >>> import torch
    >>> first = {"w": torch.tensor([True, False, False, False]), "v": torch.tensor([True, True])}
    >>> second = {"w": torch.tensor([True, False, False, False]), "v": torch.tensor([True, False])}
    >>> table = overlap(Ends(({}, {}), (first, second), 2, lambda state: None, lambda part: iter(())))
    >>> table["overlap"], table["tensor_overlap"]  # 2 / 3, and 1 / 1, 1 / 2
    (66.6667, [66.6667, 100.0, 50.0])
    >>> table["independent"]  # 1/2 and 1/3: 1/6 of 4/6
    25.0
    >>> table["same_layers"], table["tensor_same_layers"]  # 5/4 of 15/4; in w 1/4 of 7/4, in v 1 of 2
    (33.3333, [33.3333, 14.2857, 50.0])
    """
    (first, second), names = ends.masks, same_layers(ends)
    counts = [
        (int(a.sum()), int(b.sum()), int((a & b).sum()), a.numel()) for a, b in ((first[n], second[n]) for n in names)
    ]
    a, b, _, n = whole = tuple(map(sum, zip(*counts, strict=True)))
    rows = [whole, *counts]
    by_input = [_by_input(first[n], second[n]) for n in names]
    columns = [sum(by_input), *by_input]
    groups = [counts, *([count] for count in counts)]
    shared = [sum(a * b / n for a, b, _, n in group) for group in groups]
    variances = [sum(_variance(a, b, n) for a, b, _, n in group) for group in groups]
    overlaps = [percent(both, a + b - both) for a, b, both, _ in rows]
    nulls = [percent(i, a + b - i) for (a, b, _, _), i in zip(rows, shared, strict=True)]
    finer = [percent(i, a + b - i) for (a, b, _, _), i in zip(rows, columns, strict=True)]
    deviations = [
        percent(sqrt(variance) * (a + b), (a + b - i) ** 2)
        for (a, b, _, _), i, variance in zip(rows, shared, variances, strict=True)
    ]
    return {
        "overlap": overlaps[0],
        "independent": percent(a * b / n, a + b - a * b / n),
        "same_layers": nulls[0],
        "deviation": deviations[0],
        "same_inputs": finer[0],
        **by_tensor(
            len(rows),
            tensor_overlap=overlaps,
            tensor_same_layers=nulls,
            tensor_deviation=deviations,
            tensor_same_inputs=finer,
        ),
    }


def _by_input(first: Tensor, second: Tensor) -> float:
    """The expected number of common places of masks that keep as many of every input, which is dimension 1.

    >>> import torch
    >>> _by_input(torch.tensor([[True, False], [True, False]]), torch.tensor([[True, False], [False, True]]))
    1.0
    """
    if first.dim() < 2:
        return float(first.sum() * second.sum() / first.numel())
    columns = [ones.transpose(0, 1).flatten(1).double().sum(1) for ones in (first, second)]
    return float((columns[0] * columns[1]).sum() * first.shape[1] / first.numel())


def _variance(a: int, b: int, n: int) -> float:
    """The variance of the number of common places of two random sets of `a` and `b` of `n` places.

    >>> _variance(1, 1, 2), _variance(1, 1, 1)
    (0.25, 0.0)
    """
    return a * b * (n - a) * (n - b) / (n * n * (n - 1)) if n > 1 else 0.0
