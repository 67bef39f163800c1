"""A mask found elsewhere, applied to this network's own weights."""

from __future__ import annotations

from lt_sweeps.graph import Mask, Train
from lt_sweeps.methods.choices import Choices


def given(train: Choices, mask: Mask) -> list[Train]:
    """Returns the dense training, and that under the mask of `mask_from=` (Morcos et al. 2019, transferred tickets)."""
    return [train.dense, train.shown(train.dense, train.ticket(train.dense, mask, 1), 1)]
