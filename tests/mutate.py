"""Damages and forges a ticket's folder again and again, and reads it: `python tests/mutate.py FOLDER COUNT SEED`.

Every reading must end in a module or in one line. A hook of the interpreter watches that nothing is executed, imported,
written or connected to, and a limit on memory that nothing is allocated on a file's word.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
import resource
import shutil
import struct
import sys
import tempfile
from collections import Counter
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import lt_sweeps as lt
from lt_sweeps import graph
from lt_sweeps.config import schema as config
from lt_sweeps.registry import FOLDERS, catalogue
from lt_sweeps.ticket_files import card as cards
from lt_sweeps.tickets.promise import data_of, recipe_of

FILES = (cards.CARD, *cards.VALUES.values(), cards.MASK)
HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, float("nan"), float("inf"), -0.5),
    *("", "os.system", "subprocess.Popen", "torch.optim.os.system", "${oc.env:HOME}", "../../etc/passwd", "\x1b[2J"),
    *([], {}, [10**9, 10**9], [-1], [[[[]]]], {"name": "os.system", "args": {"command": "true"}}),
    *({"build": {"name": "os.system"}}, {"name": "builtins.eval", "args": {"source": "1"}}, [1] * 2000, "x" * 5000),
)
WATCHED = (
    *("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.", "pickle.", "ctypes.dlopen"),
    *("marshal.", "import"),
)
OURS = {  # annotations of our own dataclasses, which Python compiles when it is asked for their types
    str(note).encode()
    for module in (config, graph)
    for item in vars(module).values()
    if is_dataclass(item)
    for note in item.__annotations__.values()
}


def files(folder: Path) -> list[str]:
    """The files of a ticket, in either form."""
    return [name for name in FILES if (folder / name).exists()]


def sign(folder: Path) -> None:
    """Make hashes and checksum right again, as a forger would."""
    try:
        told = json.loads((folder / cards.CARD).read_bytes())
        for name in files(folder)[1:]:
            content = (folder / name).read_bytes()
            told["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        told["checksum"] = cards.checksum(told)
        (folder / cards.CARD).write_text(json.dumps(told))
    except (ValueError, TypeError, KeyError, AttributeError):
        pass  # the mutation left nothing to sign


def flip(content: bytes, draw: random.Random) -> bytes:
    """Bytes changed, cut off, doubled or added."""
    changed = bytearray(content)
    match draw.randrange(5):
        case 0:
            return content[: draw.randrange(len(content) + 1)]
        case 1:
            return content + draw.randbytes(draw.randrange(1, 40))
        case 2:
            at = draw.randrange(len(content))
            return content[:at] + content[at : at + 50] + content[at:]
    for _ in range(draw.choice((1, 1, 4, 30))):
        changed[draw.randrange(min(len(changed), draw.choice((16, 600, len(changed)))))] = draw.randrange(256)
    return bytes(changed)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, item in inner for place in places(item, (*path, name)))]


def forge(value: Any, draw: random.Random) -> Any:
    """A JSON value with a few places replaced, removed or renamed."""
    value = copy.deepcopy(value)
    for _ in range(draw.choice((1, 1, 2, 5))):
        *before, last = draw.choice(places(value)[1:] or [(None,)])
        try:
            target = value
            for name in before:
                target = target[name]
            match draw.randrange(4):
                case 0:
                    del target[last]
                case 1 if isinstance(target, dict):
                    target[str(last) + draw.choice(("x", "/../", "\x00"))] = target.pop(last)
                case _:
                    target[last] = copy.deepcopy(draw.choice(HOSTILE))
        except (KeyError, IndexError, TypeError):
            continue
    return value


def forge_header(content: bytes, draw: random.Random) -> bytes:
    """A safetensors file with another header."""
    length = struct.unpack("<Q", content[:8])[0]
    told = json.loads(content[8 : 8 + length])
    if "__metadata__" in told and draw.random() < 0.5:
        told["__metadata__"]["note"] = json.dumps(forge(json.loads(told["__metadata__"]["note"]), draw))
    else:
        told = forge(told, draw)
    text = json.dumps(told).encode()
    said = draw.choice((len(text), len(text), len(text), 2**63, 10**7, 0))
    return struct.pack("<Q", said) + text + content[8 + length :]


def mutate(folder: Path, draw: random.Random) -> None:
    """One damage, or one forgery."""
    name = draw.choice(files(folder))
    content = (folder / name).read_bytes()
    if draw.random() < 0.4:
        (folder / name).write_bytes(flip(content, draw))
    elif name == cards.CARD:
        (folder / name).write_text(json.dumps(forge(json.loads(content), draw)))
    else:
        (folder / name).write_bytes(forge_header(content, draw))
    if draw.random() < 0.7:
        sign(folder)


def read(folder: Path) -> None:
    """Everything that is ever read of a folder."""
    lt.load_ticket(folder)
    card = cards.read(folder)
    data_of(card, trust=False), recipe_of(card, trust=False)


def main(original: Path, count: int, seed: int) -> dict[str, int]:
    draw, outcome, events = random.Random(seed), Counter[str](), []
    armed = False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if armed and (event.startswith(WATCHED) or (event == "compile" and arguments[0] not in OURS)):
            events.append(f"{event} {str(arguments)[:100]}")
        if armed and event == "open" and str(arguments[1]) not in ("r", "rb", "None"):
            events.append(f"open {arguments[:2]}")

    sys.addaudithook(watch)
    read(original)  # imports what reading needs
    for kind in FOLDERS:
        catalogue(kind)  # reads our own source, once
    used = int(next(line for line in Path("/proc/self/statm").read_text().split())) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), used + (256 << 20)))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "ticket"
        for number in range(count):
            shutil.copytree(original, folder, dirs_exist_ok=True)
            mutate(folder, draw)
            armed = True
            try:
                read(folder)
                outcome["read"] += 1
            except cards.BadTicket as refused:
                outcome["refused"] += 1
                if not str(refused).isprintable():
                    events.append(f"not one line: {str(refused)!r}")
            armed = False
            assert not events, f"{number}: {events}"
    return dict(outcome)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
