"""Updates the tables of docs/options.md from `conf/` and columns.py: `python -m lt_sweeps.catalogue.options_page`.

It writes the names; remarks in the last cells of a table of options are written by hand, and kept.
"""

from __future__ import annotations

import re

from lt_sweeps.catalogue.listing import options
from lt_sweeps.columns import COLUMNS
from lt_sweeps.config.schema import HERE

PAGE = HERE.parent / "docs" / "options.md"
OPTIONS = re.compile(r"^\| `(\w+)` \| [^|]* \|(?= .)", re.MULTILINE)  # the first two of three cells
COLUMN_TABLE = re.compile(r"(\| column \| meaning \|\n\|---\|---\|\n)(?:\|.*\n)*")


def text(page: str) -> str:
    """Returns the page with the present options of `conf/` and columns of results.csv."""
    groups = options()

    def row(match: re.Match[str]) -> str:
        names = " ".join(f"`{name}`" for name in groups.get(match[1], ()))
        return f"| `{match[1]}` | {names} |" if names else match[0]

    columns = "".join(f"| `{column.name}` | {column.meaning} |\n" for column in COLUMNS.values())
    return COLUMN_TABLE.sub(lambda match: match[1] + columns, OPTIONS.sub(row, page))


if __name__ == "__main__":
    PAGE.write_text(text(PAGE.read_text()))
