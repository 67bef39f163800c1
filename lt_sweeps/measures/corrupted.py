"""Test accuracy on images that are noisy, blurred, pale, bright or hidden in part."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.predictions import require_classes
from lt_sweeps.randomness import rng
from lt_sweeps.registry import register

LEAST = 4  # pixels of a side
GREY = 0.5


@register("measure", version=1, needs=("images", "classes"), quantity="Test accuracy on corrupted inputs", unit="%")
def corruption_accuracy(ends: Ends, seed: int = 0) -> Table:
    """Test accuracy under five corruptions of the inputs at three severities: the mean of all fifteen, in percent.

    Of the last ticket. `noise` adds Gaussian noise of deviation 0.1, 0.2 or 0.4; `blur` is Gaussian, of deviation 2, 4
    or 8 % of the shorter side; `contrast` leaves 50, 25 or 10 % of the distance to the image's mean; `brightness` adds
    0.125, 0.25 or 0.5; `occlusion` hides a square of 25, 37.5 or 50 % of the shorter side under grey, at a random
    place. Values reach from 0 to 1 in each channel over all test examples, and results are cut to that. `clean` is the
    accuracy without. Draws are functions of `seed`, so that all tickets see the same images. Inspired by Hendrycks &
    Dietterich 2019. Differs: five corruptions and severities of our own where they have fifteen and five, so that
    numbers cannot be compared with theirs. Raises ValueError for examples that are no images of at least 4x4 pixels, or
    have no classes.

    A black and a white image of 16 pixels, told apart by whether their sum is above 6: the largest brightness makes the
    black one 8. The larger squares cover 2x2 pixels, and make it 2 and the white one 14. Both have all contrast there
    is.

    >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    >>> def holding(state): network.load_state_dict(state); return network
    >>> state = {"1.weight": torch.tensor([[-1.0] * 16, [1.0] * 16]), "1.bias": torch.tensor([6.0, -6.0])}
    >>> batch = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)]), torch.tensor([0, 1])
    >>> table = corruption_accuracy(Ends((state,), ({},), 2, holding, lambda part: iter([batch])))
    >>> table["clean"], table["severity"], table["brightness"], table["occlusion"]
    (100.0, [1.0, 2.0, 3.0], [100.0, 100.0, 50.0], [100.0, 100.0, 100.0])
    """
    require_classes(ends, "corruption_accuracy")
    network, (low, span) = ends.network(ends.weights[-1]), _range(ends)
    by_corruption = {
        name: [_accuracy(ends, network, corrupted(ends, name, amount, seed, low, span)) for amount in amounts]
        for name, (_, amounts) in CORRUPTIONS.items()
    }
    every = [accuracy for accuracies in by_corruption.values() for accuracy in accuracies]
    return {
        "corruption_accuracy": round(sum(every) / len(every), 4),
        "clean": _accuracy(ends, network, ends.examples("test")),
        "severity": [1.0, 2.0, 3.0],
        **by_corruption,
    }


def corrupted(
    ends: Ends, name: str, amount: float, seed: int, low: Tensor, span: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the test examples under a corruption, in the range that begins at `low`, (C, 1, 1), and is `span` wide."""
    change, generator = CORRUPTIONS[name][0], rng(seed, "corrupted", name)
    for x, y in ends.examples("test"):
        yield change((x - low) / span, amount, generator).clamp(0, 1) * span + low, y


def _range(ends: Ends) -> tuple[Tensor, Tensor]:
    """The least value of each channel over the test examples, and how far the largest is from it. Raises ValueError."""
    lows, highs = list[Tensor](), list[Tensor]()
    for x, _ in ends.examples("test"):
        if not x.is_floating_point() or x.dim() != 4 or min(x.shape[2:]) < LEAST:
            raise ValueError(f"corruption_accuracy: examples are no images of at least {LEAST}x{LEAST} pixels")
        lows.append(x.amin((0, 2, 3)))
        highs.append(x.amax((0, 2, 3)))
    low, high = torch.stack(lows).amin(0), torch.stack(highs).amax(0)
    return low[:, None, None], (high - low).where(high > low, torch.ones_like(low))[:, None, None]


def _accuracy(ends: Ends, network: torch.nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    return evaluate(network, batches, ends.classes, ends.task).accuracy


def noise(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Adds noise of a standard deviation to images (N, C, H, W)."""
    return x + amount * torch.randn(x.shape, generator=generator).to(x)


def blur(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Blurs images with a Gaussian, cut at three deviations; beyond an edge lies what lies at it.

    >>> point = torch.zeros(1, 1, 25, 25)
    >>> point[0, 0, 12, 12] = 1
    >>> blurred = blur(point, 0.04, torch.Generator())[0, 0]  # of one pixel
    >>> round(float(blurred.sum()), 4), round(float(blurred[12, 13] / blurred[12, 12]), 4)  # exp(-1 / 2)
    (1.0, 0.6065)
    """
    deviation = amount * min(x.shape[2:])
    reach = max(1, round(3 * deviation))
    weights = torch.arange(-reach, reach + 1, dtype=torch.float64).div(deviation).square().div(-2).exp()
    weights = (weights / weights.sum()).to(x)
    for dim in (2, 3):
        places = torch.arange(x.shape[dim], device=x.device)
        shifted = (x.index_select(dim, (places + by).clamp(0, len(places) - 1)) for by in range(-reach, reach + 1))
        x = sum((weight * moved for weight, moved in zip(weights, shifted, strict=True)), torch.zeros_like(x))
    return x


def contrast(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Leaves a share of the distance to the mean of each image."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + amount * (x - mean)


def brightness(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Adds a constant."""
    return x + amount


def occlusion(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Hides a square at a random place of each image under grey; its side is a share of the shorter side.

    >>> hidden = occlusion(torch.zeros(1, 1, 4, 6), 0.5, torch.Generator().manual_seed(0))
    >>> float(hidden.sum())  # 2 x 2 pixels
    2.0
    """
    side = max(1, round(amount * min(x.shape[2:])))
    inside = []
    for length in x.shape[2:]:
        begin = torch.randint(length - side + 1, (len(x), 1), generator=generator)
        places = torch.arange(length)
        inside.append((places >= begin) & (places < begin + side))
    rows, columns = inside
    return x.masked_fill((rows[:, None, :, None] & columns[:, None, None, :]).to(x.device), GREY)


Change = Callable[[Tensor, float, torch.Generator], Tensor]
CORRUPTIONS: dict[str, tuple[Change, tuple[float, float, float]]] = {  # what each does, and how much by severity
    "noise": (noise, (0.1, 0.2, 0.4)),
    "blur": (blur, (0.02, 0.04, 0.08)),
    "contrast": (contrast, (0.5, 0.25, 0.1)),
    "brightness": (brightness, (0.125, 0.25, 0.5)),
    "occlusion": (occlusion, (0.25, 0.375, 0.5)),
}
