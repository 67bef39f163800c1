"""Counts the file operations of this process below a folder, and makes one of them fail. The product has no hooks.

Python's audit events tell of opening, renaming, making, linking and removing before it happens. Writing and flushing
have none of their own: whoever writes through a descriptor is given a file that tells, and so is who flushes it.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

EVERY = (
    "open",
    "write",
    "fsync",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.utime",
    "os.truncate",
)
ROOM = ("open", "write", "fsync", "os.mkdir", "os.rename", "os.link")  # what a full disk refuses
Seen = Callable[[str, Any], None]


class Told:
    """A file that says that it is written to, before it is."""

    def __init__(self, file: Any, path: str, seen: Seen) -> None:
        self._file, self._path, self._seen = file, path, seen

    def write(self, content: bytes) -> int:
        try:
            self._seen("write", self._path)
        except OSError:
            self._file.write(content[: len(content) // 2])  # what still had room
            self._file.flush()
            raise
        return self._file.write(content)

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def watch(root: Path, seen: Seen) -> None:
    """Call `seen` with every operation below a folder, and its path, from now on until this process ends."""
    inside = str(root)
    fdopen, fsync = os.fdopen, os.fsync

    def path_of(descriptor: int) -> str:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())

    def told_fdopen(descriptor: int, mode: str = "r", *rest: Any, **more: Any) -> Any:
        file = fdopen(descriptor, mode, *rest, **more)
        path = path_of(descriptor)
        return Told(file, path, seen) if path.startswith(inside) and "w" in mode else file

    def told_fsync(descriptor: int) -> None:
        if (path := path_of(descriptor)).startswith(inside):
            seen("fsync", path)
        fsync(descriptor)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event not in EVERY or not isinstance(args[0], (str, os.PathLike)):
            return
        path = str(Path(args[0]).absolute())
        if path.startswith(inside) and not (event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            seen(event, path)

    os.fdopen, os.fsync = told_fdopen, told_fsync  # type: ignore[assignment]
    sys.addaudithook(hook)


def kill_at(number: int) -> Seen:
    """SIGKILL before the operation of this number; what was written and not flushed is torn in half."""

    def kill(count: int, unflushed: set[Path]) -> None:
        if count == number:
            _tear(unflushed)
            os.kill(os.getpid(), signal.SIGKILL)

    return _before_each(kill)


def copies(root: Path, to: Path) -> Seen:
    """No fault: before each operation the folder is copied, as a kill there would leave it, to one of its number."""

    def copy(count: int, unflushed: set[Path]) -> None:
        there = to / str(count)
        shutil.copytree(root, there) if root.is_dir() else there.mkdir()
        _tear(there / path.relative_to(root) for path in unflushed)

    return _before_each(copy)


def _before_each(act: Callable[[int, set[Path]], None]) -> Seen:
    """Calls `act` with the number of each operation and the files that are written and not flushed."""
    count, unflushed = 0, set[Path]()

    def seen(event: str, path: str) -> None:
        nonlocal count
        count += 1
        if event == "write":
            unflushed.add(Path(path))
        act(count, unflushed)
        if event == "fsync":
            unflushed.discard(Path(path))

    return seen


def _tear(files: Iterable[Path]) -> None:
    for torn in filter(Path.exists, files):
        torn.chmod(0o644)
        os.truncate(torn, torn.stat().st_size // 2)


def full_at(number: int, lasting: bool, fired: Callable[[], None]) -> Seen:
    """No room for the operation of this number, and, if it is `lasting`, for any after it."""
    count = 0

    def seen(event: str, path: str) -> None:
        nonlocal count
        if event not in ROOM:
            return
        count += 1
        if count == number or (lasting and count > number):
            fired()
            named = () if event in ("write", "fsync") else (path,)  # as the system's own errors are
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *named)

    return seen


def noted(events: list[tuple[str, str]]) -> Seen:
    """No fault: every operation, in order."""
    return lambda event, path: events.append((event, path))
