"""What the tests here share: the server that forks a sweep, what a folder holds, and what was trained."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lt_sweeps.store.store import Missing, Store
from lt_sweeps.store_tools.verify import Verified, verify

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
Tree = dict[str, str]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass
class Server:
    """Asks the server for one sweep after the other, each in the same folder."""

    process: subprocess.Popen[str]
    home: Path

    @classmethod
    def start(cls, home: Path) -> Server:
        home.mkdir(parents=True, exist_ok=True)
        paths = os.pathsep.join(map(str, (ROOT, HERE.parent, HERE)))
        process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": paths},
        )
        server = cls(process, home)
        assert server._answer() == "ready", "the server did not start"
        return server

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def store(self) -> Path:
        return self.runs / "store"

    def sweep(self, fault: dict[str, Any] | None = None, *, whole: bool = False, root: Path | None = None) -> Any:
        """Do the sweep with a fault, or without; `trained` is what it began and ended to train."""
        log = self.home / "log"
        log.unlink(missing_ok=True)
        asked = {"root": str(root or self.runs), "log": str(log), "fault": fault, "whole": whole}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        told = json.loads(self._answer())
        told["trained"] = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return told

    def clear(self) -> None:
        shutil.rmtree(self.runs, ignore_errors=True)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)
        shutil.rmtree(self.home, ignore_errors=True)

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@dataclass
class Calm:
    """What the sweep comes to when nothing disturbs it."""

    runs: Path
    tree: Tree
    told: Any

    @property
    def events(self) -> list[tuple[str, str]]:
        """Every operation and its path, in order."""
        return [(event, path) for event, path in self.told["events"]]

    @property
    def operations(self) -> int:
        return len(self.told["events"])


def tree(runs: Path) -> Tree:
    """Every byte that means something: records, blobs, and what a sweep reports of them but for durations."""
    kept = [path for kind in ("record", "blob") for path in (runs / "store" / kind).glob("??/*")]
    told = [path for path in runs.glob("?/*") if path.suffix in (".csv", ".json", ".html", ".md")]
    there = [path for path in (*kept, *told) if not path.name.startswith(".") and path.name != "timings.csv"]
    return {str(path.relative_to(runs)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(there)}


def finished(store: Path) -> set[str]:
    """The trainings that are done, as the product sees it."""
    there, found = Store(store), set()
    for path in sorted((store / "record").glob("??/*.json")):
        try:
            if there.get(path.stem)["node"]["node"] == "Train":
                found.add(path.stem)
        except Missing:
            continue
    return found


def repeated(trained: Iterable[list[Any]], done: set[str]) -> list[list[Any]]:
    """What was trained again although it was done; to replay one up to a snapshot that nobody had asked for is none."""
    return [line for line in trained if line[0] == "begin" and line[1] in done and line[3] is None]


def checked(store: Path) -> Verified:
    """What `lt-sweeps store verify` says of it."""
    return verify(store)
