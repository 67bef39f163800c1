"""Output that outlives its reader, and does to a terminal nothing but text."""

from __future__ import annotations

import os
from typing import TextIO


def printable(text: str) -> str:
    """`text` in one line: words of a file from elsewhere move no cursor and hide nothing.

    >>> printable("a ticket\\x1b[2J\\n")
    'a ticket?[2J?'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Unbreakable:
    """A text stream that goes on into nothing when whoever read it is gone: `| head` ends no sweep."""

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
