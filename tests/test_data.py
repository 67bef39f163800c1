"""A data set is what was published, split by its seed; batches are functions of the seeds and the step alone."""

from __future__ import annotations

import itertools
import os
import shutil
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.datasets.augment import MARGIN
from lt_sweeps.datasets.examples import Batch, Examples
from lt_sweeps.datasets.published import mnist
from lt_sweeps.randomness import rng
from lt_sweeps.registry import load, part
from lt_sweeps.specs import Batching, Data

CPU = torch.device("cpu")
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
SIZES = {"digits": (1437, 360), "mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def data(name: str, **more: Any) -> Data:
    """A data set as it is published, but for what is said."""
    return Data(part("dataset", name), 10, SHAPES[name], **more)


@cache
def published(name: str, folder: Path) -> Arrays:
    """A data set as it is read, once for all tests."""
    arrays: Arrays = load("dataset", name)(folder)
    return arrays


def pixels(images: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of pixels in [0, 1]."""
    share = torch.bincount(images.flatten(), minlength=256).double() / images.numel()
    value = torch.arange(256).double() / 255
    mean = float((share * value).sum())
    return mean, float((share * (value - mean).square()).sum().sqrt())


def digits(**more: Any) -> Examples:
    return Examples(data("digits", **more), Path("nowhere"), CPU)


def cifar(data_dir: Path, **more: Any) -> Examples:
    return Examples(data("cifar10", train_limit=130, eval_limit=20, **more), data_dir, CPU)


def contents(*parts: Batch) -> Counter[tuple[bytes, int]]:
    """How often each image is there with each class."""
    rows = ((x.flatten(1).numpy(), y.tolist()) for x, y in parts)
    return Counter((row.tobytes(), label) for x, y in rows for row, label in zip(x, y, strict=True))


def take(examples: Examples, steps: range, batch_size: int = 60, last_batch: str = "drop", **seeds: int) -> list[Batch]:
    """The batches of some steps, as a run that starts at the first of them sees them."""
    batching = Batching(batch_size, last_batch, **seeds)
    return list(itertools.islice(examples.batches(steps.start, batching), len(steps)))


def same(one: list[Batch], other: list[Batch]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(x1, x2) and torch.equal(y1, y2) for (x1, y1), (x2, y2) in pairs)


# -------------------------------------------------------------------------------------- data sets


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_data_set_has_its_published_size_and_classes(name: str, request: pytest.FixtureRequest) -> None:
    folder = Path("nowhere") if name == "digits" else request.getfixturevalue("data_dir")
    arrays = published(name, folder)
    assert (len(arrays.train_x), len(arrays.test_x)) == (len(arrays.train_y), len(arrays.test_y)) == SIZES[name]
    for x, y in ((arrays.train_x, arrays.train_y), (arrays.test_x, arrays.test_y)):
        assert tuple(x.shape[1:]) == SHAPES[name]
        assert (x.dtype, y.dtype) == (torch.uint8, torch.int64)
        assert y.unique().tolist() == list(range(10))
        assert (int(x.min()), int(x.max())) == (0, 255)


def test_cifar10_and_mnist_are_the_published_ones(data_dir: Path) -> None:
    """By numbers every user of them knows: pixel means, class counts, the first labels."""
    arrays = published("cifar10", data_dir)
    assert arrays.train_y.bincount().tolist() == [5000] * 10
    for channel in range(3):
        assert pixels(arrays.train_x[:, channel]) == pytest.approx((MEAN[channel], STD[channel]), abs=1e-4)
    arrays = published("mnist", data_dir)
    assert arrays.train_y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert pixels(arrays.train_x) == pytest.approx((0.1307, 0.3081), abs=1e-4)


def test_digits_are_the_same_every_time_and_balanced() -> None:
    one, other = load("dataset", "digits")(Path("nowhere")), load("dataset", "digits")(Path("nowhere"))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert int(one.test_y.bincount().min()) > 20


def test_mnist_opens_from_a_read_only_folder_of_archives(data_dir: Path, tmp_path: Path) -> None:
    """Run as root, no folder is read-only, and only the opening is shown."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    archives = sorted((data_dir / "MNIST" / "raw").glob("*.gz"))
    if len(archives) < 4:
        pytest.skip("the MNIST here is unpacked, without its archives")
    for archive in archives:
        shutil.copyfile(archive, raw / archive.name)
    raw.chmod(0o555)
    try:
        protected = not os.access(raw, os.W_OK)
        arrays = mnist(tmp_path)
        assert (len(arrays.train_x), len(arrays.test_x)) == SIZES["mnist"]
        if protected:
            assert sorted(path.name for path in raw.iterdir()) == [archive.name for archive in archives]
    finally:
        raw.chmod(0o755)


def test_a_wrong_shape_is_refused_with_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"dataset\.shape=\[1, 9, 9\], but the images are \[1, 8, 8\]"):
        Examples(replace(data("digits"), shape=(1, 9, 9)), Path("nowhere"), CPU)


# ---------------------------------------------------------------------------------------- splitting


@pytest.mark.parametrize(("name", "held"), [("digits", 237), ("mnist", 5000), ("cifar10", 5000)])
def test_a_split_parts_the_training_examples(name: str, held: int, request: pytest.FixtureRequest) -> None:
    folder = Path("nowhere") if name == "digits" else request.getfixturevalue("data_dir")
    arrays = published(name, folder)
    examples = Examples(data(name, validation=held), folder, CPU)
    assert (len(examples.train[0]), len(examples.validation[0])) == (SIZES[name][0] - held, held)
    assert contents(examples.train, examples.validation) == contents((arrays.train_x, arrays.train_y))
    assert torch.equal(examples.test[0], arrays.test_x)
    assert torch.equal(examples.test[1], arrays.test_y)
    shares = examples.validation[1].bincount() / held - examples.train[1].bincount() / (SIZES[name][0] - held)
    assert float(shares.abs().max()) < 0.1, "held out at random, not by class"


def test_a_split_is_a_function_of_its_seed() -> None:
    one, same_seed, other = digits(validation=237), digits(validation=237), digits(validation=237, split_seed=1)
    assert torch.equal(one.validation[0], same_seed.validation[0])
    assert contents(one.validation) != contents(other.validation)
    assert contents(one.train, one.validation) == contents(other.train, other.validation)
    assert torch.equal(one.test[0], other.test[0])


def test_nothing_is_held_out_unless_asked() -> None:
    examples = digits()
    assert (len(examples.train[0]), len(examples.validation[0]), len(examples.test[0])) == (1437, 0, 360)


def test_limits_take_the_first_of_each_part_and_mix_none() -> None:
    whole, cut = digits(validation=237), digits(validation=237, train_limit=100, eval_limit=50)
    for name, limit in (("train", 100), ("validation", 50), ("test", 50)):
        (x, y), (all_x, all_y) = getattr(cut, name), getattr(whole, name)
        assert len(x) == limit
        assert torch.equal(x, all_x[:limit])
        assert torch.equal(y, all_y[:limit])


def test_evaluation_sees_each_example_once_in_order() -> None:
    examples = digits(validation=237, mean=(0.3,), std=(0.4,))
    for name in ("validation", "test"):
        x, y = (torch.cat(parts) for parts in zip(*examples.chunks(name, size=50), strict=True))
        assert torch.equal(x, examples.seen(getattr(examples, name)[0]))
        assert torch.equal(y, getattr(examples, name)[1])


# -------------------------------------------------------------------------------------- what is seen


def test_pixels_are_normalised_per_channel(data_dir: Path) -> None:
    examples = cifar(data_dir, mean=MEAN, std=STD)
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (MEAN, STD))
    expected = (examples.test[0].double() / 255 - mean) / std
    assert torch.allclose(examples.seen(examples.test[0]).double(), expected, atol=1e-6, rtol=0)
    assert torch.equal(next(iter(examples.chunks("test")))[0], examples.seen(examples.test[0]))


