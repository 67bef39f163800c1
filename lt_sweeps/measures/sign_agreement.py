"""Whether two tickets agree in the signs of their weights."""

from __future__ import annotations

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import by_tensor, percent, same_layers
from lt_sweeps.registry import register


@register("measure", version=1, needs=("pair",), quantity="Equal signs", unit="% of kept weights")
def sign_agreement(ends: Ends) -> Table:
    """Percent of the weights that both masks keep which have the same sign; by chance it is 50.

    Weights that are zero at either end have no sign and are not counted, unlike in `sign_flips`, which counts them as
    not flipped. Of all tensors together (tensor 0) and of each; `compared` is how many weights were counted. Where no
    weight is kept by both it is 0. It looks at no examples.

    Of the three weights that both keep, one is zero in the second ticket; of the others one has the same sign.

    >>> import torch
    >>> one, other = {"w": torch.tensor([1.0, -2.0, 4.0, 5.0])}, {"w": torch.tensor([3.0, 4.0, 0.0, 6.0])}
    >>> masks = {"w": torch.tensor([True] * 4)}, {"w": torch.tensor([True, True, True, False])}
    >>> sign_agreement(Ends((one, other), masks, 2, lambda state: None, lambda part: iter(())))
    {'sign_agreement': 50.0, 'tensor': [0.0, 1.0], 'tensor_sign_agreement': [50.0, 50.0], 'compared': [2.0, 2.0]}
    """
    names, (first, second), (before, after) = same_layers(ends), ends.weights, ends.masks
    counts = []
    for name in names:
        product = (first[name].sign() * second[name].sign())[before[name] & after[name]]
        counts.append((int((product > 0).sum()), int((product != 0).sum())))
    rows = [tuple(map(sum, zip(*counts, strict=True))), *counts]
    shares = [percent(same, compared) for same, compared in rows]
    compared = [float(compared) for _, compared in rows]
    return {"sign_agreement": shares[0], **by_tensor(len(rows), tensor_sign_agreement=shares, compared=compared)}
