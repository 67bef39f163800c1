"""Marks of what was logged: a small file per run, so that a repeated sweep does not upload everything again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lt_sweeps.loggers.runs import About
from lt_sweeps.store.store import write


class Marks:
    """The digests of complete runs, as files in a folder; the destination is part of a digest."""

    def __init__(self, folder: Path, destination: tuple[str, ...]) -> None:
        self._folder, self._destination = folder, destination

    def of(self, about: About, content: Sequence[Any]) -> str:
        """The mark of a run with this content."""
        return digest([self._destination, about, content])

    def read(self, about: About) -> str | None:
        """Returns the mark of a run; None if it has none."""
        path = self._folder / about.id
        return path.read_text() if path.exists() else None

    def write(self, about: About, mark: str) -> None:
        """Writes the mark of a run that was logged."""
        write(self._folder / about.id, mark.encode())


def digest(value: Any) -> str:
    """The SHA-256 (hex) of what is logged."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=vars).encode()).hexdigest()
