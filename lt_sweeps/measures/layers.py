"""The layers of the tickets of a measure, which must be the same where they are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from lt_sweeps.masks import Mask, State
from lt_sweeps.measures.ends import Ends, Table


def same_layers(ends: Ends) -> list[str]:
    """Returns the names of the masked tensors, in the last mask's order. Raises ValueError if tickets differ in them.

    >>> import torch
    >>> one, other = {"w": torch.ones(2, dtype=torch.bool)}, {"w": torch.ones(3, dtype=torch.bool)}
    >>> same_layers(Ends(({}, {}), (one, other), 2, lambda state: None, lambda part: iter(())))
    Traceback (most recent call last):
    ValueError: tickets of networks with other layers cannot be compared: w has 2 and 3 places
    """
    last = ends.masks[-1]
    for mask in ends.masks[:-1]:
        for name in {**last, **mask}:
            sizes = ["x".join(map(str, m[name].shape)) if name in m else "no" for m in (mask, last)]
            if sizes[0] != sizes[1]:
                why = f"{name} has {sizes[0]} and {sizes[1]} places"
                raise ValueError(f"tickets of networks with other layers cannot be compared: {why}")
    return list(last)


def kept_weights(names: Iterable[str], state: State, mask: Mask) -> list[Tensor]:
    """Returns the values of each tensor at the places that a mask keeps, as vectors of doubles."""
    return [state[name].double()[mask[name].to(state[name].device)] for name in names]


def by_tensor(rows: int, **columns: Sequence[float]) -> Table:
    """Returns columns of `rows` numbers each, numbered: all tensors together (tensor 0), then each in order.

    >>> by_tensor(2, density=[50.0, 25.0])
    {'tensor': [0.0, 1.0], 'density': [50.0, 25.0]}
    """
    return {"tensor": [float(number) for number in range(rows)], **{n: list(values) for n, values in columns.items()}}


def percent(part: float, whole: float) -> float:
    """Returns a share in percent, of nothing 0.

    >>> percent(1, 3), percent(0, 0)
    (33.3333, 0.0)
    """
    return round(100 * part / whole, 4) if whole else 0.0


def six_digits(value: float | Tensor) -> float:
    """Returns a number rounded to six significant digits, which do not depend on the order of sums.

    >>> import torch
    >>> six_digits(torch.tensor(1 / 3))
    0.333333
    """
    return float(f"{float(value):.6g}")
