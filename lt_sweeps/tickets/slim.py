"""`lt-sweeps ticket slim`: a ticket of channels as a smaller network, which trains as any other."""

from __future__ import annotations

from pathlib import Path

import torch

from lt_sweeps.deploy.compact import left
from lt_sweeps.deploy.cutting import TOLERANCE, cut, relative_difference
from lt_sweeps.errors import Mistake
from lt_sweeps.masks import dense
from lt_sweeps.networks.build import build
from lt_sweeps.networks.slim import sizes_of
from lt_sweeps.randomness import rng
from lt_sweeps.registry import part
from lt_sweeps.specs import Network
from lt_sweeps.store.tensors import encode_mask, encode_masked
from lt_sweeps.ticket_files import card as cards
from lt_sweeps.ticket_files.card import BadTicket
from lt_sweeps.ticket_files.export import counts
from lt_sweeps.tickets.load import load_ticket, network_of

EXAMPLES = 16  # random ones, on which outputs are compared
GONE = ("format", "files", "checksum", "changed by", "how to load without lt_sweeps", "outputs", "include")


@torch.no_grad()
def slim(folder: Path, to: Path, start: int | None) -> list[str]:
    """Writes the ticket in a folder, without its dead units, to another folder; returns what to say of it.

    Its network is model=slim, its mask is whole; weights, data and recipe are those of the ticket, and its schedule
    begins at `start` (None: where the ticket's does). Raises BadTicket, and Mistake where nothing can be cut.
    """
    card = cards.read(folder)
    described = network_of(card, trust=False)
    if card.whole:
        raise BadTicket(f"{folder}: its pruned weights are not zero")
    if described.build.name == "slim":
        raise BadTicket(f"{folder}: is slim already")
    network = load_ticket(folder)
    x = torch.randn(EXAMPLES, *described.shape, generator=rng(0, "slim"))
    result = cut(network, x)
    sizes, before = sizes_of(result.network), sizes_of(network)
    fewer = {name: size for name, size in sizes.items() if size != before[name]}
    if not fewer:
        raise Mistake(f"ticket slim {folder}: no unit of it is dead: was it pruned with prune.unit=channel?")
    own = {"args": dict(described.build.args)} if described.build.args else {}
    args = {"of": described.build.name, "sizes": fewer, **own}
    small = Network(part("network", "slim", args), described.shape, described.classes, described.initialiser)
    module = build(small)
    module.load_state_dict(result.network.state_dict())
    by = relative_difference(module.eval()(x), network(x))
    if not by <= TOLERANCE:
        raise Mistake(f"ticket slim {folder}: outputs would differ by {by:.1e} of the largest; nothing is written")
    mask, _ = dense(module, tuple(card.fields["exclude"]))
    state = module.state_dict()
    fields = {name: value for name, value in card.fields.items() if name not in GONE} | {
        "title": f"{card.fields['title']}, slim",
        "network": small.describe(),
        "start": card.fields["start"] if start is None else start,
        "weights": counts(state, mask),
        "layers": {name: {"shape": list(ones.shape), "kept": int(ones.sum())} for name, ones in mask.items()},
        "expected": card.fields["expected"] if card.fields["kind"] == "trained" else {},  # the same outputs
    }
    cards.write(to, fields, encode_masked(state, mask), encode_mask(mask), as_seed=False)
    return [
        f"outputs of {EXAMPLES} random examples as the masked network's, to {by:.1e} of the largest",
        left(network, module, x),
        *(f"not cut: {name}: {why}" for name, why in result.left.items()),
    ]