def test_pixels_lie_in_0_1_without_a_mean() -> None:
    examples = digits()
    seen = examples.seen(examples.train[0])
    assert torch.allclose(seen, examples.train[0] / 255, atol=1e-7, rtol=0)
    assert (seen.min(), seen.max()) == (0, 1)


def crop_slowly(image: Tensor, down: int, right: int) -> Tensor:
    """The window of an image padded by zeros that lies `down` and `right` of the image."""
    channels, height, width = image.shape
    margin = 2 * MARGIN  # two crops may go so far
    padded = torch.zeros(channels, height + 2 * margin, width + 2 * margin, dtype=image.dtype)
    padded[:, margin : margin + height, margin : margin + width] = image
    top, left = margin + down, margin + right
    return padded[:, top : top + height, left : left + width]


def augment_slowly(images: Tensor, moves: tuple[str, ...], generator: torch.Generator) -> Tensor:
    """Image by image, with the draws of the moves in their order; a window of the image, then its mirror image."""
    n, coin, down, right = len(images), [False] * len(images), [0] * len(images), [0] * len(images)
    for move in moves:
        if move == "flip":
            coin = torch.randint(2, (n, 1), generator=generator, dtype=torch.bool).flatten().tolist()
        else:
            shifts = (torch.randint(-MARGIN, MARGIN + 1, (n, 1), generator=generator).flatten() for _ in range(2))
            down, right = ((torch.tensor(so_far) + s).tolist() for so_far, s in zip((down, right), shifts, strict=True))
    windows = [crop_slowly(images[i], down[i], right[i]) for i in range(n)]
    return torch.stack([w.flip(2) if mirrored else w for w, mirrored in zip(windows, coin, strict=True)])


