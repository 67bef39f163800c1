"""The figure of the share that each layer keeps, at the level that a slider chooses, with crosses at emptied layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from statistics import mean
from typing import Any

from lt_sweeps.report.curves import Curve, Row, labels_of
from lt_sweeps.report.styles import Style
from lt_sweeps.report.traces import crosses, of_curve
from lt_sweeps.report.wording import percent, seeds

Shares = dict[str, list[float]]  # percent kept of each layer, in the network's order, a number per seed
Levels = dict[int, Shares]
MAPS = 12  # heat maps, at most, that are open from the beginning; more are closed until opened
MAP = "Levels and layers: percent kept of each layer, mean over seeds; darker is more; curves that keep the same once"
Labels = tuple[tuple[str, str], ...]


def by_curve(rows: Sequence[Row]) -> dict[Labels, Levels]:
    """The shares in layers.csv by the labels of a curve and level; the dense level, which keeps all, is left out."""
    by_labels: dict[Labels, Levels] = {}
    for row in rows:
        if row["level"]:
            levels = by_labels.setdefault(tuple(labels_of(row).items()), {})
            shares = levels.setdefault(row["level"], {}).setdefault(row["layer"], [])
            shares.append(100 * row["kept"] / row["total"])
    return by_labels


def of_curves(
    curves: Sequence[Curve], look: Sequence[Style], kept: Mapping[Labels, Levels]
) -> list[tuple[Curve, Style, Levels]]:
    """The curves with shares of layers, and these; of curves whose masks keep the same, the first."""
    shown: list[tuple[Curve, Style, Levels]] = []
    for curve, style in zip(curves, look, strict=True):
        levels = kept.get(tuple(curve.labels.items()), {})
        if levels and all(levels != others for *_, others in shown):
            shown.append((curve, style, levels))
    return shown


def means_of(levels: Levels) -> dict[str, list[float | None]]:
    """The mean share of each layer, in the network's order, at each level; None where it is not known.

    >>> means_of({1: {"fc": [50.0, 40.0]}, 0: {"fc": [100.0], "output": [100.0]}})
    {'fc': [100.0, 45.0], 'output': [100.0, None]}
    """
    layers = dict.fromkeys(layer for shares in levels.values() for layer in shares)
    return {
        layer: [mean(shares[layer]) if layer in shares else None for _, shares in sorted(levels.items())]
        for layer in layers
    }


def layer_maps(curves: Sequence[Curve], look: Sequence[Style], kept: Mapping[Labels, Levels]) -> str:
    """Returns a heat map for each curve, layers over levels; closed until opened where there are many."""
    shown = of_curves(curves, look, kept)
    if not shown:
        return ""
    maps = "".join(_map(curve, style.name, levels) for curve, style, levels in shown)
    opened = " open" * (len(shown) <= MAPS)
    return f'<details{opened}>\n<summary>{MAP}</summary>\n<div class="maps">{maps}</div>\n</details>'


def _map(curve: Curve, name: str, levels: Levels) -> str:
    """The heat map of a curve: a line for each layer, in the network's order, a column for each level."""
    heads = "".join(f'<th scope="col">{escape(remaining([curve], level))}</th>' for level in sorted(levels))
    body = ""
    for layer, means in means_of(levels).items():
        cells = "".join("<td>&ndash;</td>" if share is None else _cell(share) for share in means)
        body += f'<tr><th scope="row">{escape(layer)}</th>{cells}</tr>\n'
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(f"{name}: shares of layers")}">\n<table>\n'
        f"<caption>{escape(name)}</caption>\n<thead><tr><th></th>{heads}</tr></thead>\n<tbody>{body}</tbody>\n"
        "</table>\n</div>\n"
    )


def _cell(share: float) -> str:
    """A cell, darker where more is kept: page.css makes its colour of the share `--k`.

    >>> _cell(0.25), _cell(100.0)
    ('<td style="--k:0.0025">0.25</td>', '<td style="--k:1">100</td>')
    """
    return f'<td style="--k:{share / 100:.2g}">{percent(share)}</td>'


def layer_figure(
    curves: Sequence[Curve], look: Sequence[Style], kept: Mapping[Labels, Levels]
) -> dict[str, Any] | None:
    """Percent of each layer's weights that are kept, of the curves of one model and data set; None without layers.

    Curves whose masks keep the same of every layer at every level are one line, with the name of the first.
    """
    shown = [(style, levels) for _, style, levels in of_curves(curves, look, kept)]
    steps = sorted({level for _, levels in shown for level in levels})
    if not steps:
        return None
    all_shares = [shares for _, levels in shown for shares in levels.values()]
    positive = [share for shares in all_shares for by_seed in shares.values() for share in by_seed if share]
    bottom = min(positive, default=100.0) / 2
    titles = {level: remaining(curves, level) for level in steps}
    traces = {
        level: [trace for style, levels in shown for trace in _traces(style, levels.get(level, {}), bottom)]
        for level in steps
    }
    slider = {
        "active": len(steps) - 1,
        "currentvalue": {"prefix": "Weights remaining: "},
        "steps": [
            {
                "label": titles[level],
                "args": [{key: [trace[key] for trace in traces[level]] for key in ("x", "y", "text")}],
            }
            for level in steps
        ],
    }
    names = list(dict.fromkeys(name for _, levels in shown for shares in levels.values() for name in shares))
    xaxis = {"type": "category", "categoryarray": names, "range": [-0.5, len(names) - 0.5]}
    yaxis = {
        "type": "log",
        "range": [log10(bottom), 2.1],
        "dtick": 1 if bottom < 1 else "D2",  # powers of ten, or 2 and 5 between them
        "title": {"text": "Kept of the layer (%)"},
    }
    return {"data": traces[steps[-1]], "layout": {"xaxis": xaxis, "yaxis": yaxis, "sliders": [slider]}}


def remaining(curves: Sequence[Curve], level: int) -> str:
    """The share of all weights at a level; where curves differ in it, the level with the smallest and the largest."""
    shares = sorted(p.shown_at for curve in curves if (p := curve.at(level)) and p.shown_at is not None)
    if not shares:
        return f"level {level}"
    smallest, largest = percent(shares[0]), percent(shares[-1])
    return f"{smallest} %" if smallest == largest else f"level {level}, {smallest} to {largest} %"


def _traces(style: Style, shares: Shares, bottom: float) -> list[dict[str, Any]]:
    """The means over seeds of a curve, and at the bottom a cross for each layer that some seed emptied."""
    means = {name: mean(kept) for name, kept in shares.items()}
    emptied = {name: kept.count(0.0) for name, kept in shares.items() if not all(kept)}
    head = f"<b>{escape(style.name)}</b><br>"
    line = {
        "x": list(means),
        "y": [share or None for share in means.values()],
        "mode": "lines+markers",
        "line": {"color": style.colour, "width": 2.2, "dash": style.dash},
        "marker": {"symbol": style.symbol, "size": 8, "color": style.colour},
        "text": [f"{head}{escape(name)}: {percent(share)} % kept" for name, share in means.items()],
    }
    texts = [f"{head}{escape(name)}: empty in {n} of {seeds(len(shares[name]))}" for name, n in emptied.items()]
    return [of_curve(style) | line, crosses(style, list(emptied), bottom, texts)]
