"""Verifies a ticket against its card: builds its network, and evaluates it if it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from lt_sweeps.datasets.loader import loader
from lt_sweeps.errors import Mistake
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.ticket_files.card import BadTicket, Card
from lt_sweeps.tickets.load import load_ticket
from lt_sweeps.tickets.promise import data_folder, data_of, promised, require

TOLERANCE = 0.05  # points: five of ten thousand examples, which rounding on another machine may change


def verify(card: Card, data_dir: Path | None, *, trust: bool) -> Iterator[str]:
    """Yields a line for each check that passes. Raises BadTicket at the first that fails."""
    network = load_ticket(card.folder, trust=trust)
    yield f"files hold; {sum(p.numel() for p in network.parameters()):,} parameters fit the network"
    if card.fields["kind"] == "start":
        yield f"trained, it promises {promised(card)}: lt-sweeps ticket train {card.folder}"
        return
    data, folder = data_of(card, trust=trust), data_folder(data_dir)
    try:
        require(data, folder)
    except Mistake as reason:
        yield f"not evaluated: {reason}"
        return
    try:
        examples = loader(data, folder, torch.device("cpu"), 0)
        accuracy = evaluate(network, examples.chunks("test"), data.classes).accuracy
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        first = (str(error).splitlines() or [""])[0][:120]
        raise BadTicket(f"{card.folder}: cannot be evaluated on its data ({first})") from None
    expected = card.fields["expected"].get("test_accuracy")
    if not isinstance(expected, (int, float)) or abs(accuracy - expected) > TOLERANCE:
        raise BadTicket(f"{card.folder}: has a test accuracy of {accuracy:.2f} %, and promises {expected}")
    yield f"test accuracy {accuracy:.2f} %, as promised"
