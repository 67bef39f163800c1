"""Records what foreign code reads while it is imported and called, and which files data sets are read from.

An audit hook sees the files that Python opens, also missing ones, and the folders it lists; a patched `os.environ` sees
the variables that are read. Files that a library opens in C, and tests whether a file exists, are not seen.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from lt_sweeps.foreign.files import ABSENT, Seen, digest, file_state, listing, names_in, set_here, variable
from lt_sweeps.foreign.reach import HERE, is_foreign, is_installed, package_files, reachable

OURS = f"{HERE}{os.sep}"
DEEP = 5000  # frames searched for the code that opens a file
# Variables of the machine and its user, which are no inputs of a result.
MACHINE = re.compile(
    r"((CUDA|ROCR|HIP|NVIDIA|OMP|MKL|NCCL|SLURM|PBS|LSB|XDG|WANDB|CONDA|TORCHELASTIC)_.*"
    r"|HOME|USER|LOGNAME|PATH|PWD|TMPDIR|TEMP|TMP|HOSTNAME|SHELL|LANG|LC_[A-Z]+|TERM|DISPLAY|CI|VIRTUAL_ENV|PYTHON[A-Z]*"
    r"|RANK|WORLD_SIZE|(LOCAL|GROUP|ROLE)_(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT))$"
)
# Foreign source file -> files it opened, with their state then; folders it listed; variables it read.
_files: dict[str, dict[str, Seen | None]] = defaultdict(dict)
_folders: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
_variables: dict[str, dict[str, str]] = defaultdict(dict)
_written: set[str] = set()  # by this process: no inputs of a result
_updated: set[str] = set()  # opened for both reading and writing
_reading: list[tuple[threading.Thread, set[str]]] = []  # who reads a data set now, and its files
_watching = False
_lock = threading.Lock()
_hearing = threading.local()  # set while the hook itself reads, which is not recorded


class Hand(threading.Thread):
    """A thread that works beside others of its kind: what it reads is read for its own work, not for theirs."""


def watch() -> None:
    """Starts recording, once, until the process ends."""
    global _watching
    with _lock:
        if not _watching:
            sys.addaudithook(_on_audit_event)
            _record_variables()
            _watching = True


def _on_audit_event(event: str, args: tuple[Any, ...]) -> None:
    if event not in ("open", "os.listdir", "os.scandir") or getattr(_hearing, "now", False):
        return
    _hearing.now = True
    try:
        frame = sys._getframe(1)
        if event != "open":
            _note_listing(args[0], frame)
        elif isinstance(args[0], (str, bytes)):
            _note_file(str(Path(os.fsdecode(args[0])).absolute()), args[2], frame)
    except Exception:  # an error of the hook must not change the program
        return
    finally:
        _hearing.now = False


def _note_file(path: str, flags: Any, frame: FrameType) -> None:
    file = Path(path)
    exists = file.exists()
    if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
        if flags & (os.O_WRONLY | os.O_TRUNC) or not exists:
            _written.add(path)
            return
        _updated.add(path)
    if file.is_dir():  # opened to list or remove its files
        return
    here = threading.current_thread()
    for thread, names in _reading:
        if here is thread or not isinstance(here, Hand):
            names.add(path)
    if (reader := _reader(frame, through_imports=exists)) is not None:
        _files[reader].setdefault(path, file_state(path) if exists else None)


def _note_listing(folder: Any, frame: FrameType) -> None:
    if isinstance(folder, int) or (reader := _reader(frame, through_imports=False)) is None:
        return
    path = Path(os.fsdecode(folder or ".")).absolute()
    _folders[reader].setdefault(str(path), names_in(path))


def _reader(frame: FrameType | None, *, through_imports: bool = True) -> str | None:
    """Returns the innermost foreign source file on the stack that is ours to watch, or None."""
    for _ in range(DEEP):
        if frame is None:
            return None
        file = frame.f_code.co_filename
        if is_foreign(file):
            return str(Path(file).resolve()) if _is_ours_to_watch(frame) else None
        # Not recorded: reads by an installed package during its import, and our own reads.
        if frame.f_code.co_name == "<module>" or file.startswith(OURS):
            return None
        if not through_imports and "importlib" in file:  # importlib's search for modules and packages
            return None
        frame = frame.f_back
    return None


def _is_ours_to_watch(frame: FrameType | None) -> bool:
    """Whether we called this code, or it is in a module that is being imported; false for a script that calls us."""
    for _ in range(DEEP):
        if frame is None:
            break
        code, name = frame.f_code, frame.f_globals.get("__name__")
        if code.co_filename.startswith(OURS):
            return True
        if code.co_name == "<module>" and name != "__main__" and is_foreign(code.co_filename):
            return True
        frame = frame.f_back
    return threading.current_thread() is not threading.main_thread()  # true in a thread, whoever started it


def _record_variables() -> None:
    """Patches `os.environ` to record the variables that foreign code reads by name, and those it sets.

    Variables that it sets are no inputs, and iterating over `os.environ` or copying it reads none.
    """
    environment = type(os.environ)
    get, put, each = environment.__getitem__, environment.__setitem__, environment.__iter__

    def item(self: Any, name: Any) -> Any:
        word, expected = _word(name), getattr(_hearing, "expected", [])
        if expected and expected[-1] == word:
            expected.pop()
        elif word is not None and word not in set_here and not MACHINE.match(word):
            _note_variable(word, _foreign_caller())
        return get(self, name)

    def set_item(self: Any, name: Any, value: Any) -> None:
        word = _word(name)
        if word is not None and word not in set_here and _foreign_caller() is not None:
            set_here[word] = _current_value(word)
        put(self, name, value)

    def names(self: Any) -> Iterator[Any]:
        keys = list(each(self))
        _hearing.expected = [_word(name) for name in reversed(keys)]  # a copy reads these next
        yield from keys

    def _current_value(word: str) -> str | None:
        try:
            return str(get(os.environ, word))
        except KeyError:
            return None

    environment.__getitem__ = item  # type: ignore[method-assign]
    environment.__setitem__ = set_item  # type: ignore[method-assign]
    environment.__iter__ = names  # type: ignore[method-assign]


def _note_variable(name: str, frame: FrameType | None) -> None:
    if frame is not None and _is_ours_to_watch(frame):
        _variables[str(Path(frame.f_code.co_filename).resolve())].setdefault(name, variable(name))


def _word(name: Any) -> str | None:
    return os.fsdecode(name) if isinstance(name, (str, bytes)) else None  # of os.environb, bytes


def _foreign_caller() -> FrameType | None:
    """Returns the frame that accesses the environment, if it is foreign code."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith("<frozen "):
        frame = frame.f_back
    return frame if is_foreign(frame.f_code.co_filename) else None


