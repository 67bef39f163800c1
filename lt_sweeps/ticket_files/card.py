"""The folder of an exported ticket: reading, verifying and writing it. No torch, nothing is executed.

    card.json             description, provenance and expected accuracy of the ticket; a checksum of all this
    weights.safetensors   of prunable tensors the kept values only (all values, if pruned places are not zero)
    mask.safetensors      eight places to the byte; the tensors' shapes are its note

The two safetensors files are those of the store, so a ticket that comes back has the keys it was exported with.
"""

from __future__ import annotations

import hashlib
import json
import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lt_sweeps.errors import Mistake
from lt_sweeps.keys import digest
from lt_sweeps.ticket_files.header import BadFile, Entry, header, is_shape, plain_json

FORMAT = "lt_sweeps ticket 1"
CARD, WEIGHTS, MASK = "card.json", "weights.safetensors", "mask.safetensors"
MOST_CARD = 1 << 20  # bytes
# The fields that every card must have, with their types.
REQUIRED: dict[str, type | tuple[type, ...]] = {
    "format": str,
    "kind": str,
    "title": str,
    "network": dict,
    "data": dict,
    "recipe": dict,
    "start": int,
    "level": int,
    "order": int,
    "augment": int,
    "examples": list,
    "exclude": list,
    "pruned": str,
    "layers": dict,
    "files": dict,
    "expected": dict,
}


class BadTicket(Mistake):
    """A folder is not a ticket, or was changed since it was written; the message is one line."""


@dataclass(frozen=True)
class Card:
    """A ticket's folder, read and verified; `fields` are those of card.json."""

    folder: Path
    fields: Mapping[str, Any]
    weights: bytes
    mask: bytes
    shapes: Mapping[str, tuple[int, ...]]  # of the masked tensors

    @property
    def whole(self) -> bool:
        """Whether pruned places hold a fill, so that the file has all values."""
        return bool(self.fields["pruned"] == "freeze")

    def copy(self, folder: Path) -> None:
        """Writes the same ticket to another folder."""
        rest = {name: value for name, value in self.fields.items() if name not in ("format", "files", "checksum")}
        write(folder, rest, self.weights, self.mask)


def checksum(fields: Mapping[str, Any]) -> str:
    """The checksum of a card: a digest of all its other fields."""
    return digest({name: value for name, value in fields.items() if name != "checksum"})


def read(folder: Path) -> Card:
    """Reads the ticket in a folder and verifies every byte of it. Raises BadTicket."""
    try:
        return _read(folder)
    except FileNotFoundError as error:
        raise BadTicket(f"{folder}: is no ticket, there is no {Path(error.filename).name} in it") from None
    except OSError as error:
        raise BadTicket(f"{folder}: {error.strerror}") from None
    except BadFile as error:
        raise BadTicket(f"{folder}: {error}") from None


def _read(folder: Path) -> Card:
    for name in (CARD, WEIGHTS, MASK):
        if not stat.S_ISREG((folder / name).stat().st_mode):
            raise BadFile(f"{name} is not a file")
    if (folder / CARD).stat().st_size > MOST_CARD:
        raise BadFile(f"{CARD} is larger than any card should be")
    fields = _checked(plain_json((folder / CARD).read_bytes()))
    files = {}
    for name in (WEIGHTS, MASK):
        entry = fields["files"].get(name)
        if not isinstance(entry, dict) or (folder / name).stat().st_size != entry.get("bytes"):
            raise BadFile(f"{name} has not the size that {CARD} says")
        files[name] = (folder / name).read_bytes()
        if hashlib.sha256(files[name]).hexdigest() != entry.get("sha256"):
            raise BadFile(f"{name} differs from its SHA-256 in {CARD}")
    try:
        shapes = mask_shapes(files[MASK])
    except BadFile as error:
        raise BadFile(f"{MASK}: {error}") from None
    try:
        _check_weights(files[WEIGHTS], files[MASK], shapes, fields["pruned"] == "freeze")
    except BadFile as error:
        raise BadFile(f"{WEIGHTS}: {error}") from None
    return Card(folder, fields, files[WEIGHTS], files[MASK], shapes)


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    if fields.get("format") != FORMAT:
        raise BadFile(f"{CARD} is of another format than {FORMAT!r}")
    for name, kind in REQUIRED.items():
        if not isinstance(fields.get(name), kind) or isinstance(fields[name], bool):
            raise BadFile(f"{CARD} does not say {name!r} as it should")
    if fields["kind"] not in ("start", "trained") or fields["pruned"] not in ("zero", "freeze") or fields["start"] < 0:
        raise BadFile(f"{CARD} says something of 'kind', 'pruned' or 'start' that cannot be")
    for patterns in ("exclude", "include"):
        if not _are_names(fields.get(patterns, [])):
            raise BadFile(f"{CARD} does not say {patterns!r} as it should")
    if len(fields["examples"]) != 2:
        raise BadFile(f"{CARD} does not say how many training and test examples there are")
    if not all(value is None or isinstance(value, (int, float, str)) for value in fields["expected"].values()):
        raise BadFile(f"{CARD} expects something that is neither a number nor a word")
    try:
        same = fields.get("checksum") == checksum(fields)
    except (ValueError, TypeError, RecursionError, OverflowError):
        same = False
    if not same:
        raise BadFile(f"{CARD} was changed after it was written")
    return fields


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(pattern, str) for pattern in value)


