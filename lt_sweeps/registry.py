"""The registry: functions that options can name, listed without importing torch.

`@register(kind, version=..., needs=...)` registers a function, in the folder of its kind. The registry is read from the
source text, so command lines are checked and keys are computed before torch is imported.
Any other function can be named by import path (`my.pkg.score`); its key then holds a hash of the code that it can
reach, or, for an installed package, the distribution's version. Neither needs an import.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.metadata
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, reduce
from pathlib import Path
from typing import Any, TypeVar

from lt_sweeps.foreign.reach import code_hash, is_foreign, is_installed, outermost, parse_source
from lt_sweeps.foreign.reach import inner as within
from lt_sweeps.specs import Part

HERE = Path(__file__).parent
FOLDERS = {
    "criterion": "criteria",
    "allocation": "allocations",
    "unit": "units",
    "survivors": "survivors",
    "control": "controls",
    "pruned": "pruned",
    "gate": "gates",
    "hook": "hooks",
    "transfer": "transfers",
    "network": "networks",
    "initialiser": "networks",
    "dataset": "datasets",
    "augmentation": "datasets",
    "corruption": "datasets",
    "optimizer": "training",
    "schedule": "training",
    "method": "methods",
    "measure": "measures",
    "task": "tasks",
}
OR_NONE = " | None"
TYPES: dict[str, tuple[type, ...]] = {"int": (int, float), "float": (int, float), "bool": (bool, int), "str": (str,)}
TYPES_IN_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}
# Arguments that the project passes to functions of a kind; users cannot set them.
GIVEN: dict[str, tuple[str, ...]] = {
    "criterion": ("probe",),
    "allocation": ("shapes", "density"),
    "unit": ("shape",),
    "survivors": ("level", "mask", "ref", "end", "generator"),
    "control": ("level",),
    "pruned": ("level", "mask", "ref", "end", "generator"),
    "gate": (),
    "hook": ("moment",),
    "transfer": ("sides",),
    "network": ("shape", "classes"),
    "initialiser": ("network",),
    "dataset": ("data_dir",),
    "augmentation": ("rows", "cols", "height", "width", "generator"),
    "corruption": ("x", "y", "classes"),
    "optimizer": ("parameters",),
    "schedule": ("optimizer",),
    "method": ("find", "train"),
    "measure": ("ends",),
    "task": (),
}
CLOCK = ("every", "begin", "until")  # arguments of every hook, which say when it is asked
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """One registered function: its module, version, needs and settable parameters.

    `choices` has the values of the parameters that are a `Literal`, `types` the annotation of those that are a number,
    a text or a flag; `quantity` and `unit` are of a measure's number.
    """

    name: str
    module: str
    version: int
    needs: tuple[str, ...]
    parameters: tuple[str, ...]
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    quantity: str = ""
    unit: str = ""


def register(
    kind: str, *, version: int, needs: tuple[str, ...] = (), quantity: str = "", unit: str = ""
) -> Callable[[F], F]:
    """Decorator: marks a function as registered; increase `version` whenever its results change.

    A measure says what its number is, and in which unit, for the axis of its figure; neither is in a key.
    """
    if kind not in FOLDERS:
        raise ValueError(f"unknown kind {kind!r}; there are {', '.join(FOLDERS)}")
    return lambda function: function


@cache
def catalogue(kind: str) -> dict[str, Entry]:
    """Returns every registered function of a kind, by name."""
    entries = {}
    for path in sorted((HERE / FOLDERS[kind]).glob("*.py")):
        for item, mark in registered(parse_source(path.read_text()).body):
            if ast.literal_eval(mark.args[0]) == kind:
                facts = {k.arg: ast.literal_eval(k.value) for k in mark.keywords}
                taken = (*item.args.args, *item.args.kwonlyargs)
                arguments = tuple(p.arg for p in taken if p.arg not in GIVEN[kind])
                entries[item.name] = Entry(
                    item.name,
                    f"lt_sweeps.{FOLDERS[kind]}.{path.stem}",
                    facts["version"],
                    tuple(facts.get("needs", ())),
                    (*arguments, *CLOCK) if kind == "hook" else arguments,
                    {p.arg: choices for p in taken if (choices := _choices(p.annotation))},
                    {p.arg: annotation for p in taken if (annotation := _annotation(p)).removesuffix(OR_NONE) in TYPES},
                    facts.get("quantity", ""),
                    facts.get("unit", ""),
                )
    return entries


def _choices(annotation: ast.expr | None) -> tuple[Any, ...]:
    """Returns the values of `Literal[...]`; of another annotation none."""
    if isinstance(annotation, ast.Subscript) and getattr(annotation.value, "id", "") == "Literal":
        values = ast.literal_eval(annotation.slice)
        return values if isinstance(values, tuple) else (values,)
    return ()


def _annotation(parameter: ast.arg) -> str:
    return ast.unparse(parameter.annotation) if parameter.annotation else ""


def _fits(value: Any, annotation: str) -> bool:
    """Whether a value is of a type of TYPES, perhaps with `| None`: a whole float is an int, and 0 and 1 are flags.

    >>> _fits(2.0, "int"), _fits(2.5, "int"), _fits("2", "float"), _fits(None, "str | None"), _fits(1, "bool")
    (True, False, False, True, True)
    """
    name = annotation.removesuffix(OR_NONE)
    if value is None:
        return name != annotation
    if name == "int" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, TYPES[name])


def registered(body: list[ast.stmt]) -> Iterator[tuple[Any, ast.Call]]:
    """Yields the functions and classes among statements that have a decorator `@register(...)`, with that."""
    for item in body:
        for mark in getattr(item, "decorator_list", []):
            if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "register":
                yield item, mark
                break


_recorded: ContextVar[Mapping[str, int | str]] = ContextVar("recorded")


@contextmanager
def using_versions(code: Mapping[str, int | str]) -> Iterator[None]:
    """Context manager: `part` gives these import paths these versions, instead of hashing the code that exists now.

    Used to read stored results. Code that computes with such a part must call `require_current` first.
    """
    before = _recorded.set(code)
    try:
        yield
    finally:
        _recorded.reset(before)


def part(kind: str, name: str, args: Mapping[str, Any] | None = None) -> Part:
    """Returns the `Part` of a registered name or an import path, as it goes into keys.

    Raises ValueError for an unknown name, for an argument that a registered function does not take, and for a value
    that is none of its choices or of another type than it takes.
    """
    entries, given = catalogue(kind), dict(args or {})
    if name in entries:
        taken = entries[name].parameters
        for argument, value in given.items():
            if argument not in taken:
                raise ValueError(f"{kind} {name} takes no argument {argument!r}{nearest(argument, taken)}")
            choices = entries[name].choices.get(argument)
            if choices is not None and value not in choices:
                raise ValueError(f"{kind} {name}: {argument}={value}: choose one of {', '.join(map(str, choices))}")
            annotation = entries[name].types.get(argument, "")
            if annotation and not _fits(value, annotation):
                raise ValueError(
                    f"{kind} {name}: {argument}={value}: give {TYPES_IN_WORDS[annotation.removesuffix(OR_NONE)]}"
                )
            if annotation.removesuffix(OR_NONE) == "int" and isinstance(value, float):
                given[argument] = int(value)  # as the key says it: a seed of 1.0 would draw other numbers than 1
        return Part(name, entries[name].version, given)
    version = _recorded.get({}).get(name)
    if version is None:
        version = provenance(name, f"{kind} {name!r}", tuple(sorted(entries)))
    return Part(name, version, given)


def needs(kind: str, name: str) -> tuple[str, ...]:
    """Returns the `needs` of a registered function; a user's own function is given everything."""
    entries = catalogue(kind)
    return entries[name].needs if name in entries else ("ref", "data", "seed", "ends")


