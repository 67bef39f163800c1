"""The files that foreign code reads while it is imported and called, and those that data sets are read from.

An audit hook sees what Python opens. It does not see what a library opens by itself, in C.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lt_sweeps.foreign.files import Seen, digest, seen
from lt_sweeps.foreign.reach import HERE, is_foreign, is_installed, package_files, reachable

OURS = f"{HERE}{os.sep}"
DEEP = 200  # frames looked at for the code that opens a file
_opened: dict[str, dict[str, Seen]] = defaultdict(dict)  # by the foreign source file that did: what, and as it was
_written: set[str] = set()  # by this process: no file that a result was made from
_reading: list[set[str]] = []  # the data sets being read, and their files
_watching = False
_lock = threading.Lock()


def watch() -> None:
    """Begin to see what is opened; once begun it goes on until the process ends."""
    global _watching
    with _lock:
        if not _watching:
            sys.addaudithook(_hear)
            _watching = True


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if event != "open" or not isinstance(args[0], (str, bytes)):
        return
    try:
        path, flags = str(Path(os.fsdecode(args[0])).absolute()), args[2]
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
            _written.add(path)
            return
        for files in _reading:
            files.add(path)
        if (opener := _opener()) is not None:
            _opened[opener].setdefault(path, seen(path))
    except Exception:  # whatever is wrong with it: it must open as it would without us
        return


def _opener() -> str | None:
    """The innermost foreign source file that is being executed."""
    frame = sys._getframe(2)
    for _ in range(DEEP):
        if is_foreign(frame.f_code.co_filename):
            return str(Path(frame.f_code.co_filename).resolve())
        # Neither what an installed package opens as it is imported, nor what we open for a script that calls us.
        if frame.f_back is None or frame.f_code.co_name == "<module>" or frame.f_code.co_filename.startswith(OURS):
            return None
        frame = frame.f_back
    return None


@contextmanager
def reading() -> Iterator[set[str]]:
    """The set of the files that are opened for reading meanwhile, filled as they are."""
    watch()
    files: set[str] = set()
    _reading.append(files)
    try:
        yield files
    finally:
        _reading.remove(files)


def read_by(modules: Iterable[Path]) -> dict[Path, str]:
    """The files that these source files, and whatever they reach, have opened for reading, and what these hold.

    A module that is imported by a name which the code does not show is one of them. Raises ValueError where a file is
    not any more what it was when it was opened.
    """
    known, code = set[Path](), set[Path]()
    files = dict[Path, str]()
    for module in modules:
        code |= reachable(module) | package_files(module)
    frontier = [*code]
    while frontier:
        for source in reachable(start := frontier.pop()) | package_files(start):
            if source in known:
                continue
            known.add(source)
            for opened, state in list(_opened.get(str(source), {}).items()):
                path = _source(Path(opened).resolve())
                if path not in files and path.is_file() and opened not in _written and not _is_no_input(path):
                    if path.suffix != ".py" and state != seen(opened):
                        raise ValueError(f"{path} has changed since it was read: the same command computes anew")
                    files[path] = digest(path)
                    if path.suffix == ".py":  # imported by a name that the code does not show
                        frontier.append(path)
    return {path: content for path, content in files.items() if path not in code}


def _source(path: Path) -> Path:
    """The source of a compiled module; any other file is itself."""
    if path.suffix == ".pyc" and path.parent.name == "__pycache__":
        return path.parent.parent / f"{path.name.partition('.')[0]}.py"
    return path


def _is_no_input(path: Path) -> bool:
    """Whether a file is the system's, an installed package's or ours."""
    return path.parts[1:2] in [("proc",), ("sys",), ("dev",)] or is_installed(path) or path.is_relative_to(HERE)


def kept(paths: Iterable[str], folder: Path) -> list[Path]:
    """Of some opened files those in a folder."""
    files = {Path(path).resolve() for path in paths}
    return sorted(path for path in files if path.is_file() and path.is_relative_to(folder.resolve()))
