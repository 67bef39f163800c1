"""Determines the kind of a name: by its registration, by a flag, or by its signature. No torch here."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from lt_sweeps.errors import Mistake
from lt_sweeps.registry import FOLDERS, catalogue, load, provenance

# Kind -> names of its parameters, and names in its annotations; either identifies it.
SIGNS: dict[str, tuple[set[str], set[str]] | None] = {
    "network": ({"shape", "classes"}, {"Module"}),
    "criterion": ({"probe"}, {"Probe", "Scores"}),
    "allocation": ({"shapes", "density"}, set()),
    "unit": None,  # networks take a shape too: needs the flag
    "survivors": ({"mask", "ref", "end", "generator"}, set()),
    "pruned": None,  # same signature as survivors: needs the flag
    "gate": (set(), {"Gate"}),  # by what it returns: it takes settings alone
    "hook": ({"moment"}, {"Moment"}),
    "transfer": ({"sides"}, {"Sides", "Carry"}),
    "measure": ({"ends"}, {"Ends"}),
    "augmentation": ({"rows", "cols", "generator"}, set()),
    "dataset": ({"data_dir"}, {"Arrays"}),
}
FLAGS = ", ".join(f"--{kind}" for kind in SIGNS)


def find(name: str, flagged: str | None) -> str:
    """Returns the kind of a registered name or an import path. Raises Mistake if it is unknown or ambiguous."""
    kinds = [kind for kind in SIGNS if name in catalogue(kind)]
    if kinds and all("graph" in catalogue(kind)[name].needs for kind in kinds):
        raise Mistake(f"{name} is a word of the graph, which computes nothing: there are no laws to check")
    if flagged in kinds:
        return str(flagged)
    if len(kinds) > 1:
        raise Mistake(f"{name} is a {' and a '.join(kinds)}: say which with --{' or --'.join(kinds)}")
    if kinds and flagged:
        raise Mistake(f"{name} is a {kinds[0]}, not a {flagged}: leave out --{flagged}")
    if kinds:
        return kinds[0]
    if others := [kind for kind in FOLDERS if name in catalogue(kind)]:
        raise Mistake(f"{name} is a {others[0]}: laws are known for {', '.join(SIGNS)}")
    known = {word for kind in ([flagged] if flagged else SIGNS) for word in catalogue(kind)}
    try:
        provenance(name, f"{flagged or 'function or class'} {name!r}", tuple(sorted(known)))
    except ValueError as error:
        raise Mistake(str(error)) from None
    return flagged or _of_signature(name, _imported(name))


def _imported(name: str) -> Any:
    try:
        candidate = load("network", name)  # not registered: the kind makes no difference
    except Exception as error:  # a user's module may raise anything when imported
        raise Mistake(f"{name} cannot be imported: {type(error).__name__}: {error}") from None
    if not callable(candidate):
        raise Mistake(f"{name} is a {type(candidate).__name__}, neither a function nor a class")
    return candidate


def _of_signature(name: str, candidate: Any) -> str:
    if isinstance(candidate, type) and "Module" in _names(candidate):
        return "network"
    try:
        taken = set(inspect.signature(candidate).parameters)
    except (TypeError, ValueError):
        taken = set()
    annotated = {word for hint in _hints(candidate).values() for word in _names(hint)}
    kinds = [
        kind for kind, signs in SIGNS.items() if signs and ((signs[0] and signs[0] <= taken) or signs[1] & annotated)
    ]
    if len(kinds) != 1:
        seems = (
            f"may be a {' or a '.join(kinds)}" if kinds else "has no parameter or annotation that identifies its kind"
        )
        raise Mistake(f"{name} {seems}: say which with one of {FLAGS}")
    return kinds[0]


def _hints(candidate: Any) -> dict[str, Any]:
    """Returns its annotations as types, or as text where they cannot be resolved."""
    try:
        return typing.get_type_hints(candidate)
    except Exception:  # such as a name imported under TYPE_CHECKING
        return dict(getattr(candidate, "__annotations__", {}))


def _names(hint: Any) -> set[str]:
    """Returns the names of a type and its base classes, or the last word of an annotation that is text."""
    if isinstance(hint, str):
        return {hint.rpartition(".")[2]}
    return {base.__name__ for base in getattr(hint, "__mro__", ())}
