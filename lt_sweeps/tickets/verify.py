"""Verifies a ticket against its card: builds its network, and evaluates it if it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from lt_sweeps.datasets.loader import loader
from lt_sweeps.errors import Mistake
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.metrics import compared_by
from lt_sweeps.ticket_files.card import BadTicket, Card
from lt_sweeps.tickets.load import load_ticket
from lt_sweeps.tickets.promise import data_folder, data_of, promised, require

TOLERANCE = 0.05  # points: five of ten thousand examples, which rounding on another machine may change
SHARE = 1e-3  # the same for a metric that is no percentage, as a share of its value


def verify(card: Card, data_dir: Path | None, *, trust: bool) -> Iterator[str]:
    """Yields a line for each check that passes. Raises BadTicket at the first that fails."""
    network = load_ticket(card.folder, trust=trust)
    yield f"files hold; {sum(p.numel() for p in network.parameters()):,} parameters fit the network"
    if card.fields["kind"] == "start" and not card.fields["recipe"]:
        yield "it says no data and no recipe: give ticket= to a sweep"
        return
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
        metrics = evaluate(network, examples.chunks("test"), data.classes, data.task).metrics
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        first = (str(error).splitlines() or [""])[0][:120]
        raise BadTicket(f"{card.folder}: cannot be evaluated on its data ({first})") from None
    metric = compared_by(metrics)
    value, expected = metrics[metric.name], card.fields["expected"].get(f"test_{metric.name}")
    words = f"{metric.number(value)}{metric.unit}"
    if not isinstance(expected, (int, float)) or abs(value - expected) > (
        TOLERANCE if metric.percent else SHARE * abs(expected)
    ):
        raise BadTicket(f"{card.folder}: has a test {metric.title} of {words}, and promises {expected}")
    yield f"test {metric.title} {words}, as promised"
