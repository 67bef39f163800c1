"""Carries masks, and the weights of their tickets, from where they were found to the network that is trained."""

from __future__ import annotations

from dataclasses import dataclass

from lt_sweeps.graph import Carried, Dense, Fit, Mask, Weights, whole
from lt_sweeps.specs import Data, Part


@dataclass(frozen=True)
class Move:
    """How a mask is carried to the network of `to`; see `graph.Fit`, whose fields these are."""

    to: Dense
    by: Part | None = None
    classes: int | None = None
    between: tuple[Weights, ...] = ()
    data: Data | None = None
    seed: int = 0

    def mask(self, source: Mask) -> Mask:
        """Returns the mask on this network: `source` itself where nothing differs.

        >>> from lt_sweeps.methods.level import example
        >>> dense = example().mask
        >>> Move(dense).mask(dense) == dense, Move(dense, Part("elastic", 1)).mask(dense) == dense
        (True, False)
        """
        if self.by is None and whole(source) == self.to:
            return source
        return Fit(source, self.to, self.by, self.classes, self.between, self.data, self.seed)

    def weights(self, source: Weights, own: Weights, *, same_network: bool) -> Weights:
        """Returns `source` on this network, whose own weights are `own`: `source` itself on the `same_network`."""
        if self.by is None and same_network:
            return source
        return Carried(source, own, self.to, self.by, self.classes, self.between, self.data, self.seed)
