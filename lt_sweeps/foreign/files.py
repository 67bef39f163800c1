"""Inputs of results beside code: files, listed folders, environment variables.

A record has a name and a content hash of each: a file by its path, a folder whose names were listed by its path and a
slash, a variable as `env:NAME`, the version of a package that builds a network of ours as `package:NAME`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ABSENT = "0" * 64  # instead of a hash: a file or variable that was read but did not exist
set_here: dict[str, str | None] = {}  # environment variables set by foreign code -> their values before
Seen = tuple[int, int, int]  # time of change, size, inode


def file_state(path: str) -> Seen:
    """Returns time of change, size and inode of a file, which show a change without reading it."""
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def named(path: Path, places: Sequence[tuple[str, Path]]) -> str:
    """Returns a file's name in records: relative to the first of the named folders that contains it, else its path.

    >>> named(Path("/data/MNIST/raw/a"), [("data", Path("/data"))])
    'data:MNIST/raw/a'
    """
    for name, folder in places:
        if path.is_relative_to(folder):
            return f"{name}:{path.relative_to(folder).as_posix()}"
    return path.as_posix()


def located(name: str, places: Mapping[str, Path]) -> Path | None:
    """Returns the path of a file by its name in records; None if its named folder is unknown.

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
    """Whether an input named in a record has another content now; an unreadable file counts as unchanged.

    Missing data, and a package that is not installed, count as unchanged too, since they may be on another machine; but
    a missing file of code, or a missing file with an absolute path whose folder exists, counts as changed. Records of
    earlier versions, which did not look into linked folders of a folder, are believed.
    """
    if name.startswith("env:"):
        return variable(name.removeprefix("env:")) != content
    if name.startswith("package:"):
        return package(name.removeprefix("package:")) not in (content, ABSENT)
    path = located(name, places)
    if path is None or not path.exists():
        is_missed = name.startswith("code:") or (path is not None and ":" not in name and path.parent.is_dir())
        return content != ABSENT and is_missed
    try:
        if name.endswith("/"):
            return listing(path) != content
        return digest(path) != content and not (path.is_dir() and _digest_of_folder(path, links=False) == content)
    except OSError:
        return False


def environment() -> dict[str, str]:
    """Returns the environment without the changes that foreign code has made in this process."""
    before = {name: value for name, value in set_here.items() if value is not None}
    return {**{name: value for name, value in os.environ.items() if name not in set_here}, **before}


def variable(name: str) -> str:
    """Returns the SHA-256 of a variable's value, before foreign code set it, or ABSENT."""
    value = set_here[name] if name in set_here else os.environ.get(name)
    return ABSENT if value is None else hashlib.sha256(os.fsencode(value)).hexdigest()


def package(name: str) -> str:
    """Returns the SHA-256 of an installed package's version, or ABSENT."""
    try:
        return hashlib.sha256(importlib.metadata.version(name).encode()).hexdigest()
    except importlib.metadata.PackageNotFoundError:
        return ABSENT


def names_in(folder: Path) -> frozenset[str]:
    """Returns the names in a folder, without `__pycache__`."""
    return frozenset(path.name for path in folder.iterdir()) - {"__pycache__"}


def listing(folder: Path) -> str:
    """Returns the SHA-256 of the names in a folder."""
    return hashlib.sha256("\n".join(sorted(names_in(folder))).encode(errors="surrogateescape")).hexdigest()


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file's or folder's content; a file is read again only if its state has changed."""
    if path.is_dir():
        return _digest_of_folder(path)
    state = file_state(str(path))
    cached = _digests.get(path)
    if cached is None or cached[0] != state:
        with path.open("rb") as content:
            cached = state, hashlib.file_digest(content, "sha256").hexdigest()
        _digests[path] = cached
    return cached[1]


def _digest_of_folder(folder: Path, *, links: bool = True) -> str:
    """Returns a hash of the names and contents of all files below; in a large folder, of sizes and times of change.

    With `links` also of files below linked folders, as image sets are often put together.
    """
    cached = _folders.get((folder, links))
    if cached is None or time.monotonic() - cached[0] > FOLDER_SECONDS:
        files = sorted(_files_below(folder, links))
        whole = sum(path.stat().st_size for path in files) <= LARGE
        lines = [f"{path.relative_to(folder)} {digest(path) if whole else file_state(str(path))[:2]}" for path in files]
        cached = time.monotonic(), hashlib.sha256("\n".join(lines).encode()).hexdigest()
        _folders[folder, links] = cached
    return cached[1]


def _files_below(folder: Path, links: bool, around: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yields the files below a folder; a link to a folder around it is not followed, nor one that is not readable."""
    around |= {folder.resolve()}
    try:
        paths = list(folder.iterdir())
    except PermissionError:
        return
    for path in paths:
        if path.is_file():
            yield path
        elif path.is_dir() and (not path.is_symlink() or (links and path.resolve() not in around)):
            yield from _files_below(path, links, around)


LARGE = 2**30  # bytes of a folder above which file contents are not hashed
FOLDER_SECONDS = 60.0  # for which a folder's hash is cached
_digests: dict[Path, tuple[Seen, str]] = {}
_folders: dict[tuple[Path, bool], tuple[float, str]] = {}
