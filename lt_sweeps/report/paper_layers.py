"""Heat maps of layers and levels for a paper or a talk, drawn by matplotlib: `lt-sweeps figure layer_densities`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lt_sweeps.errors import Mistake
from lt_sweeps.report.curves import Curve, Row, labels_of
from lt_sweeps.report.layers import by_curve, means_of, of_curves, remaining
from lt_sweeps.report.paper import LOOKS, blank, settings
from lt_sweeps.report.styles import styles
from lt_sweeps.report.wording import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "layer_densities"  # of the figure; not `layers`, as layers.csv is a table of the sweep
Map = tuple[str, list[str], dict[str, list[float | None]]]  # name, levels, percent kept of each layer


def maps(rows: Sequence[Row], curves: Sequence[Curve]) -> tuple[list[Map], str]:
    """Returns the maps of these rows of layers.csv, and their caption. Raises Mistake without levels."""
    drawn: list[Map] = []
    for curve, style, levels in of_curves(curves, styles(curves), by_curve(rows)):
        drawn.append((style.name, [remaining([curve], level) for level in sorted(levels)], means_of(levels)))
    if not drawn:
        raise Mistake(f"{NAME}: no layers.csv here has levels of these curves")
    places = " and ".join(dict.fromkeys(" on ".join(curve.place) for curve in curves))
    caption = f"Percent of each layer's weights that is kept, in the network's order, of {places}, over the weights "
    return drawn, f"{caption}remaining of each level. Means over seeds. Curves that keep the same are shown once."


def draw(drawn: Sequence[Map], *, style: str = "paper", width: float | None = None) -> Figure:
    """Returns the figure, one map below the other; `width` is that of the whole figure, in inches."""
    sheet = LOOKS[style]
    letter = sheet.font / 72
    heights = [letter * (1.5 * len(layers) + 4) for _, _, layers in drawn]
    with settings(sheet):
        figure = blank(width or sheet.width, sum(heights) + 1.5 * letter)
        axes = figure.subplots(len(drawn), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (name, levels, layers) in zip(axes, drawn, strict=True):
            shares = [[math.nan if share is None else share for share in line] for line in layers.values()]
            axis.imshow(shares, cmap="Blues", vmin=0, vmax=180, aspect="auto")  # letters stay readable
            axis.set_xticks(range(len(levels)), levels)
            axis.set_yticks(range(len(layers)), [*layers])
            axis.tick_params(length=0)
            axis.grid(visible=False)
            for y, line in enumerate(layers.values()):
                for x, share in enumerate(line):
                    text = "\u2013" if share is None else percent(share)
                    axis.text(x, y, text, ha="center", va="center", fontsize=0.75 * sheet.font)
            if len(drawn) > 1:
                axis.set_title(name)
        axes[-1].set_xlabel("Weights remaining")
        figure.draw_without_rendering()  # while these settings hold
    return figure


def data(rows: Sequence[Row], curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Returns the rows of layers.csv of these curves."""
    labels = {tuple(curve.labels.items()) for curve in curves}
    return [dict(row) for row in rows if row["level"] and tuple(labels_of(row).items()) in labels]
