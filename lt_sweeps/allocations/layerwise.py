"""Allocations: the share of each layer that is kept, whatever its scores.

An allocation takes the shapes of the pruned layers, in the network's order, and the overall density; it returns a
density for each layer. With `needs` "first" or "last", that layer of the network must be pruned. `lt_sweeps.allocation`
turns densities into exact counts, of which none exceeds its layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from lt_sweeps.registry import register

Shapes = Mapping[str, tuple[int, ...]]


@register("allocation", version=1)
def uniform(shapes: Shapes, density: float) -> dict[str, float]:
    """The same density in every layer.

    >>> uniform({"fc": (10, 10), "output": (2, 10)}, 0.5)
    {'fc': 0.5, 'output': 0.5}
    """
    return dict.fromkeys(shapes, density)


@register("allocation", version=2, needs=("first", "last"))
def uniform_plus(shapes: Shapes, density: float, last: float = 0.2) -> dict[str, float]:
    """The first layer dense, if it is a convolution, the last at `last` or more, the others uniform (Gale et al. 2019).

    >>> uniform_plus({"conv": (5, 1, 1, 1), "fc": (10, 10), "output": (5, 5)}, 0.2)  # 26 of 130, less 5 and 5
    {'conv': 1.0, 'fc': 0.16, 'output': 0.2}
    """
    first, end = next(iter(shapes)), [*shapes][-1]
    spared = {first: 1.0} if len(shapes[first]) > 2 else {}
    return _in_proportion(shapes, density, dict.fromkeys(shapes, 1.0), {end: max(last, density)} | spared)


@register("allocation", version=1)
def er(shapes: Shapes, density: float) -> dict[str, float]:
    """Erdos-Renyi: proportional to (n_in + n_out) / (n_in n_out), without kernel sizes (Mocanu et al. 2018).

    >>> er({"fc": (10, 10), "output": (2, 10)}, 0.5)  # 20 and 12 shares of a weight: 1.875 each
    {'fc': 0.4, 'output': 1.0}
    """
    raw = {name: sum(shape[:2]) / math.prod(shape[:2]) for name, shape in shapes.items()}
    return _in_proportion(shapes, density, raw)


@register("allocation", version=1)
def erk(shapes: Shapes, density: float) -> dict[str, float]:
    """Erdos-Renyi-Kernel: proportional to the sum of a layer's dimensions over their product (Evci et al. 2020).

    >>> erk({"conv": (4, 4, 2, 2), "fc": (8, 8)}, 0.21875)  # 28 of 128: 12 and 16
    {'conv': 0.1875, 'fc': 0.25}
    """
    return _in_proportion(shapes, density, _kernel(shapes))


@register("allocation", version=1, needs=("last",))
def erk_plus(shapes: Shapes, density: float) -> dict[str, float]:
    """As `erk`, with the last layer dense (Liu et al. 2022).

    >>> erk_plus({"fc": (10, 10), "output": (2, 10)}, 0.5)
    {'fc': 0.4, 'output': 1.0}
    """
    *_, end = shapes
    return _in_proportion(shapes, density, _kernel(shapes), {end: 1.0})


@register("allocation", version=1)
def smart_ratio(
    shapes: Shapes, density: float, power: float = 2.0, linear: float = 0.3, by_depth: float = 0.0
) -> dict[str, float]:
    """Less in later layers: proportional to n**power + n, with n counting down to 1 (Su et al. 2020, *smart ratios*).

    Linear layers keep the share `linear`. For VGG they divide by the layer's number to the power `by_depth` = 2;
    `power` = 1 and 3 are two of their ablations. Weights that exceed a layer go to the layers after it, in order.
    Raises ValueError if no convolution is pruned.

    >>> smart_ratio({"one": (10, 10, 1, 1), "two": (10, 10, 1, 1), "output": (2, 10)}, 0.2)  # 38 as 12 to 6
    {'one': 0.25333333333333335, 'two': 0.12666666666666668, 'output': 0.3}
    """
    if all(len(shape) == 2 for shape in shapes.values()):
        raise ValueError("no convolution is pruned, and it keeps a fixed share of linear layers")
    deep = len(shapes)
    raw = {name: ((deep - i) ** power + deep - i) / (i + 1) ** by_depth for i, name in enumerate(shapes)}
    fixed = {name: linear for name, shape in shapes.items() if len(shape) == 2}
    free = {name: math.prod(shape) for name, shape in shapes.items() if name not in fixed}
    left = _left(shapes, density, fixed)
    scale = left / (sum(raw[name] * n for name, n in free.items()) or 1.0)
    shares, surplus = dict(fixed), 0.0
    for name, n in free.items():
        wanted = scale * raw[name] * n + surplus
        shares[name] = min(1.0, wanted / n)
        surplus = wanted - shares[name] * n
    return {name: shares[name] for name in shapes}


def _kernel(shapes: Shapes) -> dict[str, float]:
    return {name: sum(shape) / math.prod(shape) for name, shape in shapes.items()}


def _in_proportion(
    shapes: Shapes, density: float, raw: Mapping[str, float], fixed: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Returns densities proportional to `raw`, except those in `fixed`; a layer that would exceed 1 is dense."""
    shares = dict(fixed or {})
    while free := {name: math.prod(shape) for name, shape in shapes.items() if name not in shares}:
        scale = _left(shapes, density, shares) / sum(raw[name] * n for name, n in free.items())
        full = [name for name in free if scale * raw[name] > 1]
        shares |= dict.fromkeys(full, 1.0) or {name: scale * raw[name] for name in free}
    return {name: shares[name] for name in shapes}


def _left(shapes: Shapes, density: float, fixed: Mapping[str, float]) -> float:
    """Returns how many weights the other layers keep. Raises ValueError if the fixed layers keep more than all may."""
    total = sum(math.prod(shape) for shape in shapes.values())
    left = density * total - sum(share * math.prod(shapes[name]) for name, share in fixed.items())
    if left < -1e-9 * total:
        raise ValueError(f"{', '.join(fixed)} alone keep more than {100 * density:.3g} % of all weights")
    return max(0.0, left)
