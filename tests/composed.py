"""A cell as a command line makes it, for tests that look into it without starting one."""

from __future__ import annotations

from lt_sweeps.cell import Cell, cell_of
from lt_sweeps.config import composing
from lt_sweeps.config.reading import checked


def composed(*words: str) -> Cell:
    """One cell, without the words of a sweep."""
    return cell_of(checked(composing.composed(words)), {})
