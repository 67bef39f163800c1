"""Lines of JSON between a scheduler and its workers, over a Unix domain socket."""

from __future__ import annotations

import json
import socket
from collections import deque
from contextlib import suppress
from typing import Any

Message = dict[str, Any]


class Channel:
    """One end of a connection. It is separate from stdout and stderr, where libraries print."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._rest = b""
        self._come = deque[Message]()

    @classmethod
    def to(cls, address: str) -> Channel:
        """Connects to a scheduler."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(address)
        return cls(connection)

    def fileno(self) -> int:
        """The socket's file descriptor, for selectors."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Sends a message. Raises OSError if the other end is closed."""
        self._socket.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def receive(self) -> list[Message]:
        """Waits for data and returns the complete messages. Raises EOFError if the other end is closed."""
        try:
            content = self._socket.recv(1 << 20)
        except ConnectionError:
            content = b""
        if not content:
            raise EOFError
        *lines, self._rest = (self._rest + content).split(b"\n")
        return [json.loads(line) for line in lines]

    def next(self) -> Message | None:
        """Returns the next message, waiting if there is none yet; None if the other end is closed."""
        while not self._come:
            try:
                self._come += self.receive()
            except EOFError:
                return None
        return self._come.popleft()

    def hang_up(self) -> None:
        """Reads nothing any more: whoever waits for a message gets None, as if the other end were closed."""
        with suppress(OSError):  # it is closed
            self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Closes the connection; the other end notices."""
        self._socket.close()
