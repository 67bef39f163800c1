"""Pictures of first layers, from the rows of `first_layer` in measures.csv: maps of pixels, or mosaics of filters."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain
from statistics import fmean

from lt_sweeps.report.curves import Curve, Row
from lt_sweeps.report.grids import BLUE, CELL, spread, transparent_png
from lt_sweeps.report.layers import remaining
from lt_sweeps.report.points import labels_in, number
from lt_sweeps.report.styles import Style
from lt_sweeps.report.wording import percent

SIDE = 140  # pixels of a picture's longer side, approximately
ORANGE, GAP = bytes((213, 94, 0)), bytes((128, 128, 128, 70))  # of negative weights, and between filters
Cells = list[list[float | None]]  # rows of values; None is between filters


@dataclass(frozen=True)
class Picture:
    """The picture of a level: percent kept of each pixel, or weights of the first `shown` of all `filters`."""

    cells: Cells
    shown: int = 0
    filters: int = 0  # 0 of pixels

    @property
    def largest(self) -> float:
        """The largest absolute value of a cell."""
        return max(abs(value) for value in chain.from_iterable(self.cells) if value is not None)

    @property
    def up_to(self) -> str:
        """The largest absolute value as text."""
        return f"{self.largest:.3g}" if self.filters else f"{percent(self.largest)} %"


Pictures = Mapping[tuple[str, ...], Mapping[int, Picture]]  # labels of a curve -> level -> picture
PictureRows = dict[tuple[float, ...], dict[str, list[float]]]  # picture, channel and row -> column -> a value per seed


def by_measure(rows: Sequence[Row]) -> Mapping[str, Pictures]:
    """The pictures in the rows of measures.csv, by the column of the measure.

    Maps of pixels are means over seeds. Filters are those of the first seed, as filters of two seeds do not correspond.

    >>> row = {"model": "m", "seed": 0, "level": 1, "measure": "first_layer_trained", "picture": 0.0, "row": 0.0}
    >>> pictures = by_measure([{**row, "at_00": 80.0}, {**row, "seed": 1, "at_00": 60.0}])
    >>> pictures["first_layer_trained"]["m",][1].cells
    [[70.0]]
    """
    picture_rows: dict[str, dict[tuple[str, ...], dict[int, PictureRows]]] = {}
    counts: dict[tuple[str, tuple[str, ...]], tuple[object, int]] = {}  # of filters: the first seed, and their number
    for row in rows:
        if (picture := number(row.get("picture"))) is None:
            continue
        column, labels, filters = row["measure"], labels_in(row), number(row.get("filters"))
        if filters is not None and counts.setdefault((column, labels), (row["seed"], int(filters)))[0] != row["seed"]:
            continue
        levels = picture_rows.setdefault(column, {}).setdefault(labels, {})
        position = picture, number(row.get("channel")) or 0.0, float(row["row"])
        line = levels.setdefault(int(row["level"]), {}).setdefault(position, {})
        for name in row:
            if name.startswith(CELL) and (value := number(row[name])) is not None:
                line.setdefault(name, []).append(value)
    return {
        column: {
            labels: {level: _picture(of_level, counts.get((column, labels))) for level, of_level in levels.items()}
            for labels, levels in of_labels.items()
        }
        for column, of_labels in picture_rows.items()
    }


def _picture(picture_rows: PictureRows, count: tuple[object, int] | None) -> Picture:
    means = {position: [*map(fmean, line.values())] for position, line in sorted(picture_rows.items())}
    if count is None:
        return Picture([[*line] for line in means.values()])
    filters: dict[float, dict[float, list[float]]] = {}
    for (picture, _, row), line in means.items():  # channels beside each other
        filters.setdefault(picture, {}).setdefault(row, []).extend(line)
    return Picture(_mosaic([[*rows.values()] for rows in filters.values()]), len(filters), count[1])


def _mosaic(blocks: Sequence[list[list[float]]]) -> Cells:
    """Arranges blocks of one size in a mosaic, about as high as wide, with a cell of None between any two.

    >>> _mosaic([[[1.0]], [[2.0]], [[3.0]]])
    [[1.0, None, 2.0], [None, None, None], [3.0, None, None]]
    """
    height, width = len(blocks[0]), len(blocks[0][0])
    across = max(1, round((len(blocks) * (height + 1) / (width + 1)) ** 0.5))
    cells: Cells = []
    for first in range(0, len(blocks), across):
        in_line = blocks[first : first + across]
        length = across * (width + 1) - 1
        cells += [[None] * length] if first else []
        for row in range(height):
            values = [*chain.from_iterable([None, *block[row]] for block in in_line)][1:]
            cells.append(values + [None] * (length - len(values)))
    return cells


def strips(pictures: Pictures, curves: Sequence[Curve], look: Sequence[Style], title: str) -> str:
    """Returns a strip of pictures for each curve, a picture per level; empty without pictures."""
    shown = of_curves(pictures, curves, look)
    if not shown:
        return ""
    body = ""
    for curve, style, levels in shown:
        cells = "".join(_cell(picture, style.name, kept) for kept, picture in named(curve, levels))
        body += f'<tr><th scope="rowgroup" colspan="99"><span>{escape(style.name)}</span></th></tr>\n<tr>{cells}</tr>\n'
    return (
        f'<figure class="grids strips">\n<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">\n'
        f"<table>\n<tbody>{body}</tbody>\n</table>\n</div>\n"
        f"<figcaption>{escape(caption([levels for *_, levels in shown]))}</figcaption>\n</figure>"
    )


def of_curves(
    pictures: Pictures, curves: Sequence[Curve], look: Sequence[Style]
) -> list[tuple[Curve, Style, Mapping[int, Picture]]]:
    """The curves with pictures, and these; of curves with the same pictures, as of one mask, the first."""
    shown: list[tuple[Curve, Style, Mapping[int, Picture]]] = []
    for curve, style in zip(curves, look, strict=True):
        levels = pictures.get(tuple(curve.labels.values()), {})
        if levels and all(levels != others for *_, others in shown):
            shown.append((curve, style, levels))
    return shown


def named(curve: Curve, levels: Mapping[int, Picture]) -> list[tuple[str, Picture]]:
    """The shown pictures of a curve, each with its weights remaining; not the dense map of pixels, which is flat."""
    shown = spread(sorted(level for level in levels if level or levels[level].filters) or [0])
    return [(remaining([curve], level), levels[level]) for level in shown]


def caption(pictures: Sequence[Mapping[int, Picture]]) -> str:
    """The caption of the pictures of these curves."""
    all_pictures = [picture for levels in pictures for picture in levels.values()]
    sentences = ["Below each picture: weights remaining. Curves with the same pictures are shown once."]
    if any(not picture.filters for picture in all_pictures):
        sentences.append(
            "A place is a pixel of the image, bluer where the first layer keeps more of its weights, clear where it "
            "keeps none; the share of the bluest stands below. Means over seeds."
        )
    if any(picture.filters for picture in all_pictures):
        shown, total = max((picture.shown, picture.filters) for picture in all_pictures)
        sentences.append(
            f"{f'The first {shown} of {total}' if shown < total else f'All {total}'} filters of the first layer, "
            "channels beside each other: blue is above zero, orange below, clear pruned or near zero; the size of the "
            "largest weight stands below. Of the first seed."
        )
    return " ".join(sentences)


def _cell(picture: Picture, name: str, kept: str) -> str:
    scale = max(2, round(SIDE / max(len(picture.cells), len(picture.cells[0]))))
    width, height = scale * len(picture.cells[0]), scale * len(picture.cells)
    title = escape(f"{name}, {kept}: {'weights' if picture.filters else 'shares'} up to {picture.up_to}")
    source = f"data:image/png;base64,{b64encode(transparent_png(pixels(picture))).decode()}"
    return (
        f'<td><img src="{source}" width="{width}" height="{height}" alt="{title}" title="{title}">'
        f"<br>{kept}<br>up to {picture.up_to}</td>"
    )


def pixels(picture: Picture) -> list[list[bytes]]:
    """Returns red, green, blue and alpha of each cell.

    >>> [[*pixel] for pixel in pixels(Picture([[0.5, -1.0, None]], 2, 2))[0]]
    [[31, 119, 180, 128], [213, 94, 0, 255], [128, 128, 128, 70]]
    """
    largest = picture.largest or 1.0

    def pixel(value: float | None) -> bytes:
        if value is None:
            return GAP
        return (BLUE if value >= 0 else ORANGE) + bytes([round(255 * abs(value) / largest)])

    return [[pixel(value) for value in row] for row in picture.cells]
