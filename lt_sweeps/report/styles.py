"""The look and the name of each curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lt_sweeps.columns import PLACE
from lt_sweeps.report.curves import Curve, differing

# Okabe & Ito's and Tol's colours, which differ to colour-blind readers too; symbols and dashes say the same again.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#999933", "#882255")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "triangle-left", "triangle-right")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


@dataclass(frozen=True)
class Style:
    """The look and the name of a curve, the same in every figure of a page."""

    name: str
    colour: str
    symbol: str
    dash: str


def styles(curves: Sequence[Curve], color: str | None = None, places: bool = False) -> list[Style]:
    """A style for each curve. Colours and symbols tell cells apart, dashes controls; with one cell all tell controls.

    With `color` the values of that label have a colour each. A name has the labels that differ, with `places` also
    model and data set, and without settings of a group that is `none` where names stay distinct. The name of
    `control=none` is ticket.
    """
    named = [name for name in PLACE if places and len({curve.labels[name] for curve in curves}) > 1]
    named += differing(curves)
    coloured = list(dict.fromkeys(curve.label(color or "") for curve in curves))
    controls = sorted({curve.control for curve in curves}, key=lambda name: (name != "none", name))
    cells = list(dict.fromkeys(tuple(curve.label(name) for name in named) for curve in curves))
    brief = len({tuple(curve.words(named)) for curve in curves}) == len(cells)
    result = []
    for curve in curves:
        control = controls.index(curve.control)
        values = tuple(curve.label(name) for name in named)
        cell = cells.index(values)
        symbol = cell if len(cells) > 1 else control
        colour = symbol if color is None else coloured.index(curve.label(color))
        words = curve.words(named) if brief else [f"{name}={value}" for name, value in zip(named, values, strict=True)]
        if len(controls) > 1 or not words:
            words.append("ticket" if curve.control == "none" else f"control={curve.control}")
        result.append(
            Style(
                ", ".join(words),
                COLOURS[colour % len(COLOURS)],
                SYMBOLS[symbol % len(SYMBOLS)],
                DASHES[control % len(DASHES)],
            )
        )
    return result
