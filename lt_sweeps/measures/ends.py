"""The input of a measure of several tickets: their weights and masks, the network and the examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from lt_sweeps.columns import TAKEN
from lt_sweeps.masks import Mask, State
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.metrics import compared_by
from lt_sweeps.specs import Part

Table = dict[str, float | list[float]]  # result of a measure; its own name has the summary number


def require(table: object, word: str) -> None:
    """Raises ValueError unless `table` is a valid result of a measure, with `word` as its summary number.

    Other entries may be numbers, or lists of numbers of one length: the points of a curve.

    >>> require({"distance": 2.5, "alpha": [0.0, 1.0], "at": [2.0, 3.0]}, "distance")
    """
    if not isinstance(table, dict):
        raise ValueError(f"it returns a {type(table).__name__}: return a dict of numbers and lists of numbers")
    if not _is_number(table.get(word)):
        raise ValueError(f"it returns no number {word!r}: that is the column of results.csv")
    curves = {name: value for name, value in table.items() if isinstance(value, list)}
    for name, value in table.items():
        for number in curves.get(name, [value]):
            if not _is_number(number):
                raise ValueError(f"{name} holds {number!r}: give finite numbers, Python's own, as .item() makes them")
    if len({len(values) for values in curves.values()}) > 1:
        raise ValueError(f"{' and '.join(curves)} differ in length: they are the columns of one table")
    if taken := [name for name in table if name in TAKEN]:
        raise ValueError(f"{taken[0]} is a column already: call it something else")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Ends:
    """The arguments of every measure: `weights` are effective, one state dict and one mask per ticket."""

    weights: tuple[State, ...]
    masks: tuple[Mask, ...]
    classes: int
    network: Callable[[State], nn.Module]  # returns the network with some weights, on the device
    examples: Callable[[str], Iterator[tuple[Tensor, Tensor]]]  # "train", "validation" or "test", not augmented
    tell: Callable[[int], None] = lambda point: None  # called with the number of points done
    task: Part | None = None  # None: classification

    def error(self, network: nn.Module, part: str = "test") -> float:
        """Returns the error on a part of the examples: of classes the top-1 error, in percent.

        Of another task it is the metric that networks are compared by; where higher is better, negated.
        """
        metrics = evaluate(network, self.examples(part), self.classes, self.task).metrics
        metric = compared_by(metrics)
        return metric.error(metrics[metric.name])
