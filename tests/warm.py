"""Runs commands as `python -m lt_sweeps.main` and `lt-sweeps` do, without their imports: `python tests/warm.py`.

A process that has imported what commands import and read what is registered, and nothing of a user's, forks a child for
each JSON line {"program", "words", "cwd", "env", "out", "err"}, and answers with its process ID; to {"pid"} it answers
with the exit code of that child, or null. It has one thread, so that a child may fork its workers too. Each child leads
a session.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
IMPORTS = (
    "hydra",
    "lt_sweeps.main",
    "lt_sweeps.cli",
    "lt_sweeps.execution.worker",
    "lt_sweeps.report.page",
    "sklearn.datasets",
)


class Started:
    """A command that runs, with the methods that `subprocess.Popen` has; it prints to files."""

    def __init__(self, warm: Warm, program: str, words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._warm, self.args = warm, [program, *words]
        self._out, self._err = warm.files()
        request = {"program": program, "words": list(words), "cwd": str(cwd), "env": dict(env)}
        self.pid = warm.ask({**request, "out": str(self._out), "err": str(self._err)})
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self.returncode is None:
            self.returncode = self._warm.ask({"pid": self.pid})
        return self.returncode

    def wait(self, timeout: float = 300) -> int:
        """The exit code, waited for. Raises subprocess.TimeoutExpired."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(0.01)
        return code

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Waits; returns what it printed."""
        self.wait(timeout)
        return self._out.read_text(), self._err.read_text()

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)


class Warm:
    """The process, as a test has it."""

    def __init__(self) -> None:
        self._folder, self._started = tempfile.TemporaryDirectory(), 0
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def start(self, program: str, *words: str, cwd: Path, env: Mapping[str, str]) -> Started:
        """Starts a command of `lt_sweeps.main` or `lt_sweeps.cli`, or the text of a program, in a folder."""
        return Started(self, program, words, cwd, env)

    def run(self, program: str, *words: str, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """The same, waited for."""
        process = self.start(program, *words, cwd=cwd, env=env)
        out, err = process.communicate()
        assert process.returncode is not None
        return subprocess.CompletedProcess([program, *words], process.returncode, out, err)

    def files(self) -> tuple[Path, Path]:
        """Where the next command prints: its outputs."""
        self._started += 1
        return Path(self._folder.name) / f"{self._started}.out", Path(self._folder.name) / f"{self._started}.err"

    def ask(self, question: dict[str, Any]) -> Any:
        """Its answer to a line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)
        self._folder.cleanup()


@cache
def warm() -> Warm:
    """The one of this test process."""
    started = Warm()
    atexit.register(started.close)
    return started


def child(request: dict[str, Any]) -> int:
    """What the forked process does; returns its exit code."""
    for number, path in ((1, request["out"]), (2, request["err"])):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.alarm(300)  # seconds, after which the command counts as hanging
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    ours = sys.path[0]
    sys.path[:] = ["", *request["env"].get("PYTHONPATH", "").split(os.pathsep), *(p for p in sys.path[1:] if p != ours)]
    sys.argv = [request["program"], *request["words"]]
    sys.modules["__main__"] = sys.modules["__mp_main__"] = ModuleType("__main__")  # this file is not ours, so foreign
    try:
        if request["program"].startswith("lt_sweeps."):
            return int(importlib.import_module(request["program"]).main())
        exec(compile(request["program"], "<string>", "exec"), {"__name__": "__main__"})
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


def serve() -> None:
    """Imports, then an answer per line."""
    for name in IMPORTS:
        importlib.import_module(name)
    registry, usual = (importlib.import_module(f"lt_sweeps.{name}") for name in ("registry", "config.usual"))
    for kind in registry.FOLDERS:
        registry.catalogue(kind)
    usual.recipes()
    gc.freeze()  # so that collections in children do not write to the pages that processes share
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_code(request["pid"]) if "pid" in request else _fork(request)), flush=True)


def _fork(request: dict[str, Any]) -> int:
    process = os.fork()
    if not process:
        code = 70
        try:
            os.setsid()
            code = child(request)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return process


def _code(process: int) -> int | None:
    ended, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    serve()
