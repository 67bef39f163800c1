"""`lt-sweeps scaling FOLDER --over NAME`: the smallest matching density over a numeric label, its slope, a figure."""

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
from lt_sweeps.report.over import group_lines
from lt_sweeps.report.selecting import build_parser, parse, read_curves
from lt_sweeps.report.statistics import Interval, interval
from lt_sweeps.report.styles import styles
from lt_sweeps.report.wording import bounds, percent
from lt_sweeps.store.store import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Densities = Mapping[float, Mapping[int, float]]  # number -> seed -> percent of weights that remain


@dataclass(frozen=True)
class Scaling:
    """The smallest matching densities of curves that differ in the number alone."""

    name: str
    densities: Densities
    bounded: frozenset[float]  # the numbers at which some density is only an upper bound: the sparsest level matches
    curve: Curve

    @property
    def slope(self) -> Interval | None:
        """The exponent of density as a power of the number, over the seeds that have all numbers; None without any."""
        seeds = set.intersection(*({*by_seed} for by_seed in self.densities.values()))
        slopes = [slope({x: by_seed[seed] for x, by_seed in self.densities.items()}) for seed in sorted(seeds)]
        return interval(slopes) if slopes else None


def smallest(dense: float, by_density: Mapping[float, float], metric: Metric = ACCURACY) -> float:
    """The smallest density whose result is worse than `dense` by at most the metric's margin; 100 if none is.

    It is of one seed, so it has the noise of two trainings, and the bias of a minimum over many levels.

    >>> smallest(98.0, {50.0: 98.1, 20.0: 97.9, 8.0: 97.0})
    20.0
    """
    least = metric.worth(dense) - metric.margin_at(dense)
    within = (density for density, result in by_density.items() if metric.worth(result) >= least)
    return min(within, default=100.0)


def slope(densities: Mapping[float, float]) -> float:
    """The least-squares slope of log density over log number.

    Twice the width halves the density:

    >>> round(slope({1.0: 40.0, 2.0: 20.0, 4.0: 10.0}), 6)
    -1.0
    """
    points = [(log(x), log(y)) for x, y in densities.items()]
    middle = fsum(x for x, _ in points) / len(points)
    return fsum((x - middle) * y for x, y in points) / fsum((x - middle) ** 2 for x, _ in points)


def scalings(curves: Sequence[Curve], over: str) -> list[Scaling]:
    """Groups curves that differ in the label `over` alone. Raises Mistake unless its values are numbers above 0."""
    lines = group_lines(curves, over)
    values = {name: {line.labels.get(name) for line in lines} for name in lines[0].labels}
    differing = {name for name, of_lines in values.items() if len(of_lines) > 1}
    grouped = []
    for line in lines:
        densities, bounded = dict[float, dict[int, float]](), set[float]()
        for number, curve in line.by_number.items():
            if number == 0:
                raise Mistake(f"--over {over}: 0 has no logarithm: choose values by {over}=...")
            densities[number] = {}
            for seed, dense in (curve.dense.test if curve.dense is not None else {}).items():
                by_density = {p.remaining: p.test[seed] for p in curve.pruned if seed in p.test and p.remaining}
                density = densities[number][seed] = smallest(dense, by_density, curve.metric)
                if by_density and density == min(by_density):
                    bounded.add(number)
        densities = {number: by_seed for number, by_seed in densities.items() if by_seed}
        if len(densities) < 2:
            raise Mistake(f"--over {over}: takes finished tickets of two values or more, and there is {len(densities)}")
        name = ", ".join(f"{name}={value}" for name, value in line.labels.items() if name in differing) or "tickets"
        grouped.append(Scaling(name, densities, frozenset(bounded), next(iter(line.by_number.values()))))
    return grouped


def table(scalings: Sequence[Scaling], over: str) -> list[str]:
    """The lines of a Markdown table with a row per number, and a sentence on each slope."""
    rows = [f"| | {over} | smallest matching density of each seed (%) | geometric mean (%) |", "|---|---|---|---|"]
    for scaling in scalings:
        for number, by_seed in scaling.densities.items():
            densities = ", ".join(percent(density) for _, density in sorted(by_seed.items()))
            bound = "at most " if number in scaling.bounded else ""
            rows.append(f"| {scaling.name} | {number:g} | {densities} | {bound}{percent(_mean(by_seed))} |")
    rows.append("")
    for scaling in scalings:
        mean = scaling.slope
        if mean is None:
            rows.append(f"{scaling.name}: no seed has all values of {over}, so there is no slope")
            continue
        spread = f" {bounds(mean)}" if mean.low is not None else ", no interval"
        note = "; some densities are only bounds" if scaling.bounded else ""
        rows.append(f"{scaling.name}: density goes as {over} to the {mean.mean:.2f}{spread}, n = {mean.n}{note}")
    return rows


def _mean(by_seed: Mapping[int, float]) -> float:
    """The geometric mean."""
    return exp(fsum(log(density) for density in by_seed.values()) / len(by_seed))


def draw(scalings: Sequence[Scaling], over: str) -> Figure:
    """The figure: both axes logarithmic, a point per seed, a line through the geometric means over seeds."""
    sheet = paper.LOOKS["paper"]
    with paper.settings(sheet):
        figure = paper.blank(sheet.width, sheet.height * sheet.width)
        axis = figure.subplots()
        for scaling, style in zip(scalings, styles([scaling.curve for scaling in scalings]), strict=True):
            marker = paper.MARKERS[style.symbol]
            for number, by_seed in scaling.densities.items():
                axis.plot([number] * len(by_seed), list(by_seed.values()), marker, color=style.colour, alpha=0.4)
            means = [_mean(by_seed) for by_seed in scaling.densities.values()]
            mean = scaling.slope
            label = scaling.name if mean is None else f"{scaling.name}: slope {mean.mean:.2f} {bounds(mean)}".rstrip()
            axis.plot([*scaling.densities], means, color=style.colour, linestyle=paper.DASHES[style.dash], label=label)
        axis.set_xscale("log")
        axis.set_yscale("log")
        numbers = sorted({number for scaling in scalings for number in scaling.densities})
        by_seeds = [by_seed for scaling in scalings for by_seed in scaling.densities.values()]
        densities = ticks([density for by_seed in by_seeds for density in by_seed.values()])
        axis.set_xticks(numbers, [f"{number:g}" for number in numbers])
        axis.set_yticks(densities, [two_digits(density) for density in densities])
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
    parser = build_parser("scaling", "The smallest matching density over a number, such as the width.", EPILOG)
    parser.add_argument("--over", required=True, metavar="NAME", help="a label whose values are numbers")
    parser.add_argument("--format", choices=paper.FORMATS, help="of the figure; pdf, or what --out ends in")
    parser.add_argument("--out", type=Path, metavar="FILE", help="else scaling.pdf in the (first) sweep's folder")
    options = parser.parse_intermixed_args(list(arguments))
    folders, quantity, where = parse(options.words)
    if quantity:
        raise Mistake(f"{quantity}: no folder, and scaling is of the test result")
    grouped = scalings(read_curves(folders, where), options.over)
    out, form = paper.place(options.out, options.format, folders[0], "scaling")
    content = paper.encoded(draw(grouped, options.over), form)
    out.parent.mkdir(parents=True, exist_ok=True)
    write(out, content)
    print("\n".join(table(grouped, options.over)))
    print(f"figure:  {out}")
    return 0
