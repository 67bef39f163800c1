"""One level of a chain, as the words of `survivors=`, `control=` and `pruned=` see it."""

from __future__ import annotations

from dataclasses import dataclass

from lt_sweeps.graph import Dense, Init, Mask, Ticket, Train, Weights, at, end
from lt_sweeps.randomness import derive
from lt_sweeps.specs import Data, Network, Part, Recipe


@dataclass(frozen=True)
class Level:
    """What a word builds a level's mask or weights from; everything in it is an expression, nothing is computed."""

    dense: Train  # where the chain began
    last: Train  # the training that `mask` was pruned from
    mask: Mask
    number: int
    step: int  # that survivors go back to
    seed: int
    keep_batchnorm: bool = False  # as training left it, where weights are rewound
    start: Weights | None = None  # of a control: what its ticket begins with

    @property
    def rewound(self) -> Weights:
        """The chain's weights at the rewind point."""
        return at(self.dense, self.step)

    @property
    def begun(self) -> Weights:
        """What a control changes one thing of: its ticket's own weights; of a ticket, the rewound ones."""
        return self.rewound if self.start is None else self.start

    @property
    def ended(self) -> Weights:
        """What training left."""
        return end(self.last).weights

    @property
    def initial(self) -> Weights:
        """What pruned places hold before anything is trained."""
        return self.dense.ticket.fill or at(self.dense, self.dense.ticket.start)

    @property
    def drawn(self) -> Init:
        """A fresh draw of all weights, another at each level."""
        return Init(self.dense.ticket.network, self.seed_of("reinit"))

    def seed_of(self, name: str) -> int:
        """The seed of a word that draws."""
        return derive(self.seed, name, self.number)


def example(step: int = 0) -> Level:
    """Level 1 of a small network trained for 9 steps, rewound to `step`: for hand-computed examples."""
    network = Network(Part("lenet_300_100", 1), (1, 8, 8), 10)
    ticket = Ticket(network, Init(network, 0), Dense(network))
    dense = Train(ticket, Data(Part("digits", 1), 10, (1, 8, 8)), Recipe(9, 60, Part("torch.optim.SGD")))
    return Level(dense, dense, ticket.mask, number=1, step=step, seed=0)
