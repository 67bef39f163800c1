"""Learning curves, or errors between two networks, for a paper or a talk: `lt-sweeps figure FOLDER --along`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lt_sweeps.errors import Mistake
from lt_sweeps.report.along import Along, Line, between, by_column, learning
from lt_sweeps.report.curves import Curve, Row
from lt_sweeps.report.layers import remaining
from lt_sweeps.report.paper import LOOKS, grid, legend, settings
from lt_sweeps.report.points import by_measure, labels_in
from lt_sweeps.report.quantities import BARRIERS, compared
from lt_sweeps.report.shares import nearest_to, unknown_share
from lt_sweeps.report.styles import styles
from lt_sweeps.report.traces import GREY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST, PALEST = 8, 0.8  # lines of a panel; the last of them on the colour map, whose end is too pale to see
DENSE = math.inf, "dense"
Kept = tuple[float, str]  # percent of the weights that remain, and what a legend calls it


@dataclass(frozen=True)
class Panel:
    """The lines of a curve's levels, by the weights that remain."""

    title: str
    lines: Mapping[Kept, Line]


def panels(
    what: str, histories: Sequence[Row], points: Sequence[Row], curves: Sequence[Curve], at: Sequence[float] | None
) -> tuple[Along, list[Panel], str]:
    """Returns the axes, a panel for each curve, and the caption.

    Of the test result, lines are over the steps of training, from rows of histories.csv; of a measure, over the line
    between two networks, from rows of measures.csv. `at` are the weights remaining, in percent, of the levels to draw;
    None draws all, but MOST at most. Raises Mistake.
    """
    if len({curve.ground for curve in curves}) > 1:
        raise Mistake("--along: is of one model, data set and metric: choose by model=NAME or dataset=NAME")
    is_result, all_points = what == curves[0].metric.name, [point for curve in curves for point in curve.points]
    if not is_result and compared(what)[0] not in BARRIERS:
        raise Mistake(
            f"{what} --along: there are learning curves, without a name, and lines of {' and '.join(BARRIERS)}"
        )
    for share in at or ():
        if nearest_to(share, all_points) is None:
            raise unknown_share(share, all_points)
    along = learning(by_column(histories), curves) if is_result else between(by_measure(points).get(what, {}), curves)
    named = zip(curves, styles(curves), along.lines if along else (), strict=False)
    drawn = [Panel(style.name, chosen) for curve, style, lines in named if (chosen := _chosen(curve, lines, at))]
    if along is None or not drawn:
        where = "histories.csv: lt-sweeps report FOLDER writes it" if is_result else "measures.csv"
        raise Mistake(f"{what} --along: nothing was evaluated at two places in {where}")
    places = " on ".join(curves[0].place)
    over = "during training" if is_result else "on the line between two networks"
    return along, drawn, f"{along.title} of {places} {over}, by the weights remaining. Means over seeds."


def _chosen(curve: Curve, lines: Mapping[int, Line], at: Sequence[float] | None) -> dict[Kept, Line]:
    """The lines of the dense network and of levels that keep the shares `at`; without `at`, of MOST levels at most."""
    points = {level: point for level, line in sorted(lines.items()) if len(line) > 1 and (point := curve.at(level))}
    levels = [*points]
    if at is not None:
        chosen = {point.level for share in at if (point := nearest_to(share, curve.points))}
        levels = [level for level in levels if level in chosen or (chosen and not level)]
    while len(levels) > MOST:
        levels = [*levels[:-1:2], levels[-1]]
    kept = {level: (points[level].shown_at or 0.0, remaining([curve], level)) if level else DENSE for level in levels}
    return {kept[level]: lines[level] for level in levels}


def draw(along: Along, drawn: Sequence[Panel], *, style: str = "paper", width: float | None = None) -> Figure:
    """Returns the figure, a panel for each curve; `width` is that of the whole figure, in inches."""
    sheet = LOOKS[style]
    with settings(sheet):
        from matplotlib import colormaps

        figure, axes, across = grid(len(drawn), width, sheet, shared=True)
        shown = sorted({kept for panel in drawn for kept in panel.lines}, reverse=True)
        pruned = [kept for kept in shown if kept != DENSE]
        shades = {kept: PALEST * place / max(1, len(pruned) - 1) for place, kept in enumerate(pruned)}
        for kept in shown:  # the legend has them in this order
            dash, colour = ("--", GREY) if kept == DENSE else ("-", colormaps["viridis"](shades[kept]))
            for axis, panel in zip(axes, drawn, strict=True):
                if line := panel.lines.get(kept):
                    axis.plot([*line], [*line.values()], dash, color=colour, label=kept[1])
        for place, (axis, panel) in enumerate(zip(axes, drawn, strict=True)):
            axis.set_title(panel.title if len(drawn) > 1 else "")
            if place % across == 0:
                axis.set_ylabel(f"{along.title}{along.unit}")
            if place >= len(drawn) - across:
                axis.set_xlabel(along.over)
                axis.xaxis.set_tick_params(labelbottom=True)
        legend(figure, sheet)
        figure.draw_without_rendering()  # while these settings hold
    return figure


def data(what: str, histories: Sequence[Row], points: Sequence[Row], curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Returns the rows of histories.csv of these curves, or those of measures.csv of that measure."""
    labels = {tuple(curve.labels.values()) for curve in curves}
    rows = histories if what == curves[0].metric.name else [row for row in points if row["measure"] == what]
    return [dict(row) for row in rows if labels_in(row) in labels]
