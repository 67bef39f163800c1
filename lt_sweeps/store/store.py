"""The store: records of computed nodes by key, and content by its hash. It knows nothing of pruning or torch.

    record/ab/<key>.json     the commit of a node: its description, its result, its blobs, and a checksum
    blob/ab/<sha256>         content, read-only, named by its hash
    timing/ab/<key>.json     how long it took: kept apart, because a record is the same however it was computed
    work/<key>               the checkpoint of a training in progress
    quarantine/              files that failed verification

Blobs are written first and the record last; the record's existence is the only meaning of "done". Every write is a
temporary file in the same folder, flushed, renamed over the name, and the folder flushed. Every file is verified
when it is read: one that does not match is moved to quarantine, reported in one line, and computed again.
"""

from __future__ import annotations

import errno
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

LOOK_AGAIN = 1.0  # seconds for which a check of a file is reused


class Damaged(UserWarning):
    """Warning: a damaged file of the store was moved to quarantine."""


class Missing(KeyError):
    """Nothing valid is stored under this name."""


class Store:
    """A folder of records and blobs. Any number of processes may use it at the same time."""

    def __init__(self, root: Path, places: Mapping[str, Path] | None = None, *, as_stored: bool = False) -> None:
        self.root, self._as_stored = root, as_stored  # as_stored: changed files make no record stale
        self.places = dict(places or {})  # place -> folder, for names of files such as "data:MNIST/..."
        self._looked: dict[
            tuple[str, str], tuple[float, bool]
        ] = {}  # (name, content) -> when it was checked, and whether it differed
        self._verified: dict[str, tuple[tuple[int, int, int], Record]] = {}  # key -> (mtime, size, inode), record

    # ------------------------------------------------------------------------------- records

    def get(self, key: str) -> Record:
        """Returns the record of a key, if it is valid: verified, with all its blobs, its sources unchanged.

        A source that was computed again with other content makes the record stale, as a changed file that it was made
        from does; a source that is gone does not. Raises Missing.
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
        """Whether any stored source or file, direct or indirect, has changed since it was used."""
        seen: set[str] = set()
        frontier = [record]
        while frontier:
            made_from = frontier.pop()
            if any(self._differs(name, content) for name, content in made_from.get("files", {}).items()):
                return True
            for source, content in made_from["sources"].items():
                try:
                    source_record = self._read(source)
                except Missing:
                    continue
                if identity(source_record) != content:
                    return True
                if source not in seen:
                    seen.add(source)
                    frontier.append(source_record)
        return False

    def _differs(self, name: str, content: str) -> bool:
        """Whether a file that a record names has other content now."""
        if self._as_stored:
            return False
        when, changed = self._looked.get((name, content), (-math.inf, False))
        if time.monotonic() - when > LOOK_AGAIN:  # the records of a plan name the same few files
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
        """A hash of the content of a stored record; None if there is no record."""
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
        """Writes blobs, then the record: the node is done. `ahead` has the identities of sources committed later.

        `files` has the content hashes of the files that the node was made from, by their names.
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
        """Deletes a record, so that it is computed again."""
        self._path("record", key).unlink(missing_ok=True)

    # --------------------------------------------------------------------------------- blobs

    def put(self, content: bytes) -> str:
        """Stores content and returns its SHA-256; renews the mtime of a blob that exists, so that no gc deletes it."""
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
        """Returns the content of a blob, verified. Raises Missing."""
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
        """Returns the path of a blob, verified; the file will not change. Raises Missing."""
        self.content(name)
        return self._path("blob", name).absolute()

    # ------------------------------------------------------------------------ work and timings

    def save_work(self, key: str, content: bytes) -> None:
        """Saves the checkpoint of a training, in the place of an earlier one."""
        write(self.root / "work" / key, write_work(content))

    def load_work(self, key: str) -> bytes | None:
        """Returns the last checkpoint; None if there is none, or if it is damaged."""
        path = self.root / "work" / key
        try:
            return read_work(read(path))
        except FileNotFoundError:
            return None
        except ValueError as error:
            self._set_aside(path, str(error))
            return None

    def drop_work(self, key: str) -> None:
        """Deletes the checkpoint of a training, if there is one."""
        (self.root / "work" / key).unlink(missing_ok=True)

    def save_timing(self, key: str, timing: Mapping[str, float]) -> None:
        """Saves how long a node took, and when it ended."""
        write(self._path("timing", key), json.dumps(signed(timing), sort_keys=True).encode())

    def load_timing(self, key: str) -> dict[str, float]:
        """Returns how long a node took (`seconds`) and when it `ended`, in Unix time, if known."""
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
        done = "set aside, to be computed again"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            done = f"not read, and left where it is ({error.strerror})"
        what = f"{path.name[:12]}... in the store is damaged ({reason})"
        warnings.warn(f"{what}: {done}", Damaged, stacklevel=2)
