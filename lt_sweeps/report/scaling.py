"""`lt-sweeps scaling FOLDER --over NAME`: the smallest matching density over a number, its slope, and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, fsum, log
from pathlib import Path
from typing import TYPE_CHECKING

from lt_sweeps.errors import Mistake
from lt_sweeps.metrics import ACCURACY, Metric
from lt_sweeps.report import paper
from lt_sweeps.report.axes import ticks, two_digits
from lt_sweeps.report.curves import Curve
from lt_sweeps.report.over import lines as over_numbers
from lt_sweeps.report.selecting import chosen, parse, parser
from lt_sweeps.report.statistics import Interval, interval
from lt_sweeps.report.styles import styles
from lt_sweeps.report.wording import bounds, percent
from lt_sweeps.store.store import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Sizes = Mapping[float, Mapping[int, float]]  # the number -> seed -> percent of weights that remain


@dataclass(frozen=True)
class Line:
    """The smallest matching densities of one kind of cell, and whether some may be smaller than was measured."""

    name: str
    sizes: Sizes
    least: frozenset[float]  # the numbers at which the sparsest level of some seed still matches
    curve: Curve

    @property
    def slope(self) -> Interval | None:
        """The exponent: density as a power of the number, over the seeds that have all numbers."""
        seeds = set.intersection(*({*by_seed} for by_seed in self.sizes.values()))
        slopes = [slope({x: by_seed[seed] for x, by_seed in self.sizes.items()}) for seed in sorted(seeds)]
        return interval(slopes) if slopes else None


def smallest(dense: float, by_density: Mapping[float, float], metric: Metric = ACCURACY) -> float:
    """The smallest density whose result is no worse than `dense` by more than the metric's margin; 100 if none is.

    Of one seed: so it has the noise of two trainings, and of the many levels among which it is the smallest.

    >>> smallest(98.0, {50.0: 98.1, 20.0: 97.9, 8.0: 97.0})
    20.0
    """
    least = metric.worth(dense) - metric.margin_at(dense)
    good = (size for size, result in by_density.items() if metric.worth(result) >= least)
    return min(good, default=100.0)


def slope(sizes: Mapping[float, float]) -> float:
    """The slope of the least-squares line through the logarithms of both.

    Twice the width halves the density:

    >>> round(slope({1.0: 40.0, 2.0: 20.0, 4.0: 10.0}), 6)
    -1.0
    """
    points = [(log(x), log(y)) for x, y in sizes.items()]
    middle = fsum(x for x, _ in points) / len(points)
    return fsum((x - middle) * y for x, y in points) / fsum((x - middle) ** 2 for x, _ in points)


def lines(curves: Sequence[Curve], over: str) -> list[Line]:
    """Groups curves that differ in the label `over` alone. Raises Mistake for no such label, or no numbers above 0."""
    kinds = over_numbers(curves, over)
    values = {name: {kind.labels.get(name) for kind in kinds} for name in kinds[0].labels}
    named = {name for name, several in values.items() if len(several) > 1}
    found = []
    for kind in kinds:
        sizes, least = dict[float, dict[int, float]](), set[float]()
        for number, curve in kind.by_number.items():
            if number == 0:
                raise Mistake(f"--over {over}: 0 has no logarithm: choose values by {over}=...")
            sizes[number] = {}
            for seed, dense in (curve.dense.test if curve.dense is not None else {}).items():
                by_density = {p.remaining: p.test[seed] for p in curve.pruned if seed in p.test and p.remaining}
                size = sizes[number][seed] = smallest(dense, by_density, curve.metric)
                if by_density and size == min(by_density):
                    least.add(number)
        sizes = {number: by_seed for number, by_seed in sizes.items() if by_seed}
        if len(sizes) < 2:
            raise Mistake(f"--over {over}: takes finished tickets of two values or more, and there is {len(sizes)}")
        name = ", ".join(f"{name}={value}" for name, value in kind.labels.items() if name in named) or "tickets"
        found.append(Line(name, sizes, frozenset(least), next(iter(kind.by_number.values()))))
    return found


def table(found: Sequence[Line], over: str) -> list[str]:
    """The lines of a Markdown table: a row per number, and the slope of each kind."""
    rows = [f"| | {over} | smallest matching density of each seed (%) | geometric mean (%) |", "|---|---|---|---|"]
    for line in found:
        for number, by_seed in line.sizes.items():
            each = ", ".join(percent(size) for _, size in sorted(by_seed.items()))
            bound = "at most " if number in line.least else ""
            rows.append(f"| {line.name} | {number:g} | {each} | {bound}{percent(_mean(by_seed))} |")
    rows.append("")
    for line in found:
        mean = line.slope
        if mean is None:
            rows.append(f"{line.name}: no seed has all values of {over}, so there is no slope")
            continue
        spread = f" {bounds(mean)}" if mean.low is not None else ", no interval"
        bounded = "; some densities are only bounds" if line.least else ""
        rows.append(f"{line.name}: density goes as {over} to the {mean.mean:.2f}{spread}, n = {mean.n}{bounded}")
    return rows


def _mean(by_seed: Mapping[int, float]) -> float:
    return exp(fsum(log(size) for size in by_seed.values()) / len(by_seed))


def draw(found: Sequence[Line], over: str) -> Figure:
    """The figure: both axes logarithmic, a point per seed, a line through the means over seeds."""
    sheet = paper.LOOKS["paper"]
    with paper.settings(sheet):
        figure = paper.blank(sheet.width, sheet.height * sheet.width)
        axis = figure.subplots()
        for line, style in zip(found, styles([line.curve for line in found]), strict=True):
            marker = paper.MARKERS[style.symbol]
            for number, by_seed in line.sizes.items():
                axis.plot([number] * len(by_seed), list(by_seed.values()), marker, color=style.colour, alpha=0.4)
            means = [_mean(by_seed) for by_seed in line.sizes.values()]
            power = line.slope
            label = line.name if power is None else f"{line.name}: slope {power.mean:.2f} {bounds(power)}".rstrip()
            axis.plot([*line.sizes], means, color=style.colour, linestyle=paper.DASHES[style.dash], label=label)
        axis.set_xscale("log")
        axis.set_yscale("log")
        numbers = sorted({number for line in found for number in line.sizes})
        levels = ticks([size for line in found for by_seed in line.sizes.values() for size in by_seed.values()])
        axis.set_xticks(numbers, [f"{number:g}" for number in numbers])
        axis.set_yticks(levels, [two_digits(level) for level in levels])
        axis.minorticks_off()
        axis.set_xlabel(over)
        axis.set_ylabel("Smallest matching density (%)")
        axis.legend(frameon=False)
        figure.draw_without_rendering()
    return figure


EPILOG = """The smallest matching density of a seed is that of its sparsest level whose test result is at most the
metric's margin (0.2 points) below its dense network's. The slope is the mean over seeds of least-squares slopes of
log density over log NAME, with a 95 % t-interval. NAME=VALUE chooses curves by their labels.

  lt-sweeps scaling runs/ticket_size --over model.width control=none"""


def main(arguments: Sequence[str]) -> int:
    """Prints the table and writes the figure; returns the exit code. Raises Mistake."""
    options = parser("scaling", "The smallest matching density over a number, such as the width.", EPILOG)
    options.add_argument("--over", required=True, metavar="NAME", help="a label whose values are numbers")
    options.add_argument("--format", choices=paper.FORMATS, help="of the figure; pdf, or what --out ends in")
    options.add_argument("--out", type=Path, metavar="FILE", help="else scaling.pdf in the (first) sweep's folder")
    asked = options.parse_intermixed_args(list(arguments))
    folders, quantity, where = parse(asked.words)
    if quantity:
        raise Mistake(f"{quantity}: no folder, and scaling is of the test result")
    found = lines(chosen(folders, where), asked.over)
    out, form = paper.place(asked.out, asked.format, folders[0], "scaling")
    content = paper.encoded(draw(found, asked.over), form)
    out.parent.mkdir(parents=True, exist_ok=True)
    write(out, content)
    print("\n".join(table(found, asked.over)))
    print(f"figure:  {out}")
    return 0
