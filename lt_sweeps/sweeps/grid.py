"""The possible cells of a grid; an argument goes only to the options that take it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lt_sweeps.catalogue.listing import KINDS
from lt_sweeps.cell import Cell, cell_of
from lt_sweeps.config.reading import checked
from lt_sweeps.errors import Corner, Mistake
from lt_sweeps.registry import catalogue

GROUPS = (
    "criterion",
    "allocation",
    "survivors",
    "control",
    "pruned",
    "gate",
    "hook",
    "corruption",
    "model",
)  # whose options have args
ARGUMENT = re.compile(rf"\+*({'|'.join(GROUPS)})\.args\.(\w+)=")
ComposedCell = tuple[Mapping[str, Any], Sequence[str]]  # a cell's plain configuration, and its overrides
Composed = Sequence[ComposedCell]


def cells(composed: Composed, *, strict: bool = False) -> list[Cell]:
    """Builds the possible cells, and prints a note about those left out. Raises Mistake for any other error.

    With `strict` an impossible cell is an error too.
    """
    if strict:
        return [_cell(values, words) for values, words in composed]
    possible, corners = list[Cell](), dict[str, list[str]]()
    shared = set(composed[0][1]).intersection(*(words for _, words in composed))
    for values, words in _given_where_taken(composed):
        try:
            possible.append(_cell(values, words))
        except Corner as corner:
            corners.setdefault(str(corner), []).append(" ".join(word for word in words if word not in shared))
    if not possible:
        raise Mistake(next(iter(corners)))
    for reason, left_out in corners.items():
        which = left_out[0] if len(left_out) == 1 else f"{len(left_out)} cells, the first {left_out[0]}"
        print(f"note: left out: {which}: {reason} (hydra.launcher.strict=true refuses)")
    return possible


def _cell(values: Mapping[str, Any], words: Sequence[str]) -> Cell:
    return cell_of(checked(values), dict(word.lstrip("+~").split("=", 1) for word in words if "=" in word))


def _given_where_taken(composed: Composed) -> Composed:
    """Removes arguments from cells whose option does not take them, if the option of another cell does."""
    for group in ("model", "dataset"):  # an import path belongs to the option `custom`
        if 0 < sum(f"{group}=custom" in words for _, words in composed) < len(composed):
            if any(word.startswith(f"{group}._target_=") for _, words in composed for word in words):
                print(f"note: {group}._target_ is given to {group}=custom")
            composed = [
                pair if f"{group}=custom" in pair[1] else _without(pair, group, "_target_") for pair in composed
            ]
    arguments = {(match[1], match[2]) for _, words in composed for word in words if (match := ARGUMENT.match(word))}
    for group, name in sorted(arguments):
        lacking = [_lacks(values[group], KINDS.get(group, group), name) for values, _ in composed]
        if not any(lacking) or all(lacking):
            continue
        options = {str(values[group]["name"]): lacks for (values, _), lacks in zip(composed, lacking, strict=True)}
        takes, other = (", ".join(o for o, lacks in options.items() if lacks is which) for which in (False, True))
        print(f"note: {group}.args.{name} is given to {takes}; {other} has no such argument")
        composed = [
            _without(pair, group, f"args.{name}") if lacks else pair
            for pair, lacks in zip(composed, lacking, strict=True)
        ]
    return composed


def _lacks(chosen: Mapping[str, Any], kind: str, argument: str) -> bool:
    """Whether a group's option takes no such argument; False for an import path."""
    if chosen.get("_target_") or "." in str(chosen["name"]):
        return False
    entry = catalogue(kind).get(chosen["name"])
    return entry is None or argument not in entry.parameters


def _without(pair: ComposedCell, group: str, setting: str) -> ComposedCell:
    """A cell without its override of one setting of a group: the import path, or an argument."""
    values, words = copy.deepcopy(dict(pair[0])), pair[1]
    if setting == "_target_":
        values[group][setting] = None
    else:
        values[group]["args"].pop(setting.removeprefix("args."), None)
    return values, [word for word in words if not word.lstrip("+").startswith(f"{group}.{setting}=")]
