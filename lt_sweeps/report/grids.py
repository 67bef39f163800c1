"""Pictures of tensors: measures whose rows in measures.csv are those of a matrix for each, as `graphon` has them."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean

from lt_sweeps.report.curves import Curve, Row
from lt_sweeps.report.points import labels_in, number
from lt_sweeps.report.styles import Style
from lt_sweeps.report.wording import percent

LEVELS = 8  # of a curve, at most, evenly spaced
SIDE = 72  # pixels of a picture
CELL = "at_"  # columns of a matrix
BLUE = bytes((31, 119, 180))

Grid = list[list[float]]  # rows of cells, means over seeds
Grids = Mapping[tuple[str, ...], Mapping[int, Mapping[str, Grid]]]  # labels of a curve -> level -> tensor -> picture


def by_measure(rows: Sequence[Row]) -> Mapping[str, Grids]:
    """The matrices in the rows of measures.csv, by the column of the measure, means over seeds.

    >>> row = {"model": "m", "seed": 0, "level": 1, "measure": "graphon_trained", "layer": "w", "row": 0.0}
    >>> by_measure([{**row, "at_00": 80.0}, {**row, "seed": 1, "at_00": 60.0}])
    {'graphon_trained': {('m',): {1: {'w': [[70.0]]}}}}
    """
    values: dict[tuple[str, tuple[str, ...], int, str], dict[float, dict[str, list[float]]]] = {}
    for row in rows:
        if number(row.get("picture")) is not None:  # of a first layer, which has strips of its own
            continue
        if (place := number(row.get("row"))) is not None and row.get("layer"):
            cells = values.setdefault((row["measure"], labels_in(row), int(row["level"]), row["layer"]), {})
            for name in row:
                if name.startswith(CELL) and (value := number(row[name])) is not None:
                    cells.setdefault(place, {}).setdefault(name, []).append(value)
    found: dict[str, dict[tuple[str, ...], dict[int, dict[str, Grid]]]] = {}
    for (column, labels, level, layer), cells in values.items():
        levels = found.setdefault(column, {}).setdefault(labels, {})
        levels.setdefault(level, {})[layer] = [[*map(fmean, line.values())] for line in cells.values()]
    return found


def pictures(grids: Grids, curves: Sequence[Curve], look: Sequence[Style], title: str) -> str:
    """Returns a table of pictures, a line for a level and a column for a tensor; empty without any."""
    shown = [
        (curve, style, levels)
        for curve, style in zip(curves, look, strict=True)
        if (levels := grids.get(tuple(curve.labels.values())))
    ]
    names = list(dict.fromkeys(name for *_, levels in shown for of in levels.values() for name in of))
    if not names:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("Weights remaining", *names))
    body = ""
    for curve, style, levels in shown:
        body += f'<tr><th scope="rowgroup" colspan="{len(names) + 1}"><span>{escape(style.name)}</span></th></tr>\n'
        for level in spread(sorted(level for level in levels if level) or [0]):
            point = curve.at(level)
            kept = f"level {level}" if point is None or point.remaining is None else f"{percent(point.remaining)} %"
            cells = "".join(_cell(levels[level].get(name), f"{name}, {kept}") for name in names)
            body += f"<tr><td>{kept}</td>{cells}</tr>\n"
    caption = (
        "Rows are outputs and columns inputs, sorted by how many of their weights are kept. Each picture is clear at 0 "
        "and darkest at its largest cell, whose share stands below it. Means over seeds."
    )
    return (
        f'<figure class="grids">\n<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">\n'
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>\n</table>\n</div>\n"
        f"<figcaption>{escape(caption)}</figcaption>\n</figure>"
    )


def spread(levels: Sequence[int]) -> list[int]:
    """At most LEVELS of these, evenly spaced, the first and the last among them.

    >>> spread(range(1, 30))
    [1, 5, 9, 13, 17, 21, 25, 29]
    """
    if len(levels) <= LEVELS:
        return list(levels)
    return [levels[round(place * (len(levels) - 1) / (LEVELS - 1))] for place in range(LEVELS)]


def _cell(grid: Grid | None, title: str) -> str:
    if not grid:
        return "<td>&ndash;</td>"
    most = max(max(row) for row in grid)
    words = f"{title}: shares from {percent(min(min(row) for row in grid))} to {percent(most)} %"
    image = b64encode(png([[value / most if most else 0.0 for value in row] for row in grid])).decode()
    source = f"data:image/png;base64,{image}"
    return (
        f'<td><img src="{source}" width="{SIDE}" height="{SIDE}" alt="{escape(words)}" title="{escape(words)}">'
        f"<br>{percent(most)} %</td>"
    )


def png(shares: Grid) -> bytes:
    """Returns an image of shares between 0, which is clear, and 1, which is blue.

    >>> png([[0.0, 1.0]])[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    return transparent_png([[BLUE + bytes([round(255 * share)]) for share in row] for row in shares])


def transparent_png(pixels: Sequence[Sequence[bytes]]) -> bytes:
    """Returns a PNG of pixels of four bytes: red, green, blue and alpha."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    lines = b"".join(b"\0" + b"".join(row) for row in pixels)
    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 6, 0, 0, 0)  # 8 bits of each
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
