"""Errors that a user can fix: one-line messages, raised before any work starts where possible."""

from __future__ import annotations

from lt_sweeps.output import printable


class Mistake(Exception):
    """A user's mistake; the message is one line: what is wrong, where, and the nearest valid value."""

    def __str__(self) -> str:
        return printable(super().__str__())


class Corner(Mistake):
    """An impossible combination of options; a grid of several cells leaves such a cell out."""
