"""The process of a Spare that imports nothing heavy, and whose workers run what the test gives instead of training."""

from __future__ import annotations

import socket
import sys

from lt_sweeps.execution import forking, process


def main() -> None:
    """The program is the first argument."""
    exec(compile(sys.argv[1], "<worker>", "exec"), {})


if __name__ == "__main__":
    process.main = main
    forking.serve(socket.socket(fileno=int(sys.argv[1])))
