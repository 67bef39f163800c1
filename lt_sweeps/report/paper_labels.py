"""Labels beside points, for a figure whose axis does not show the weights that they keep."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lt_sweeps.report.quantities import Quantity
from lt_sweeps.report.views import View
from lt_sweeps.report.wording import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

INK = "#374151"
SIDES = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))  # of a point, in the order of trial
NEAREST = {-1: ("right", "top"), 0: ("center", "center"), 1: ("left", "bottom")}  # the side of the text nearest to it
STEP = 2.0  # pixels between the places of a line that a label must not cover

Mark = tuple[float, float, str]  # place, value and text of a point


def label_points(axis: Axes, view: View, quantity: Quantity, font: float, marker: float) -> None:
    """Writes the percent of weights beside points, where nothing is in the way; sizes are in points.

    The ends of each line have priority; labels of other points keep a larger distance from all before. Where all points
    of a place keep the same weights, one of them has a label. The figure must have its layout.
    """
    lines = [[*_marks(line.points, view, quantity)] for line in view.lines]
    texts = dict[float, set[str]]()
    for x, _, text in (mark for line in lines for mark in line):
        texts.setdefault(x, set()).add(text)
    frame, obstacles = axis.get_window_extent(), [*_obstacles(axis)]
    written: list[Bbox] = []
    labelled = set[float]()  # places of which one label is enough
    ends = [mark for line in lines for mark in dict.fromkeys((*line[:1], *line[-1:]))]
    for mark in dict.fromkeys((*ends, *(mark for line in lines for mark in line))):
        x, y, text = mark
        if x in labelled:
            continue
        clearance = 0.5 if mark in ends else 1.5  # letters
        for right, up in SIDES:
            distance = 0.7 * marker + 0.2 * font
            note = axis.annotate(
                text,
                (x, y),
                (right * distance, up * distance),
                textcoords="offset points",
                ha=NEAREST[right][0],
                va=NEAREST[up][1],
                color=INK,
                fontsize=font,
            )
            box = note.get_window_extent()
            room = box.padded(clearance * font * axis.figure.dpi / 72)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not box.padded(1).count_contains(obstacles) and not room.count_overlaps(written):
                note.set_in_layout(False)
                written.append(box)
                labelled |= {x} if len(texts[x]) == 1 else set()
                break
            note.remove()


def _marks(points: Any, view: View, quantity: Quantity) -> Iterator[Mark]:
    """The points that have a place and a mean and keep a known share of weights."""
    for point in points:
        x, mean = view.across.place(point), quantity.mean(point)
        if x is not None and mean is not None and point.shown_at is not None:
            yield x, mean.mean, f"{percent(point.shown_at)} %"


def _obstacles(axis: Axes) -> Iterator[tuple[float, float]]:
    """Places in pixels along lines, bars of intervals and markers."""
    for line in axis.get_lines():
        places = line.get_transform().transform(line.get_xydata())
        if line.get_linestyle() == "None":
            reach = 0.6 * line.get_markersize() * axis.figure.dpi / 72
            for x, y in places:
                yield from ((x + right * reach, y + up * reach) for right, up in ((0, 0), *SIDES))
        else:
            yield from _along(places)
    for bars in axis.collections:
        if hasattr(bars, "get_segments"):
            for segment in bars.get_segments():
                yield from _along(bars.get_transform().transform(segment))


def _along(places: Any) -> Iterator[tuple[float, float]]:
    for (x, y), (to_x, to_y) in pairwise(places):
        count = max(1, int(max(abs(to_x - x), abs(to_y - y)) / STEP))
        yield from ((x + (to_x - x) * n / count, y + (to_y - y) * n / count) for n in range(count + 1))
