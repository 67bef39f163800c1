"""`lt-sweeps table FOLDER... [QUANTITY]`: curves by weights remaining, in LaTeX, Markdown or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import stdev

from lt_sweeps.report.curves import Curve, Point, by_ground
from lt_sweeps.report.published import compared
from lt_sweeps.report.quantities import Quantity, named
from lt_sweeps.report.selecting import build_parser, parse, read_curves
from lt_sweeps.report.shares import distinct_shares, nearest_to, parse_shares, unknown_share
from lt_sweeps.report.styles import styles
from lt_sweeps.report.wording import fewer, percent

EPILOG = """A line per curve, a column per share of weights remaining (to 2 %), a cell of mean ± standard deviation over
seeds, or with --interval mean and 95 % t-interval. A cell of fewer seeds than others says how many. In LaTeX levels
shown to match dense are bold; it needs booktabs.

  lt-sweeps table runs/lenet --format latex --at 100,51,21,3.6
  lt-sweeps table runs/lenet --against frankle2019
  lt-sweeps table runs/lenet difference control=none,reinit"""


def main(arguments: Sequence[str]) -> int:
    """Prints the table; returns the exit code. Raises Mistake."""
    parser = build_parser("table", "The curves of sweeps as a table for a paper.", EPILOG)
    parser.add_argument("--format", choices=[*FORMATS], default="markdown")
    parser.add_argument(
        "--at", type=parse_shares, metavar="51,21,3.6", help="the weights remaining to show, in percent"
    )
    parser.add_argument("--interval", action="store_true", help="95 %% t-intervals instead of standard deviations")
    parser.add_argument("--against", metavar="PAPER", help="each number of a paper beside ours, as Markdown")
    options = parser.parse_intermixed_args(list(arguments))
    folders, what, where = parse(options.words)
    curves = read_curves(folders, where)
    if options.against is not None:
        print("\n".join(compared(curves, options.against)))
        return 0
    print(table(curves, what, options.format, options.at, options.interval), end="")
    return 0


def table(
    curves: Sequence[Curve],
    what: str = "",
    form: str = "markdown",
    at: Sequence[float] | None = None,
    interval: bool = False,
) -> str:
    """Returns the text of the table. Raises Mistake for an unknown quantity, and for a share that no curve has."""
    columns = distinct_shares(point for curve in curves for point in curve.points) if at is None else list(at)
    names = [style.name for style in styles(curves)]
    grounds = by_ground(curves)
    if len(grounds) > 1:
        names = [f"{' on '.join(curve.place)}, {name}" for curve, name in zip(curves, names, strict=True)]
    quantity_of = {ground: named(what or group[0].metric.name, group) for ground, group in grounds.items()}
    quantities = [quantity_of[curve.ground] for curve in curves]
    lines = []
    for curve, quantity in zip(curves, quantities, strict=True):
        points = [nearest_to(share, curve.points) for share in columns]
        lines.append([_cell(point, quantity, interval) if point else Cell() for point in points])
    for share, column in zip(columns, zip(*lines, strict=True), strict=True):
        if at is not None and not any(cell.mean for cell in column):
            raise unknown_share(share, [point for curve in curves for point in curve.points])
    title = " / ".join(dict.fromkeys(quantity.title for quantity in quantities))
    return FORMATS[form](title, [percent(share) for share in columns], names, lines)


@dataclass(frozen=True)
class Cell:
    """A mean over n seeds with its spread, as text; without seeds, why there are none."""

    mean: str = ""
    spread: str = ""
    bold: bool = False
    n: int = 0


def _most_seeds(lines: Sequence[Sequence[Cell]]) -> int:
    """The largest number of seeds of any cell; a cell of fewer seeds says how many."""
    return max((cell.n for cells in lines for cell in cells), default=0)


def _cell(point: Point, quantity: Quantity, interval: bool) -> Cell:
    mean = quantity.mean(point)
    if mean is None:
        return Cell(point.lost) if point.lost else Cell()
    number = quantity.number
    values = list(quantity.values(point).values())
    if interval:
        spread = "" if mean.low is None or mean.high is None else f"[{number(mean.low)}, {number(mean.high)}]"
    else:
        spread = f"± {number(stdev(values))}" if len(values) > 1 else ""
    sign = "+" if quantity.signed and mean.mean > 0 and float(number(mean.mean)) else ""
    return Cell(
        sign + number(mean.mean), spread, quantity.metric is not None and point.level > 0 and point.matching, mean.n
    )


def _markdown(title: str, shares: Sequence[str], names: Sequence[str], lines: Sequence[Sequence[Cell]]) -> str:
    most = _most_seeds(lines)
    rows = [[f"{title}, n = {most}", *(f"{share} %" for share in shares)], ["---"] * (1 + len(shares))]
    rows += [
        [name, *(f"{cell.mean} {cell.spread}".strip() + fewer(cell.n, most) for cell in cells)]
        for name, cells in zip(names, lines, strict=True)
    ]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def _csv(title: str, shares: Sequence[str], names: Sequence[str], lines: Sequence[Sequence[Cell]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["curve", "weights_remaining", title, "spread", "n"])
    for name, cells in zip(names, lines, strict=True):
        writer.writerows([name, share, c.mean, c.spread, c.n] for share, c in zip(shares, cells, strict=True) if c.mean)
    return out.getvalue()


def _latex(title: str, shares: Sequence[str], names: Sequence[str], lines: Sequence[Sequence[Cell]]) -> str:
    most = _most_seeds(lines)

    def number(cell: Cell) -> str:
        mean = rf"\mathbf{{{cell.mean}}}" if cell.bold else cell.mean
        if not cell.n:
            return _escaped(cell.mean)
        return f"${mean} {cell.spread.replace('±', chr(92) + 'pm')}$".replace(" $", "$") + fewer(cell.n, most)

    rows = [[_escaped(name), *map(number, cells)] for name, cells in zip(names, lines, strict=True)]
    head = [r"Weights remaining (\%)", *shares]
    return "\n".join(
        [
            f"% {title}; n = {most} seeds where a cell says no other; bold: shown to match dense.",
            r"% Needs \usepackage{booktabs}.",
            rf"\begin{{tabular}}{{l{'c' * len(shares)}}}",
            r"\toprule",
            " & ".join(head) + r" \\",
            r"\midrule",
            *(" & ".join(row) + r" \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _escaped(text: str) -> str:
    r"""Escapes text for LaTeX.

    >>> print(_escaped("prune.rate=0.2, 50 % of a_b {x}"))
    prune.rate=0.2, 50 \% of a\_b \{x\}
    """
    special = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, r"\textbackslash{}" if c == "\\" else c) for c in text)


FORMATS: dict[str, Callable[[str, Sequence[str], Sequence[str], Sequence[Sequence[Cell]]], str]] = {
    "latex": _latex,
    "markdown": _markdown,
    "csv": _csv,
}
