"""The slots a method composes: how it prunes, what kept and pruned weights become, which control is shown instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lt_sweeps.graph import At, Fill, Init, Mask, Prune, Score, Shuffle, Ticket, Train, Treat, Weights, at, end
from lt_sweeps.randomness import derive
from lt_sweeps.registry import needs, part
from lt_sweeps.specs import Part, Recipe


@dataclass(frozen=True)
class Choices:
    """Everything a method is told; it builds expressions with these verbs and computes nothing.

    A method gets two of them, which are equal unless `find.*` says otherwise: with one it finds masks, and the other
    trains under these masks what is shown.
    """

    dense: Train  # where it begins
    levels: int
    rate: float
    criterion: Part
    rounds: int
    revive: bool
    invert: bool
    allocation: Part | None
    groups: str
    factors: Mapping[str, float]
    survivors: Part
    pruned: Part
    control: Part
    rewind: int  # the step survivors go back to
    start: int  # where schedule and data order begin again
    retrain: Recipe
    shown_recipe: Recipe  # how what is shown is trained, and with which seeds, where that is otherwise
    shown_seeds: tuple[int, int]  # order, augment
    keep_batchnorm: bool
    fresh_order: bool
    score_seed: int
    treat_seed: int
    ties_seed: int

    def prune(self, scored: Ticket, parent: Mask, level: int, times: int = 1) -> Mask:
        """`parent` without the weights that the criterion wants least, asked of a ticket of this chain."""
        wanted = needs("criterion", self.criterion.name)
        score = Score(
            self.criterion,
            scored,
            ref=self._begun(scored) if "ref" in wanted else None,
            data=self.dense.data if "data" in wanted else None,
            seed=derive(self.score_seed, "score", level) if "seed" in wanted else 0,
        )
        return Prune(
            score,
            parent,
            self.rate,
            self.groups,
            self.factors,
            times,
            self.ties_seed,
            self.allocation,
            self.rounds,
            self.revive,
            self.invert,
        )

    def ticket(self, last: Train, mask: Mask, level: int) -> Train:
        """The next training of the chain: what `survivors` and `pruned` make of the weights, trained again."""
        return self._train(last, mask, self._weights(self.survivors, last, mask, level), level)

    def shown(self, last: Train, ticket: Train, level: int) -> Train:
        """What the level shows: the ticket, or the control that branches off it and changes one thing."""
        mask = ticket.ticket.mask
        match self.control.name:
            case "none":
                branch = ticket
            case "mask_shuffle" | "random":
                scope = "layer" if self.control.name == "mask_shuffle" else "global"
                other = Shuffle(mask, derive(self.treat_seed, self.control.name, level), scope)
                branch = self.ticket(last, other, level)
            case _:
                branch = self._train(
                    last, mask, self._weights(self.control, last, mask, level, ticket.ticket.weights), level
                )
        order, augment = self.shown_seeds
        return replace(branch, recipe=self.shown_recipe, order=order, augment=augment)

    def onward(self) -> Train:
        """The dense network, trained again as tickets are: where they are rewound, from that point."""
        if self.survivors.name != "rewind":
            return self.dense
        ticket = replace(self.dense.ticket, weights=at(self.dense, self.rewind), start=self.start)
        return replace(self.dense, ticket=ticket, recipe=self.retrain)

    def _begun(self, scored: Ticket) -> Weights:
        """The weights that the training behind a ticket began with; of one that was not trained, its own."""
        weights = scored.weights
        return at(weights.run, weights.run.ticket.start) if isinstance(weights, At) else weights

    def _train(self, last: Train, mask: Mask, weights: Weights, level: int) -> Train:
        dense = self.dense
        return replace(
            dense,
            ticket=Ticket(dense.ticket.network, weights, mask, self._fill(last, mask, level), self.start),
            recipe=self.retrain,
            level=dense.level + level if self.fresh_order else dense.level,
        )

    def _fill(self, last: Train, mask: Mask, level: int) -> Weights | None:
        """What pruned weights become."""
        initial = self.dense.ticket.fill or at(self.dense, self.dense.ticket.start)
        match self.pruned.name:
            case "zero":
                return None
            case "freeze":
                return initial
            case name:
                return Fill(self.pruned, mask, initial, end(last).weights, derive(self.treat_seed, name, level))

    def _weights(self, treatment: Part, last: Train, mask: Mask, level: int, start: Weights | None = None) -> Weights:
        """What a treatment makes of the rewound weights or, for a control, of the ticket's own `start`."""
        dense = self.dense
        rewound = at(dense, self.rewind)
        ended = end(last).weights
        match treatment.name:
            case "rewind" if self.keep_batchnorm:
                return Treat(part("treatment", "keep_batchnorm"), mask, rewound, ended, 0)
            case "rewind":
                return rewound
            case "keep":
                return ended
            case "reinit":
                return self._drawn(level)
            case "reinit_signed":
                ref = rewound if start is None else start
                return Treat(part("treatment", "signs"), mask, ref, self._drawn(level), 0)
            case name:
                ref = rewound if start is None else start
                return Treat(treatment, mask, ref, ended, derive(self.treat_seed, name, level))

    def _drawn(self, level: int) -> Init:
        return Init(self.dense.ticket.network, derive(self.treat_seed, "reinit", level))