def load(kind: str, name: str) -> Any:
    """Imports and returns the function. Raises ValueError if its module does not have it."""
    entries = catalogue(kind)
    path, _, attribute = (f"{entries[name].module}.{name}" if name in entries else name).rpartition(".")
    if name in entries or source_of(name) is None:
        module = importlib.import_module(path)
    else:
        from lt_sweeps.foreign.imports import import_foreign

        module = import_foreign(path)
    if not hasattr(module, attribute):
        raise ValueError(f"{path} has no {attribute!r}{nearest(attribute, dir(module))}")
    return getattr(module, attribute)


def nearest(word: str, choices: Any) -> str:
    """Returns `; did you mean 'x'?` with the closest choice, or an empty string."""
    close = difflib.get_close_matches(word, list(choices), 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _words(file: Path) -> tuple[set[str], bool]:
    """Returns the words of a module and of siblings it star-imports, and whether it may define names beyond these."""
    text = file.read_text()
    words, dynamic = set(re.findall(r"\w+", text)), "__getattr__" in text
    for source in re.findall(r"^\s*from (\S+) import \*", text, re.MULTILINE):
        neighbour = file.parent / f"{source[1:]}.py"
        if source.startswith(".") and neighbour.exists() and neighbour != file:
            inner = _words(neighbour)
            words, dynamic = words | inner[0], dynamic or inner[1]
        else:
            dynamic = True
    return words, dynamic


@cache
def provenance(path: str, what: str, known: tuple[str, ...] = ()) -> int | str:
    """Returns the version of the code behind an import path, without importing it.

    This is 0 for torch and torchvision (torch's version is part of a result's fingerprint, not of its key), the
    distribution's version for an installed package, the `version` of the function's own `@register`, else a hash of its
    module and of all code that it reaches through imports outside installed packages.
    Raises ValueError, naming `what` and the nearest of `known`, if nothing has that name.
    """
    top, *inner = path.split(".")
    if inner and top in sys.stdlib_module_names:
        raise ValueError(f"there is no {what}: {path} is Python's own")
    start = outermost(top) if inner and top else None
    if start is None:
        reason = f": no module {top!r} can be found" if inner else nearest(path, known)
        raise ValueError(f"there is no {what}{reason}")
    file, (*names, word) = start.file, inner
    for name in names:
        folder, file = file.parent.name, within(file, name)
        if not file.exists():
            raise ValueError(f"there is no {what}: no module {name!r} beside {folder}")
    if not file.exists():
        raise ValueError(f"there is no {what}: {file.parent.name} is a folder of modules")
    words, dynamic = _words(file)
    if word not in words and not dynamic:
        raise ValueError(f"there is no {what}: {word!r} is not in {file.name}{nearest(word, words)}")
    if top in ("torch", "torchvision"):
        return 0
    if is_installed(file) and (distributions := importlib.metadata.packages_distributions().get(top)):
        return importlib.metadata.version(distributions[0])
    if (version := _own_version(file, word)) is not None:
        return f"version {version}"
    return code_hash(file, start.root)


def source_of(path: str) -> Path | None:
    """Returns the source file of an import path if it is a user's own code, else None; imports nothing."""
    top, *inner = path.split(".")
    start = outermost(top) if inner and top else None
    if start is None:
        return None
    file = reduce(within, inner[:-1], start.file)
    return file if file.is_file() and is_foreign(str(file)) else None


def _own_version(file: Path, name: str) -> int | None:
    """Returns the `version` of a user's own `@register(kind, version=...)`, which replaces the code hash, or None."""
    for item, mark in registered(parse_source(file.read_bytes()).body):
        if item.name == name:
            return next((ast.literal_eval(word.value) for word in mark.keywords if word.arg == "version"), None)
    return None
