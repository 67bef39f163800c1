"""The quantities of levels that figures and tables show, by name: `accuracy`, `difference`, `early_stop_step`, ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from lt_sweeps.columns import COLUMNS, COMPARED, DRAWN
from lt_sweeps.errors import Mistake
from lt_sweeps.metrics import ACCURACY, Metric
from lt_sweeps.registry import catalogue, nearest
from lt_sweeps.report.curves import Curve, Point, controls_of, over_seeds
from lt_sweeps.report.statistics import Interval
from lt_sweeps.report.wording import barrier, difference, iterations, plainly, result

COMPARED_TO = {  # what a measure compares a level with -> the end of its title
    "planted": "of the planted ticket",
    "dense": "to the dense network",
    "before": "in the training before",
    "trained": "after training",
    "ticket": "before training",
    "whole": "before training, to nothing pruned",
    "spawn": "to the perturbed copy",
}
STABLE = 2.0  # points of error (Frankle et al. 2020)
BARRIERS = ("barrier", "aligned_barrier")  # measures in the unit of the error
DIFFERENCE, STEP, EARLIER, AHEAD, SLOWER = "difference", "early_stop_step", "earlier", "ahead", "slower"


@dataclass(frozen=True)
class Quantity:
    """A quantity of the points of curves, and how it is written."""

    title: str
    mean: Callable[[Point], Interval | None]
    describe: Callable[[Interval], str]  # the mean and its interval, in words
    values: Callable[[Point], dict[int, float]]  # by seed
    number: Callable[[float], str]  # a value as text
    signed: bool = False  # whether a mean is written with its sign
    stable: float | None = None  # of a measure: networks are stable below this; 0 without such a bound
    metric: Metric | None = None  # of test results, by which levels may match dense

    @property
    def beside_dense(self) -> bool:
        """Whether dense networks have the quantity too and are a reference line."""
        return self.stable is None


def named(name: str, curves: Sequence[Curve]) -> Quantity:
    """Returns the quantity of a name, of curves of one model, data set and metric. Raises Mistake for an unknown name.

    A name is a metric's, a column's of results.csv that has a figure, or `difference`: to dense.
    """
    by_name = quantities(curves)
    quantity = by_name.get(name)
    if quantity is None:
        names = list(by_name)
        raise Mistake(f"{name}: no quantity of these results; choose one of {', '.join(names)}{nearest(name, names)}")
    return quantity


def quantities(curves: Sequence[Curve]) -> dict[str, Quantity]:
    """Returns the quantities that some level of these curves has, by name; the first is the test result."""
    points = [point for curve in curves for point in curve.points]
    by_name = {curves[0].metric.name: test_result(curves)}
    if any(point.to_dense for point in points if point.level):
        by_name[DIFFERENCE] = to_dense(curves)
    if any(point.early_stop for point in points):
        by_name[STEP] = early_stop_step()
        by_name[EARLIER] = earlier(curves)
    if any(curve.control != "none" for curve in curves):
        by_name |= {AHEAD: ahead(curves), SLOWER: slower(curves)}
    columns = dict.fromkeys(name for point in points for name, values in point.measures.items() if values)
    return by_name | {column: measured(column, curves) for column in columns}


def test_result(curves: Sequence[Curve]) -> Quantity:
    """The metric on test examples, at early stop where all trainings have one."""
    metric = curves[0].metric
    title = f"Test {metric.title} {curves[0].when}{' (%)' if metric.percent else ''}"
    describe = partial(result, metric=metric)
    return Quantity(title, _mean(_tests), describe, _tests, metric.number, metric=metric)


def to_dense(curves: Sequence[Curve]) -> Quantity:
    """The difference of the test result to dense, paired by seed."""
    metric = curves[0].metric
    title = f"Test {metric.title} minus dense{' (points)' if metric.percent else ''}"

    dense_of = _dense_of(curves)

    def by_seed(point: Point) -> dict[int, float]:
        dense = dense_of(point)
        return {seed: value - dense.test[seed] for seed, value in point.test.items() if dense and seed in dense.test}

    describe = partial(difference, metric=metric)

    def mean(point: Point) -> Interval | None:
        return point.to_dense if point.level else None

    return Quantity(title, mean, describe, by_seed, metric.number, signed=True, stable=0.0)


def early_stop_step() -> Quantity:
    """The step of least validation loss."""
    return Quantity("Early-stop step", _mean(_steps), iterations, _steps, "{:,.0f}".format)


def earlier(curves: Sequence[Curve]) -> Quantity:
    """How much earlier than dense the early stop is, in percent of dense's step, paired by seed."""

    dense_of = _dense_of(curves)

    def by_seed(point: Point) -> dict[int, float]:
        dense = dense_of(point)
        steps = dense.early_stop if dense and point.level else {}
        return {seed: 100 * (1 - step / steps[seed]) for seed, step in point.early_stop.items() if steps.get(seed)}

    return Quantity(
        "Early stop before dense's (%)", _mean(by_seed), plainly, by_seed, "{:.1f}".format, signed=True, stable=0.0
    )


