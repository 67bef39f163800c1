"""What a user can mend: told in one line, before anything starts where that can be."""

from __future__ import annotations

from lt_sweeps.output import printable


class Mistake(Exception):
    """A user's mistake, told in one line: what, where, the nearest valid."""

    def __str__(self) -> str:
        return printable(super().__str__())


class Corner(Mistake):
    """Choices that do not go together: in a grid of many, a cell that is left out."""
