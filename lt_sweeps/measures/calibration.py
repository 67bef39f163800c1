"""Whether a network is as sure as it is right."""

from __future__ import annotations

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import six_digits
from lt_sweeps.measures.predictions import probabilities
from lt_sweeps.registry import register


@register("measure", version=1, needs=("probabilities",), quantity="Expected calibration error", unit="%")
def calibration_error(ends: Ends, bins: int = 15) -> Table:
    """The expected calibration error of the last ticket on the test examples, in percent (Guo et al. 2017).

    Examples are put into `bins` intervals of equal width by confidence, the largest probability; an interval is open
    below and closed above. The error is the mean, weighted by examples, of |accuracy - confidence| of the intervals.
    `nll` is the mean negative log-likelihood, `brier` the mean squared distance of all probabilities to the right ones.
    Raises ValueError for fewer than one bin.

    Two answers with a probability of 3/4 each, of which one is right: 3/4 - 1/2.

    >>> import math, torch
    >>> batch = torch.tensor([[1.0], [1.0]]), torch.tensor([0, 1])
    >>> network = torch.nn.Linear(1, 2, bias=False)
    >>> def holding(state): network.load_state_dict(state); return network
    >>> state = {"weight": torch.tensor([[math.log(3)], [0.0]])}
    >>> table = calibration_error(Ends((state,), ({},), 2, holding, lambda part: iter([batch])), bins=2)
    >>> table["calibration_error"], table["accuracy"], table["examples"]
    (25.0, [0.0, 50.0], [0.0, 2.0])
    >>> round(table["brier"], 4)  # 2 / 16 and 18 / 16
    0.625
    """
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"calibration_error: bins={bins}: give 1 or more")
    predicted = probabilities(ends, ends.weights[-1], "calibration_error")
    likely, classes = predicted.outputs, predicted.classes
    confidence, right = likely.max(1).values, predicted.right.double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    counts, sure, correct = (
        values.new_zeros(bins).index_add_(0, place, values)
        for values in (confidence.new_ones(len(confidence)), confidence, right)
    )
    of_class = likely.gather(1, classes[:, None])
    brier = likely.square().sum(1) - 2 * of_class[:, 0] + 1
    filled = counts.clamp(min=1)
    return {
        "calibration_error": six_digits(100 * (correct - sure).abs().sum() / counts.sum()),
        "nll": six_digits(-of_class.clamp(min=1e-300).log().mean()),
        "brier": six_digits(brier.mean()),
        "examples": counts.tolist(),
        "confidence": [six_digits(value) for value in 100 * sure / filled],
        "accuracy": [six_digits(value) for value in 100 * correct / filled],
    }
