"""The numbers of papers, from the CSV files of lt_sweeps/published, beside those of a sweep."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lt_sweeps.columns import BESIDE
from lt_sweeps.errors import Mistake
from lt_sweeps.registry import nearest
from lt_sweeps.report.curves import Curve, Point, by_ground, chosen_level
from lt_sweeps.report.quantities import Quantity, quantities
from lt_sweeps.report.statistics import Interval
from lt_sweeps.report.wording import bounds, percent

FOLDER = Path(__file__).parents[1] / "published"
SAME = 0.06  # relative difference of weights remaining at which a level is compared: half a step of IMP is 0.11


@dataclass(frozen=True)
class Published:
    """One number of a paper, about curves that have `labels`; their other labels may have any value.

    A curve without one of these labels has its usual value: sweeps leave out labels that are usual in all cells.
    """

    paper: str
    model: str
    dataset: str
    labels: tuple[tuple[str, str], ...]
    quantity: str
    remaining: float | None  # percent of weights; None where the paper has one density, or the best of several
    relation: str  # of the paper's number to `value`: `=`, `>` or `<`
    value: float
    spread: float | None  # the paper's own, a standard deviation
    seeds: int | None
    iterations: int | None  # the length of the paper's training, None where it is not known
    source: str
    mark: str  # the kind of source: `table`, `text`, `data` (a release of the authors), `figure` (read off), `quoted`

    def is_of(self, curve: Curve) -> bool:
        """Whether the number is about a curve."""
        return curve.place == (self.model, self.dataset) and all(
            curve.labels.get(name, BESIDE.get(name)) == value for name, value in self.labels
        )

    def at(self, curve: Curve) -> Point | None:
        """The level of a curve to compare with: of the nearest share of weights, to SAME, or chosen on validation."""
        share = self.remaining
        if share is None:
            return chosen_level(curve)
        points = [p for p in curve.points if p.remaining and abs(p.remaining / share - 1) <= SAME]
        return min(points, key=lambda p: abs((p.remaining or 0) - share), default=None)


@dataclass(frozen=True)
class Comparison:
    """A number of a paper and our mean."""

    number: Published
    curve: Curve
    point: Point
    quantity: Quantity
    mean: Interval

    @property
    def what(self) -> str:
        """The quantity, the network, the data set, and the control if it is one."""
        control = "" if self.curve.control == "none" else f", control={self.curve.control}"
        return f"{self.quantity.title}, {' on '.join(self.curve.place)}{control}"

    @property
    def published(self) -> str:
        """The paper's number as text, with the paper's spread, or as a bound."""
        relation = "" if self.number.relation == "=" else f"{self.number.relation} "
        spread = f" ± {self.quantity.number(self.number.spread)}" if self.number.spread is not None else ""
        return f"{relation}{self.quantity.number(self.number.value)}{spread}"

    @property
    def inside(self) -> str:
        """Whether our mean agrees: `yes` or `no`, of a bound `reached` or `not reached`; `one seed` if undecided."""
        return _inside(self.number, self.mean.mean, self.mean.low, self.mean.high)


def papers() -> list[str]:
    """The names of the papers."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def read(paper: str) -> list[Published]:
    """Returns the numbers of a paper. Raises Mistake for an unknown paper.

    >>> dense, *_ = read("frankle2019")
    >>> dense.model, dense.value, dense.spread, dense.mark
    ('lenet_300_100', 98.0, 0.2, 'table')
    """
    if paper not in papers():
        raise Mistake(f"--against {paper}: choose one of {', '.join(papers())}{nearest(paper, papers())}")
    with (FOLDER / f"{paper}.csv").open(newline="") as file:
        return [
            Published(
                paper,
                line["model"],
                line["dataset"],
                tuple((name, value) for name, _, value in (word.partition("=") for word in line["labels"].split())),
                line["quantity"],
                float(line["weights_remaining"]) if line["weights_remaining"] else None,
                line["relation"],
                float(line["value"]),
                float(line["spread"]) if line["spread"] else None,
                int(line["seeds"]) if line["seeds"] else None,
                int(line["iterations"]) if line["iterations"] else None,
                line["source"],
                line["mark"],
            )
            for line in csv.DictReader(file, strict=True)
        ]


def about(curves: Sequence[Curve], paper: str, quantity: str) -> list[Published]:
    """Returns the numbers of a paper, at a share of weights, that are about some of these curves."""
    numbers = [p for p in read(paper) if p.quantity == quantity and p.remaining is not None]
    return [number for number in numbers if any(map(number.is_of, curves))]


def comparisons(curves: Sequence[Curve], paper: str) -> Iterator[Comparison]:
    """Yields each number of a paper that these curves can be compared with, and our mean."""
    quantities_of = {ground: quantities(group) for ground, group in by_ground(curves).items()}
    for number in read(paper):
        for curve in filter(number.is_of, curves):
            quantity, point = quantities_of[curve.ground].get(number.quantity), number.at(curve)
            mean = quantity.mean(point) if quantity and point else None
            if quantity and point and mean:
                yield Comparison(number, curve, point, quantity, mean)


def compared(curves: Sequence[Curve], paper: str) -> Iterator[str]:
    """Yields a Markdown table: each number of a paper that these curves can be compared with, and ours.

    `inside` says whether our mean is within the paper's own spread, or, without one, whether our 95 % t-interval
    contains the paper's number. A number that the paper gives as a bound is reached or not. Raises Mistake if there is
    nothing to compare.
    """
    heads = ["what", "weights remaining (%)", "published", "ours", "n", "ours - published", "inside", "source"]
    lines = []
    for comparison in comparisons(curves, paper):
        number, quantity, mean = comparison.number, comparison.quantity, comparison.mean
        cells = [comparison.what, percent(comparison.point.remaining or 0), comparison.published]
        cells += [f"{quantity.number(mean.mean)} {bounds(mean, quantity.number)}".rstrip(), str(mean.n)]
        cells += [f"{mean.mean - number.value:+.2f}", comparison.inside]
        lines.append([*cells, f"{number.source} [{number.mark}]"])
    if not lines:
        raise Mistake(f"--against {paper}: it has no number for these networks, data sets, methods and densities")
    yield "| " + " | ".join(heads) + " |"
    yield "|" + " --- |" * len(heads)
    yield from ("| " + " | ".join(cells) + " |" for cells in lines)


def _inside(number: Published, mean: float, low: float | None, high: float | None) -> str:
    """Whether our result agrees.

    >>> of_paper = Published("p", "m", "d", (), "accuracy", 100.0, "=", 98.0, 0.2, 5, None, "Figure 2", "table")
    >>> _inside(of_paper, 97.85, 97.6, 98.1), _inside(of_paper, 97.7, 97.6, 97.8)
    ('yes', 'no')
    """
    if number.relation in "<>":
        reached = mean > number.value if number.relation == ">" else mean < number.value
        return "reached" if reached else "not reached"
    if number.spread is not None:
        return "yes" if abs(mean - number.value) <= number.spread else "no"
    if low is None or high is None:
        return "one seed"
    return "yes" if low <= number.value <= high else "no"
