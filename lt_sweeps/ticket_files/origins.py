"""Resolves `ticket=` and `mask_from=`: a folder, by the content of its files, or a training of an earlier sweep."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lt_sweeps.config import archive
from lt_sweeps.config.archive import is_key
from lt_sweeps.config.schema import Config
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Dense, Fit, Given, Mask, Pretrained, Ticket, Train, Weights, end
from lt_sweeps.keys import canonical
from lt_sweeps.registry import using_versions
from lt_sweeps.specs import Network
from lt_sweeps.store.store import Store
from lt_sweeps.ticket_files import card as cards
from lt_sweeps.ticket_files.card import Card

Find = Callable[[Config, int], Train]  # (configuration, level) -> the training


@dataclass(frozen=True)
class Origin:
    """What `ticket=` or `mask_from=` names: a mask, start weights, and the network that they are of.

    Of a stored training also the weights at the end of the dense training that began its cell.
    """

    network: Mapping[str, Any]
    mask: Mask
    weights: Weights
    start: int
    level: int
    is_whole: bool = False  # whether pruned places hold values
    is_dense: bool = False  # whether nothing is pruned
    ended: Weights | None = None

    @property
    def classes(self) -> int:
        """The number of classes of its network."""
        return int(self.network["classes"])

    def is_of(self, here: Network) -> bool:
        """Whether it is of this network, but perhaps for the initialiser."""
        return bool(_plain(self.network) == _plain(here.describe()))

    def differs_in_classes(self, here: Network) -> bool:
        """Whether the networks are one but for the number of classes, and perhaps the initialiser."""
        return self.classes != here.classes and _plain({**self.network, "classes": 0}) == _plain(
            {**here.describe(), "classes": 0}
        )


def named(config: Config, setting: str, find: Find) -> Origin:
    """Returns what `ticket=` or `mask_from=` names. Raises Mistake."""
    where = getattr(config, setting) or ""
    if is_key(where):
        run, dense = _stored(setting, config, find)
        begun, ended = run.ticket, end(dense).weights
        mask = end(run).mask if setting == "mask_from" else begun.mask
        is_whole = begun.fill is not None
        is_dense = isinstance(mask, Dense)
        return Origin(begun.network.describe(), mask, begun.weights, begun.start, run.level, is_whole, is_dense, ended)
    card = _card(where)
    given = Given(sha256(card.mask))
    weights = Pretrained(card.weights_sha256, None if card.whole else given)
    fields = card.fields
    return Origin(fields["network"], given, weights, fields["start"], fields["level"], card.whole, card.is_dense)


def ticket(config: Config, dense: Ticket, find: Find) -> tuple[Ticket, int]:
    """The ticket that `ticket` names, of this very network, and the level it was trained at. Raises Mistake."""
    where = config.ticket or ""
    if is_key(where):
        run, _ = _stored("ticket", config, find)
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


def keep(config: Config, store: Store) -> None:
    """Puts the ticket folders of a configuration in the store, where they may be gone. Raises BadTicket."""
    for card in folders(config).values():
        store.put(card.weights)
        store.put(card.mask)


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


def _stored(what: str, config: Config, find: Find) -> tuple[Train, Train]:
    """The training with the key that `what` gives, and the one that its cell begins with."""
    key = (config.ticket if what == "ticket" else config.mask_from) or ""
    past, level = archive.shown_as(Path(config.paths.output_dir).expanduser(), key)
    with using_versions(past.code):
        run, dense = find(past.config, level), find(past.config, 0)
    if run.key != past.keys[level]:
        raise Mistake(f"{what}={key}: was computed by another version of the code; export it with that code")
    return run, dense


def _refuse_other_network(where: str, description: Mapping[str, Any], here: Network, name: str) -> None:
    """Raises Mistake if networks differ in more than the initialiser, which a ticket with weights does not need."""
    if _plain(description) != _plain(here.describe()):
        shape, classes = description.get("shape"), description.get("classes")
        raise Mistake(
            f"ticket={where}: is of {name} for inputs of {shape} and {classes} classes; choose that model and dataset "
            f"(here: {here.build.name}, {list(here.shape)}, {here.classes})"
        )


def _plain(network: Mapping[str, Any]) -> Any:
    return canonical({key: value for key, value in network.items() if key != "initialiser"})
