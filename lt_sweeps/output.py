"""Terminal output: text without control characters, and a stream that survives a closed pipe."""

from __future__ import annotations

import os
from typing import TextIO


def printable(text: str) -> str:
    """Returns `text` with `?` for non-printable characters, so that a foreign file cannot send terminal escapes.

    >>> printable("a ticket\\x1b[2J\\n")
    'a ticket?[2J?'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Unbreakable:
    """A text stream that writes to /dev/null once its pipe is closed, so that `| head` does not end a sweep."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes `text`, or drops it if the pipe is closed."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Flushes the stream, if the pipe is not closed."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._give_up()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()

    @property
    def encoding(self) -> str:
        """The stream's encoding; ascii where it has none."""
        return self._stream.encoding or "ascii"

    def _give_up(self) -> None:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())
        os.close(nothing)
