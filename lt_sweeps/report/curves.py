"""Groups the rows of a results table into curves: one per set of labels, one point per level, seeds together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import fsum, isfinite
from typing import Any

from lt_sweeps.columns import AT_RANDOM, COLUMNS, COST, DRAWN, EMPTIED, LABELS, PLACE, TAKEN, is_of_training
from lt_sweeps.errors import Mistake
from lt_sweeps.metrics import ACCURACY, Metric, of_row, values_of
from lt_sweeps.registry import nearest
from lt_sweeps.report.statistics import Interval, interval, matching, paired, worse, worse_end
from lt_sweeps.report.wording import MATCHING, UNDECIDED, WORSE, statuses

Row = Mapping[str, Any]
Labels = tuple[tuple[str, str], ...]

DEFAULT = "default"  # the value of a label that a row does not have
NAMED = 4  # emptied layers that a note names; it counts the others
ALL_KEPT = "keeps all weights"
NOT_FINITE = "without a finite result"  # the status of a seed whose test result is infinite or nan
UNLABELLED = TAKEN - {*LABELS}  # columns of every sweep that are no labels
OF_TRAINING = {*COLUMNS, COST} - {*LABELS}  # what results say of a training


@dataclass(frozen=True)
class Point:
    """One level of a curve. Results are of finished seeds; `unfinished` counts the others by status."""

    level: int
    remaining: float | None  # percent of weights, mean over seeds
    test: Mapping[int, float]  # test result by seed, in the curve's metric
    early_stop: Mapping[int, int]  # early-stop step by seed
    unfinished: Mapping[str, int]
    to_dense: Interval | None  # paired by seed, in the unit of the metric
    measures: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # by column and seed
    emptied: tuple[str, ...] = ()  # the layers that some seed lost
    at_random: float = 0.0  # percent of kept weights that the criterion had excluded, mean over seeds
    matching: bool = False  # whether it is not worse than dense by more than the metric's margin
    validation: Mapping[int, float] = field(default_factory=dict)  # result on validation examples at the end, by seed
    worse: bool = False  # whether it is worse than dense by more than that
    cost: Mapping[int, int] = field(default_factory=dict)  # iterations of its training and of the search, by seed
    beside: float | None = None  # its ticket's `remaining`, of a control that keeps all weights or an unknown share

    @property
    def shown_at(self) -> float | None:
        """The percent of weights at which figures and tables show a level: its own, or that of the ticket beside it."""
        return self.remaining if self.beside is None else self.beside

    @property
    def keeps_all(self) -> bool:
        """Whether it is a control that keeps all weights, beside a ticket that does not."""
        return self.beside is not None and self.remaining is not None

    @property
    def verdict(self) -> str:
        """One of wording.VERDICTS about a pruned level; empty where no seed finished both it and dense.

        >>> Point(1, 50.0, {}, {}, {}, None).verdict, Point(1, 50.0, {}, {}, {}, Interval(0.1, None, None, 1)).verdict
        ('', 'undecided')
        """
        if not self.level or self.to_dense is None:
            return ""
        return MATCHING if self.matching else WORSE if self.worse else UNDECIDED

    @property
    def notes(self) -> str:
        """Notes about a level: unfinished seeds, empty layers, weights drawn at random, or that all are kept.

        >>> Point(3, 2.0, {}, {}, {}, None, at_random=92.7).notes
        '93 % of its weights drawn at random, excluded by the criterion'
        >>> Point(3, 100.0, {}, {}, {}, None, beside=51.2).notes
        'keeps all weights'
        """
        at_random = f"{self.at_random:.2g} % of its weights drawn at random, excluded by the criterion"
        notes = (self.lost, at_random if self.at_random else "", ALL_KEPT if self.keeps_all else "")
        return ", ".join(note for note in notes if note)

    @property
    def lost(self) -> str:
        """The counts of unfinished seeds by status, and the emptied layers.

        >>> Point(3, 2.0, {}, {}, {"collapsed": 2}, None, emptied=("fc1.weight",)).lost
        '2 collapsed (fc1.weight empty)'
        """
        counts = statuses(self.unfinished)
        if not self.emptied:
            return counts
        names, more = ", ".join(self.emptied[:NAMED]), len(self.emptied) - NAMED
        return f"{counts} ({names}{f' and {more} more' if more > 0 else ''} empty)"


@dataclass(frozen=True)
class Curve:
    """All levels of cells that differ in their seed alone."""

    labels: Mapping[str, str]
    points: tuple[Point, ...]
    at_early_stop: bool  # else results are those at the end of training
    dense_keys: frozenset[str]
    apart: bool = False  # whether level 0 was trained otherwise than the tickets, as with train=untrained
    metric: Metric = ACCURACY

    @property
    def place(self) -> tuple[str, str]:
        """The model and data set."""
        return self.labels["model"], self.labels["dataset"]

    @property
    def ground(self) -> tuple[str, str, str]:
        """The model, data set and metric: what curves of one figure share."""
        return *self.place, self.metric.name

    @property
    def control(self) -> str:
        """`none` for tickets."""
        return self.labels["control"]

    @property
    def when(self) -> str:
        """The step of the results, in words: that of least validation loss, or the last."""
        return "at early stop" if self.at_early_stop else "at the end"

    @property
    def cell(self) -> tuple[tuple[str, str], ...]:
        """All labels but the control: a ticket and its controls have the same."""
        return tuple(item for item in self.labels.items() if item[0] != "control")

    def label(self, name: str) -> str:
        """The value of a label; DEFAULT where results do not have it."""
        return self.labels.get(name, DEFAULT)

    def words(self, names: Sequence[str]) -> list[str]:
        """Returns these labels as `name=value`, without defaults and without settings of a group that is `none`.

        >>> labels = {"hook": "none", "hook.every": "100it", "criterion": "snip", "find.lr": "0.1"}
        >>> Curve(labels, (), False, frozenset()).words(["criterion", "hook", "hook.every", "find.lr", "find.steps"])
        ['criterion=snip', 'hook=none', 'find.lr=0.1']
        """
        values = {name: self.label(name) for name in names}
        off = tuple(f"{name}." for name, value in self.labels.items() if value == "none")
        return [f"{name}={value}" for name, value in values.items() if value != DEFAULT and not name.startswith(off)]

    @property
    def dense(self) -> Point | None:
        """Level 0."""
        return self.at(0)

    @property
    def pruned(self) -> tuple[Point, ...]:
        """The levels after level 0."""
        return tuple(point for point in self.points if point.level > 0)

    def at(self, level: int) -> Point | None:
        """The point of a level."""
        return next((point for point in self.points if point.level == level), None)


def curves(rows: Sequence[Row]) -> list[Curve]:
    """Groups rows into curves, in the order of their first rows. A dense row belongs to all curves with its labels.

    Results are at the early-stop step where all finished rows of a model and data set have one, else all at the end
    of training, so that no figure mixes the two. A level of a control that keeps all weights, as with
    `control=dense`, is shown beside its ticket's. A finished seed whose result is not finite is left out and counted.
    Raises Mistake for two trainings of one curve, level and seed, and for two results of one training.

    >>> labels = {"model": "lenet", "dataset": "mnist", "control": "none"}
    >>> row = {"level": 0, "weights_remaining": 100.0, "test_accuracy": 98.0, "status": "done"}
    >>> [curve] = curves([labels | row | {"seed": 0, "key": "a"}, labels | row | {"seed": 1, "key": "b"}])
    >>> curve.points[0].test, curve.at_early_stop
    ({0: 98.0, 1: 98.0}, False)
    """
    groups: dict[Labels, dict[int, dict[int, Row]]] = {}
    begun: dict[Labels, dict[Labels, None]] = {}  # labels of a dense row -> labels of the curves that begin with it
    for row in rows:
        if row["level"]:
            labels = tuple(labels_of(row).items())
            begun.setdefault(_of_chain(labels), {})[labels] = None
    for row in rows:
        own = tuple(labels_of(row).items())
        for labels in [own] if row["level"] else begun.get(_of_chain(own), {own: None}):
            seeds = groups.setdefault(labels, {}).setdefault(row["level"], {})
            if row["seed"] in seeds and seeds[row["seed"]].get("key") != row.get("key"):
                raise Mistake(f"two trainings of level {row['level']}, seed {row['seed']} of {dict(labels)}")
            merged = seeds.get(row["seed"], {})  # the same training in a cell with other measures
            if two := [name for name in OF_TRAINING if _differ(merged.get(name), row.get(name))]:
                place = f"level {row['level']}, seed {row['seed']} of {dict(labels)}"
                raise Mistake(f"two values of {min(two)} of {place}")
            values = {name: value for name, value in row.items() if value is not None or name not in merged}
            seeds[row["seed"]] = {**merged, **values}
    done = [row for row in rows if _done(row)]
    stopped = {_place(row) for row in done} - {_place(r) for r in done if not values_of(r, "early_stop_test")}
    all_curves = [_curve(dict(labels), levels, stopped) for labels, levels in groups.items()]
    tickets = {curve.cell: curve for curve in all_curves if curve.control == "none"}
    return [
        _place_beside(curve, tickets[curve.cell]) if curve.control != "none" and curve.cell in tickets else curve
        for curve in all_curves
    ]


def _curve(
    labels: Mapping[str, str], levels: Mapping[int, Mapping[int, Row]], stopped: Collection[tuple[str, str]]
) -> Curve:
    at_early_stop = (labels["model"], labels["dataset"]) in stopped
    metric = next((of_row(row) for rows in levels.values() for row in rows.values() if _done(row)), ACCURACY)
    column = f"early_stop_test_{metric.name}" if at_early_stop else f"test_{metric.name}"
    dense = _by_seed(levels.get(0, {}), column)
    points = []
    for level, rows in sorted(levels.items()):
        test = _by_seed(rows, column)
        to_dense = paired(test, dense)
        counted = [row for row in rows.values() if _done(row)] or list(rows.values())
        kept = [row["weights_remaining"] for row in counted if row.get("weights_remaining") is not None]
        unfinished = Counter(row["status"] for row in rows.values() if not _done(row))
        unfinished += Counter(NOT_FINITE for row in rows.values() if _done(row) and not _is_finite(row.get(column)))
        shared = [dense[seed] for seed in test if seed in dense]  # what differences are of
        mean = fsum(shared) / len(shared) if shared else 0.0
        points.append(
            Point(
                level,
                fsum(kept) / len(kept) if kept else None,
                test,
                _by_seed(rows, "early_stop_step"),
                dict(sorted(unfinished.items())),
                to_dense,
                {
                    name: _by_seed(rows, name)
                    for name in dict.fromkeys(n for row in rows.values() for n in measures_of(row))
                },
                tuple(dict.fromkeys(name for row in rows.values() for name in (row.get(EMPTIED) or "").split())),
                fsum(row.get(AT_RANDOM) or 0.0 for row in counted) / len(counted),
                matching(to_dense, metric, mean),
                _by_seed(rows, f"val_{metric.name}"),
                worse(to_dense, metric, mean),
                _by_seed(rows, COST),
            )
        )
    keys = frozenset(row["key"] for row in levels.get(0, {}).values() if row.get("key"))
    apart = any(labels_of(row) != labels for row in levels.get(0, {}).values())
    return Curve(labels, tuple(points), at_early_stop, keys, apart, metric)


def _place_beside(control: Curve, ticket: Curve) -> Curve:
    """Sets `beside` of the pruned levels of a control that keep all weights, or an unknown share."""
    kept = {point.level: point.remaining for point in ticket.pruned}
    points = (
        replace(point, beside=kept.get(point.level)) if point.level and point.remaining in (100, None) else point
        for point in control.points
    )
    return replace(control, points=tuple(points))


def _of_chain(labels: Labels) -> Labels:
    """The labels other than those that say how shown tickets are trained."""
    return tuple(item for item in labels if not is_of_training(item[0]))


def labels_of(row: Row) -> dict[str, str]:
    """The labels of the curve that a row of results.csv or of layers.csv belongs to."""
    measured = measures_of(row)
    return {name: _text(value) for name, value in row.items() if name not in UNLABELLED and name not in measured}


def measures_of(row: Row) -> list[str]:
    """The columns with a figure of their own, all after the key: some of the training, and those of measures.

    >>> measures_of({"model": "m", "seed": 0, "key": "1a2b", "emptied": None, "found_accuracy": 90.0, "barrier": 0.5})
    ['found_accuracy', 'barrier']
    """
    names = list(row)
    after = names[names.index("key") + 1 :] if "key" in row else []
    return [name for name in after if name in DRAWN or name not in UNLABELLED]


def sparsest_matching(curve: Curve) -> Point | None:
    """The matching level with the fewest weights, dense excluded; None where no level matches."""
    matches = [point for point in curve.pruned if point.matching]
    return min(matches, key=lambda point: (_remaining(point), -point.level), default=None)


def chosen_level(curve: Curve) -> Point | None:
    """The only pruned level, or the level that each seed chooses on validation examples; None where none has results.

    >>> points = [Point(n, 50.0 / n, {0: t}, {}, {}, None, validation={0: v}) for n, v, t in [(1, 90, 88), (2, 91, 87)]]
    >>> best = chosen_level(Curve({}, tuple(points), False, frozenset()))
    >>> best.remaining, best.test
    (25.0, {0: 87})
    """
    if len(curve.pruned) == 1:
        return curve.pruned[0]
    best: dict[int, Point] = {}
    for point in curve.pruned:
        for seed, value in point.validation.items():
            if seed not in best or curve.metric.worth(value) > curve.metric.worth(best[seed].validation[seed]):
                best[seed] = point
    if not best:
        return None
    kept = [point.remaining for point in best.values() if point.remaining is not None]
    return Point(
        max(point.level for point in best.values()),
        fsum(kept) / len(kept) if kept else None,
        {seed: point.test[seed] for seed, point in sorted(best.items()) if seed in point.test},
        {},
        {},
        None,
    )


def closest(curve: Curve) -> Point | None:
    """The level with the smallest deficit to dense at the worse end of its interval; None where no level has one."""
    judged = [
        (worst, point)
        for point in curve.pruned
        if point.to_dense and (worst := worse_end(point.to_dense, curve.metric)) is not None
    ]
    return max(judged, key=lambda pair: pair[0], default=(None, None))[1]


def by_ground(all_curves: Sequence[Curve]) -> dict[tuple[str, str, str], list[Curve]]:
    """The curves of each model, data set and metric, in their order."""
    grounds: dict[tuple[str, str, str], list[Curve]] = {}
    for curve in all_curves:
        grounds.setdefault(curve.ground, []).append(curve)
    return grounds


def over_seeds(values: Mapping[int, float]) -> Interval | None:
    """The interval over seeds, None where no seed finished."""
    return interval(values[seed] for seed in sorted(values)) if values else None


def controls_of(ticket: Curve, others: Sequence[Curve]) -> list[Curve]:
    """The curves that differ from a ticket's only in their control; empty for a control."""
    return [] if ticket.control != "none" else [c for c in others if c.cell == ticket.cell and c.control != "none"]


