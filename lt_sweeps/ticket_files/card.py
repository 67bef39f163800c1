"""The folder of an exported ticket: reading, verifying and writing it. No torch, nothing is executed.

    card.json             description, provenance and expected accuracy of the ticket; a checksum of all this
    weights.safetensors   of prunable tensors the kept values only (all values, if pruned places are not zero)
    mask.safetensors      eight places to the byte; the tensors' shapes are its note

A ticket exported `--as-seed` has seed.safetensors (seed.py) instead of its weights, which are drawn again when they are
asked for. The safetensors files are those of the store, so a ticket that comes back has the keys it was exported with.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lt_sweeps.errors import Mistake
from lt_sweeps.keys import digest
from lt_sweeps.ticket_files import seed as seeds
from lt_sweeps.ticket_files.header import BadFile, Entry, header, is_shape, plain_json
from lt_sweeps.ticket_files.seed import Seed

FORMAT, SEED_FORMAT = "lt_sweeps ticket 1", "lt_sweeps ticket 1 as seed"
CARD, WEIGHTS, SEED, MASK = "card.json", "weights.safetensors", "seed.safetensors", "mask.safetensors"
VALUES = {FORMAT: WEIGHTS, SEED_FORMAT: SEED}  # the file of the weights
MOST_CARD = 1 << 20  # bytes
DEPLOYED = (  # files of a form in which the network runs elsewhere, beside the ticket
    *("deploy.safetensors", "deploy.onnx", "deploy.pt2", "csr.c", "README.md"),
    *("config.json", "model.safetensors"),  # of transformers
)
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
    content: bytes  # the file of the weights, or of the seed
    mask: bytes
    shapes: Mapping[str, tuple[int, ...]]  # of the masked tensors
    seed: Seed | None = None

    @property
    def whole(self) -> bool:
        """Whether pruned places hold a fill, so that the file has all values."""
        return bool(self.fields["pruned"] == "freeze")

    @property
    def is_dense(self) -> bool:
        """Whether its mask keeps everything."""
        bits, _ = header(self.mask)
        return all(kept(self.mask, entry) == math.prod(self.shapes[name]) for name, entry in bits.items())

    @cached_property
    def weights(self) -> bytes:
        """The file of the weights; of a seed they are drawn now. Raises BadTicket where they are not those exported."""
        if self.seed is None:
            return self.content
        try:
            content = seeds.weights(self.content, self.seed, self.mask, whole=self.whole)
        except (RuntimeError, MemoryError) as error:
            first = (str(error).splitlines() or [""])[0][:120]
            raise BadTicket(f"{self.folder}: its weights cannot be drawn ({first})") from None
        if hashlib.sha256(content).hexdigest() != self.weights_sha256:
            raise BadTicket(
                f"{self.folder}: seed {self.seed.seed} draws other weights than those exported: the folder was "
                f"edited, or {seeds.drawn_by()} draws other numbers than {str(self.fields['drawn'].get('by'))[:80]}"
            )
        return content

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the file of the weights, known without drawing them."""
        drawn = self.fields["drawn"]["weights"] if self.seed else self.fields["files"][WEIGHTS]
        return str(drawn["sha256"])

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all tensors of the network's state."""
        values = {name: entry.shape for name, entry in header(self.content)[0].items()}
        return {**(self.seed.tensors if self.seed else values), **self.shapes}

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the ticket in each form."""
        sparse = self.fields["drawn"]["weights"]["bytes"] if self.seed else len(self.content)
        return seeds.sizes(self.content, self.mask, sparse, self.tensors)

    def copy(self, folder: Path) -> None:
        """Writes the same ticket to another folder."""
        rest = {name: value for name, value in self.fields.items() if name not in ("format", "files", "checksum")}
        write(folder, rest, self.content, self.mask, as_seed=self.seed is not None)


def checksum(fields: Mapping[str, Any]) -> str:
    """The checksum of a card: a digest of all its other fields."""
    return digest({name: value for name, value in fields.items() if name != "checksum"})


def read(folder: Path) -> Card:
    """Reads the ticket in a folder and verifies every byte of it. Raises BadTicket."""
    try:
        return _read(folder)
    except FileNotFoundError as error:
        hint = ": lt-sweeps ticket import makes one of it" if (folder / "config.json").is_file() else ""
        raise BadTicket(f"{folder}: is no ticket, there is no {Path(error.filename).name} in it{hint}") from None
    except OSError as error:
        raise BadTicket(f"{folder}: {error.strerror}") from None
    except BadFile as error:
        raise BadTicket(f"{folder}: {error}") from None


def _read(folder: Path) -> Card:
    _require_file(folder / CARD)
    if (folder / CARD).stat().st_size > MOST_CARD:
        raise BadFile(f"{CARD} is larger than any card should be")
    fields = _checked(plain_json((folder / CARD).read_bytes()))
    values, files = VALUES[fields["format"]], {}
    for name in (values, MASK):
        _require_file(folder / name)
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
        seed = seeds.parse(files[SEED], shapes) if values == SEED else None
        if seed is None:
            _check_weights(files[WEIGHTS], files[MASK], shapes, fields["pruned"] == "freeze")
    except BadFile as error:
        raise BadFile(f"{values}: {error}") from None
    if seed is not None:
        _check_drawn(fields.get("drawn"), seed)
    return Card(folder, fields, files[values], files[MASK], shapes, seed)


def _require_file(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadFile(f"{path.name} is not a file")


def _check_drawn(drawn: Any, seed: Seed) -> None:
    """Raises BadFile unless the field `drawn` of a card agrees with the file of the seed."""
    weights = drawn.get("weights") if isinstance(drawn, dict) else None
    known = (weights.get("sha256"), weights.get("bytes")) if isinstance(weights, dict) else (None, None)
    if not re.fullmatch("[0-9a-f]{64}", str(known[0])) or type(known[1]) is not int:  # a name in the store
        raise BadFile(f"{CARD} does not say 'drawn' as it should")
    if {name: drawn.get(name) for name in seed.describe()} != seed.describe():
        raise BadFile(f"{CARD} says another seed, sign or factor than {SEED}")


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(fields.get("format"), str) or fields["format"] not in VALUES:
        raise BadFile(f"{CARD} is of another format than {FORMAT!r}")
    for name, kind in REQUIRED.items():
        if not isinstance(fields.get(name), kind) or isinstance(fields[name], bool):
            raise BadFile(f"{CARD} does not say {name!r} as it should")
    if fields["kind"] not in ("start", "trained") or fields["pruned"] not in ("zero", "freeze") or fields["start"] < 0:
        raise BadFile(f"{CARD} says something of 'kind', 'pruned' or 'start' that cannot be")
    for patterns in ("exclude", "include"):
        if not _are_names(fields.get(patterns, [])):
            raise BadFile(f"{CARD} does not say {patterns!r} as it should")
    if not isinstance(fields.get("outputs", False), bool):
        raise BadFile(f"{CARD} does not say 'outputs' as it should")
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
        expected = shape if whole else (kept(mask, bits[name]),)
        if values[name].shape != expected:
            raise BadFile(f"{name[:80]!r} has not the values that its mask keeps")


def _key(fields: Mapping[str, Any]) -> str:
    """Identifies the ticket of a card: start or trained, of which training, in which form."""
    form = ", as a seed" if "drawn" in fields else ", to be trained on" if fields.get("pretrained") else ""
    slim = ", slim" if fields["network"]["build"]["name"] == "slim" else ""
    return f"{fields['kind']} of {fields['provenance']['run'][:8]}{form}{slim}"


def _key_in(folder: Path) -> str | None:
    """The `_key` of the card in a folder; None if that cannot be read."""
    try:
        return _key(json.loads((folder / CARD).read_bytes()))
    except (ValueError, LookupError, TypeError, OSError):
        return None


def write(folder: Path, fields: dict[str, Any], values: bytes, mask: bytes, *, as_seed: bool) -> None:
    """Writes a ticket to a folder: `values` is the file of its weights or, `as_seed`, of its seed.

    Where the same ticket there has other weights, as after it was trained again, a form of these is removed. Raises
    Mistake if the folder has another ticket or other files in it.
    """
    from lt_sweeps.store.store import write as write_file

    form = SEED_FORMAT if as_seed else FORMAT
    contents = {VALUES[form]: values, MASK: mask}
    beside = {path.name for path in folder.iterdir()} - {CARD, *contents} if folder.exists() else set()
    if beside and not (folder / CARD).exists():  # files of a killed export do not count
        raise Mistake(f"{folder}: is not empty, and no ticket: choose another folder")
    held = _key_in(folder)
    if held not in (None, _key(fields)):
        raise Mistake(f"{folder}: holds another ticket ({held}): choose another folder, or remove it first")
    files = {n: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for n, c in contents.items()}
    fields = {"format": form, **fields, "files": files}
    signed = {**fields, "checksum": checksum(fields)}
    there = {name: folder / name for name in contents if (folder / name).is_file()}
    if held is not None and any(path.read_bytes() != contents[name] for name, path in there.items()):
        for name in DEPLOYED:  # of other weights
            (folder / name).unlink(missing_ok=True)
    for name, content in contents.items():
        write_file(folder / name, content)
    write_file(folder / CARD, json.dumps(signed, indent=1).encode())
