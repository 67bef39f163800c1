"""The plain values inside expressions: a function, a network, the data, a recipe. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lt_sweeps.keys import Spec


@dataclass(frozen=True, eq=False)
class Part(Spec):
    """A registered function by name and version, or a user's by import path and source hash."""

    name: str
    version: int | str = 0
    args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_registered(self) -> bool:
        """Whether the function is registered by this project; import paths contain a dot."""
        return "." not in self.name

    @property
    def is_foreign(self) -> bool:
        """Whether the function is neither registered by this project nor torch's, whose version is in no key."""
        return not self.is_registered and self.version != 0

    @property
    def word(self) -> str:
        """The function's own name; for a measure also the name of its summary number.

        >>> Part("barrier").word, Part("my_package.measures.distance").word
        ('barrier', 'distance')
        """
        return self.name.rpartition(".")[2]


def parts(value: Any) -> Iterator[Part]:
    """Yields every `Part` in a plain value, at any depth."""
    if isinstance(value, Part):
        yield value
    elif isinstance(value, Spec):
        for item in fields(value):
            yield from parts(getattr(value, item.name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from parts(item)


@dataclass(frozen=True, eq=False)
class Network(Spec):
    """An architecture and how its weights are drawn; `shape` is one input's (C, H, W)."""

    build: Part
    shape: tuple[int, ...]
    classes: int  # outputs: of classification logits, of regression numbers
    initialiser: Part | None = None  # None: the layers' own
    prunable: int = 1  # rule set: 2 adds recurrent, transposed and attention layers, absent from our networks


@dataclass(frozen=True, eq=False)
class Data(Spec):
    """A data set: source, split, normalisation, augmentation, limits and corruption."""

    source: Part
    classes: int  # outputs of a network, as there
    shape: tuple[int, ...]
    validation: int = 0  # examples held out of the training set
    split_seed: int = 0
    mean: tuple[float, ...] = ()  # of pixels in [0, 1], per channel; () leaves them in [0, 1]
    std: tuple[float, ...] = ()
    augment: tuple[str | Part, ...] = ()  # by name, or with arguments
    train_limit: int | None = None  # budget: at most this many training examples
    eval_limit: int | None = None  # budget: at most this many validation and this many test examples
    corruption: Part | None = None  # of the training examples, after split and limits
    task: Part | None = None  # what a network is asked; None: classification


@dataclass(frozen=True)
class Batching:
    """How a training cuts its examples into batches, with seeds. In no key itself: its fields come from `Train`."""

    size: int
    last: str = "drop"  # or "keep" the short one at an epoch's end
    order: int = 0
    augment: int = 0
    level: int = 0


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
    batchnorm_groups: int = 1  # equal parts of a batch that have their own batch statistics
    slimming: float = 0.0  # weight of a penalty: the sum of |scale| of all batch normalisation (Liu et al. 2017)
