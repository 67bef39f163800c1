"""Signs of weights at two ends."""

from __future__ import annotations

import torch

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.registry import register


@register("measure", version=1, needs=("pair",), quantity="Sign flips", unit="% of kept weights")
def sign_flips(ends: Ends) -> Table:
    """Percent of the weights that both masks keep whose signs are opposite.

    100 * #{a b < 0} / n over the n weights a of the first ticket and b of the second that both keep; a weight of zero
    has no sign to flip. Between a training's start and its end these are the signs that training has changed (Gadhikar
    & Burkholz 2024). It looks at no examples.

    Three weights are kept by both, and the second of these has changed its sign; the last is kept by the first alone.

    >>> one, other = {"w": torch.tensor([1.0, -2.0, 0.0, 5.0])}, {"w": torch.tensor([3.0, 4.0, -1.0, 0.0])}
    >>> masks = {"w": torch.tensor([True] * 4)}, {"w": torch.tensor([True, True, True, False])}
    >>> sign_flips(Ends((one, other), masks, 2, lambda state: None, lambda part: iter(())))
    {'sign_flips': 33.333333}
    """
    (first, second), (before, after) = ends.weights, ends.masks
    flipped = kept = 0
    for name in sorted(after):
        both = after[name] & before[name]
        kept += int(both.sum())
        flipped += int((torch.sign(first[name]) * torch.sign(second[name]) < 0)[both].sum())
    return {"sign_flips": round(100 * flipped / max(1, kept), 6)}
