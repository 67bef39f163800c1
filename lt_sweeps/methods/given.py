"""A mask found elsewhere, on this network's own weights."""

from __future__ import annotations

from lt_sweeps.graph import Mask, Train
from lt_sweeps.methods.choices import Choices


def given(train: Choices, mask: Mask) -> list[Train]:
    """The dense network, and the ticket that `mask_from=` makes of it (Morcos et al. 2019, transferred tickets)."""
    return [train.dense, train.shown(train.dense, train.ticket(train.dense, mask, 1), 1)]
