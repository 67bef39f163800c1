"""The data behind a figure for a paper: a row for each point and each dense network that it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lt_sweeps.report.curves import Curve, Point
from lt_sweeps.report.paper import panels_of
from lt_sweeps.report.quantities import named
from lt_sweeps.report.traces import dense_networks
from lt_sweeps.report.views import View, choose_view

Place = tuple[Mapping[str, str], Point, float | None]  # labels, and where a point stands on the horizontal axis


def data(
    curves: Sequence[Curve],
    what: str = "",
    facet: str | None = None,
    over: str | None = None,
    at: Sequence[float] | None = None,
) -> list[dict[str, Any]]:
    """Returns the points of a figure: a row per panel, curve and level, with a column per seed.

    With `over`, `x` is the place on that axis; it is empty for a dense network that is a horizontal line, which has the
    labels that all its curves share. The column `shown_at`, the percent of weights at which a level is drawn, is only
    there where some control keeps all weights.
    """
    rows, keeps_all = [], any(point.keeps_all for curve in curves for point in curve.points)
    for panel in panels_of(curves, facet).values():
        quantity = named(what or panel[0].metric.name, panel)
        view = choose_view(panel, quantity, over, at)
        horizontal = _horizontal(view) if over is not None and quantity.beside_dense else []
        for labels, point, x in [*_places(panel, view), *horizontal]:
            mean = quantity.mean(point)
            row = {**labels, "level": point.level, "weights_remaining": point.remaining}
            row |= {"shown_at": point.shown_at} if keeps_all else {}
            row |= {} if over is None else {"x": x}
            row |= {"quantity": quantity.title, "mean": mean.mean if mean else None, "n": mean.n if mean else 0}
            row |= {"low": mean.low if mean else None, "high": mean.high if mean else None}
            row |= {"matching": point.matching if quantity.metric and point.level else None}
            rows.append(row | {f"seed_{seed}": value for seed, value in quantity.values(point).items()})
    return rows


def _places(panel: Sequence[Curve], view: View) -> Iterator[Place]:
    """The points of the view's lines, curve by curve of the panel."""
    shown = {*map(id, view.points)}
    for curve in panel:
        for point in curve.points:
            if id(point) in shown:
                yield curve.labels, point, view.across.place(point)


def _horizontal(view: View) -> Iterator[Place]:
    """The dense networks that are horizontal lines, with the labels that all their curves share."""
    for network in dense_networks(view.beside):
        if network.dense is not None:
            curves = [curve for curve in view.beside if curve.dense_keys & network.dense_keys]
            shared = set.intersection(*({*curve.labels.items()} for curve in curves or [network]))
            labels = {name: value for name, value in network.labels.items() if (name, value) in shared}
            yield labels, network.dense, None
