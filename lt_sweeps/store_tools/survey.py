"""Reads the content of a store without changing it: nothing is quarantined, repaired or created. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lt_sweeps.errors import Mistake
from lt_sweeps.keys import digest
from lt_sweeps.store.disk import read
from lt_sweeps.store.formats import MOST_RECORD, Record, identity, read_record, read_work
from lt_sweeps.store.schema import require_note
from lt_sweeps.ticket_files.header import header

SHARDED = ("record", "blob", "timing")  # kinds that lie in folders of two hex digits
KINDS = (*SHARDED, "work", "lease", "quarantine")


@dataclass(frozen=True)
class File:
    """A file as it was when it was listed."""

    path: Path
    size: int
    changed: float  # seconds since the epoch

    @property
    def name(self) -> str:
        """The key or hash that names it."""
        return self.path.name.removesuffix(".json")


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint: its step, what it was made from, and the snapshots it has kept."""

    step: int
    made_from: dict[str, Any]
    snapshots: dict[str, str]
    masks: dict[str, str] = field(default_factory=dict)  # beside snapshots, of a training that changes its mask

    @property
    def blobs(self) -> set[str]:
        """Every blob that it names."""
        return {*self.snapshots.values(), *self.masks.values()}


@dataclass
class Survey:
    """Every record of a store, and which of them are damaged, incomplete or stale."""

    records: dict[str, Record] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)  # key -> what is wrong with the file
    gone: dict[str, list[str]] = field(default_factory=dict)  # key -> its blobs that are not there
    stale: set[str] = field(default_factory=set)  # made from something that has another content now
    orphans: dict[str, list[str]] = field(default_factory=dict)  # key -> its sources that are not there

    def holds(self, key: str) -> bool:
        """Whether a sweep would take this record as done."""
        return key in self.records and key not in self.gone and key not in self.stale

    def named(self) -> set[str]:
        """Every blob that a record names."""
        return {blob for record in self.records.values() for blob in record["blobs"].values()}


def require(root: Path) -> Path:
    """Returns the folder of a store, expanded. Raises Mistake if it is none."""
    root = root.expanduser()
    if any((root / kind).is_dir() for kind in KINDS):
        return root
    nearer = f"; did you mean {root / 'store'}?" if (root / "store").is_dir() else ""
    raise Mistake(f"{root}: is not a store{nearer}")


def files(root: Path, kind: str) -> list[File]:
    """The whole files of a kind; a file that is still being written has a dot before its name."""
    paths = (root / kind).glob("??/*" if kind in SHARDED else "*")
    return list(_files(path for path in sorted(paths) if not path.name.startswith(".")))


def irregular(root: Path, kind: str) -> list[Path]:
    """Fifos, devices, sockets and folders in the place of files of a kind."""
    paths = (root / kind).glob("??/*" if kind in SHARDED else "*")
    return [path for path in sorted(paths) if not path.name.startswith(".") and path.exists() and not path.is_file()]


def partial(root: Path) -> list[File]:
    """Temporary files of writers that are at work, or were killed."""
    places = [place for kind in KINDS for place in (f"{kind}/.*", f"{kind}/??/.*")]
    return list(_files(path for place in places for path in sorted(root.glob(place))))


def _files(paths: Iterable[Path]) -> Iterator[File]:
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:  # a running sweep has removed it
            continue
        if path.is_file():
            yield File(path, status.st_size, status.st_mtime)


def survey(root: Path, records: list[File]) -> Survey:
    """Reads and checks these records, and compares them with each other."""
    surveyed = Survey()
    for file in records:
        try:
            record = read_record(read(file.path, MOST_RECORD), file.name)
            if digest(record["node"]) != file.name:
                raise ValueError("what it describes has another key")
        except FileNotFoundError:
            continue
        except (ValueError, TypeError) as error:
            surveyed.damaged[file.name] = str(error)
            continue
        surveyed.records[file.name] = record
        if gone := [blob for blob in record["blobs"].values() if not (root / "blob" / blob[:2] / blob).exists()]:
            surveyed.gone[file.name] = gone
    identities = {key: identity(record) for key, record in surveyed.records.items()}
    for key, record in surveyed.records.items():
        if any(identities.get(source, content) != content for source, content in record["sources"].items()):
            surveyed.stale.add(key)
        if missing := [source for source in record["sources"] if source not in surveyed.records]:
            surveyed.orphans[key] = missing
    _spread(surveyed)
    return surveyed


def sweeps_beside(root: Path, pattern: str) -> list[Path]:
    """The paths of this pattern below the folder that a store is in, however the store is called: `.` or by a link."""
    return sorted({path for store in (root.absolute(), root.resolve()) for path in store.parent.glob(pattern)})


def _spread(surveyed: Survey) -> None:
    """Marks every record that was made from a stale one, directly or indirectly, as stale."""
    made_from: dict[str, list[str]] = {}
    for key, record in surveyed.records.items():
        for source in record["sources"]:
            made_from.setdefault(source, []).append(key)
    frontier = list(surveyed.stale)
    while frontier:
        for key in made_from.get(frontier.pop(), []):
            if key not in surveyed.stale:
                surveyed.stale.add(key)
                frontier.append(key)


def checkpoint(file: File) -> Checkpoint:
    """Reads what a checkpoint's file says of itself. Raises ValueError unless it is whole."""
    _, note = header(read_work(read(file.path)), MOST_RECORD)  # a long history is in the note
    try:
        progress = json.loads(note)
    except RecursionError:
        raise ValueError("its note is nested too deep") from None
    require_note(progress)
    return Checkpoint(progress["step"], progress["fingerprint"], progress["snapshots"], progress.get("masks", {}))


def size(count: float) -> str:
    """Bytes in words.
    >>> size(0), size(999), size(4_200), size(2_500_000_000)
    ('0 B', '999 B', '4.2 kB', '2.5 GB')
    """
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if count < 1000:
            break
        count, unit = count / 1000, larger
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
