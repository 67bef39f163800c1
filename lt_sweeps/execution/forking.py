"""The process that a Spare asks for workers: `python -m lt_sweeps.execution.forking DESCRIPTOR`, or a fork."""

from __future__ import annotations

import gc
import importlib
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from lt_sweeps.ending import run_and_exit
from lt_sweeps.execution import process
from lt_sweeps.execution.channel import Channel, Message

SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


def load() -> None:
    """Imports what a worker needs; a sixth faster without the garbage collector, as imports leave little garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        importlib.import_module("lt_sweeps.execution.worker")
    finally:
        if enabled:
            gc.enable()


def serve(connection: socket.socket) -> NoReturn:
    """Forks workers and tells of their ends, until the connection closes."""
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # it ends with the scheduler; new workers unblock them
        _name("lt-spare")
        _redirect(os.devnull)
        channel, selector, pids = Channel(connection), selectors.PollSelector(), dict[str, int]()
        selector.register(channel, selectors.EVENT_READ)
        channel.send({"ready": True})
        while True:
            for key, _ in selector.select():
                if key.fileobj is not channel:  # a worker has ended
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    status = os.waitpid(pids.pop(key.data), 0)[1]
                    channel.send({"name": key.data, "code": os.waitstatus_to_exitcode(status)})
                    continue
                for message in channel.receive():
                    name = message["name"]
                    if "signal" in message:
                        if name in pids:
                            os.kill(pids[name], message["signal"])
                        continue
                    try:
                        pid = os.fork()
                    except OSError as error:  # too many processes
                        Path(message["log"]).write_text(f"OSError: {error}\n")
                        channel.send({"name": name, "code": 1})
                        continue
                    if not pid:
                        for other in selector.get_map().values():
                            os.close(other.fd)
                        _work(message)
                    pids[name] = pid
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, name)
                    channel.send({"name": name, "pid": pid})
    except (EOFError, OSError):  # the scheduler has ended
        code = 0
    finally:
        os._exit(code)


def _work(message: Message) -> NoReturn:
    """What a worker does, with what a new process would have."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # one that came since the fork comes now
    _name("lt-worker")
    _redirect(message["log"])
    os.environ.clear()
    os.environ.update(message["environment"])
    sys.argv = [process.__file__, *message["words"]]
    run_and_exit(process.main)


def _name(name: str) -> None:
    """Sets the name that top shows; ps shows the command line of the process that was forked."""
    Path("/proc/self/comm").write_text(name)


def _redirect(target: str) -> None:
    """Redirects stdout and stderr to a file, and stdin from /dev/null."""
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
        descriptor = os.open(path, flags, 0o666)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.dup2(1, 2)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, buffering=1, closefd=False) for number, mode in ((0, "r"), (1, "w"), (2, "w"))
    )


if __name__ == "__main__":
    load()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
