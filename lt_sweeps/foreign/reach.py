"""The code that a module can reach through its imports, found without importing any of it.

Code of Python itself, of installed packages and of this project is not followed: their versions say what they are.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import site
import sysconfig
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent.parent
INSTALLED = tuple(
    str(Path(place).resolve())
    for place in sorted(
        {
            *(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
            site.getusersitepackages(),
        }
    )
)


@cache
def is_foreign(file: str) -> bool:
    """Whether a source file is somebody's own: neither Python's, nor of an installed package, nor ours.

    >>> is_foreign(__file__), is_foreign(ast.__file__), is_foreign("<frozen importlib._bootstrap>")
    (False, False, False)
    """
    if file.startswith("<"):
        return False
    path = Path(file).resolve()
    return not path.is_relative_to(HERE) and not any(path.is_relative_to(place) for place in INSTALLED)


def reachable(file: Path) -> set[Path]:
    """A source file, and every foreign one that it imports, in turn, wherever in it, packages' own files among them."""
    found: set[Path] = set()
    frontier = [file.resolve()]
    while frontier:
        path = frontier.pop()
        if path not in found and is_foreign(str(path)):
            found.add(path)
            frontier += _imported(path)
    return found


def _imported(file: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            folder = file.parent
            for _ in range(node.level - 1):
                folder = folder.parent
            for names in (module, *([*module, alias.name] for alias in node.names)):
                yield from _below(folder, names) if node.level else _files(names)


def _files(names: list[str]) -> Iterator[Path]:
    """The source files that are run when a module of this name is imported."""
    root = _root(names[0])
    if root is not None:
        yield from _below(root, names)


def _root(top: str) -> Path | None:
    """The folder in which a module or package of this name is found, if its source is foreign."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ())
    if places:
        return Path(places[0]).parent
    return Path(spec.origin).parent if spec.origin and spec.has_location else None


def _below(folder: Path, names: list[str]) -> Iterator[Path]:
    """Modules and packages of a dotted name, from the outermost; a name inside a module ends it."""
    for name in names:
        if name == "*":
            return
        for file in (folder / f"{name}.py", folder / name / "__init__.py"):
            if file.is_file():
                yield file.resolve()
        folder /= name
    if not names and (folder / "__init__.py").is_file():
        yield (folder / "__init__.py").resolve()


def package_files(file: Path) -> set[Path]:
    """The packages that a module lies in: importing it runs them first."""
    found, folder = set[Path](), file.resolve().parent
    while (folder / "__init__.py").is_file():
        found.add(folder / "__init__.py")
        folder = folder.parent
    return found


def code_hash(file: Path, root: Path) -> str:
    """16 hex digits for all the code that a module can reach; comments and layout do not matter.

    Nor does it where `root` lies, the folder in which the module, or its outermost package, is found.
    """
    sources = set[Path]().union(*(reachable(start) for start in {file.resolve(), *package_files(file)}))
    texts = sorted(f"{os.path.relpath(source, root.resolve())} {_text(source)}" for source in sources)
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _text(file: Path) -> str:
    """The code of a file without comments and layout; its bytes where that is no Python."""
    content = file.read_bytes()
    try:
        return ast.dump(ast.parse(content)).replace(", type_params=[]", "")  # which Python 3.12 adds
    except (SyntaxError, ValueError):
        return content.hex()


def one_line(error: BaseException) -> str:
    """What went wrong in one line; where it did, if that is in foreign code."""
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    where = next(
        (f" ({frame.filename}:{frame.lineno})" for frame in reversed(frames) if is_foreign(frame.filename)), ""
    )
    return what + where
