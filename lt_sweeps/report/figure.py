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
from lt_sweeps.report.selecting import build_parser, parse, read_curves
from lt_sweeps.report.shares import parse_shares
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
    parser = build_parser("figure", "A figure over the weights that remain, and the data behind it.", EPILOG)
    parser.add_argument("--format", choices=paper.FORMATS, help="of the file; pdf, or what --out ends in")
    parser.add_argument("--style", choices=[*paper.LOOKS], default="paper", help="sizes of fonts and lines")
    parser.add_argument("--width", type=_inches, metavar="3.25in", help="of the whole figure; in, cm, mm or pt")
    parser.add_argument("--facet", metavar="LABEL", help="a panel for each value of a label, such as prune")
    parser.add_argument("--spread", choices=paper.SPREADS, help="how the spread over seeds is shown; band")
    parser.add_argument("--against", metavar="PAPER", help="a paper whose numbers are drawn too, such as frankle2019")
    parser.add_argument("--pictures", action="store_true", help="of a measure of first layers: pixels or filters")
    parser.add_argument("--along", action="store_true", help="over the steps of training; a barrier: over its line")
    parser.add_argument("--data", choices=DATA, default="csv", help="format of the data; parquet needs pyarrow")
    parser.add_argument("--out", type=Path, metavar="FILE", help="else QUANTITY.pdf in the (first) sweep's folder")
    parser.add_argument("--over", metavar="NAME", help="cost, or a label whose values are numbers")
    parser.add_argument(
        "--at", type=parse_shares, metavar="51,21", help="weights remaining (%%): with --over or --along"
    )
    options = parser.parse_intermixed_args(list(arguments))
    folders, what, where = parse(options.words)
    curves = read_curves(folders, where)
    what = what or curves[0].metric.name
    over = f"over_{options.over}" if options.over else ""
    kind = "along" if options.along else "pictures" if options.pictures else over
    out, form = paper.place(options.out, options.format, folders[0], "_".join(filter(None, (what, kind))))
    of_one_sweep = f"--{kind}" if options.along or options.pictures else what if what == paper_layers.NAME else None
    others = [
        folders[1:],
        options.facet,
        options.against,
        options.over,
        options.spread,
        options.at and not options.along,
    ]
    if of_one_sweep and (any(others) or (options.along and options.pictures)):
        excluded = "--facet, --against, --over, --spread" + ("" if options.along else ", --at")
        raise Mistake(f"{of_one_sweep}: is of one sweep, without {excluded}")
    spread = options.spread or paper.SPREADS[0]
    if options.along:
        histories, points = tables.read_histories(folders[0]), tables.read_points(folders[0])
        along, panels, caption = paper_along.panels(what, histories, points, curves, options.at)
        figure = paper_along.draw(along, panels, style=options.style, width=options.width)
        rows = paper_along.data(what, histories, points, curves)
    elif options.pictures:
        points = tables.read_points(folders[0])
        strips, caption = paper_pictures.strips(points, curves, what)
        figure = paper_pictures.draw(strips, style=options.style, width=options.width)
        rows = paper_pictures.data(points, curves, what)
    elif what == paper_layers.NAME:
        shares = tables.read_layers(folders[0])
        maps, caption = paper_layers.maps(shares, curves)
        figure = paper_layers.draw(maps, style=options.style, width=options.width)
        rows = paper_layers.data(shares, curves)
    else:
        figure = paper.draw(
            curves,
            what,
            facet=options.facet,
            style=options.style,
            width=options.width,
            spread=spread,
            against=options.against,
            over=options.over,
            at=options.at,
        )
        caption = paper.caption(curves, what, options.facet, spread, options.over, options.at)
        rows = paper_data.data(curves, what, options.facet, options.over, options.at)
    content = paper.encoded(figure, form)
    data = out.with_suffix(f".{options.data}")
    table = _parquet(rows) if options.data == "parquet" else as_csv(rows).encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    write(out, content)
    write(data, table)
    comparison = [] if options.against is None else [*compared(curves, options.against)]
    print(f"figure:  {out}\ndata:    {data}\ncaption: {caption}")
    print("\n".join(comparison), end="\n" * bool(comparison))
    return 0


def _inches(text: str) -> float:
    """Parses a width, in inches.

    >>> _inches("3.25in"), round(_inches("8.255cm"), 6), _inches("72.27pt")
    (3.25, 3.25, 1.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*(in|cm|mm|pt|)", text)
    value = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not 0.5 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text}: give a width such as 3.25in, 8.3cm or 240pt")
    return value


def _parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    import pandas as pd

    try:
        return bytes(pd.DataFrame(list(rows)).to_parquet(index=False))
    except ImportError:
        raise Mistake("--data parquet needs pyarrow: pip install 'lt-sweeps[figures]'") from None