def ticket_of(control: Curve, others: Sequence[Curve]) -> Curve | None:
    """The ticket of a control's curve; None for a ticket."""
    tickets = (other for other in others if other.control == "none" and other.cell == control.cell)
    return None if control.control == "none" else next(tickets, None)


def differing(group: Sequence[Curve]) -> list[str]:
    """The labels, other than model, data set and control, that do not have the same value in all curves."""
    names = list(dict.fromkeys(name for curve in group for name in curve.labels))
    return [
        name
        for name in names
        if name not in (*PLACE, "control") and len({curve.labels.get(name) for curve in group}) > 1
    ]


def varied(group: Sequence[Curve]) -> list[str]:
    """The labels that do not have the same value in all curves."""
    return [name for name in (*PLACE, "control") if len({curve.labels[name] for curve in group}) > 1] + differing(group)


def no_label(option: str, name: str, curves: Iterable[Mapping[str, str]]) -> Mistake:
    """The error for an option, or a word, whose `name` is no label; `curves` are the labels of each curve."""
    known = dict.fromkeys(label for labels in curves for label in labels)
    return Mistake(f"{option}: no label of these results; choose one of {', '.join(known)}{nearest(name, known)}")


def require_label(option: str, label: str | None, curves: Sequence[Curve]) -> None:
    """Raises Mistake if an option names what is no label of these curves."""
    if label is not None and not any(label in curve.labels for curve in curves):
        raise no_label(f"{option} {label}", label, [curve.labels for curve in curves])


def _by_seed(rows: Mapping[int, Row], column: str) -> dict[int, Any]:
    values = {seed: row.get(column) for seed, row in sorted(rows.items()) if _done(row)}
    return {seed: value for seed, value in values.items() if value is not None and _is_finite(value)}


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or isfinite(value)


def _differ(one: Any, other: Any) -> bool:
    """Whether two values are known and differ; nan is itself."""
    return one is not None and other is not None and one != other and not (one != one and other != other)


def _done(row: Row) -> bool:
    return bool(row["status"] == "done")


def _place(row: Row) -> tuple[str, str]:
    return _text(row["model"]), _text(row["dataset"])


def _remaining(point: Point) -> float:
    return float("inf") if point.remaining is None else point.remaining


def _text(value: Any) -> str:
    return DEFAULT if value is None else str(value)
