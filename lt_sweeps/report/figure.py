"""`lt-sweeps figure FOLDER... [QUANTITY]`: a figure for a paper or a talk, and the data behind it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lt_sweeps.errors import Mistake
from lt_sweeps.report import paper, paper_along, paper_data, paper_layers, paper_pictures
from lt_sweeps.report import table as tables
from lt_sweeps.report.published import compared
from lt_sweeps.report.selecting import chosen, parse, parser
from lt_sweeps.report.shares import parsed
from lt_sweeps.report.table import as_csv
from lt_sweeps.store.store import write

EPILOG = """QUANTITY is the test result without a name; else difference (to dense), early_stop_step, the column of a
measure, or layer_densities: what each layer keeps at each level. NAME=VALUE chooses curves by their labels; several
values with commas. It is over the weights that remain; with --over NAME over the numbers of a label, such as
rewind.step (init is step 0), at the weights remaining of --at, or the fewest; with --over cost over all iterations that
had to be trained to get there. The caption that is printed says what the bands and markers mean.

  lt-sweeps figure runs/lenet
  lt-sweeps figure runs/lenet difference control=none,reinit --spread bars --width 6.75in
  lt-sweeps figure runs/rewinds barrier --over rewind.step --at 100,20
  lt-sweeps figure runs/methods --over cost --at 20
  lt-sweeps figure runs/snip runs/imp --facet prune --style talk --format png --out talk/both.png
  lt-sweeps figure runs/lenet --along --at 51,21,3.6             learning curves, level by level
  lt-sweeps figure runs/lenet barrier --along control=none       the error on the whole line between two networks
  lt-sweeps figure runs/lenet first_layer_trained --pictures     first layers: maps of pixels, or filters"""
UNITS = {"in": 1.0, "": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27}  # in inches; a LaTeX point
DATA = ("csv", "parquet")


def main(arguments: Sequence[str]) -> int:
    """Writes the figure and its data; returns the exit code. Raises Mistake."""
    options = parser("figure", "A figure over the weights that remain, and the data behind it.", EPILOG)
    options.add_argument("--format", choices=paper.FORMATS, help="of the file; pdf, or what --out ends in")
    options.add_argument("--style", choices=[*paper.LOOKS], default="paper", help="sizes of fonts and lines")
    options.add_argument("--width", type=_inches, metavar="3.25in", help="of the whole figure; in, cm, mm or pt")
    options.add_argument("--facet", metavar="LABEL", help="a panel for each value of a label, such as prune")
    options.add_argument("--spread", choices=paper.SPREADS, default="band", help="how the spread over seeds is shown")
    options.add_argument("--against", metavar="PAPER", help="a paper whose numbers are drawn too, such as frankle2019")
    options.add_argument("--pictures", action="store_true", help="of a measure of first layers: pixels or filters")
    options.add_argument("--along", action="store_true", help="over the steps of training; a barrier: over its line")
    options.add_argument("--data", choices=DATA, default="csv", help="format of the data; parquet needs pyarrow")
    options.add_argument("--out", type=Path, metavar="FILE", help="else QUANTITY.pdf in the (first) sweep's folder")
    options.add_argument("--over", metavar="NAME", help="cost, or a label whose values are numbers")
    options.add_argument("--at", type=parsed, metavar="51,21", help="weights remaining (%%): with --over or --along")
    asked = options.parse_intermixed_args(list(arguments))
    folders, what, where = parse(asked.words)
    curves = chosen(folders, where)
    what = what or curves[0].metric.name
    kind = "along" if asked.along else "pictures" if asked.pictures else f"over_{asked.over}" if asked.over else ""
    out, form = paper.place(asked.out, asked.format, folders[0], "_".join(filter(None, (what, kind))))
    alone = f"--{kind}" if asked.along or asked.pictures else what if what == paper_layers.NAME else None
    others = [folders[1:], asked.facet, asked.against, asked.over, asked.at and not asked.along]
    if alone and (any(others) or (asked.along and asked.pictures)):
        raise Mistake(f"{alone}: is of one sweep, without --facet, --against, --over{'' if asked.along else ', --at'}")
    if asked.along:
        histories, points = tables.read_histories(folders[0]), tables.read_points(folders[0])
        along, panels, caption = paper_along.panels(what, histories, points, curves, asked.at)
        drawn = paper_along.draw(along, panels, style=asked.style, width=asked.width)
        rows = paper_along.data(what, histories, points, curves)
    elif asked.pictures:
        points = tables.read_points(folders[0])
        strips, caption = paper_pictures.strips(points, curves, what)
        drawn = paper_pictures.draw(strips, style=asked.style, width=asked.width)
        rows = paper_pictures.data(points, curves, what)
    elif what == paper_layers.NAME:
        shares = tables.read_layers(folders[0])
        maps, caption = paper_layers.maps(shares, curves)
        drawn = paper_layers.draw(maps, style=asked.style, width=asked.width)
        rows = paper_layers.data(shares, curves)
    else:
        drawn = paper.draw(
            curves,
            what,
            facet=asked.facet,
            style=asked.style,
            width=asked.width,
            spread=asked.spread,
            against=asked.against,
            over=asked.over,
            at=asked.at,
        )
        caption = paper.caption(curves, what, asked.facet, asked.spread, asked.over, asked.at)
        rows = paper_data.data(curves, what, asked.facet, asked.over, asked.at)
    content = paper.encoded(drawn, form)
    beside = out.with_suffix(f".{asked.data}")
    table = _parquet(rows) if asked.data == "parquet" else as_csv(rows).encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    write(out, content)
    write(beside, table)
    beside_ours = [] if asked.against is None else [*compared(curves, asked.against)]
    print(f"figure:  {out}\ndata:    {beside}\ncaption: {caption}")
    print("\n".join(beside_ours), end="\n" * bool(beside_ours))
    return 0


def _inches(text: str) -> float:
    """Parses a width.

    >>> _inches("3.25in"), round(_inches("8.255cm"), 6), _inches("72.27pt")
    (3.25, 3.25, 1.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*(in|cm|mm|pt|)", text)
    value = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 0.5 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text}: give a width such as 3.25in, 8.3cm or 240pt")
    return value


def _parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    import pandas as pd

    try:
        return bytes(pd.DataFrame(list(rows)).to_parquet(index=False))
    except ImportError:
        raise Mistake("--data parquet needs pyarrow: pip install 'lt-sweeps[figures]'") from None