def ahead(curves: Sequence[Curve]) -> Quantity:
    """How much better than a control its ticket is, at the same level and paired by seed."""
    metric, ticket_of = curves[0].metric, _ticket_of(curves)

    def by_seed(point: Point) -> dict[int, float]:
        ticket = ticket_of(point)
        return {seed: ticket.test[seed] - test for seed, test in point.test.items() if ticket and seed in ticket.test}

    title = f"Ticket's test {metric.title} minus the control's{' (points)' if metric.percent else ''}"
    return Quantity(title, _mean(by_seed), plainly, by_seed, metric.number, signed=True, stable=0.0)


def slower(curves: Sequence[Curve]) -> Quantity:
    """The early-stop step of a control over its ticket's, at the same level and paired by seed."""
    ticket_of = _ticket_of(curves)

    def by_seed(point: Point) -> dict[int, float]:
        ticket = ticket_of(point)
        steps = ticket.early_stop if ticket else {}
        return {seed: step / steps[seed] for seed, step in point.early_stop.items() if steps.get(seed)}

    title = "Control's early-stop step over the ticket's"
    return Quantity(title, _mean(by_seed), plainly, by_seed, "{:.2f}".format, stable=0.0)


def measured(column: str, curves: Sequence[Curve]) -> Quantity:
    """A measure's column of results.csv; its title and unit are those of the measure's entry in the registry."""
    measure, other = compared(column)
    entry, metric, describe, stable = catalogue("measure").get(measure), curves[0].metric, plainly, 0.0
    quantity, unit = (entry.quantity, entry.unit) if entry else (measure, "")
    title = f"{quantity} {COMPARED_TO.get(other, f'to the {other}')}"
    if column in DRAWN:
        title, unit = DRAWN[column], "%" if COLUMNS[column].meaning.startswith("percent") else ""
    elif measure in BARRIERS and not metric.percent:
        unit = metric.title
    elif measure in BARRIERS and metric is ACCURACY:
        describe, stable = barrier, STABLE

    def by_seed(point: Point) -> dict[int, float]:
        return dict(point.measures.get(column, {}))

    number = ACCURACY.number if stable else "{:.4g}".format
    label = f"{title} ({unit})" if unit else title
    return Quantity(label, _mean(by_seed), describe, by_seed, number, stable=stable)


def compared(column: str) -> tuple[str, str]:
    """The measure of a column of results.csv, and what each level is compared with.

    >>> compared("barrier"), compared("distance_parent"), compared("recall_planted")
    (('barrier', 'sibling'), ('distance', 'parent'), ('recall', 'planted'))
    """
    for other, suffix in COMPARED.items():
        if suffix and column.endswith(suffix):
            return column.removesuffix(suffix), other
    return column, "sibling"


def _dense_of(curves: Sequence[Curve]) -> Callable[[Point], Point | None]:
    """Returns a function from a level to its dense network, by identity: equal levels may differ in it."""
    dense_by_id = {id(point): (point, curve.dense) for curve in curves for point in curve.points}  # points keep ids
    return lambda point: dense_by_id.get(id(point), (point, None))[1]


def _ticket_of(curves: Sequence[Curve]) -> Callable[[Point], Point | None]:
    """Returns a function from a pruned level of a control to its ticket's, by identity."""
    ticket_by_id: dict[int, Point | None] = {}
    for ticket in curves:
        for control in controls_of(ticket, curves):
            ticket_by_id |= {id(point): ticket.at(point.level) for point in control.pruned}
    return lambda point: ticket_by_id.get(id(point))


def _mean(values: Callable[[Point], dict[int, float]]) -> Callable[[Point], Interval | None]:
    return lambda point: over_seeds(values(point))


def _tests(point: Point) -> dict[int, float]:
    return dict(point.test)


def _steps(point: Point) -> dict[int, float]:
    return dict(point.early_stop)
