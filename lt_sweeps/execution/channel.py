"""Lines of JSON between a scheduler and its workers, over a socket of the file system."""

from __future__ import annotations

import json
import socket
from collections import deque
from typing import Any

Message = dict[str, Any]


class Channel:
    """One end. Whatever a library prints goes elsewhere."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._rest = b""
        self._come = deque[Message]()

    @classmethod
    def to(cls, address: str) -> Channel:
        """Connect to a scheduler."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(address)
        return cls(connection)

    def fileno(self) -> int:
        """For those who wait for several."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Raises OSError where nobody is at the other end."""
        self._socket.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def receive(self) -> list[Message]:
        """Wait until something comes, and give what is complete of it. Raises EOFError where the other end is gone."""
        try:
            content = self._socket.recv(1 << 20)
        except ConnectionError:
            content = b""
        if not content:
            raise EOFError
        *lines, self._rest = (self._rest + content).split(b"\n")
        return [json.loads(line) for line in lines]

    def next(self) -> Message | None:
        """Wait for one message, if no more has come already; None where the other end is gone."""
        while not self._come:
            try:
                self._come += self.receive()
            except EOFError:
                return None
        return self._come.popleft()

    def close(self) -> None:
        """The other end sees this."""
        self._socket.close()
