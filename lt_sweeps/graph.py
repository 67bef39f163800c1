"""The expressions of a sweep: frozen, torch-free, and equal exactly when their work is equal.

A *spec* (`Network`, `Data`, `Recipe`, `Part`) is a plain value. A *node* is a computation; its `key`
is the SHA-256 of the canonical JSON of its class name, its version, its non-default fields and the keys
of its children. Numbers that are equal are written equally (`1` and `1.0`; 12 significant digits), so
two ways to say the same thing have one key.

    weights  Init At Treat      mask  Dense Prune Shuffle      scores  Score
    ticket   Ticket             run   Train

>>> tiny = Network(Part("lenet_300_100", 1), shape=(1, 8, 8), classes=10)
>>> Init(tiny, seed=1) == Init(tiny, seed=1), Init(tiny, seed=1) == Init(tiny, seed=2)
(True, False)
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

END = -1  # the step of a run's end, wherever that is


def canonical(value: Any) -> Any:
    """`value` as plain JSON in which equal meanings are equal texts.

    Raises ValueError for a number that is not finite, TypeError for anything that is not data.
    """
    if isinstance(value, Node):
        return {"key": value.key}
    if isinstance(value, Spec):
        return value.describe()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        rounded = float(f"{value:.12g}") if isinstance(value, float) else value
        return int(rounded) if rounded == int(rounded) else rounded
    if isinstance(value, Mapping):
        return {str(name): canonical(value[name]) for name in sorted(value)}
    if isinstance(value, (tuple, list)):
        return [canonical(item) for item in value]
    raise TypeError(f"{value!r} cannot be part of a key")


def digest(value: Any) -> str:
    """The SHA-256 (hex) of the canonical JSON of `value`."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _differs_from_default(item: Any, value: Any) -> bool:
    default = item.default_factory() if item.default_factory is not MISSING else item.default
    return default is MISSING or canonical(value) != canonical(default)


@dataclass(frozen=True, eq=False)
class Spec:
    """A plain value inside a node: described by its non-default fields, equal when it is described equally."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Spec) and digest(self) == digest(other)

    def __hash__(self) -> int:
        return hash(digest(self))

    def describe(self) -> dict[str, Any]:
        """The non-default fields, canonical."""
        given = ((f, getattr(self, f.name)) for f in fields(self))
        return {f.name: canonical(value) for f, value in given if _differs_from_default(f, value)}


@dataclass(frozen=True, eq=False, repr=False)
class Node:
    """A computation. `==` and `hash` are the key's."""

    version: ClassVar[int] = 1
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", digest(self.describe()))

    def describe(self) -> dict[str, Any]:
        """What the key is the hash of; also what the store writes down beside a result."""
        given = ((f, getattr(self, f.name)) for f in fields(self) if f.name != "key")
        told = {f.name: canonical(value) for f, value in given if _differs_from_default(f, value)}
        return {"node": type(self).__name__, "version": self.version, **told}

    @property
    def children(self) -> tuple[Node, ...]:
        """The nodes this one is computed from."""
        given = (getattr(self, f.name) for f in fields(self) if f.name != "key")
        return tuple(value for value in given if isinstance(value, Node))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}:{self.key[:8]}"


# ---------------------------------------------------------------------------------------- specs


@dataclass(frozen=True, eq=False)
class Part(Spec):
    """A registered function by name and version, or a user's by import path and source hash."""

    name: str
    version: int | str = 0
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Network(Spec):
    """An architecture and how its weights are drawn; `shape` is one input's (C, H, W)."""

    build: Part
    shape: tuple[int, ...]
    classes: int
    initialiser: Part | None = None  # None: the layers' own


@dataclass(frozen=True, eq=False)
class Data(Spec):
    """Which examples there are, how they are split and what a network sees of them."""

    source: Part
    classes: int
    shape: tuple[int, ...]
    validation: int = 0  # examples held out of the training set
    split_seed: int = 0
    mean: tuple[float, ...] = ()  # of pixels in [0, 1], per channel; () leaves them in [0, 1]
    std: tuple[float, ...] = ()
    augment: tuple[str, ...] = ()
    train_limit: int | None = None  # a budget's cut: this many training examples,
    eval_limit: int | None = None  # and this many for validation and for the test


