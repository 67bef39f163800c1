"""The traces of a figure: one per curve, one per dense network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any

from lt_sweeps.report.across import Across
from lt_sweeps.report.curves import ALL_KEPT, Curve, Point, differing
from lt_sweeps.report.quantities import STABLE, Quantity
from lt_sweeps.report.scale import Scale
from lt_sweeps.report.statistics import Interval
from lt_sweeps.report.styles import DASHES, Style
from lt_sweeps.report.wording import bounds, percent, points, seeds

GREY = "#6b7280"


def curve_traces(
    style: Style, points: Sequence[Point], quantity: Quantity, scale: Scale, by_seed: bool = False
) -> list[dict[str, Any]]:
    """The traces of a curve: its line, and at the bottom a cross for each level that some seed did not finish.

    With `by_seed` the line has the values of each seed too, where there are several seeds.
    """
    shown = [(point, mean) for point in points if (mean := quantity.mean(point))]
    values = [quantity.values(point) for point, _ in shown] if by_seed else []
    names = sorted({seed for of_point in values for seed in of_point})
    halves = [mean.half for _, mean in shown]
    filled = [quantity.metric is None or point.level == 0 or point.matching for point, _ in shown]
    line = {
        "x": [scale.at(point) for point, _ in shown],
        "y": [mean.mean for _, mean in shown],
        "mode": "lines+markers",
        "line": {"color": style.colour, "width": 2.2, "dash": style.dash},
        "marker": {
            "symbol": style.symbol,
            "size": 8,
            "color": [style.colour if full else "white" for full in filled],
            "line": {"width": 1.8, "color": style.colour},
        },
        "error_y": {
            "type": "data",
            "array": halves,
            "color": style.colour,
            "thickness": 1.5,
            "width": 3,
            "visible": any(half is not None for half in halves),
        },
        "text": [_hover(style, point, mean, quantity, scale.across) for point, mean in shown],
    }
    if len(names) > 1:
        line["seeds"] = [[of_point.get(seed) for of_point in values] for seed in names]
    lost = [point for point in points if point.unfinished]
    texts = [_lost(style, point) for point in lost]
    missed = crosses(style, [scale.at(point) for point in lost], scale.y[0], texts)
    return [of_curve(style) | line, *([missed] if lost else [])]


def of_curve(style: Style) -> dict[str, Any]:
    """The settings that all traces of a curve share: its name, and a group to hide and show together."""
    return {"type": "scatter", "name": style.name, "legendgroup": style.name}


def crosses(style: Style, places: Sequence[Any], bottom: float, texts: Sequence[str]) -> dict[str, Any]:
    """A trace of crosses at the bottom of a figure, for missing values of a curve."""
    return of_curve(style) | {
        "x": list(places),
        "y": [bottom] * len(places),
        "mode": "markers",
        "showlegend": False,
        "marker": {"symbol": "x-thin", "size": 10, "line": {"width": 2.6, "color": style.colour}},
        "text": list(texts),
    }


def dense_traces(curves: Sequence[Curve], quantity: Quantity, ends: tuple[float, float]) -> list[dict[str, Any]]:
    """A horizontal line for each dense network."""
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": list(ends),
            "y": [mean.mean, mean.mean],
            "line": {"color": GREY, "width": 1.6, "dash": DASHES[1 + index % (len(DASHES) - 1)]},
            "text": [f"<b>{escape(name)}</b><br>{quantity.describe(mean)}<br>n = {mean.n}"] * 2,
        }
        for index, (name, mean) in dense_lines(curves, quantity).items()
    ]


def dense_lines(curves: Sequence[Curve], quantity: Quantity) -> dict[int, tuple[str, Interval]]:
    """The name and mean of each dense network that has the quantity, by its number."""
    networks = dense_networks(curves)
    named = differing(networks)
    means = [quantity.mean(point) if (point := network.dense) else None for network in networks]
    return {
        index: (dense_name(network, named), mean)
        for index, (network, mean) in enumerate(zip(networks, means, strict=True))
        if mean is not None
    }


def dense_networks(curves: Sequence[Curve]) -> list[Curve]:
    """The dense networks of curves, each as a curve of one point: curves with a common training have one network.

    A network has the labels of the first of its curves, and the seeds of all.
    """
    groups: list[list[Curve]] = []
    for curve in curves:
        joined = [group for group in groups if any(curve.dense_keys & other.dense_keys for other in group)]
        groups = [group for group in groups if group not in joined] + [[*(c for group in joined for c in group), curve]]
    networks = []
    for group in groups:
        dense = [curve.dense for curve in group if curve.dense]
        by_seed = {seed: value for point in dense for seed, value in point.test.items()}
        steps = {seed: value for point in dense for seed, value in point.early_stop.items()}
        points = (replace(dense[0], test=by_seed, early_stop=steps),) if dense else ()
        keys = frozenset(key for curve in group for key in curve.dense_keys)
        networks.append(replace(group[0], points=points, dense_keys=keys))
    return networks


def dense_name(curve: Curve, named: Sequence[str]) -> str:
    """The name of a curve's dense network, with the values of the labels that tell it from others."""
    settings = ", ".join(curve.words(named))
    return f"dense ({settings})" if settings else "dense"


def stability_trace(ends: tuple[float, float]) -> dict[str, Any]:
    """The line below which two trainings count as stable."""
    name = f"stable below {STABLE:g} points"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(ends),
        "y": [STABLE, STABLE],
        "line": {"color": GREY, "width": 1.6, "dash": "dash"},
        "text": [f"<b>{name}</b><br>Frankle et al. 2020"] * 2,
    }


def _hover(style: Style, point: Point, mean: Interval, quantity: Quantity, across: Across) -> str:
    where = [line for line in (_where(point), escape(across.words(point))) if line]
    lines = [f"<b>{escape(style.name)}</b>", *where, quantity.describe(mean), f"n = {mean.n}"]
    if quantity.metric and point.level and point.to_dense:
        against = points(point.to_dense.mean, quantity.metric)
        lines.append(f"{against} against dense {bounds(point.to_dense, quantity.metric.number)}".rstrip())
        lines.append(point.verdict)
    if point.unfinished:
        lines.append(escape(point.lost))
    return "<br>".join(lines)


def _lost(style: Style, point: Point) -> str:
    lost = escape(point.lost)
    return f"<b>{escape(style.name)}</b><br>{_where(point)}<br>{lost}<br>{seeds(len(point.test))} finished"


def _where(point: Point) -> str:
    if point.level == 0:
        return "dense"
    where = f"{percent(point.shown_at or 0)} % of weights, level {point.level}"
    return f"{ALL_KEPT}, beside the ticket at {where}" if point.keeps_all else where
