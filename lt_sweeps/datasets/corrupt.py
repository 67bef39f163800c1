"""Corruptions of the training examples, after the split; validation and test stay clean unless it needs "every part".

Each takes the training images, uint8 (N, C, H, W), their classes, int64 (N,), and the number of classes, and returns
new images and classes. Its `seed` is a separate argument: the corruption belongs to the data set, so that all seeds of
a sweep, and a ticket and its control, train on the same examples.
For a data set of image files, one that does not need "pixels" gets the indices of the images instead.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.randomness import rng
from lt_sweeps.registry import register


def _places(examples: int, fraction: float, generator: torch.Generator) -> Tensor:
    """Returns exactly round(fraction * N) random indices. Raises ValueError for a fraction outside [0, 1]."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"corruption.args.fraction={fraction}: must be between 0 and 1")
    return torch.randperm(examples, generator=generator)[: round(fraction * examples)]


@register("corruption", version=1, needs=("classes",))
def label_flip(x: Tensor, y: Tensor, classes: int, fraction: float = 0.2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Exactly round(fraction * N) labels become another class, each other class with equal probability.

    This is symmetric label noise: the given fraction is wrong, as in He et al. 2022 (sparse double descent).

    >>> label_flip(torch.zeros(4, 1, 1, 1), torch.tensor([0, 1, 1, 0]), classes=2, fraction=1.0)[1].tolist()
    [1, 0, 0, 1]
    """
    generator = rng(seed, "label_flip")
    places = _places(len(y), fraction, generator)
    others = torch.randint(1, classes, (len(places),), generator=generator)
    return x, y.index_put((places,), (y[places] + others) % classes)


@register("corruption", version=1, needs=("classes",))
def label_uniform(x: Tensor, y: Tensor, classes: int, fraction: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Exactly round(fraction * N) labels are drawn anew, uniformly over all classes: 1/classes of them keep theirs.

    The random labels of Zhang et al. 2017 and, at fraction 1, of Su et al. 2020. Zhang et al. draw each label with a
    probability; here the number of redrawn labels is exact.

    >>> label_uniform(torch.zeros(2, 1, 1, 1), torch.tensor([0, 0]), classes=1)[1].tolist()
    [0, 0]
    """
    generator = rng(seed, "label_uniform")
    places = _places(len(y), fraction, generator)
    return x, y.index_put((places,), torch.randint(classes, (len(places),), generator=generator))


@register("corruption", version=1, needs=("pixels",))
def pixel_permutation(x: Tensor, y: Tensor, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """All C * H * W values of each image in its own random order, the same in every epoch (Su et al. 2020).

    >>> image = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2)
    >>> pixel_permutation(image, torch.tensor([0]), classes=1)[0].flatten().sort().values.tolist()
    [0, 1, 2, 3]
    """
    generator = rng(seed, "pixel_permutation")
    values = x.flatten(1)
    moved = torch.empty_like(values)
    for old, new in zip(values, moved, strict=True):
        torch.index_select(old, 0, torch.randperm(len(old), generator=generator), out=new)
    return moved.view_as(x), y


@register("corruption", version=1, needs=("pixels", "every part"))
def fixed_permutation(x: Tensor, y: Tensor, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The pixels of all images in one random order, the same for all channels, validation and test (Zhang et al. 2017).

    It re-encodes images and adds no noise; accuracy on a clean test set would be chance.

    >>> images = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2).expand(2, -1, -1, -1)
    >>> one, other = fixed_permutation(images, torch.tensor([0, 1]), classes=2)[0]
    >>> one.flatten().sort().values.tolist(), torch.equal(one, other)
    ([0, 1, 2, 3], True)
    """
    order = torch.randperm(x[0, 0].numel(), generator=rng(seed, "fixed_permutation"))
    return x.flatten(2)[:, :, order].view_as(x), y


@register("corruption", version=1)
def half(x: Tensor, y: Tensor, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A random half of the training examples, in their order (Su et al. 2020, who take half of the batches).

    The recipe's clock stays that of the whole set: training has as many steps, and sees each example twice as often.

    >>> half(torch.arange(4).view(4, 1, 1, 1), torch.arange(4), classes=4)[1].shape
    torch.Size([2])
    """
    kept = torch.randperm(len(y), generator=rng(seed, "half"))[: len(y) // 2].sort().values
    return x[kept], y[kept]
