"""A mask found elsewhere, on this network's own weights."""

from __future__ import annotations

from lt_sweeps.graph import Mask, Train
from lt_sweeps.methods.choices import Choices


def given(dense: Train, choose: Choices, mask: Mask) -> list[Train]:
    """The dense network, and the ticket that `mask_from=` makes of it (Morcos et al. 2019, transferred tickets)."""
    ticket = choose.ticket(dense, dense, mask, 1)
    return [dense, choose.shown(dense, dense, ticket, 1)]