def mask_shapes(content: bytes) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each masked tensor. Raises BadFile unless the file has exactly as many bits."""
    bits, note = header(content)
    shapes = plain_json(note.encode())
    if shapes.keys() != bits.keys():
        raise BadFile("its note lists other tensors than the file has")
    for name, shape in shapes.items():
        if not is_shape(shape) or bits[name].dtype != "U8" or len(bits[name].shape) != 1:
            raise BadFile(f"{name[:80]!r} is not a mask")
        if bits[name].count != -(-math.prod(shape) // 8):
            raise BadFile(f"{name[:80]!r} has not as many bits as its shape says")
        spare = -math.prod(shape) % 8
        if spare and content[bits[name].end - 1] & ((1 << spare) - 1):
            raise BadFile(f"{name[:80]!r} has ones beyond its end")
    return {name: tuple(shape) for name, shape in shapes.items()}


def kept(content: bytes, entry: Entry) -> int:
    """Number of kept weights of a masked tensor: the ones among its bits in a mask file."""
    return int.from_bytes(content[entry.begin : entry.end], "little").bit_count()


def _check_weights(weights: bytes, mask: bytes, shapes: Mapping[str, tuple[int, ...]], whole: bool) -> None:
    values, _ = header(weights)
    bits, _ = header(mask)
    for name, shape in shapes.items():
        if name not in values:
            raise BadFile(f"{name[:80]!r} is masked, but not there")
        wanted = shape if whole else (kept(mask, bits[name]),)
        if values[name].shape != wanted:
            raise BadFile(f"{name[:80]!r} has not the values that its mask keeps")


def _key(fields: Mapping[str, Any]) -> str:
    """Identifies the ticket of a card: start or trained, of which training."""
    return f"{fields['kind']} of {fields['provenance']['run'][:8]}"


def _key_in(folder: Path) -> str | None:
    """The `_key` of the card in a folder; None if that cannot be read."""
    try:
        return _key(json.loads((folder / CARD).read_bytes()))
    except (ValueError, LookupError, TypeError, OSError):
        return None


def write(folder: Path, fields: dict[str, Any], weights: bytes, mask: bytes) -> None:
    """Writes a ticket to a folder. Raises Mistake if the folder has another ticket or other files in it."""
    from lt_sweeps.store.store import write as write_file

    beside = {path.name for path in folder.iterdir()} - {CARD, WEIGHTS, MASK} if folder.exists() else set()
    if beside and not (folder / CARD).exists():  # files of a killed export do not count
        raise Mistake(f"{folder}: is not empty, and no ticket: choose another folder")
    if (folder / CARD).exists() and (held := _key_in(folder)) not in (None, _key(fields)):
        raise Mistake(f"{folder}: holds another ticket ({held}): choose another folder, or remove it first")
    contents = {WEIGHTS: weights, MASK: mask}
    files = {n: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for n, c in contents.items()}
    fields = {"format": FORMAT, **fields, "files": files}
    signed = {**fields, "checksum": checksum(fields)}
    for name, content in contents.items():
        write_file(folder / name, content)
    write_file(folder / CARD, json.dumps(signed, indent=1).encode())
