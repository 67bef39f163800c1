"""`lt-sweeps store gc`: removes files that nothing can use any more, and none that may be in use.

A blob is written before the record that names it, a snapshot's blob long before. So nothing is removed while a lease is
held, and no recent file ever; `Store.put` renews the mtime of a blob that exists.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from lt_sweeps.config.archive import GIVEN
from lt_sweeps.errors import Mistake
from lt_sweeps.store.disk import clock
from lt_sweeps.store.formats import identity
from lt_sweeps.store.lease import Leases
from lt_sweeps.store_tools.survey import (
    Checkpoint,
    File,
    Survey,
    checkpoint,
    files,
    partial,
    size,
    survey,
    sweeps_beside,
)
from lt_sweeps.ticket_files import card as cards

PARTIAL = "partial files of writers that are gone"
DONE = "checkpoints of trainings that are done"
USELESS = "checkpoints that cannot be continued"
UNNAMED = "blobs that nothing names"
LEASES = "leases of holders that are gone"
TIMINGS = "timings of nothing that is there"
QUARANTINE = "damaged files that were set aside"


@dataclass
class Removed:
    """The files that are removed, or would be (`dry`), by kind."""

    store: str
    dry: bool
    kinds: dict[str, list[File]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """The result as plain data for JSON."""
        counted = {kind: {"files": len(of_kind), "bytes": _bytes(of_kind)} for kind, of_kind in self.kinds.items()}
        return {"store": self.store, "dry_run": self.dry, "removed": counted, "notes": self.notes}

    def lines(self) -> list[str]:
        """The result as lines of text."""
        rows = [f"{len(of_kind):8,} files {size(_bytes(of_kind)):>9}  {kind}" for kind, of_kind in self.kinds.items()]
        everything = [file for of_kind in self.kinds.values() for file in of_kind]
        total = f"{len(everything):,} files, {size(_bytes(everything))}"
        does = "would be removed" if self.dry else "removed"
        return [*rows, *(f"note: {note}" for note in self.notes), f"{self.store}: {total} {does}"]


def collect(root: Path, *, dry: bool, older_than: float, quarantine: bool) -> Removed:
    """Removes unusable files older than `older_than` hours. Raises Mistake while a lease is held."""
    _refuse_company(root)
    before = clock(root) - 3600 * older_than
    result = Removed(str(root), dry)
    # Candidates are listed before the records that may need them, so that records committed meanwhile count.
    candidates = {kind: files(root, kind) for kind in ("blob", "timing", "lease", "quarantine")}
    begun, work = partial(root), files(root, "work")
    records = files(root, "record")
    surveyed = survey(root, records)
    done = {file.name: file.changed for file in records if surveyed.holds(file.name)}
    checkpoints = _checkpoints(work)
    # A record that is older than the checkpoint is computed again: what it was made from has changed.
    over = [file for file in work if file.changed <= done.get(file.name, -math.inf)]
    begun_work = [file for file in work if file not in over]
    kept_work = [f for f in begun_work if _is_continuable(checkpoints.get(f.name), surveyed, root)]
    named = surveyed.named() | _blobs_of_tickets(root)
    for file in kept_work:
        named |= checkpoints[file.name].blobs
    holders = Leases(root).holders()
    removable = {
        PARTIAL: begun,
        DONE: over,
        USELESS: [file for file in begun_work if file not in kept_work],
        UNNAMED: [file for file in candidates["blob"] if file.name not in named],
        LEASES: [f for f in candidates["lease"] if f.name not in holders or not holders[f.name].alive],
        TIMINGS: [f for f in candidates["timing"] if f.name not in surveyed.records and f.name not in surveyed.damaged],
    }
    if quarantine:
        removable[QUARANTINE] = candidates["quarantine"]
    elif candidates["quarantine"]:
        result.notes.append(f"{len(candidates['quarantine'])} {QUARANTINE} are kept: --quarantine removes them")
    if surveyed.damaged and removable[UNNAMED]:
        removable[UNNAMED] = []
        result.notes.append(f"blobs are kept: {len(surveyed.damaged)} records are damaged, and may have named them")
    old = {kind: [file for file in of_kind if file.changed < before] for kind, of_kind in removable.items()}
    young = sum(len(of_kind) for of_kind in removable.values()) - sum(len(of_kind) for of_kind in old.values())
    if young:
        result.notes.append(f"{young} more are younger than {older_than:g} h, and kept: --older-than says how young")
    for kind, of_kind in old.items():
        if not dry:
            _refuse_company(root)
        result.kinds[kind] = [file for file in of_kind if dry or _remove(file, before)]
    return result


def _bytes(of_kind: list[File]) -> int:
    return sum(file.size for file in of_kind)


def _refuse_company(root: Path) -> None:
    for holder in Leases(root).holders().values():
        if holder.alive:
            who = f"{holder.host}, process {holder.pid}, is at work on {holder.name}"
            raise Mistake(f"store gc: {who}; nothing more is removed until it is done")


def _checkpoints(work: list[File]) -> dict[str, Checkpoint]:
    checkpoints = {}
    for file in work:
        try:
            checkpoints[file.name] = checkpoint(file)
        except (FileNotFoundError, ValueError):
            continue
    return checkpoints


def _is_continuable(saved: Checkpoint | None, surveyed: Survey, root: Path) -> bool:
    """Whether a checkpoint may still be continued, on some machine: no source is known to have changed."""
    if saved is None:
        return False
    sources = saved.made_from.get("sources", {})
    now = {key: identity(surveyed.records[key]) for key in sources if key in surveyed.records}
    if any(now.get(key, content) != content for key, content in sources.items()):
        return False
    return all((root / "blob" / blob[:2] / blob).exists() for blob in saved.blobs)


def _blobs_of_tickets(root: Path) -> set[str]:
    """The blobs of ticket folders that sweeps beside the store began with: no record names them."""
    paths = sweeps_beside(root, f"*/{GIVEN}/*/*.safetensors")
    names = {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    for folder in {path.parent for path in paths}:
        with suppress(cards.BadTicket):
            names.add(cards.read(folder).weights_sha256)  # of a seed: the weights that it draws
    return names


def _remove(file: File, before: float) -> bool:
    """Renames a file and removes it, unless it has been touched since `before`: then it gets its name back."""
    aside = file.path.with_name(f".{file.path.name.lstrip('.')}.{uuid4().hex}")
    try:
        file.path.rename(aside)
        if aside.stat().st_mtime >= before:
            aside.rename(file.path)
            return False
        aside.unlink()
    except FileNotFoundError:
        return False
    return True
