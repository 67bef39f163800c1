"""Pictures of first layers for a paper or a talk, drawn by matplotlib: a line per curve, a picture per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lt_sweeps.errors import Mistake
from lt_sweeps.report import first_layers
from lt_sweeps.report.curves import Curve, Row
from lt_sweeps.report.first_layers import Picture
from lt_sweeps.report.paper import LOOKS, blank, settings
from lt_sweeps.report.points import labels_in
from lt_sweeps.report.styles import styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NARROWEST = 4  # pictures in a line, at least
Strips = list[tuple[str, list[tuple[str, Picture]]]]  # per curve: its name; per level: weights remaining, picture


def strips(rows: Sequence[Row], curves: Sequence[Curve], column: str) -> tuple[Strips, str]:
    """Returns the strips of these rows of measures.csv, and their caption. Raises Mistake without pictures."""
    pictures = first_layers.by_measure([row for row in rows if row["measure"] == column])
    shown = first_layers.of_curves(pictures.get(column, {}), curves, styles(curves))
    if not shown:
        names = sorted(first_layers.by_measure(rows))
        hint = f"there are those of {', '.join(names)}" if names else "lt-sweeps measure FOLDER first_layer finds them"
        raise Mistake(f"--pictures: {column or 'the test result'} has none; {hint}")
    places = " and ".join(dict.fromkeys(" on ".join(curve.place) for curve, *_ in shown))
    caption = f"First layer of {places}. {first_layers.caption([levels for *_, levels in shown])}"
    return [(style.name, first_layers.named(curve, levels)) for curve, style, levels in shown], caption


def draw(strips: Strips, *, style: str = "paper", width: float | None = None) -> Figure:
    """Returns the figure, a strip for each curve; `width` is that of the whole figure, in inches."""
    sheet = LOOKS[style]
    whole = width or 2 * sheet.width
    across = max(NARROWEST, *(len(levels) for _, levels in strips))
    with settings(sheet):
        side, letter = whole / across, sheet.font / 72
        heights = [max(side * len(p.cells) / len(p.cells[0]) for _, p in levels) + 4.8 * letter for _, levels in strips]
        figure = blank(whole, sum(heights))
        lines = figure.subfigures(len(strips), 1, squeeze=False, height_ratios=heights)[:, 0]
        for line, (name, levels) in zip(lines, strips, strict=True):
            if len(strips) > 1:
                line.suptitle(name, fontsize=sheet.font)
            for axis, (kept, picture) in zip(line.subplots(1, across, squeeze=False)[0], levels, strict=False):
                image = [[[*pixel] for pixel in row] for row in first_layers.pixels(picture)]
                axis.imshow(image, interpolation="nearest")
                axis.set_xlabel(f"{kept}\nup to {picture.up_to}")
            for axis in line.axes:
                axis.set_xticks([])
                axis.set_yticks([])
                axis.grid(visible=False)
                axis.spines[:].set_visible(bool(axis.images))
        figure.draw_without_rendering()  # while these settings hold
    return figure


def data(rows: Sequence[Row], curves: Sequence[Curve], column: str) -> list[dict[str, Any]]:
    """Returns the rows of measures.csv that are drawn, without columns that are empty in all of them."""
    labels = {tuple(curve.labels.values()) for curve in curves}
    drawn = [row for row in rows if row["measure"] == column and labels_in(row) in labels]
    names = [name for name in (drawn[0] if drawn else ()) if any(row[name] is not None for row in drawn)]
    return [{name: row[name] for name in names} for row in drawn]
