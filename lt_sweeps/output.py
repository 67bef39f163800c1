"""Output that outlives its reader: `| head` ends the reading, never the sweep."""

from __future__ import annotations

import os
from typing import TextIO


class Unbreakable:
    """A text stream that goes on into nothing when whoever read it is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if there is still somebody to read."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Flush, if there is still somebody to read."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._give_up()

    def isatty(self) -> bool:
        """Whether a person is looking."""
        return self._stream.isatty()

    def _give_up(self) -> None:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())
        os.close(nothing)
