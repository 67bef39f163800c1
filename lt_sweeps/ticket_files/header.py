"""Reads the header of a safetensors file and checks it against the file's size, without torch."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
MOST_HEADER = 1 << 22  # bytes; a network of ten thousand tensors needs a quarter of it


class BadFile(ValueError):
    """A file is not what it claims to be."""


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its type, its shape, and where its bytes begin and end."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def header(content: bytes, most: int = MOST_HEADER) -> tuple[dict[str, Entry], str]:
    """The tensors of a safetensors file by name, and its note. Raises BadFile unless every byte is accounted for."""
    if len(content) < 8:
        raise BadFile("it is too short")
    length = int.from_bytes(content[:8], "little")
    if length > min(most, len(content) - 8):
        raise BadFile("its header is longer than the file, or than any header should be")
    items = plain_json(content[8 : 8 + length])
    note = items.pop("__metadata__", {})
    if not isinstance(note, dict) or not isinstance(note.get("note", ""), str):
        raise BadFile("its metadata are not text")
    tensors = {name: _entry(name, item, 8 + length) for name, item in items.items()}
    at = 8 + length
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != at:
            raise BadFile(f"{name[:80]!r} does not begin where the tensor before it ends")
        at = entry.end
    if at != len(content):
        raise BadFile("its tensors do not end where the file ends")
    return tensors, note.get("note", "")


def is_shape(sides: Any) -> bool:
    """Whether a value can be a tensor's shape: at most 8 integers from 0 to 2**63 - 1."""
    is_short = isinstance(sides, (list, tuple)) and len(sides) <= 8
    return is_short and all(type(side) is int and 0 <= side < 1 << 63 for side in sides)


def plain_json(text: bytes) -> dict[str, Any]:
    """Parses a JSON object. Raises BadFile for anything else, however deeply nested.

    >>> plain_json(b'{"a": NaN}')
    Traceback (most recent call last):
    lt_sweeps.ticket_files.header.BadFile: it is not JSON (NaN is no finite number)
    """
    try:
        # UTF-8 alone, as safetensors reads it, and no NaN, which Python takes for JSON
        value = json.loads(text.decode(), parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"it is not JSON ({str(error)[:60]})") from None
    if not isinstance(value, dict):
        raise BadFile("it is not a JSON object")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


def _entry(name: str, item: Any, data: int) -> Entry:
    shown = name[:80]
    try:
        dtype, shape, (begin, end) = item["dtype"], tuple(item["shape"]), item["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise BadFile(f"{shown!r} is not described") from None
    if not isinstance(dtype, str) or dtype not in WIDTHS or not is_shape(shape) or not is_shape((begin, end)):
        raise BadFile(f"{shown!r} has a type or shape that is none")
    entry = Entry(dtype, shape, data + begin, data + end)
    if entry.count * WIDTHS[dtype] != end - begin:
        raise BadFile(f"{shown!r} has not as many bytes as its shape says")
    return entry
