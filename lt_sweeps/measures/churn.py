"""How often two networks answer differently."""

from __future__ import annotations

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import percent, six_digits
from lt_sweeps.measures.predictions import answers, probabilities
from lt_sweeps.registry import register


@register("measure", version=1, needs=("pair", "classes"))
def churn(ends: Ends) -> Table:
    """The percentage of test examples to which two networks give different classes (Milani Fard et al. 2016).

    `least` is the difference of their accuracies, below which it cannot be; `won` and `lost` are the percentages that
    the second gets right and the first wrong, and the reverse: what is left of it are different mistakes.

    The first network answers with its inputs, the second always class 1: one of three differs, which was right.

    >>> import torch
    >>> batch = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    >>> network = torch.nn.Linear(2, 2, bias=False)
    >>> def holding(state): network.load_state_dict(state); return network
    >>> states = {"weight": torch.eye(2)}, {"weight": torch.tensor([[0.0, 0.0], [1.0, 1.0]])}
    >>> churn(Ends(states, ({}, {}), 2, holding, lambda part: iter([batch])))
    {'churn': 33.3333, 'least': 33.3333, 'won': 0.0, 'lost': 33.3333}
    """
    first, second = (answers(ends, state, "churn") for state in (ends.weights[0], ends.weights[-1]))
    count = len(first.classes)
    won, lost = int((second.right & ~first.right).sum()), int((first.right & ~second.right).sum())
    return {
        "churn": percent(int((first.predicted != second.predicted).sum()), count),
        "least": percent(abs(won - lost), count),
        "won": percent(won, count),
        "lost": percent(lost, count),
    }


@register("measure", version=1, needs=("pair", "classes"))
def function_distance(ends: Ends) -> Table:
    """How far apart the probabilities of two networks are on the test examples: total variation, in percent.

    Mean over examples of half the sum over classes of |p - q|: 0 where they say the same, 100 where neither thinks
    possible what the other says.

    A logit of 0 against 0 is a half each; log 3 against 0 is three quarters: they are a quarter apart.

    >>> import math, torch
    >>> batch = torch.tensor([[1.0]]), torch.tensor([0])
    >>> network = torch.nn.Linear(1, 2, bias=False)
    >>> def holding(state): network.load_state_dict(state); return network
    >>> states = {"weight": torch.zeros(2, 1)}, {"weight": torch.tensor([[math.log(3)], [0.0]])}
    >>> function_distance(Ends(states, ({}, {}), 2, holding, lambda part: iter([batch])))
    {'function_distance': 25.0}
    """
    states = ends.weights[0], ends.weights[-1]
    first, second = (probabilities(ends, state, "function_distance").outputs for state in states)
    return {"function_distance": six_digits(50 * (first - second).abs().sum(1).mean())}
