"""The training that a card describes: its data and recipe as specs, and its expected result. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lt_sweeps.config import datafiles
from lt_sweeps.keys import Spec, digest
from lt_sweeps.metrics import METRICS, named
from lt_sweeps.registry import catalogue
from lt_sweeps.specs import Data, Part, Recipe
from lt_sweeps.ticket_files.card import BadTicket, Card

TORCH = re.compile(r"torch\.optim\.(lr_scheduler\.)?[A-Z]\w*")
EXPECTED = (*named("test", METRICS), *named("early_stop_test", METRICS), "early_stop_step")
KINDS = ("dataset", "task", "corruption", "augmentation", "schedule")


def data_of(card: Card, *, trust: bool) -> Data:
    """Returns the data of a card's training. Raises BadTicket."""
    return _spec(card, Data, "data", trust)


def recipe_of(card: Card, *, trust: bool) -> Recipe:
    """Returns the recipe of a card's training. Raises BadTicket."""
    return _spec(card, Recipe, "recipe", trust)


def require(data: Data, data_dir: Path) -> None:
    """Raises Mistake unless the examples are there, or can be downloaded from an address that lt_sweeps knows."""
    dataset = datafiles.declared(data.source.name)
    if dataset is not None:
        datafiles.require(dataset, data_dir)


def data_folder(folder: Path | None) -> Path:
    """The folder of data sets: as given, or by the environment."""
    return (folder or datafiles.usual_folder()).expanduser()


def promised(card: Card) -> str:
    """The expected result of a card's training, as text."""
    expected = card.fields["expected"]
    words = [f"{name.replace('_', ' ')} {expected[name]}" for name in EXPECTED if expected.get(name) is not None]
    return ", ".join(words) or "nothing"


def _spec(card: Card, kind: Any, name: str, trust: bool) -> Any:
    try:
        spec = kind.restored(card.fields[name])
        names = sorted(part.name for part in _parts(spec) if not _ours(part.name))
        digest(spec)
    except (TypeError, ValueError, AttributeError, RecursionError):
        raise BadTicket(f"{card.folder}: its {name} cannot be read") from None
    if names and not trust:
        raise BadTicket(f"{card.folder}: its {name} names {names[0][:80]}, which is code: trust the folder (--trust)")
    return spec


def _parts(spec: Spec) -> Iterator[Part]:
    for value in vars(spec).values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Part):
                yield item


def _ours(name: str) -> bool:
    """Whether a name is registered here, or an optimizer or schedule of torch's own."""
    return TORCH.fullmatch(name) is not None or any(name in catalogue(kind) for kind in KINDS)
