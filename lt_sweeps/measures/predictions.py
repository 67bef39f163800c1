"""What measures ask of the examples: what networks answer on them, and which of them there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lt_sweeps.masks import State
from lt_sweeps.measures.ends import Ends
from lt_sweeps.randomness import seeded
from lt_sweeps.tasks.task import as_input, task_of


class Answers(NamedTuple):
    """The outputs of a network on the test examples, (N, outputs), and their classes, (N,); on the CPU."""

    outputs: Tensor
    classes: Tensor

    @property
    def predicted(self) -> Tensor:
        """The class of the largest output of each example."""
        return self.outputs.argmax(1)

    @property
    def right(self) -> Tensor:
        """Whether each example is classified right."""
        return self.predicted == self.classes


@torch.no_grad()
def answers(ends: Ends, state: State, what: str) -> Answers:
    """Returns the answers of the network with these weights, in evaluation mode, as `evaluate` computes them.

    Raises ValueError, naming the measure, unless the task is one class per example.
    """
    require_classes(ends, what)
    network = ends.network(state).eval()
    weight = next(network.parameters())
    outputs, classes = list[Tensor](), list[Tensor]()
    with torch.autocast(weight.device.type, enabled=False), seeded(0):
        for x, y in ends.examples("test"):
            outputs.append(network(as_input(x, weight.dtype)).float().cpu())
            classes.append(y.cpu())
    return Answers(torch.cat(outputs), torch.cat(classes))


def require_classes(ends: Ends, what: str) -> None:
    """Raises ValueError unless each example has one class."""
    if not task_of(ends.task).of_classes:
        raise ValueError(f"{what} needs one class per example, and this task has none: task=classification")


def require_validation(ends: Ends, what: str) -> None:
    """Raises ValueError unless validation examples are held out."""
    if next(iter(ends.examples("validation")), None) is None:
        raise ValueError(f"{what} chooses on validation examples, and none are held out: recipe.validation=")


def first_examples(ends: Ends, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the first training examples, not augmented, `count` in all."""
    for x, y in ends.examples("train"):
        yield x[:count], y[:count]
        count -= len(y[:count])
        if count < 1:
            return


def probabilities(ends: Ends, state: State, what: str) -> Answers:
    """Returns the answers as probabilities of classes, in doubles. Raises ValueError where outputs are no logits."""
    if ends.task is not None and ends.task.name != "classification":
        raise ValueError(f"{what} needs probabilities of classes, and task={ends.task.name} gives none")
    outputs, classes = answers(ends, state, what)
    return Answers(outputs.double().softmax(1), classes)
