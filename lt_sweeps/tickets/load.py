"""Loads a ticket's folder as a torch module. A folder is data: only this project's own networks are built by name."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from lt_sweeps.masks import Mask, State
from lt_sweeps.networks.build import build, holding
from lt_sweeps.registry import catalogue
from lt_sweeps.specs import Network
from lt_sweeps.store.tensors import decode_mask, decode_masked
from lt_sweeps.ticket_files.card import BadTicket, Card, read

MORE = 10  # times as many tensors as the files have, a network may have while it is built
MOST_NETWORK = 10_000  # characters that a network's description may have


def load_ticket(
    path: str | Path, network: nn.Module | Callable[[], nn.Module] | None = None, *, trust: bool = False
) -> nn.Module:
    """Returns the network of a ticket's folder with its weights, pruned places included, in evaluation mode.

    Such a folder is made by `lt-sweeps ticket export`, or by `run.export(folder)` in a notebook:

        network = load_ticket("tickets/mine")  # a torch.nn.Module; where the ticket was pruned, its weights are zero

    A network that is not one of this project's is code, not data: give it as `network`, or set `trust` to import and
    call the constructor that the folder names. Raises BadTicket, in one line, for a folder that is not what it claims,
    before memory is allocated for it.
    """
    card = read(Path(path).expanduser())
    described = network_of(card, trust=trust or network is not None)
    if network is None:
        check_shapes(card, described, trust=trust)
        module = build(described)
    else:
        module = network if isinstance(network, nn.Module) else network()
    try:
        module = holding(module, state(card))
    except RuntimeError as error:
        raise BadTicket(f"{card.folder}: does not fit the network: {' '.join(str(error).split())[:200]}") from None
    return module.eval()


def mask(card: Card) -> Mask:
    """The mask of a ticket: one bool tensor per prunable tensor, True = kept."""
    return decode_mask(card.mask)


def state(card: Card) -> State:
    """The effective weights of a ticket, by the names of its state dict."""
    return decode_masked(card.weights, {} if card.whole else mask(card), None)


def network_of(card: Card, *, trust: bool) -> Network:
    """Returns the network that a card describes. Raises BadTicket for foreign code, unless `trust` is set."""
    description = card.fields["network"]
    if len(str(description)) > MOST_NETWORK:
        raise BadTicket(f"{card.folder}: describes a network at a length that none needs")
    try:
        described = Network.restored(description)
        name, version = described.build.name, described.build.version
        if not isinstance(name, str):
            raise TypeError("a name is text")
    except (TypeError, ValueError, AttributeError):
        raise BadTicket(f"{card.folder}: describes no network") from None
    entries = catalogue("network")
    if not trust and name not in entries:
        raise BadTicket(
            f"{card.folder}: is of {name[:80]}, which is code, not data: "
            "give the network itself (network=...), or trust the folder (--trust) to import and call that"
        )
    if name in entries and version != entries[name].version:
        raise BadTicket(f"{card.folder}: was made with version {version} of {name}, here is {entries[name].version}")
    return described


def check_shapes(card: Card, described: Network, *, trust: bool) -> None:
    """Raises BadTicket unless the network, built on the meta device, has the tensors of the files."""
    actual = card.tensors
    classes, numbers = described.classes, sum(math.prod(shape) for shape in actual.values())
    if not trust and isinstance(classes, int) and classes > numbers:
        raise BadTicket(f"{card.folder}: its files and its network differ in how many classes they have")
    with nullcontext() if trust else _no_more_than(MORE * len(actual) + MORE):
        expected = _shapes(card, described, trust)
    if expected != actual:
        differs = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
        raise BadTicket(f"{card.folder}: its files and its network differ in {differs[0][:80]}")


@contextmanager
def _no_more_than(most: int) -> Iterator[None]:
    """Context manager: modules that are built meanwhile get at most so many parameters; then RuntimeError is raised."""
    count, here = 0, threading.get_ident()

    def counted(*_: object) -> None:
        nonlocal count
        count += threading.get_ident() == here
        if count > most:
            raise RuntimeError("it has many more tensors than the files")

    handle = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()


def _shapes(card: Card, described: Network, trust: bool) -> dict[str, tuple[int, ...]]:
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warnings about unlikely sizes
            module = build(described)
    except Exception as error:  # a constructor may raise anything for arguments from a file
        if trust:  # some foreign constructors fail on the meta device
            return {name: tuple(value.shape) for name, value in build(described).state_dict().items()}
        first = (str(error).splitlines() or [""])[0][:120]
        raise BadTicket(f"{card.folder}: its network cannot be built ({type(error).__name__}: {first})") from None
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}
