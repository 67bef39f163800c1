"""Metrics of tasks: their names in records and columns, which way is better, and how numbers are written. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """A quantity of evaluated examples.

    A matching ticket may lose `margin`: in the metric's unit, or (`relative`) as a share of the dense network's value.
    """

    name: str  # in records and columns: test_accuracy, val_accuracy
    title: str  # in figures and sentences
    percent: bool
    higher: bool  # whether higher is better
    margin: float
    relative: bool = False

    @property
    def unit(self) -> str:
        """What follows a value: ` %` or nothing."""
        return " %" if self.percent else ""

    @property
    def label(self) -> str:
        """The title with its unit, for the head of a column or an axis."""
        return f"{self.title} (%)" if self.percent else self.title

    @property
    def allowed(self) -> str:
        """The margin in words.

        >>> METRICS["accuracy"].allowed, METRICS["mse"].allowed
        ('0.2 points', '5 % of its value')
        """
        return f"{100 * self.margin:g} % of its value" if self.relative else f"{self.margin:g}{self.points}"

    def margin_at(self, dense: float) -> float:
        """Returns what a matching ticket may lose against a dense network of this result, in the metric's unit.

        >>> METRICS["accuracy"].margin_at(98.0), METRICS["mse"].margin_at(2.0)
        (0.2, 0.1)
        """
        return self.margin * abs(dense) if self.relative else self.margin

    @property
    def points(self) -> str:
        """What follows a difference: ` points` or nothing."""
        return " points" if self.percent else ""

    def rounded(self, value: float) -> float:
        """Returns a value as records have it: percent with four decimals, other numbers with six digits.

        >>> METRICS["accuracy"].rounded(98.123456), METRICS["mse"].rounded(1.23456789e-5)
        (98.1235, 1.23457e-05)
        """
        return round(value, 4) if self.percent else float(f"{value:.6g}")

    def number(self, value: float) -> str:
        """Returns a value as people read it, without its unit.

        >>> METRICS["accuracy"].number(98.2), METRICS["mse"].number(0.000123456), METRICS["mse"].number(0.0)
        ('98.20', '0.0001235', '0')
        """
        if self.percent:
            return f"{value:.2f}" if round(value, 2) else "0.00"
        return f"{value:.4g}"

    def shown(self, value: float) -> str:
        """Returns a value with what it is.

        >>> METRICS["accuracy"].shown(98.2), METRICS["mse"].shown(0.01)
        ('98.20 %', 'mean squared error 0.01')
        """
        return f"{self.number(value)} %" if self is ACCURACY else f"{self.title} {self.number(value)}{self.unit}"

    def signed(self, value: float) -> str:
        """Returns a difference with its sign; what is written as zero has none.

        >>> METRICS["accuracy"].signed(-0.051), METRICS["accuracy"].signed(-0.001), METRICS["mse"].signed(0.00012)
        ('-0.05', '0.00', '+0.00012')
        """
        text = self.number(value)
        return f"+{text}" if value > 0 and float(text) else text

    def worth(self, value: float) -> float:
        """Returns a number that is higher for a better value.

        >>> METRICS["accuracy"].worth(98.0), METRICS["mse"].worth(0.5)
        (98.0, -0.5)
        """
        return value if self.higher else -value

    def error(self, value: float) -> float:
        """Returns a number that is lower for a better value: for a percentage, what is missing to 100.

        >>> METRICS["accuracy"].error(98.1234), METRICS["mse"].error(0.5)
        (1.8766, 0.5)
        """
        if not self.higher:
            return value
        return round(100 - value, 4) if self.percent else -value


# The first of these that a task has is the one its networks are compared by.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", percent=True, higher=True, margin=0.2),
        Metric("mse", "mean squared error", percent=False, higher=False, margin=0.05, relative=True),
        Metric("perplexity", "perplexity", percent=False, higher=False, margin=0.01, relative=True),
        Metric("f1", "F1 score", percent=True, higher=True, margin=0.2),
        Metric("r2", "R2", percent=False, higher=True, margin=0.002),
        Metric("token_accuracy", "accuracy of tokens", percent=True, higher=True, margin=0.2),
        Metric("mean_iou", "mean IoU", percent=True, higher=True, margin=0.2),
        Metric("pixel_accuracy", "accuracy of pixels", percent=True, higher=True, margin=0.2),
    )
}
ACCURACY = METRICS["accuracy"]
NO_RESULT = {ACCURACY.name: None}
OTHERS = tuple(metric for metric in METRICS.values() if metric is not ACCURACY)


def compared_by(names: Iterable[str]) -> Metric:
    """Returns the metric that networks are compared by: the first of METRICS among `names`.

    >>> compared_by(["r2", "mse"]).name
    'mse'
    """
    present = set(names)
    return next(metric for name, metric in METRICS.items() if name in present)


def named(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns metrics by the names of their columns.

    >>> named("val", {"accuracy": 98.0})
    {'val_accuracy': 98.0}
    """
    return {f"{part}_{name}": value for name, value in values.items()}


def values_of(row: Mapping[str, Any], part: str) -> dict[str, float]:
    """Returns the metrics in a row of a table or of a history, whose columns begin with `part`; none that are absent.

    >>> values_of({"val_loss": 0.1, "val_mse": 0.2, "test_mse": 0.3, "val_r2": None}, "val")
    {'mse': 0.2}
    """
    return {name: value for name in METRICS if (value := row.get(f"{part}_{name}")) is not None}


def of_row(row: Mapping[str, Any], part: str = "test") -> Metric:
    """Returns the metric that a row of a table is compared by; accuracy if it has no result."""
    return compared_by(values_of(row, part) or (ACCURACY.name,))
