"""timings.csv: how long each distinct training took and when it ended; these are no results, as they do not repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from lt_sweeps.cell import Cell
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Train
from lt_sweeps.keys import Node
from lt_sweeps.report import table
from lt_sweeps.report.table import Row

TIMINGS = "timings.csv"
COLUMNS = ("key", "level", "seconds", "ended")


def rows(cells: Sequence[Cell], timed: Mapping[Node, Mapping[str, float]]) -> list[Row]:
    """The rows of timings.csv, from the store's `seconds` and, in newer stores, `ended` (Unix time) of trainings."""
    runs: dict[Train, int] = {}
    for cell in cells:
        for level, run in zip(cell.numbers, cell.levels, strict=True):
            runs.setdefault(run, level)
    known = ((run, level, timed[run]) for run, level in runs.items() if "seconds" in timed.get(run, ()))
    return [
        dict(zip(COLUMNS, (run.key, level, timing["seconds"], _moment(timing.get("ended"))), strict=True))
        for run, level, timing in known
    ]


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _day(text: str) -> date:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} does not say its offset from UTC")
    return moment.astimezone(UTC).date()


def read(folder: Path) -> list[Row]:
    """Reads the rows of a sweep's timings.csv, seconds as text; none where it is missing. Raises Mistake."""
    return table.read_named(folder, TIMINGS)


def days(rows: Sequence[Row]) -> str | None:
    """The first and last day, in UTC, on which a training ended; None where no day is known. Raises Mistake.

    >>> days([{"ended": "2026-11-30T09:58:12+00:00"}, {"ended": None}, {"ended": "2026-12-01T00:03:00+00:00"}])
    '2026-11-30 to 2026-12-01'
    """
    try:
        known = sorted({_day(row["ended"]) for row in rows if row.get("ended")})
    except (ValueError, OverflowError) as error:
        raise Mistake(f"{TIMINGS}: {error}; lt-sweeps report FOLDER writes it again") from None
    if not known:
        return None
    return " to ".join(str(day) for day in dict.fromkeys((known[0], known[-1])))
