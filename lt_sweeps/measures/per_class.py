"""Which classes a ticket gets right, and which it loses first."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import percent
from lt_sweeps.measures.predictions import answers
from lt_sweeps.registry import register


@register("measure", version=1, needs=("classes",), quantity="Test accuracy of the worst class", unit="%")
def class_accuracy(ends: Ends) -> Table:
    """The test accuracy of the class that is worst, in percent; `by_class` has it of each class.

    A class without test examples has an accuracy of 0, `examples` of 0, and is not the worst.

    The outputs are the inputs. Of two examples of class 0 one is right, the one of class 1 is right.

    >>> from torch import nn
    >>> batch = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    >>> network = nn.Linear(2, 2, bias=False)
    >>> def holding(state): network.load_state_dict(state); return network
    >>> ends = Ends(({"weight": torch.eye(2)},), ({},), 2, holding, lambda part: iter([batch]))
    >>> class_accuracy(ends)
    {'class_accuracy': 50.0, 'class': [0.0, 1.0], 'by_class': [50.0, 100.0], 'examples': [2.0, 1.0]}
    """
    predicted = answers(ends, ends.weights[-1], "class_accuracy")
    counts, right = _counted(predicted.classes, predicted.right, ends.classes)
    accuracies = [percent(r, n) for r, n in zip(right, counts, strict=True)]
    return {
        "class_accuracy": min((a for a, n in zip(accuracies, counts, strict=True) if n), default=0.0),
        "class": [float(number) for number in range(ends.classes)],
        "by_class": accuracies,
        "examples": [float(n) for n in counts],
    }


@register("measure", version=1, needs=("pair", "classes"), quantity="Largest loss of a class", unit="points")
def class_loss(ends: Ends) -> Table:
    """How many points of test accuracy the class loses that loses most, from the first network to the second.

    `lost` has it of each class, negative where the second is better; `worst` is that class, the first of several.

    The first network answers with its inputs, the second always class 1: class 0 falls from 50 % to 0.

    >>> from torch import nn
    >>> batch = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    >>> network = nn.Linear(2, 2, bias=False)
    >>> def holding(state): network.load_state_dict(state); return network
    >>> states = {"weight": torch.eye(2)}, {"weight": torch.tensor([[0.0, 0.0], [1.0, 1.0]])}
    >>> class_loss(Ends(states, ({}, {}), 2, holding, lambda part: iter([batch])))
    {'class_loss': 50.0, 'worst': 0.0, 'class': [0.0, 1.0], 'lost': [50.0, 0.0]}
    """
    before, after = (answers(ends, state, "class_loss") for state in (ends.weights[0], ends.weights[-1]))
    counts, right = _counted(before.classes, before.right, ends.classes)
    _, still = _counted(after.classes, after.right, ends.classes)
    lost = [percent(r - s, n) for r, s, n in zip(right, still, counts, strict=True)]
    most = max((points for points, n in zip(lost, counts, strict=True) if n), default=0.0)
    return {
        "class_loss": most,
        "worst": float(lost.index(most)),
        "class": [float(number) for number in range(ends.classes)],
        "lost": lost,
    }


def _counted(classes: Tensor, right: Tensor, count: int) -> tuple[list[int], list[int]]:
    """The number of examples of each class, and of those that are right."""
    return torch.bincount(classes, minlength=count).tolist(), torch.bincount(classes[right], minlength=count).tolist()
