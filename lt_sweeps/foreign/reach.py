"""The code that a module reaches through its imports, found without importing it.

Code of Python itself, of installed packages and of this project is not followed: versions identify it.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib.util
import os
import site
import sysconfig
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

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


def parse_source(source: str | bytes) -> ast.Module:
    """Returns the syntax tree of a source text. Raises SyntaxError or ValueError.

    The garbage collector waits meanwhile: if what it ends parses too, Python 3.11 loses count of the depth, and raises
    SystemError (python/cpython#106905).
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if collects:
            gc.enable()


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    return any(file.resolve().is_relative_to(place) for place in INSTALLED)


@cache
def is_foreign(file: str) -> bool:
    """Whether a source file is a user's own: neither Python's, nor of an installed package, nor ours.

    >>> is_foreign(__file__), is_foreign(ast.__file__), is_foreign("<frozen importlib._bootstrap>")
    (False, False, False)
    """
    return not file.startswith("<") and not Path(file).resolve().is_relative_to(HERE) and not is_installed(Path(file))


class Outermost(NamedTuple):
    """The module or package that an import path begins with."""

    file: Path  # its source; of a namespace package the __init__.py, which does not exist
    root: Path  # the folder in which it is found


def outermost(top: str) -> Outermost | None:
    """Returns the module or package of the first name of an import path, without importing it; None without source."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if places := list(spec.submodule_search_locations or ()):
        return Outermost(Path(spec.origin or Path(places[0]) / "__init__.py"), Path(places[0]).parent)
    return Outermost(Path(spec.origin), Path(spec.origin).parent) if spec.origin else None


def inner(file: Path, name: str) -> Path:
    """Returns the source path of a package or module of this name in the package of `file`; it may not exist."""
    package = file.parent / name / "__init__.py"
    return package if package.exists() else file.parent / f"{name}.py"


def reachable(file: Path) -> set[Path]:
    """Returns a source file and all foreign ones that it imports, directly or not, with packages' `__init__.py`."""
    sources: set[Path] = set()
    frontier = [file.resolve()]
    while frontier:
        path = frontier.pop()
        if path not in sources and is_foreign(str(path)):
            sources.add(path)
            frontier += _imported(path)
    return sources


def _imported(file: Path) -> Iterator[Path]:
    try:
        tree = parse_source(file.read_bytes())
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
    """Yields the source files that an import of a module of this name runs."""
    if (start := outermost(names[0])) is not None:
        yield from _below(start.root, names)


def _below(folder: Path, names: list[str]) -> Iterator[Path]:
    """Yields the source files of a dotted name, from the outermost; a name in a module ends it."""
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
    """Returns the `__init__.py` of each package around a module: its import runs them first."""
    packages, folder = set[Path](), file.resolve().parent
    while (folder / "__init__.py").is_file():
        packages.add(folder / "__init__.py")
        folder = folder.parent
    return packages


def code_hash(file: Path, root: Path) -> str:
    """Returns a hash, 16 hex digits, of all code that a module reaches, without comments and layout.

    It does not depend on the location of `root`, the folder that contains the module or its outermost package. For an
    installed module, which is not foreign but has no version, it covers the whole outermost package.
    """
    file, root = file.resolve(), root.resolve()
    if is_foreign(str(file)):
        sources = set[Path]().union(*(reachable(start) for start in {file, *package_files(file)}))
    else:
        top = root / file.relative_to(root).parts[0]
        sources = set(top.rglob("*.py")) if top.is_dir() else {file}
    texts = sorted(f"{os.path.relpath(source, root)} {_text(source)}" for source in sources)
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _text(file: Path) -> str:
    """Returns the code of a file without comments and layout; its bytes if it is no Python."""
    content = file.read_bytes()
    try:
        return ast.dump(parse_source(content)).replace(", type_params=[]", "")  # added by Python 3.12
    except (SyntaxError, ValueError):
        return content.hex()


def one_line(error: BaseException) -> str:
    """Returns an error in one line, with the innermost file and line in foreign code."""
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    where = next(
        (f" ({frame.filename}:{frame.lineno})" for frame in reversed(frames) if is_foreign(frame.filename)), ""
    )
    return what + where
