"""The slots a method composes: how it prunes, what survivors become, which control is shown instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lt_sweeps.graph import At, Init, Mask, Prune, Score, Shuffle, Ticket, Train, Treat, Weights, at, end
from lt_sweeps.randomness import derive
from lt_sweeps.registry import needs, part
from lt_sweeps.specs import Part, Recipe


@dataclass(frozen=True)
class Choices:
    """Everything a method is told; it builds expressions with these verbs and computes nothing."""

    levels: int
    rate: float
    criterion: Part
    groups: str
    factors: Mapping[str, float]
    survivors: Part
    control: Part
    freeze: bool  # pruned weights keep their initial value instead of zero
    rewind: int  # the step survivors go back to
    start: int  # where schedule and data order begin again
    retrain: Recipe
    keep_batchnorm: bool
    fresh_order: bool
    score_seed: int
    treat_seed: int
    ties_seed: int

    def prune(self, scored: Train, parent: Mask, level: int, times: int = 1) -> Mask:
        """`parent` without the weights that the criterion, asked at the end of `scored`, wants least."""
        wanted = needs("criterion", self.criterion.name)
        score = Score(
            self.criterion,
            end(scored),
            ref=at(scored, scored.ticket.start) if "ref" in wanted else None,
            data=scored.data if "data" in wanted else None,
            seed=derive(self.score_seed, "score", level) if "seed" in wanted else 0,
        )
        return Prune(score, parent, self.rate, self.groups, self.factors, times, self.ties_seed)

    def ticket(self, dense: Train, last: Train, mask: Mask, level: int) -> Train:
        """The next training of the chain: what `survivors` makes of the kept weights, trained again."""
        return self._train(dense, mask, self._weights(self.survivors, dense, last, mask, level), level)

    def shown(self, dense: Train, last: Train, ticket: Train, level: int) -> Train:
        """What the level shows: the ticket, or the control that branches off it and changes one thing."""
        mask = ticket.ticket.mask
        match self.control.name:
            case "none":
                return ticket
            case "mask_shuffle" | "random":
                scope = "layer" if self.control.name == "mask_shuffle" else "global"
                other = Shuffle(mask, derive(self.treat_seed, self.control.name, level), scope)
                return replace(ticket, ticket=replace(ticket.ticket, mask=other))
            case _:
                weights = self._weights(self.control, dense, last, mask, level, ticket.ticket.weights)
                return self._train(dense, mask, weights, level)

    def _train(self, dense: Train, mask: Mask, weights: Weights, level: int) -> Train:
        fill = (dense.ticket.fill or at(dense, dense.ticket.start)) if self.freeze else None
        return replace(
            dense,
            ticket=Ticket(dense.ticket.network, weights, mask, fill, self.start),
            recipe=self.retrain,
            level=dense.level + level if self.fresh_order else dense.level,
        )

    def _weights(
        self, treatment: Part, dense: Train, last: Train, mask: Mask, level: int, start: Weights | None = None
    ) -> Weights:
        """What a treatment makes of the rewound weights or, for a control, of the ticket's own `start`."""
        rewound = at(dense, self.rewind)
        ended = end(last).weights
        assert isinstance(ended, At)
        match treatment.name:
            case "rewind" if self.keep_batchnorm:
                return Treat(part("treatment", "keep_batchnorm"), mask, rewound, ended, 0)
            case "rewind":
                return rewound
            case "keep":
                return ended
            case "reinit":
                return Init(dense.ticket.network, derive(self.treat_seed, "reinit", level))
            case name:
                ref = rewound if start is None else start
                return Treat(treatment, mask, ref, ended, derive(self.treat_seed, name, level))
