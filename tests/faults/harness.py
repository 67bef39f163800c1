"""What the tests here share: the server that forks a sweep, what a folder holds, and what was trained."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lt_sweeps.store.store import Missing, Store
from lt_sweeps.store_tools.survey import checkpoint, files
from lt_sweeps.store_tools.verify import Verified, verify

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
Tree = dict[str, str]
DAY = re.compile(rb"\b\d{4}-\d\d-\d\d\b")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass
class Server:
    """Asks the server for one sweep after the other, each in the same folder."""

    process: subprocess.Popen[str]
    home: Path
    recovered: set[str] = field(default_factory=set)  # the states of its folder from which the sweep went on well

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

    def kinds(self, among: Collection[str]) -> list[int]:
        """The first and the last operation of each kind, counted from 1 among those of these events.

        Operations of one kind do the same to files of the same name but for numbers and hashes.
        """
        names = [(event, path.rpartition("/runs/")[2]) for event, path in self.events if event in among]
        kinds = [(event, re.sub(r"^[ab]/|\b[0-9a-f]{2}\b|[0-9a-f]{8,}|\d", "#", name)) for event, name in names]
        first = {kind: number for number, kind in reversed([*enumerate(kinds, 1)])}
        last = {kind: number for number, kind in enumerate(kinds, 1)}
        return sorted({*first.values(), *last.values()})


def tree(runs: Path) -> Tree:
    """Every byte that means something: records, blobs, and what a sweep reports of them but for durations and days."""
    kept = [path for kind in ("record", "blob") for path in (runs / "store" / kind).glob("??/*")]
    told = [path for path in runs.glob("?/*") if path.suffix in (".csv", ".json", ".html", ".md")]
    there = [path for path in (*kept, *told) if not path.name.startswith(".") and path.name != "timings.csv"]
    return {
        str(path.relative_to(runs)): hashlib.sha256(DAY.sub(b"", path.read_bytes())).hexdigest()
        for path in sorted(there)
    }


def state(runs: Path) -> str:
    """A digest of all that a folder holds, but for what differs by chance: random names, times, processes."""
    content = hashlib.sha256()
    names = {re.sub(r"\b[0-9a-f]{32}$", "*", str(path.relative_to(runs))): path for path in sorted(runs.rglob("*"))}
    for name, path in sorted(names.items()):
        content.update(name.encode() + b"\0")
        if path.is_file():
            timed = path.name == "timings.csv" or path.relative_to(runs).parts[1] in ("lease", "timing", "work")
            content.update(_untimed(path.read_bytes()) if timed else hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


def _untimed(content: bytes) -> bytes:
    """What matters of a file that has a duration or a process in it: its step, and whether it is whole."""
    checksum, _, rest = content.partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() == checksum:
        return b"checkpoint " + re.search(rb'step\\?": (\d+)', rest)[1]  # type: ignore[index]
    try:
        return b"whole" if json.loads(content) else b"empty"
    except ValueError:
        return b"table" if content.startswith(b"key,") else b"torn"


def recovers(server: Server, calm: Calm, where: object) -> None:
    """What a fault left is sound; the same command goes on to the same bytes and repeats nothing that was finished.

    Where a folder holds what has been recovered from before, it is not tried again.
    """
    if (now := state(server.runs)) in server.recovered:
        return
    if server.store.is_dir():
        assert not checked(server.store).findings, where
    done = finished(server.store)
    saved = {file.name: checkpoint(file).step for file in files(server.store, "work") if file.name not in done}
    again = server.sweep()
    assert (again["code"], again["errors"]) == (0, ""), (where, again)
    assert tree(server.runs) == calm.tree, where
    assert repeated(again["trained"], done) == [], where
    assert begun(again["trained"]).items() >= saved.items(), f"{where}: it goes on from its checkpoint"
    server.recovered.add(now)


def begun(trained: Iterable[list[Any]]) -> dict[str, int]:
    """The step at which each training, replays apart, was begun."""
    return {key: step for what, key, step, until in trained if what == "begin" and until is None}


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
