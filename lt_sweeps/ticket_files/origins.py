"""Resolves `ticket=` and `mask_from=`: a folder, by the content of its files, or a training of an earlier sweep."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from lt_sweeps.config import archive
from lt_sweeps.config.archive import is_key
from lt_sweeps.config.schema import Config
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Dense, Fit, Given, Mask, Pretrained, Ticket, Train, end, whole
from lt_sweeps.keys import canonical
from lt_sweeps.registry import recorded
from lt_sweeps.specs import Network
from lt_sweeps.ticket_files import card as cards
from lt_sweeps.ticket_files.card import Card

Find = Callable[[Config, int], Train]  # (configuration, level) -> the training


def mask(config: Config, to: Dense, find: Find) -> Mask:
    """The mask that `mask_from` names, on this network. Raises Mistake."""
    where = config.mask_from or ""
    if is_key(where):
        stored = end(_stored("mask_from", config, find)).mask
        return stored if whole(stored) == to else Fit(stored, to)
    return Fit(Given(sha256(_card(where).mask)), to)


def ticket(config: Config, dense: Ticket, find: Find) -> tuple[Ticket, int]:
    """The ticket that `ticket` names, and the level it was trained at. Raises Mistake."""
    where = config.ticket or ""
    if is_key(where):
        run = _stored("ticket", config, find)
        _refuse_other_network(where, run.ticket.network.describe(), dense.network, run.ticket.network.build.name)
        return run.ticket, run.level
    card = _card(where)
    network = card.fields["network"]
    _refuse_other_network(where, network, dense.network, str(network.get("build", {}).get("name", "?")))
    assert isinstance(dense.mask, Dense)
    return of_card(card, dense.network, dense.mask), card.fields["level"]


def of_card(card: Card, network: Network, to: Dense) -> Ticket:
    """The expression of a folder's ticket, with its fill if pruned places hold values."""
    ones = Fit(Given(sha256(card.mask)), to)
    weights = Pretrained(card.weights_sha256, None if card.whole else ones)
    return Ticket(network, weights, ones, weights if card.whole else None, card.fields["start"])


def folders(config: Config) -> dict[str, Card]:
    """The ticket folders of a configuration, by the setting that names them. Raises BadTicket."""
    settings = {"ticket": config.ticket, "mask_from": config.mask_from}
    return {name: _card(where) for name, where in settings.items() if where is not None and not is_key(where)}


def _card(where: str) -> Card:
    """Reads and verifies the ticket in a folder; again only if its files change. Raises BadTicket."""
    folder = Path(where).expanduser()
    return _verified(folder, tuple(_state(folder / name) for name in (cards.CARD, *cards.VALUES.values(), cards.MASK)))


@lru_cache(maxsize=4)
def _verified(folder: Path, _: tuple[object, ...]) -> Card:
    return cards.read(folder)


def _state(path: Path) -> tuple[int, int, int] | None:
    """The mtime, size and inode of a file, which show whether it has changed; None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def sha256(content: bytes) -> str:
    """The SHA-256 of content, which is its name in the store."""
    return hashlib.sha256(content).hexdigest()


def _stored(what: str, config: Config, find: Find) -> Train:
    key = (config.ticket if what == "ticket" else config.mask_from) or ""
    past, level = archive.shown_as(Path(config.paths.output_dir).expanduser(), key)
    with recorded(past.code):
        run = find(past.config, level)
    if run.key != past.keys[level]:
        raise Mistake(f"{what}={key}: was computed by another version of the code; export it with that code")
    return run


def _refuse_other_network(where: str, description: Mapping[str, Any], here: Network, name: str) -> None:
    """Raises Mistake if networks differ in more than the initialiser, which a ticket with weights does not need."""

    def plain(network: Mapping[str, Any]) -> Any:
        return canonical({key: value for key, value in network.items() if key != "initialiser"})

    if plain(description) != plain(here.describe()):
        shape, classes = description.get("shape"), description.get("classes")
        raise Mistake(
            f"ticket={where}: is of {name} for inputs of {shape} and {classes} classes; choose that model and dataset "
            f"(here: {here.build.name}, {list(here.shape)}, {here.classes})"
        )
