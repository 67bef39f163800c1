"""What the files of a store hold, and how each shows that it is whole: a checksum inside, but a blob's is its name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

Record = dict[str, Any]


def signed(told: Mapping[str, Any]) -> dict[str, Any]:
    """With a checksum of itself."""
    return {**told, "checksum": checksum(told)}


def checksum(told: Mapping[str, Any]) -> str:
    """The SHA-256 of plain data, however it is written down."""
    return hashlib.sha256(json.dumps(dict(told), sort_keys=True).encode()).hexdigest()


def identity(record: Record) -> str:
    """What a record holds, as one hash."""
    return checksum(record["blobs"])[:16]


def foretold(blobs: Mapping[str, bytes]) -> str:
    """The identity of a record that is still to be written, from the blobs it will have.

    >>> foretold({"mask": b"1"}) == identity({"blobs": {"mask": hashlib.sha256(b"1").hexdigest()}})
    True
    """
    return identity({"blobs": {name: hashlib.sha256(content).hexdigest() for name, content in blobs.items()}})


def read_record(content: bytes, key: str) -> Record:
    """The record in a file. Raises ValueError unless it is whole, and this key's."""
    record: Record = _read_signed(content)
    if record.get("key") != key:
        raise ValueError("it is of another key")
    return record


def read_timing(content: bytes) -> dict[str, float]:
    """The timing in a file. Raises ValueError unless it is whole; the first ones had no checksum.

    >>> read_timing(b'{"seconds": 1.5}')
    {'seconds': 1.5}
    """
    if re.fullmatch(rb'{"seconds": [-+.e\d]+}', content):
        return dict(json.loads(content))
    return _read_signed(content)


def read_work(content: bytes) -> bytes:
    """The checkpoint in a file. Raises ValueError unless it is whole."""
    name, _, content = content.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != name:
        raise ValueError("content differs from its checksum")
    return content


def write_work(content: bytes) -> bytes:
    """A checkpoint as it is kept."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _read_signed(content: bytes) -> dict[str, Any]:
    told = json.loads(content)
    if not isinstance(told, dict) or told.pop("checksum", None) != checksum(told):
        raise ValueError("checksum differs")
    return told
