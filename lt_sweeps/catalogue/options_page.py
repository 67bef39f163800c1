"""The tables of docs/options.md, from `conf/` and the columns of results: `python -m lt_sweeps.catalogue.options_page`.

Names are written by this file, the remarks beside them by hand: a table of options keeps its last cells.
"""

from __future__ import annotations

import re

from lt_sweeps.catalogue.listing import options
from lt_sweeps.columns import COLUMNS
from lt_sweeps.config.schema import HERE

PAGE = HERE.parent / "docs" / "options.md"
OPTIONS = re.compile(r"^\| `(\w+)` \| [^|]* \|(?= .)", re.MULTILINE)  # two cells that a third follows
COLUMN_TABLE = re.compile(r"(\| column \| meaning \|\n\|---\|---\|\n)(?:\|.*\n)*")


def text(page: str) -> str:
    """The page with the options of `conf/` and the columns of results.csv, both as they are now."""
    groups = options()

    def row(match: re.Match[str]) -> str:
        names = " ".join(f"`{name}`" for name in groups.get(match[1], ()))
        return f"| `{match[1]}` | {names} |" if names else match[0]

    columns = "".join(f"| `{column.name}` | {column.meaning} |\n" for column in COLUMNS.values())
    return COLUMN_TABLE.sub(lambda match: match[1] + columns, OPTIONS.sub(row, page))


if __name__ == "__main__":
    PAGE.write_text(text(PAGE.read_text()))
