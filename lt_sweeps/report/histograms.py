"""The figure of histograms of kept and pruned weights, with a slider of levels and moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from lt_sweeps.report.curves import Curve, Row
from lt_sweeps.report.layers import remaining
from lt_sweeps.report.points import labels_in, number
from lt_sweeps.report.styles import Style
from lt_sweeps.report.traces import of_curve

MOMENTS = {  # end of a column -> in words
    "init": "as drawn",
    "begun": "as the training before began",
    "ended": "as the training before ended",
    "trained": "after training",
}
KINDS = ("kept", "pruned")

Bins = dict[float, list[float]]  # middle of a bin -> a share per seed, in percent
Histograms = Mapping[tuple[str, ...], Mapping[int, Mapping[str, Bins]]]  # labels of a curve -> level -> column -> bins


def by_measure(rows: Sequence[Row]) -> Mapping[str, Histograms]:
    """The histograms in the rows of measures.csv, of all tensors together, by the column of the measure.

    >>> row = {"model": "m", "seed": 0, "level": 1, "measure": "weight_histogram_before", "layer": "all"}
    >>> by_measure([{**row, "weight": 0.125, "kept_init": 80.0}])
    {'weight_histogram_before': {('m',): {1: {'kept_init': {0.125: [80.0]}}}}}
    """
    histograms: dict[str, dict[tuple[str, ...], dict[int, dict[str, Bins]]]] = {}
    for row in rows:
        if (middle := number(row.get("weight"))) is not None and row.get("layer") == "all":
            levels = histograms.setdefault(row["measure"], {}).setdefault(labels_in(row), {})
            columns = levels.setdefault(int(row["level"]), {})
            for name in (f"{kind}_{moment}" for kind in KINDS for moment in MOMENTS):
                if (value := number(row.get(name))) is not None:
                    columns.setdefault(name, {}).setdefault(middle, []).append(value)
    return histograms


def histogram_figure(histograms: Histograms, curves: Sequence[Curve], look: Sequence[Style]) -> dict[str, Any] | None:
    """Shares of weights over their value: kept weights as solid lines, pruned as dashed; None without histograms."""
    shown = [
        (curve, style, levels)
        for curve, style in zip(curves, look, strict=True)
        if (levels := histograms.get(tuple(curve.labels.values())))
    ]
    if not shown:
        return None
    all_columns = [columns for *_, levels in shown for columns in levels.values()]
    middles = sorted({x for columns in all_columns for bins in columns.values() for x in bins})
    shown_curves, steps = [curve for curve, *_ in shown], list[tuple[str, list[list[float | None]]]]()
    for level in sorted({level for *_, levels in shown for level in levels}):
        for moment, words in MOMENTS.items():
            columns = [levels.get(level, {}).get(f"{kind}_{moment}", {}) for *_, levels in shown for kind in KINDS]
            lines = [[fmean(bins[x]) if x in bins else None for x in middles] for bins in columns]
            steps.append((f"{remaining(shown_curves, level)}, {words}", lines))
    slider = {
        "active": 0,
        "currentvalue": {"prefix": "Weights remaining: "},
        "steps": [{"label": label, "args": [{"y": lines}]} for label, lines in steps],
    }
    highest = max(share for _, lines in steps for line in lines for share in line if share is not None)
    layout = {
        "xaxis": {"range": [middles[0], middles[-1]], "title": {"text": "Weight (deviations of its layer's draw)"}},
        "yaxis": {"range": [0.0, 1.05 * highest], "title": {"text": "Share of the weights before (%)"}},
        "sliders": [slider],
    }
    kinds = [(style, kind) for _, style, _ in shown for kind in KINDS]
    traces = [_trace(style, kind, middles, line) for (style, kind), line in zip(kinds, steps[0][1], strict=True)]
    return {"data": traces, "layout": layout}


def _trace(style: Style, kind: str, middles: Sequence[float], shares: Sequence[float | None]) -> dict[str, Any]:
    """The line of one kind of weights."""
    line = {"color": style.colour, "width": 2.2, "dash": "solid" if kind == "kept" else "dash"}
    named = of_curve(style) | {"name": f"{style.name}, {kind}"}
    return named | {"x": middles, "y": shares, "mode": "lines", "line": line}
