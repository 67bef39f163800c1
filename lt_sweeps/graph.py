"""The expressions of a sweep: frozen, torch-free, and equal exactly when their work is equal.

A *spec* (`Network`, `Data`, `Recipe`, `Part`, in specs.py) is a plain value. A *node* is a computation; its `key`
is the SHA-256 of the canonical JSON of its class name, its version, its non-default fields and the keys
of its children. Numbers that are equal are written equally (`1` and `1.0`; 12 significant digits), so
two ways to say the same thing have one key.

    weights  Init At Treat Fill Pretrained Carried            scores  Score
    mask     Dense Prune Shuffle Given Fit MaskAt Planted
    ticket   Ticket                        run   Train                              table   Measure

>>> tiny = Network(Part("lenet_300_100", 1), shape=(1, 8, 8), classes=10)
>>> Init(tiny, seed=1) == Init(tiny, seed=1), Init(tiny, seed=1) == Init(tiny, seed=2)
(True, False)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lt_sweeps.keys import Node
from lt_sweeps.specs import Batching, Data, Network, Part, Recipe

END = -1  # the step of a run's end, wherever that is


@dataclass(frozen=True, eq=False, repr=False)
class Init(Node):
    """A fresh draw of a network's weights."""

    network: Network
    seed: int


@dataclass(frozen=True, eq=False, repr=False)
class At(Node):
    """A run's weights after `step` iterations of the recipe's clock; `END` is its end. Build it with `at`."""

    run: Train
    step: int


@dataclass(frozen=True, eq=False, repr=False)
class Treat(Node):
    """Kept weights after a treatment (survivors=), a function of the mask, reference weights and end weights."""

    treatment: Part
    mask: Mask
    ref: Weights
    end: Weights
    seed: int


@dataclass(frozen=True, eq=False, repr=False)
class Fill(Node):
    """Values of pruned weights, computed by the function `fill` (pruned=) from the mask, reference and end weights."""

    fill: Part
    mask: Mask
    ref: Weights
    end: Weights
    seed: int


@dataclass(frozen=True, eq=False, repr=False)
class Pretrained(Node):
    """Weights from a file, by its SHA-256; the file holds the values that `mask` keeps, or all if `mask` is None."""

    content: str
    mask: Mask | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Dense(Node):
    """The full mask over the prunable tensors: weights of layers, less those of `exclude`, plus those of `include`."""

    network: Network
    exclude: tuple[str, ...] = ()  # name patterns, as of fnmatch
    include: tuple[str, ...] = ()
    outputs: bool = False  # of all layers but the last, and with them the biases and batch normalisation of their units


@dataclass(frozen=True, eq=False, repr=False)
class Prune(Node):
    """The parent's best-scored weights: each group keeps the share `(1 - fraction * factor) ** times`.

    With `rounds` > 1 that share is reached in `rounds` exponential steps; weights are scored again before each step.
    With `revive` each step selects among all weights that the parent keeps, including those an earlier step pruned.
    """

    scores: Score
    parent: Mask
    fraction: float
    groups: str = "global"  # or "layerwise"
    factors: Mapping[str, float] = field(default_factory=dict)  # name pattern -> factor of the rate
    times: int = 1
    ties: int = 0
    allocation: Part | None = None  # sets the share of each layer; None: weights of a group compete by score
    rounds: int = 1
    revive: bool = False
    invert: bool = False  # keep the worst-scored instead
    unit: Part | None = None  # what is kept or pruned as a whole, and counted; None: each weight


@dataclass(frozen=True, eq=False, repr=False)
class Shuffle(Node):
    """A random permutation of a mask: within each layer, or (`scope="global"`) across all layers."""

    mask: Mask
    seed: int
    scope: str = "layer"