@pytest.mark.parametrize("moves", [("flip",), ("crop",), ("flip", "crop"), ("crop", "crop")])
@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_augmentation_equals_a_slow_one(moves: tuple[str, ...], name: str, request: pytest.FixtureRequest) -> None:
    folder = Path("nowhere") if name == "digits" else request.getfixturevalue("data_dir")
    examples = Examples(data(name, train_limit=130, augment=moves), folder, CPU)
    per_epoch, level, augment = 3, 2, 5
    for step, (x, y) in enumerate(take(examples, range(5), 50, "keep", order=1, augment=augment, level=level)):
        epoch, place = divmod(step, per_epoch)
        drawn = torch.randperm(130, generator=rng(1, "order", level, epoch))[50 * place : 50 * place + 50]
        expected = augment_slowly(examples.train[0][drawn], moves, rng(augment, "augment", level, step))
        assert torch.equal(x, examples.seen(expected))
        assert torch.equal(y, examples.train[1][drawn])


def test_crops_reach_every_offset_and_flips_half_of_the_images() -> None:
    moved = torch.arange(16).expand(4000, -1)
    rows, cols = load("augmentation", "crop")(moved, moved, rng(0, "test"))
    for offsets in (rows[:, 0], cols[:, 0]):
        assert offsets.unique().tolist() == list(range(-MARGIN, MARGIN + 1))
        assert int(offsets.add(MARGIN).bincount().min()) > 4000 / 9 * 0.7
    assert abs(float(torch.corrcoef(torch.stack([rows[:, 0], cols[:, 0]]).double())[0, 1])) < 0.08
    _, cols = load("augmentation", "flip")(moved, moved, rng(0, "test"))
    assert abs(float((cols[:, 0] == 15).double().mean()) - 0.5) < 5 * 0.5 / 4000**0.5


def test_the_test_set_is_never_augmented(data_dir: Path) -> None:
    plain, augmented = cifar(data_dir), cifar(data_dir, augment=("flip", "crop"))
    assert same(list(plain.chunks("test")), list(augmented.chunks("test")))


# --------------------------------------------------------------------------------------- the batches


@pytest.mark.parametrize("augment", [(), ("flip", "crop")])
@pytest.mark.parametrize("last_batch", ["drop", "keep"])
def test_a_batch_is_a_function_of_the_step_alone(last_batch: str, augment: tuple[str, ...]) -> None:
    examples = digits(validation=1307, augment=augment)  # 130 examples: 2 whole batches of 50 an epoch, and one of 30
    whole = take(examples, range(9), 50, last_batch)
    for start in range(9):
        assert same(take(examples, range(start, 9), 50, last_batch), whole[start:])
    assert same(take(digits(validation=1307, augment=augment), range(9), 50, last_batch), whole)


def identified(last_batch: str, batch_size: int, **seeds: int) -> tuple[int, list[list[int]]]:
    """Batches per epoch, and which of 130 examples lie in the batches of the first three epochs."""
    examples = digits(validation=1307)
    examples.train = (examples.train[0], torch.arange(130))
    per_epoch = examples.per_epoch(batch_size, last_batch)
    return per_epoch, [y.tolist() for _, y in take(examples, range(3 * per_epoch), batch_size, last_batch, **seeds)]


@pytest.mark.parametrize(
    ("last_batch", "batch_size", "sizes"),
    [
        ("drop", 50, [50, 50]),
        ("keep", 50, [50, 50, 30]),
        ("drop", 65, [65, 65]),
        ("keep", 65, [65, 65]),
        ("drop", 130, [130]),
        ("keep", 200, [130]),
    ],
)
def test_an_epoch_visits_each_training_example_once(last_batch: str, batch_size: int, sizes: list[int]) -> None:
    per_epoch, batches = identified(last_batch, batch_size)
    assert per_epoch == len(sizes)
    for epoch in range(3):
        visited = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert [len(batch) for batch in visited] == sizes
        seen = Counter(itertools.chain.from_iterable(visited))
        assert set(seen.values()) == {1}
        assert len(seen) == sum(sizes)


def test_order_is_drawn_anew_in_each_epoch_at_each_level_and_for_each_seed() -> None:
    orders = [identified("keep", 50, order=order, level=level)[1] for order in (0, 1) for level in (0, 1)]
    epochs = [tuple(itertools.chain.from_iterable(run[3 * e : 3 * e + 3])) for run in orders for e in range(3)]
    assert len(set(epochs)) == len(epochs) == 12


def test_order_and_augmentation_have_seeds_of_their_own() -> None:
    examples = digits(validation=1307, augment=("crop",))
    first = take(examples, range(5), 50, "keep")
    moved = take(examples, range(5), 50, "keep", augment=1)
    mixed = take(examples, range(5), 50, "keep", order=1)
    assert all(torch.equal(y1, y2) and not torch.equal(x1, x2) for (x1, y1), (x2, y2) in zip(first, moved, strict=True))
    assert not any(torch.equal(y1, y2) for (_, y1), (_, y2) in zip(first[:2], mixed[:2], strict=True))


def test_drawing_batches_leaves_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    take(digits(augment=("flip", "crop")), range(3))
    assert torch.equal(torch.get_rng_state(), before)
