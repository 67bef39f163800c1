"""What results are made from beside code: files, folders that are listed, environment variables.

A record names each, with a hash of what it held: a file by its path, a folder whose names were read by its path and a
slash, a variable as `env:NAME`.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ABSENT = "0" * 64  # in the place of a hash: a file that was looked for, a variable that was asked for, and not there
set_here: dict[str, str | None] = {}  # environment variables that foreign code has set: what they were before
Seen = tuple[int, int, int]  # time of change, size, inode


def seen(path: str) -> Seen:
    """What tells one state of a file from another without reading it."""
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def named(path: Path, places: Sequence[tuple[str, Path]]) -> str:
    """How a record names a file: below one of some named folders where it lies in one, else by its whole path.

    >>> named(Path("/data/MNIST/raw/a"), [("data", Path("/data"))])
    'data:MNIST/raw/a'
    """
    for name, folder in places:
        if path.is_relative_to(folder):
            return f"{name}:{path.relative_to(folder).as_posix()}"
    return path.as_posix()


def located(name: str, places: Mapping[str, Path]) -> Path | None:
    """Where a file lies that a record names; None where nobody says where its place is.

    >>> located("data:MNIST/raw/a", {"data": Path("/there")}), located("code:net.json", {})
    (PosixPath('/there/MNIST/raw/a'), None)
    """
    place, separator, rest = name.partition(":")
    if not separator:
        return Path(name)
    if place == "code":
        return next((path for entry in sys.path if (path := Path(entry or ".") / rest).exists()), None)
    return places[place] / rest if place in places else None


def differs(name: str, content: str, places: Mapping[str, Path]) -> bool:
    """Whether what a record names holds something else now; what cannot be read says nothing.

    Nor do data that are gone, as those that lie on another machine; but a file of code, or one whose folder is there,
    is missed.
    """
    if name.startswith("env:"):
        return variable(name.removeprefix("env:")) != content
    path = located(name, places)
    if path is None or not path.exists():
        is_missed = name.startswith("code:") or (path is not None and ":" not in name and path.parent.is_dir())
        return content != ABSENT and is_missed
    try:
        return (listing(path) if name.endswith("/") else digest(path)) != content
    except OSError:
        return False


def environment() -> dict[str, str]:
    """The environment as it would be, had no foreign code set a variable in this process."""
    before = {name: value for name, value in set_here.items() if value is not None}
    return {**{name: value for name, value in os.environ.items() if name not in set_here}, **before}


def variable(name: str) -> str:
    """The SHA-256 of an environment variable's value, or ABSENT; of one that foreign code has set, as it was before."""
    value = set_here[name] if name in set_here else os.environ.get(name)
    return ABSENT if value is None else hashlib.sha256(os.fsencode(value)).hexdigest()


def names_in(folder: Path) -> frozenset[str]:
    """What a folder contains."""
    return frozenset(path.name for path in folder.iterdir()) - {"__pycache__"}


def listing(folder: Path) -> str:
    """The SHA-256 of the names in a folder."""
    return hashlib.sha256("\n".join(sorted(names_in(folder))).encode(errors="surrogateescape")).hexdigest()


def digest(path: Path) -> str:
    """The SHA-256 of a file's content, or of a folder's; read again only where size or time of change differ."""
    if path.is_dir():
        return _digest_of_folder(path)
    state = seen(str(path))
    cached = _digests.get(path)
    if cached is None or cached[0] != state:
        with path.open("rb") as content:
            cached = state, hashlib.file_digest(content, "sha256").hexdigest()
        _digests[path] = cached
    return cached[1]


def _digest_of_folder(folder: Path) -> str:
    """One hash of the names and contents of all its files; of a large folder, of their sizes and times of change."""
    cached = _folders.get(folder)
    if cached is None or time.monotonic() - cached[0] > FOLDER_SECONDS:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        whole = sum(path.stat().st_size for path in files) <= LARGE
        lines = [f"{path.relative_to(folder)} {digest(path) if whole else seen(str(path))[:2]}" for path in files]
        cached = time.monotonic(), hashlib.sha256("\n".join(lines).encode()).hexdigest()
        _folders[folder] = cached
    return cached[1]


LARGE = 2**30  # bytes of a folder whose files are not read again to see whether they are the same
FOLDER_SECONDS = 60.0  # for which a folder is believed to be as it was
_digests: dict[Path, tuple[Seen, str]] = {}
_folders: dict[Path, tuple[float, str]] = {}