@dataclass(frozen=True, eq=False, repr=False)
class Given(Node):
    """A mask from a file, by its SHA-256."""

    content: str


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Node):
    """A mask found elsewhere, applied to this network: layers that it lacks, or that are excluded, stay dense.

    With `by` (transfer=) the function says where each place of this network's mask comes from.
    """

    mask: Mask
    to: Dense
    by: Part | None = None  # None: layers are those of the same name and shape
    classes: int | None = None  # of the network of the mask, if others than here: the output layer then stays dense
    between: tuple[Weights, ...] = ()  # trained dense weights of the mask's network and of this, if `by` looks at them
    data: Data | None = None  # training examples, if it looks at them
    seed: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Carried(Node):
    """Weights found elsewhere, brought to this network as `Fit` brings a mask; what nothing is brought to is `own`."""

    weights: Weights
    own: Weights  # this network's: of the output layer, if classes differ
    to: Dense
    by: Part | None = None
    classes: int | None = None
    between: tuple[Weights, ...] = ()
    data: Data | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class MaskAt(Node):
    """The mask of a run that changes its mask (by a gate or hooks), beside its `weights` at some step."""

    weights: At

    @property
    def before(self) -> Mask:
        """The mask that the run began with."""
        return self.weights.run.ticket.mask


@dataclass(frozen=True, eq=False, repr=False)
class Planted(Node):
    """The mask of the ticket that an initialiser has planted in a draw, among the tensors of `whole`."""

    draw: Init
    whole: Dense


@dataclass(frozen=True, eq=False, repr=False)
class Score(Node):
    """A criterion's score of each prunable weight of a ticket; the highest are kept."""

    criterion: Part
    at: Ticket
    ref: Weights | None = None  # reference weights, if the criterion needs them
    data: Data | None = None  # training examples, if it needs them
    seed: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Ticket(Node):
    """A mask and start weights: trained, scored, saved. Effective weights are `mask * weights + (1 - mask) * fill`."""

    network: Network
    weights: Weights
    mask: Mask
    fill: Weights | None = None  # None is zero
    start: int = 0  # the step at which schedule and data order begin


@dataclass(frozen=True, eq=False, repr=False)
class Train(Node):
    """A ticket trained from its start to the recipe's end. `order`, `augment` and `draw` are seeds.

    With a `gate` the weights are frozen, and what is trained is the gate's parameters, which make the mask; `hooks`
    change the mask of a training under way, or end it.
    """

    ticket: Ticket
    data: Data
    recipe: Recipe
    order: int = 0
    augment: int = 0
    level: int = 0  # data order and augmentation are drawn anew at each level
    gate: Part | None = None
    hooks: tuple[Part, ...] = ()
    draw: int = 0  # what gate and hooks draw

    @property
    def static(self) -> bool:
        """Whether the mask at the end is the ticket's."""
        return self.gate is None and not self.hooks

    @property
    def batching(self) -> Batching:
        """The batch size and the seeds of data order and augmentation."""
        return Batching(self.recipe.batch_size, self.recipe.last_batch, self.order, self.augment, self.level)


@dataclass(frozen=True, eq=False, repr=False)
class Measure(Node):
    """A small table computed from several tickets and a data set, such as an error barrier."""

    what: Part
    of: tuple[Ticket, ...]
    data: Data

    @property
    def points(self) -> int:
        """The number of passes through the data."""
        return int(self.what.args.get("points", 1))


Weights = Init | At | Treat | Fill | Pretrained | Carried
Mask = Dense | Prune | Shuffle | Given | Fit | MaskAt | Planted
Work = Train | Measure  # nodes that a worker computes as one job


def at(run: Train, step: int) -> Weights:
    """Returns the weights of `run` at `step`; at its start these *are* the start weights.

    Raises ValueError if the run never passes that step.
    """
    if step == run.ticket.start:
        return run.ticket.weights
    if step == run.recipe.steps:
        step = END
    elif step != END and not run.ticket.start < step < run.recipe.steps:
        raise ValueError(f"the run goes from step {run.ticket.start} to {run.recipe.steps}, not through {step}")
    return At(run, step)


def seen(run: Train, step: int) -> Ticket:
    """Returns the ticket of a run's mask and weights at `step` of the recipe's clock. Raises ValueError as `at`."""
    old, weights = run.ticket, at(run, step)
    mask = old.mask
    if not run.static and isinstance(weights, At) and weights.run == run:  # not those of another, as at the start
        mask = MaskAt(weights)
    return Ticket(old.network, weights, mask, old.fill, run.recipe.steps if step == END else step)


