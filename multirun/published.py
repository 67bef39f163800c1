"""Updates the table "Published against ours" of RESULTS.md: `python multirun/published.py`.

published.csv says which sweeps are compared with which numbers of lt_sweeps/published, the longest first, and what was
tried where one does not come out. A number is compared with the first sweep that has it; sweeps without results.csv are
left out. The machine is that in the comment of the sweep's script; core hours are the sum of its timings.csv, or, where
there is none, those of the comment.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import stdev

from lt_sweeps.report import costs, table
from lt_sweeps.report.curves import Row, curves
from lt_sweeps.report.published import Comparison, comparisons
from lt_sweeps.report.wording import bounds, percent

HERE = Path(__file__).parent
PAGE = HERE.parent / "RESULTS.md"
HEADS = (
    "paper",
    "what",
    "weights remaining (%)",
    "published",
    "ours, mean ± s.d., 95 % interval",
    "n",
    "inside",
    "iterations, ours / paper's",
    "command",
    "machine",
    "core hours",
    "where it does not come out",
)
TABLE = re.compile(rf"^\| {re.escape(' | '.join(HEADS))} \|\n(?:\|.*\n)*", re.MULTILINE)
AGREES = ("yes", "reached")


def text(page: str) -> str:
    """Returns the page with the present table. Raises ValueError for a page without one."""
    if not TABLE.search(page):
        raise ValueError("no table with these heads")
    head = [f"| {' | '.join(HEADS)} |", "|" + " --- |" * len(HEADS)]
    lines = "".join(f"{line}\n" for line in (*head, *(f"| {' | '.join(cells)} |" for cells in rows())))
    return TABLE.sub(lambda _: lines, page)


def rows() -> Iterator[list[str]]:
    """Yields the cells of each line of the table, in the order of published.csv."""
    with (HERE / "published.csv").open(newline="") as file:
        listed = list(csv.DictReader(file, strict=True))
    compared = set()
    for entry in listed:
        folder = HERE / entry["sweep"]
        if (folder / table.RESULTS).exists():
            measured = costs.read(folder)
            for each in comparisons(curves(measured), entry["paper"]):
                if each.number.quantity == entry["quantity"] and each.number not in compared:
                    compared.add(each.number)
                    note = "" if each.inside in AGREES else entry["note"]
                    yield [*_numbers(each), _length(each, measured), *_cost(entry["sweep"]), note]


def _numbers(each: Comparison) -> list[str]:
    number, quantity, mean = each.number, each.quantity, each.mean
    values = list(quantity.values(each.point).values())
    spread = f" ± {quantity.number(stdev(values))}" if len(values) > 1 else ""
    return [
        f"{number.source} [{number.mark}]",
        each.what,
        percent(each.point.remaining or 0),
        each.published,
        f"{quantity.number(mean.mean)}{spread} {bounds(mean, quantity.number)}".rstrip(),
        str(mean.n),
        each.inside,
    ]


def _length(each: Comparison, measured: list[Row]) -> str:
    """The iterations of the longest training on this network, or of the search for a learned mask, and the paper's."""
    place = each.curve.place
    steps = [row["steps"] or 0 for row in measured if (row["model"], row["dataset"]) == place]
    if each.curve.label("prune") == "learned":
        steps = list(each.point.cost.values()) or steps
    return f"{max(steps):,} / {f'{each.number.iterations:,}' if each.number.iterations else 'not known'}"


def _cost(sweep: str) -> tuple[str, str, str]:
    """The command, the machine, and the core hours of the whole sweep.

    >>> _cost("zhou2019_supermasks")
    ('`multirun/zhou2019_supermasks.sh`', 'shared two-core AMD EPYC', '0.33, estimated')
    """
    comment = (HERE / f"{sweep}.sh").read_text().replace("\n# ", " ")
    cost = re.search(
        r"hours: (?:(\d+) h)? ?(?:(\d+) min)? of one core.*? (timed|estimated) on an? ([^.\n]+)\.", comment
    )
    if cost is None:
        raise ValueError(f"{sweep}.sh: its comment has no hours of one core, or no machine")
    hours, known = int(cost[1] or 0) + int(cost[2] or 0) / 60, cost[3]
    if (timings := HERE / sweep / "timings.csv").exists():
        with timings.open(newline="") as file:
            hours, known = sum(float(row["seconds"]) for row in csv.DictReader(file)) / 3600, "timed"
    return f"`multirun/{sweep}.sh`", cost[4], f"{hours:.2g}, {known}"


if __name__ == "__main__":
    PAGE.write_text(text(PAGE.read_text()))
