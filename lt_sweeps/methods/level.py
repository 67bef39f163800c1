"""One level of a chain: the input of options of `survivors=`, `control=` and `pruned=` that build expressions."""

from __future__ import annotations

from dataclasses import dataclass

from lt_sweeps.graph import Dense, Init, Mask, Ticket, Train, Weights, at, end
from lt_sweeps.randomness import derive
from lt_sweeps.specs import Data, Network, Part, Recipe


@dataclass(frozen=True)
class Level:
    """The expressions from which an option builds a level's mask or weights; nothing is computed."""

    dense: Train  # level 0 of the chain
    last: Train  # the training that `mask` was pruned from
    mask: Mask
    number: int
    step: int  # to which survivors are rewound
    seed: int
    keep_batchnorm: bool = False  # keep it as trained where weights are rewound
    start: Weights | None = None  # of a control: its ticket's start weights
    carried: Weights | None = None  # the rewound weights, where those of another network are carried here

    @property
    def rewound(self) -> Weights:
        """The chain's weights at the rewind point, or those that are carried here."""
        return at(self.dense, self.step) if self.carried is None else self.carried

    @property
    def begun(self) -> Weights:
        """The weights that an option changes: for a control its ticket's start weights, else the rewound weights."""
        return self.rewound if self.start is None else self.start

    @property
    def ended(self) -> Weights:
        """The end weights of the last training."""
        return end(self.last).weights

    @property
    def initial(self) -> Weights:
        """The values of pruned places before any training."""
        return self.dense.ticket.fill or at(self.dense, self.dense.ticket.start)

    @property
    def drawn(self) -> Init:
        """A fresh draw of all weights, different at each level."""
        return Init(self.dense.ticket.network, self.seed_of("reinit"))

    def seed_of(self, name: str) -> int:
        """Returns the seed of an option that draws."""
        return derive(self.seed, name, self.number)


def example(step: int = 0) -> Level:
    """Returns level 1 of a small network trained for 9 steps, rewound to `step`: for hand-computed examples."""
    network = Network(Part("lenet_300_100", 1), (1, 8, 8), 10)
    ticket = Ticket(network, Init(network, 0), Dense(network))
    dense = Train(ticket, Data(Part("digits", 1), 10, (1, 8, 8)), Recipe(9, 60, Part("torch.optim.SGD")))
    return Level(dense, dense, ticket.mask, number=1, step=step, seed=0)