@contextmanager
def reading() -> Iterator[set[str]]:
    """Context manager: yields a set that fills with the files opened for reading meanwhile."""
    watch()
    files: set[str] = set()
    entry = threading.current_thread(), files
    _reading.append(entry)
    try:
        yield files
    finally:
        _reading[:] = [other for other in _reading if other is not entry]  # not the first that is equal


class Read(NamedTuple):
    """Files, folders and variables that were read, with hashes of their content."""

    files: dict[Path, str]
    folders: dict[Path, str]
    variables: dict[str, str]


def read_by(modules: Iterable[Path]) -> Read:
    """Returns what these source files, and those they reach, have read.

    This includes modules imported by a computed name. Raises ValueError if an input has changed since it was read.
    """
    known, code = set[Path](), set[Path]()
    read = Read({}, {}, {})
    for module in modules:
        code |= reachable(module) | package_files(module)
    frontier = [*code]
    while frontier:
        for source in reachable(start := frontier.pop()) | package_files(start):
            if source not in known:
                known.add(source)
                frontier += _add(str(source), read)
    for path in code & read.files.keys():
        del read.files[path]
    return read


def _add(source: str, read: Read) -> list[Path]:
    """Adds what one source file has read to `read`; returns the source files among it."""
    read.variables.update(_variables.get(source, {}))
    for folder, names in list(_folders.get(source, {}).items()):
        path = Path(folder).resolve()
        if path.is_dir() and not _is_no_input(path):
            ours = {name for name in names ^ names_in(path) if str(Path(folder, name)) not in _written}
            if ours:
                raise _changed(path)
            read.folders[path] = listing(path)
    modules = []
    for file, state in list(_files.get(source, {}).items()):
        path = _source(Path(file).resolve())
        if path in read.files or file in _written or _is_no_input(path):
            continue
        if not path.exists():  # it never existed, or has been removed
            read.files[path] = ABSENT
        if not path.is_file():
            continue
        if path.suffix != ".py" and state != file_state(file):
            if file in _updated:
                continue
            if state is not None:
                raise _changed(path)
            read.files[path] = ABSENT  # it did not exist when it was read
            continue
        read.files[path] = digest(path)
        if path.suffix == ".py":  # imported by a computed name
            modules.append(path)
        else:
            read.files[Path(file)] = read.files[path]  # a link may point elsewhere later
    return modules


def _changed(path: Path) -> ValueError:
    return ValueError(f"{path} has changed since it was read: the same command computes anew")


def _source(path: Path) -> Path:
    """Returns the source of a compiled module; any other path unchanged."""
    if path.suffix == ".pyc" and path.parent.name == "__pycache__":
        return path.parent.parent / f"{path.name.partition('.')[0]}.py"
    return path


def _is_no_input(path: Path) -> bool:
    """Whether a file belongs to the system, an installed package or this project."""
    system = path.parts[1:2] in [("proc",), ("sys",), ("dev",)] and path.parts[1:3] != ("dev", "shm")
    return system or is_installed(path) or path.is_relative_to(HERE)


def kept(paths: Iterable[str], folder: Path) -> list[Path]:
    """Returns those of `paths` that are files below `folder`, sorted."""
    files = {Path(path).resolve() for path in paths}
    return sorted(path for path in files if path.is_file() and path.is_relative_to(folder.resolve()))
