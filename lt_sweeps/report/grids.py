"""Pictures of tensors, from measures with a matrix for each tensor in measures.csv, such as `graphon`."""

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

LEVELS = 8  # shown of a curve, at most, evenly spaced
SIDE = 72  # pixels of a picture
CELL = "at_"  # how the columns of a matrix begin
BLUE = bytes((31, 119, 180))

Grid = list[list[float]]  # rows of cells, means over seeds
Grids = Mapping[tuple[str, ...], Mapping[int, Mapping[str, Grid]]]  # labels of a curve -> level -> tensor -> picture


def by_measure(rows: Sequence[Row]) -> Mapping[str, Grids]:
    """The matrices in the rows of measures.csv, by the column of the measure, means over seeds.

    >>> row = {"model": "m", "seed": 0, "level": 1, "measure": "graphon_trained", "layer": "w", "row": 0.0}
    >>> by_measure([{**row, "at_00": 80.0}, {**row, "seed": 1, "at_00": 60.0}])
    {'graphon_trained': {('m',): {1: {'w': [[70.0]]}}}}
    >>> by_measure([{**row, "row": 1.0, "at_00": 20.0}, {**row, "at_00": 80.0}])["graphon_trained"]["m",][1]["w"]
    [[80.0], [20.0]]
    """
    values: dict[tuple[str, tuple[str, ...], int, str], dict[float, dict[str, list[float]]]] = {}
    for row in rows:
        if number(row.get("picture")) is not None:  # first layers have strips of their own
            continue
        if (line := number(row.get("row"))) is not None and row.get("layer"):
            cells = values.setdefault((row["measure"], labels_in(row), int(row["level"]), row["layer"]), {})
            for name in row:
                if name.startswith(CELL) and (value := number(row[name])) is not None:
                    cells.setdefault(line, {}).setdefault(name, []).append(value)
    grids: dict[str, dict[tuple[str, ...], dict[int, dict[str, Grid]]]] = {}
    for (column, labels, level, layer), cells in values.items():
        levels = grids.setdefault(column, {}).setdefault(labels, {})
        levels.setdefault(level, {})[layer] = [[*map(fmean, line.values())] for _, line in sorted(cells.items())]
    return grids


def pictures(grids: Grids, curves: Sequence[Curve], look: Sequence[Style], title: str) -> str:
    """Returns a table of pictures, a line per level and a column per tensor; empty without pictures."""
    shown = [
        (curve, style, levels)
        for curve, style in zip(curves, look, strict=True)
        if (levels := grids.get(tuple(curve.labels.values())))
    ]
    names = list(dict.fromkeys(name for *_, levels in shown for tensors in levels.values() for name in tensors))
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
    """At most LEVELS of these levels, evenly spaced, with the first and the last.

    >>> spread(range(1, 30))
    [1, 5, 9, 13, 17, 21, 25, 29]
    """
    if len(levels) <= LEVELS:
        return list(levels)
    return [levels[round(index * (len(levels) - 1) / (LEVELS - 1))] for index in range(LEVELS)]


def _cell(grid: Grid | None, title: str) -> str:
    if not grid:
        return "<td>&ndash;</td>"
    largest = max(max(row) for row in grid)
    text = escape(f"{title}: shares from {percent(min(min(row) for row in grid))} to {percent(largest)} %")
    image = b64encode(png([[value / largest if largest else 0.0 for value in row] for row in grid])).decode()
    source = f"data:image/png;base64,{image}"
    return (
        f'<td><img src="{source}" width="{SIDE}" height="{SIDE}" alt="{text}" title="{text}">'
        f"<br>{percent(largest)} %</td>"
    )


def png(shares: Grid) -> bytes:
    """Returns a PNG of shares from 0, which is transparent, to 1, which is blue.

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