@dataclass(frozen=True, eq=False)
class Recipe(Spec):
    """How a ticket is trained, in iterations."""

    steps: int
    batch_size: int
    optimizer: Part
    schedule: Part | None = None
    clip_norm: float | None = None
    precision: str = "32-true"
    last_batch: str = "drop"  # or "keep" the short one at an epoch's end
    eval_every: int = 100


# ---------------------------------------------------------------------------------------- nodes


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
    """What kept weights become: a function of the mask, reference weights and end weights."""

    treatment: Part
    mask: Mask
    ref: Weights
    end: Weights
    seed: int


@dataclass(frozen=True, eq=False, repr=False)
class Dense(Node):
    """The full mask over the prunable tensors: weights of linear and convolution layers not excluded."""

    network: Network
    exclude: tuple[str, ...] = ()  # name patterns, as of fnmatch


@dataclass(frozen=True, eq=False, repr=False)
class Prune(Node):
    """The parent's best-scored weights: each group keeps the share `(1 - fraction * factor) ** times`."""

    scores: Score
    parent: Mask
    fraction: float
    groups: str = "global"  # or "layerwise"
    factors: Mapping[str, float] = field(default_factory=dict)  # name pattern -> factor of the rate
    times: int = 1
    ties: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Shuffle(Node):
    """A mask with as many ones, elsewhere: within each layer, or (`scope="global"`) anywhere."""

    mask: Mask
    seed: int
    scope: str = "layer"


@dataclass(frozen=True, eq=False, repr=False)
class Score(Node):
    """How much a criterion wants to keep each prunable weight of a ticket; higher is kept."""

    criterion: Part
    at: Ticket
    ref: Weights | None = None  # weights to compare with, where the criterion needs them
    data: Data | None = None  # examples, where it needs them
    seed: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Ticket(Node):
    """What one trains, scores and saves. Effective weights are `mask * weights + (1 - mask) * fill`."""

    network: Network
    weights: Weights
    mask: Mask
    fill: Weights | None = None  # None is zero
    start: int = 0  # the step at which schedule and data order begin


@dataclass(frozen=True, eq=False, repr=False)
class Train(Node):
    """A ticket trained from its start to the recipe's end. `order` and `augment` are seeds."""

    ticket: Ticket
    data: Data
    recipe: Recipe
    order: int = 0
    augment: int = 0
    level: int = 0  # data order and augmentation are drawn anew at each level


Weights = Init | At | Treat
Mask = Dense | Prune | Shuffle


def at(run: Train, step: int) -> Weights:
    """The weights of `run` at `step`: at its start these *are* the start weights.

    Raises ValueError where the run never passes that step.
    """
    if step == run.ticket.start:
        return run.ticket.weights
    if step == run.recipe.steps:
        step = END
    elif step != END and not run.ticket.start < step < run.recipe.steps:
        raise ValueError(f"the run goes from step {run.ticket.start} to {run.recipe.steps}, not through {step}")
    return At(run, step)


def end(run: Train) -> Ticket:
    """What training made of a ticket, again a ticket."""
    old = run.ticket
    return Ticket(old.network, At(run, END), old.mask, old.fill, run.recipe.steps)


def topological(roots: Iterable[Node], stop: Any = lambda node: False) -> Iterator[Node]:
    """Every node below `roots` once, children first; nothing below a node for which `stop` holds."""
    done: set[Node] = set()
    stack = [(node, False) for node in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if node in done:
            continue
        if ready or stop(node):
            done.add(node)
            yield node
        else:
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.children))


def is_stored(node: Node) -> bool:
    """Whether the store keeps this node's value; everything else is computed again when it is needed."""
    return isinstance(node, (Train, Prune)) or (isinstance(node, At) and node.step != END)


def sources(node: Node) -> list[str]:
    """The keys of the nearest stored results that a node is computed from."""
    below = topological(node.children, stop=is_stored)
    return sorted(other.key for other in below if is_stored(other))
