"""What a criterion gives each weight: its function, called with what it may look at."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING

from lt_sweeps import masks
from lt_sweeps.criteria.probe import Probe, Scores, Source, require_scores
from lt_sweeps.execution.ownership import require_current
from lt_sweeps.graph import Score
from lt_sweeps.networks.build import build
from lt_sweeps.randomness import derive, rng, seeded
from lt_sweeps.registry import load
from lt_sweeps.specs import Data

if TYPE_CHECKING:
    from lt_sweeps.execution.values import Values


def scorer(values: Values, node: Score) -> Callable[[masks.Mask, int], Scores]:
    """Scores each prunable weight, higher = keep, under a mask and after so many rounds of pruning."""
    require_current([node.criterion, node.at.network.build])
    ticket, criterion = node.at, load("criterion", node.criterion.name)
    weights, fill = values.weights(ticket.weights), values.fill(ticket)
    ref = None if node.ref is None else values.weights(node.ref)
    network, aliases = cache(lambda: build(ticket.network)), values.aliases(ticket)

    def score(mask: masks.Mask, done: int) -> Scores:
        probe = Probe(
            weights=masks.effective(weights, mask, fill, aliases),
            unmasked=weights,
            mask=mask,
            ref=ref,
            generator=rng(node.seed, "score", *[done][:done]),
            make_network=lambda: deepcopy(network()),
            make_source=lambda: _source(values, node.data),
            shape=ticket.network.shape,
        )
        with seeded(derive(node.seed, "criterion", done)):
            scores: Scores = criterion(probe, **node.criterion.args)
        require_scores(scores, mask, node.criterion.name)
        return scores

    return score


def _source(values: Values, data: Data | None) -> Source:
    if data is None:
        raise ValueError('the criterion looks at examples: register it with needs=("data",)')
    return values.examples(data)
