"""The end of a process of ours."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn


class Terminated(BaseException):
    """A signal has asked this process to end.

    No SystemExit, which foreign code raises by calling `sys.exit`: what catches that must not lose a SIGTERM.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.code = 128 + signum


def leave(signum: int, _: object) -> NoReturn:
    """Signal handler: raises Terminated."""
    raise Terminated(signum)


def run_and_exit(run: Callable[[], Any]) -> NoReturn:
    """Calls `run` and ends this process as Python would, without taking all modules apart.

    That takes a second, and among several ranks it may abort: a thread of torch's gloo that lets go of a tensor then
    asks for Python (6 of 240 processes on a loaded machine, 0 of 180 that end like this).
    """
    code = 1
    try:
        try:
            left = run()
        except (SystemExit, Terminated) as end:
            left = end.code
        code = left if isinstance(left, int) else int(left is not None)
        if isinstance(left, str):
            print(left, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        with suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(BaseException):
                stream.flush()
        os._exit(code)
