"""The store: what was computed, by key; content by its own hash. It knows nothing of pruning or torch.

    record/ab/<key>.json     the commit of a node: what it is, its result, its blobs, and a checksum of itself
    blob/ab/<sha256>         content, read-only, named by its hash
    timing/ab/<key>.json     how long it took: kept apart, because a record is the same however it was computed
    work/<key>               the checkpoint of a training in progress
    quarantine/              what failed verification

Blobs are written first and the record last; the record's existence is the only meaning of "done". Every write is a
temporary file in the same folder, flushed, renamed over the name, and the folder flushed. Everything is
verified when it is read: what does not match is moved to quarantine, reported in one line, and computed again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from lt_sweeps.foreign.files import differs
from lt_sweeps.store.disk import read
from lt_sweeps.store.disk import write as write
from lt_sweeps.store.formats import MOST_RECORD, identity, read_record, read_timing, read_work, signed, write_work
from lt_sweeps.store.formats import Record as Record

LOOK_AGAIN = 1.0  # seconds for which a file is believed to be as it was


class Damaged(UserWarning):
    """A file of the store was set aside."""


class Missing(KeyError):
    """Nothing valid is stored under this name."""


class Store:
    """A folder of records and blobs. Any number of processes may use it at the same time."""

    def __init__(self, root: Path, places: Mapping[str, Path] | None = None, *, as_stored: bool = False) -> None:
        self.root, self._as_stored = root, as_stored  # whatever the files hold now that records name
        self.places = dict(places or {})  # where the files lie that records name below a place, "data:MNIST/..."
        self._looked: dict[
            tuple[str, str], tuple[float, bool]
        ] = {}  # of files and contents: when, and whether it differed
        self._verified: dict[str, tuple[tuple[int, int, int], Record]] = {}  # what was read, and as which file

    # ------------------------------------------------------------------------------- records

    def get(self, key: str) -> Record:
        """The record of a key, if it holds: verified, its blobs there, and its sources still what it was made from.

        A source that was computed again with another content makes this one stale, exactly as a changed file makes
        what was built from it; a source that is gone says nothing against it. Raises Missing.
        """
        record = self._read(key)
        for name in record["blobs"].values():
            if not self._path("blob", name).exists():
                self._set_aside(self._path("record", key), "a blob is gone")
                raise Missing(key)
        if self._is_stale(record):
            raise Missing(key)
        return record

    def _is_stale(self, record: Record) -> bool:
        """Whether any stored source, or file, or one of theirs in turn, is not what the next was made from."""
        seen: set[str] = set()
        frontier = [record]
        while frontier:
            made_from = frontier.pop()
            if any(self._differs(name, content) for name, content in made_from.get("files", {}).items()):
                return True
            for source, content in made_from["sources"].items():
                try:
                    made = self._read(source)
                except Missing:
                    continue
                if identity(made) != content:
                    return True
                if source not in seen:
                    seen.add(source)
                    frontier.append(made)
        return False

    def _differs(self, name: str, content: str) -> bool:
        """Whether what a record names holds something else now."""
        if self._as_stored:
            return False
        when, changed = self._looked.get((name, content), (-math.inf, False))
        if time.monotonic() - when > LOOK_AGAIN:  # a plan asks of the same few files for each of its records
            changed = differs(name, content, self.places)
            self._looked[name, content] = time.monotonic(), changed
        return changed

    def _read(self, key: str) -> Record:
        path = self._path("record", key)
        try:
            status = path.stat()
            when, verified = self._verified.get(key, (None, {}))
            if when == (status.st_mtime_ns, status.st_size, status.st_ino):
                return verified
            record = read_record(read(path, MOST_RECORD), key)
        except FileNotFoundError:
            raise Missing(key) from None
        except ValueError as error:
            self._set_aside(path, str(error))
            raise Missing(key) from None
        self._verified[key] = (status.st_mtime_ns, status.st_size, status.st_ino), record
        return record

    def identity(self, key: str) -> str | None:
        """What a stored record holds, as one hash; None if there is none."""
        try:
            return identity(self._read(key))
        except Missing:
            return None

    def __contains__(self, key: str) -> bool:
        try:
            self.get(key)
        except Missing:
            return False
        return True

    def commit(
        self,
        key: str,
        node: Mapping[str, Any],
        sources: Sequence[str],
        result: Mapping[str, Any],
        blobs: Mapping[str, bytes],
        fingerprint: Mapping[str, Any],
        ahead: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> Record:
        """Write blobs, then the record: the node is done. `ahead` identifies sources that are committed only later.

        `files` are the contents of the files, beside its sources, that it was made from, by their names.
        """
        names = {name: self.put(content) for name, content in sorted(blobs.items())}
        fields = {
            "key": key,
            "node": dict(node),
            "sources": {source: (ahead or {}).get(source) or self.identity(source) for source in sorted(sources)},
            "result": dict(result),
            "blobs": names,
            "fingerprint": dict(fingerprint),
            **({"files": dict(files)} if files else {}),
        }
        record: Record = json.loads(json.dumps(fields))  # as it will be read: tuples are lists, names are text
        write(self._path("record", key), json.dumps(signed(record), sort_keys=True, indent=1).encode())
        return record

    def discard(self, key: str) -> None:
        """Forget a record: it is to be computed again."""
        self._path("record", key).unlink(missing_ok=True)

    # --------------------------------------------------------------------------------- blobs

    def put(self, content: bytes) -> str:
        """Keep content by its SHA-256; renews the mtime of what is there, so that no concurrent gc deletes it."""
        name = hashlib.sha256(content).hexdigest()
        path = self._path("blob", name)
        if path.is_dir():
            self._set_aside(path, "a folder is in its place")
        try:
            if path.is_file() and path.read_bytes() == content:  # else damaged since
                with suppress(PermissionError):  # another user's
                    os.utime(path)
                return name
        except FileNotFoundError:
            pass
        write(path, content, mode=0o444)
        return name

    def content(self, name: str) -> bytes:
        """Content by name, verified. Raises Missing."""
        path = self._path("blob", name)
        try:
            content = read(path)
        except FileNotFoundError:
            raise Missing(name) from None
        except ValueError as error:
            self._set_aside(path, str(error))
            raise Missing(name) from None
        if hashlib.sha256(content).hexdigest() != name:
            self._set_aside(path, "content differs from its name")
            raise Missing(name)
        return content

    def path(self, name: str) -> Path:
        """Where content lies, verified; it will not change. Raises Missing."""
        self.content(name)
        return self._path("blob", name).absolute()

    # ------------------------------------------------------------------------ work and timings

    def save_work(self, key: str, content: bytes) -> None:
        """Keep the progress of a training; the last one saved counts."""
        write(self.root / "work" / key, write_work(content))

    def load_work(self, key: str) -> bytes | None:
        """The last saved progress, if it is whole."""
        path = self.root / "work" / key
        try:
            return read_work(read(path))
        except FileNotFoundError:
            return None
        except ValueError as error:
            self._set_aside(path, str(error))
            return None

    def drop_work(self, key: str) -> None:
        """The training is done, or its progress is of no use."""
        (self.root / "work" / key).unlink(missing_ok=True)

    def save_timing(self, key: str, timing: Mapping[str, float]) -> None:
        """Keep how long a node took."""
        write(self._path("timing", key), json.dumps(signed(timing), sort_keys=True).encode())

    def load_timing(self, key: str) -> dict[str, float]:
        """How long a node took, as far as it is known."""
        try:
            return read_timing(read(self._path("timing", key), MOST_RECORD))
        except (FileNotFoundError, ValueError):
            return {}

    # ------------------------------------------------------------------------------- on disk

    def _path(self, kind: str, name: str) -> Path:
        ending = "" if kind == "blob" else ".json"
        return self.root / kind / name[:2] / f"{name}{ending}"

    def _set_aside(self, path: Path, reason: str) -> None:
        place = self.root / "quarantine" / f"{path.name}.{uuid4().hex[:8]}"
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(path, place)
        except FileNotFoundError:
            return
        what = f"{path.name[:12]}... in the store is damaged ({reason})"
        warnings.warn(f"{what}: set aside, to be computed again", Damaged, stacklevel=2)
