"""The data behind a figure for a paper: a row for each of its points, and for each dense network that it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lt_sweeps.report.curves import Curve, Point
from lt_sweeps.report.paper import panels_of
from lt_sweeps.report.quantities import named
from lt_sweeps.report.traces import dense_networks
from lt_sweeps.report.views import View, view

Place = tuple[Mapping[str, str], Point, float | None]  # labels, and where a point stands on the horizontal axis


def data(
    curves: Sequence[Curve],
    what: str = "",
    facet: str | None = None,
    over: str | None = None,
    at: Sequence[float] | None = None,
) -> list[dict[str, Any]]:
    """Returns what a figure shows: a row per panel, curve and level, and per seed its own value.

    With `over`, `x` is the place on that axis; it is empty for a dense network that is a horizontal line, which has the
    labels that all its curves share. Only where some control keeps all weights, the percent of weights at which a
    level is drawn is a column of its own.
    """
    rows, beside = [], any(point.keeps_all for curve in curves for point in curve.points)
    for panel in panels_of(curves, facet).values():
        quantity = named(what or panel[0].metric.name, panel)
        drawn = view(panel, quantity, over, at)
        horizontal = _horizontal(drawn) if over is not None and quantity.beside_dense else []
        for labels, point, x in [*_places(panel, drawn), *horizontal]:
            mean = quantity.of(point)
            row = {**labels, "level": point.level, "weights_remaining": point.remaining}
            row |= {"shown_at": point.shown_at} if beside else {}
            row |= {} if over is None else {"x": x}
            row |= {"quantity": quantity.title, "mean": mean.mean if mean else None, "n": mean.n if mean else 0}
            row |= {"low": mean.low if mean else None, "high": mean.high if mean else None}
            row |= {"matching": point.matching if quantity.metric and point.level else None}
            rows.append(row | {f"seed_{seed}": value for seed, value in quantity.values(point).items()})
    return rows


def _places(panel: Sequence[Curve], drawn: View) -> Iterator[Place]:
    """The points of the lines that are drawn, by the curves that they are of."""
    shown = {*map(id, drawn.points)}
    for curve in panel:
        for point in curve.points:
            if id(point) in shown:
                yield curve.labels, point, drawn.across.of(point)


def _horizontal(drawn: View) -> Iterator[Place]:
    """The dense networks that are horizontal lines, with the labels that all their curves share."""
    for network in dense_networks(drawn.beside):
        if network.dense is not None:
            own = [curve for curve in drawn.beside if curve.dense_keys & network.dense_keys]
            shared = set.intersection(*({*curve.labels.items()} for curve in own or [network]))
            yield {name: of for name, of in network.labels.items() if (name, of) in shared}, network.dense, None
