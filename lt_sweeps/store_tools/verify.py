"""`lt-sweeps store verify`: reads and checks every byte of a store; changes nothing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lt_sweeps.foreign.files import differs
from lt_sweeps.store.disk import read as read_file
from lt_sweeps.store.formats import MOST_RECORD, Record, read_timing
from lt_sweeps.store_tools.survey import SHARDED, File, Survey, checkpoint, files, irregular, partial, size, survey

MOST = 5  # names in a note
AGAIN = "a sweep that needs it computes it again"
Progress = Callable[[int, int], None]  # bytes read so far, and bytes in all


@dataclass(frozen=True)
class Finding:
    """Something damaged, stale or missing, and what the next sweep will do about it."""

    kind: str
    name: str
    reason: str
    rerun: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name[:12]}: {self.reason}; {self.rerun}"


@dataclass
class Verified:
    """The result of verifying a store: what was read, how fast, and the findings."""

    store: str
    counts: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # worth knowing, and no damage

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.bytes / max(self.seconds, 1e-9)

    def plain(self) -> dict[str, Any]:
        """The result as plain data for JSON."""
        return {**asdict(self), "gigabytes_per_second": round(self.rate / 1e9, 3), "clean": not self.findings}

    def lines(self) -> list[str]:
        """The result as lines of text."""
        counted = ", ".join(f"{count:,} {kind}s" for kind, count in self.counts.items())
        speed = f"{size(self.bytes)} read in {self.seconds:.1f} s, {self.rate / 1e9:.2f} GB/s"
        rows = [f"{self.store}: {counted}; {speed}", *map(str, self.findings), *(f"note: {n}" for n in self.notes)]
        broken = len(self.findings)
        if not broken:
            return [*rows, "clean: every checksum and every hash is right"]
        things = "1 thing does" if broken == 1 else f"{broken} things do"
        return [*rows, f"{things} not hold: nothing was changed, and what a sweep meets of it is set aside"]


def verify(root: Path, progress: Progress = lambda done, total: None) -> Verified:
    """Reads and checks everything in a store; `progress` gets the bytes read so far, and in all."""
    began = time.monotonic()
    report = Verified(str(root))
    listed = {kind: files(root, kind) for kind in (*SHARDED, "work")}  # records first: their blobs were written before
    report.counts = {"checkpoint" if kind == "work" else kind: len(of_kind) for kind, of_kind in listed.items()}
    total = sum(file.size for of_kind in listed.values() for file in of_kind)

    def read(file: File) -> None:
        report.bytes += file.size
        progress(report.bytes, total)

    for kind in listed:
        for path in irregular(root, kind):
            report.findings.append(Finding(kind, path.name.removesuffix(".json"), "it is not a regular file", AGAIN))
    surveyed = survey(root, listed["record"])
    for file in listed["record"]:
        read(file)
    _records(surveyed, report)
    naming: dict[str, list[str]] = {}
    for key, record in surveyed.records.items():
        for blob in record["blobs"].values():
            naming.setdefault(blob, []).append(key)
    for file in listed["blob"]:
        _blob(file, naming.get(file.name, []), report)
        read(file)
    for file in listed["timing"]:
        _whole(file, _timing, "timing", "only a duration is lost", report)
        read(file)
    for file in listed["work"]:
        _whole(file, checkpoint, "checkpoint", "its training begins from its start", report)
        read(file)
    _notes(root, surveyed, report)
    report.seconds = time.monotonic() - began
    return report


def _records(surveyed: Survey, report: Verified) -> None:
    for key, reason in surveyed.damaged.items():
        report.findings.append(Finding("record", key, reason, AGAIN))
    for key, blobs in surveyed.gone.items():
        names = ", ".join(name for name, blob in surveyed.records[key]["blobs"].items() if blob in blobs)
        kind = surveyed.records[key]["node"].get("node", "?")
        report.findings.append(Finding("record", key, f"{kind}: its {names} is gone", AGAIN))
    for key in sorted(surveyed.stale - surveyed.gone.keys()):
        kind = surveyed.records[key]["node"].get("node", "?")
        report.findings.append(Finding("record", key, f"{kind}: what it was made from has another content now", AGAIN))


def _blob(file: File, naming: list[str], report: Verified) -> None:
    try:
        with file.path.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() == file.name:
                return
    except FileNotFoundError:
        return
    users = ", ".join(key[:12] for key in naming) or "nothing"
    again = AGAIN if naming else "lt-sweeps store gc removes it"
    report.findings.append(Finding("blob", file.name, f"content differs from its name (named by {users})", again))


def _whole(file: File, check: Callable[[File], object], kind: str, rerun: str, report: Verified) -> None:
    try:
        check(file)
    except FileNotFoundError:
        return
    except ValueError as error:
        report.findings.append(Finding(kind, file.name, str(error), rerun))


def _timing(file: File) -> dict[str, float]:
    return read_timing(read_file(file.path, MOST_RECORD))


def _notes(root: Path, surveyed: Survey, report: Verified) -> None:
    if surveyed.orphans:
        report.notes.append(f"{len(surveyed.orphans)} records are valid though their sources were removed")
    read = [record["files"] for record in surveyed.records.values() if record.get("files")]
    changed = {name for files_of in read for name, content in files_of.items() if differs(name, content, {})}
    if changed:
        names = ", ".join(sorted(changed)[:MOST])
        report.notes.append(f"{len(changed)} of what records were made from holds something else now: {names}")
    if silent := sum(_lacks_file_names(record) for record in surveyed.records.values()):
        report.notes.append(f"{silent} records do not say what files their data were read from, and are believed")
    if begun := partial(root):
        report.notes.append(f"{len(begun)} partial files of writers that were killed, or are at work")
    if aside := files(root, "quarantine"):
        report.notes.append(f"{len(aside)} damaged files in {root / 'quarantine'}, set aside by sweeps before")


def _lacks_file_names(record: Record) -> bool:
    """Whether a record is of a training on data files but names none of them, as old records do."""
    source = record["node"].get("data", {}).get("source", {}).get("name")
    return record["node"].get("node") == "Train" and not record.get("files") and source not in (None, "digits")
