"""Runs commands as `python -m lt_sweeps.main` and `lt-sweeps` do, without their imports: `python tests/warm.py`.

A process that has imported what commands import, and nothing of a user's, forks a child for each JSON line
{"program", "words", "cwd", "env", "out", "err"}, and answers with its exit code. It has one thread, so that a child
may fork its workers too.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
IMPORTS = ("hydra", "lt_sweeps.main", "lt_sweeps.cli", "lt_sweeps.execution.worker", "lt_sweeps.report.page")


class Warm:
    """The process, as a test has it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def run(self, program: str, *words: str, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """A command of `lt_sweeps.main` or `lt_sweeps.cli`, or the text of a program, in a folder."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        out, err = cwd / ".out", cwd / ".err"
        asked = {
            "program": program,
            "words": words,
            "cwd": str(cwd),
            "env": dict(env),
            "out": str(out),
            "err": str(err),
        }
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        done = subprocess.CompletedProcess([program, *words], code, out.read_text(), err.read_text())
        out.unlink()
        err.unlink()
        return done

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


@cache
def warm() -> Warm:
    """The one of this test process."""
    started = Warm()
    atexit.register(started.close)
    return started


def child(asked: dict[str, Any]) -> int:
    """What the forked process does; returns its exit code."""
    for number, path in ((1, asked["out"]), (2, asked["err"])):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.alarm(300)  # seconds, after which the command counts as hanging
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    ours = sys.path[0]
    sys.path[:] = ["", *asked["env"].get("PYTHONPATH", "").split(os.pathsep), *(p for p in sys.path[1:] if p != ours)]
    sys.argv = [asked["program"], *asked["words"]]
    sys.modules["__main__"] = sys.modules["__mp_main__"] = ModuleType("__main__")  # this file is not ours, so foreign
    try:
        if asked["program"].startswith("lt_sweeps."):
            return int(importlib.import_module(asked["program"]).main())
        exec(compile(asked["program"], "<string>", "exec"), {"__name__": "__main__"})
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


def serve() -> None:
    """Imports, then a child per line."""
    for name in IMPORTS:
        importlib.import_module(name)
    for line in sys.stdin:
        process = os.fork()
        if not process:
            code = 70
            try:
                code = child(json.loads(line))
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
