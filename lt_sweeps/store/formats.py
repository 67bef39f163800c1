"""The formats of a store's files, and their checksums: inside the file; that of a blob is its name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from lt_sweeps.store import schema

Record = dict[str, Any]
FOREVER = 1e11  # seconds: no timing is longer or ends later
MOST_RECORD = 64 << 20  # bytes; enough for a longer history than any so far


def signed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Adds a checksum to fields."""
    return {**fields, "checksum": checksum(fields)}


def checksum(fields: Mapping[str, Any]) -> str:
    """The SHA-256 of plain data, whatever the order of its names."""
    return hashlib.sha256(json.dumps(dict(fields), sort_keys=True).encode()).hexdigest()


def identity(record: Record) -> str:
    """A hash of the blobs of a record, 16 hex digits."""
    return checksum(record["blobs"])[:16]


def expected_identity(blobs: Mapping[str, bytes]) -> str:
    """The identity of a record that is still to be written, from the blobs it will have.

    >>> expected_identity({"mask": b"1"}) == identity({"blobs": {"mask": hashlib.sha256(b"1").hexdigest()}})
    True
    """
    return identity({"blobs": {name: hashlib.sha256(content).hexdigest() for name, content in blobs.items()}})


def read_record(content: bytes, key: str) -> Record:
    """Returns the record in a file. Raises ValueError unless it is whole, of this key, and as the schema requires."""
    record: Record = _read_signed(content)
    if record.get("key") != key:
        raise ValueError("it is of another key")
    schema.require(record)
    return record


def read_timing(content: bytes) -> dict[str, float]:
    """Returns the timing in a file. Raises ValueError unless it is whole; the earliest timings have no checksum.

    >>> read_timing(b'{"seconds": 1.5}')
    {'seconds': 1.5}
    """
    first = re.fullmatch(rb'{"seconds": [-+.e\d]+}', content)
    timing = dict(json.loads(content)) if first else _read_signed(content)
    for name, value in timing.items():
        if type(value) not in (int, float) or not 0 <= value < FOREVER:
            raise ValueError(f"its {name} is {repr(value)[:40]}")
    return timing


def read_work(content: bytes) -> bytes:
    """Returns the checkpoint in a file. Raises ValueError unless it is whole."""
    name, _, content = content.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != name:
        raise ValueError("content differs from its checksum")
    return content


def write_work(content: bytes) -> bytes:
    """Returns the content of a checkpoint's file: its checksum, then the checkpoint."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _read_signed(content: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(content)
        if not isinstance(fields, dict) or fields.pop("checksum", None) != checksum(fields):
            raise ValueError("checksum differs")
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return fields