def end(run: Train) -> Ticket:
    """Returns a run's end weights and its mask, as a ticket."""
    return seen(run, END)


def pruned_from(mask: Mask) -> Train | None:
    """Returns the training at whose end a mask was pruned; None for a dense or a learned mask, or one from a file."""
    while isinstance(mask, Shuffle):
        mask = mask.mask
    scored = mask.scores.at.weights if isinstance(mask, Prune) else None
    return scored.run if isinstance(scored, At) and scored.step == END else None


def learned_in(mask: Mask) -> Train | None:
    """Returns the training that learned a mask, shuffled or not; None for a mask that was not learned."""
    while isinstance(mask, Shuffle):
        mask = mask.mask
    return mask.weights.run if isinstance(mask, MaskAt) else None


def search_of(run: Train) -> Train | None:
    """Returns the training that the mask of a run's ticket was pruned from or learned in; None where there is none.

    It may be of another network: that of a mask which was carried here.
    """
    mask = run.ticket.mask
    while isinstance(mask, (Fit, Shuffle)):
        mask = mask.mask
    return learned_in(mask) or pruned_from(mask)


def network_of(weights: Weights) -> Network | None:
    """The network that weights are of; None for those from a file."""
    match weights:
        case Init(network=network):
            return network
        case At(run=run):
            return run.ticket.network
        case Treat(ref=ref) | Fill(ref=ref):
            return network_of(ref)
        case Carried(to=to):
            return to.network
    return None


def class_counts(node: Fit | Carried) -> tuple[int, int]:
    """The classes of the network that a mask or weights come from, and of the one that they are brought to."""
    here = node.to.network.classes
    return node.classes or here, here


def redrawn(run: Train) -> int | None:
    """Returns the number of classes of the network that a run's mask was found on, if it has others itself."""
    mask = run.ticket.mask
    while isinstance(mask, (Fit, Shuffle)):
        if isinstance(mask, Fit) and mask.classes is not None:
            return mask.classes
        mask = mask.mask
    return None


def whole(mask: Mask) -> Dense | None:
    """Returns the full mask that a mask was pruned from; None for a mask from a file."""
    while not isinstance(mask, (Dense, Given)):
        match mask:
            case Prune(parent=other) | Fit(to=other) | Shuffle(mask=other):
                mask = other
            case MaskAt():
                mask = mask.before
            case Planted(whole=dense):
                mask = dense
    return mask if isinstance(mask, Dense) else None


def full(on: Mask | Ticket) -> Dense:
    """Returns the full mask over the network of a mask or ticket; the mask of a ticket always has one."""
    dense = whole(on.mask if isinstance(on, Ticket) else on)
    assert dense is not None
    return dense


def topological(roots: Iterable[Node], stop: Any = lambda node: False) -> Iterator[Node]:
    """Yields `roots` and their descendants once, children first; does not descend below a node where `stop` is true."""
    done: set[str] = set()
    stack = [(node, False) for node in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if node.key in done:
            continue
        if ready or stop(node):
            done.add(node.key)
            yield node
        else:
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.children))


def is_stored(node: Node) -> bool:
    """Whether the store keeps this node's value; other nodes are recomputed when needed."""
    return isinstance(node, (Train, Prune, Measure)) or (isinstance(node, At) and node.step != END)


def works(roots: Iterable[Node]) -> list[Work]:
    """Returns the trainings and measures among `roots` and their descendants, children first."""
    return [node for node in topological(roots) if isinstance(node, Work)]


def parents(work: Work) -> list[Work]:
    """Returns the nearest trainings and measures that `work` depends on."""
    below = topological(work.children, stop=lambda node: isinstance(node, Work))
    return [node for node in below if isinstance(node, Work)]


def sources(node: Node) -> list[str]:
    """Returns the sorted keys of the nearest stored results that a node is computed from."""
    below = topological(node.children, stop=is_stored)
    return sorted(other.key for other in below if is_stored(other))
