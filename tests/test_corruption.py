"""A corruption changes the training examples it says, as many as it says, and nothing else."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from test_sweep import cells_of
from torch import Tensor

from lt_sweeps.datasets.examples import Examples
from lt_sweeps.errors import Mistake
from lt_sweeps.main import main
from lt_sweeps.registry import catalogue, load, part
from lt_sweeps.specs import Data, Part

CPU = torch.device("cpu")
CLASSES = 10
IMAGES = torch.arange(2000 * 12).remainder(251).to(torch.uint8).view(2000, 3, 2, 2)
LABELS = torch.arange(2000) % CLASSES


def changed(name: str, **args: Any) -> tuple[Tensor, Tensor]:
    found: tuple[Tensor, Tensor] = load("corruption", name)(IMAGES, LABELS, CLASSES, **args)
    return found


def digits(corruption: Part | None, **more: Any) -> Examples:
    data = Data(part("dataset", "digits"), CLASSES, (1, 8, 8), validation=237, corruption=corruption, **more)
    return Examples(data, Path("nowhere"), CPU)


@pytest.mark.parametrize("name", catalogue("corruption"))
def test_a_corruption_is_a_function_of_its_seed_and_leaves_what_it_is_given(name: str) -> None:
    before = IMAGES.clone(), LABELS.clone()
    one, same, other = changed(name), changed(name), changed(name, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(IMAGES, before[0])
    assert torch.equal(LABELS, before[1])
    assert (one[0].dtype, one[1].dtype) == (torch.uint8, torch.int64)
    assert len(one[0]) == len(one[1])


@pytest.mark.parametrize("fraction", [0.0, 0.1234, 0.5, 1.0])
def test_flipped_labels_are_exactly_so_many_and_each_is_wrong(fraction: float) -> None:
    x, y = changed("label_flip", fraction=fraction)
    wrong = y != LABELS
    assert int(wrong.sum()) == round(fraction * 2000)
    assert torch.equal(x, IMAGES)
    if fraction == 1.0:  # each of the nine other classes as often, within five standard deviations
        by_distance = ((y - LABELS) % CLASSES).bincount(minlength=CLASSES)
        assert by_distance[0] == 0
        assert float((by_distance[1:] - 2000 / 9).abs().max()) < 5 * (2000 / 9) ** 0.5


def test_uniform_labels_are_right_for_one_in_as_many_as_there_are_classes() -> None:
    x, y = changed("label_uniform", fraction=1.0)
    assert torch.equal(x, IMAGES)
    assert abs(int((y == LABELS).sum()) - 200) < 5 * 180**0.5
    assert float((y.bincount(minlength=CLASSES) - 200).abs().max()) < 5 * 180**0.5
    some = changed("label_uniform", fraction=0.2)[1] != LABELS
    assert abs(int(some.sum()) - 360) < 5 * 36**0.5, "of 400 redrawn, a tenth keep their class"


def test_pixels_are_permuted_by_image_or_all_alike() -> None:
    x, y = changed("pixel_permutation")
    assert torch.equal(y, LABELS)
    assert torch.equal(x.flatten(1).sort(1).values, IMAGES.flatten(1).sort(1).values)
    alike, _ = load("corruption", "pixel_permutation")(IMAGES[:1].expand(50, -1, -1, -1), LABELS[:50], CLASSES)
    assert len({tuple(image.flatten().tolist()) for image in alike}) > 40
    x, y = changed("fixed_permutation")
    assert torch.equal(y, LABELS)
    place = torch.arange(4).view(1, 1, 2, 2).expand(1, 3, -1, -1).to(torch.uint8)
    (order,) = load("corruption", "fixed_permutation")(place, LABELS[:1], CLASSES)[0]
    assert torch.equal(order, order[:1].expand(3, -1, -1)), "the channels of a pixel stay together"
    assert torch.equal(x.flatten(2), IMAGES.flatten(2)[:, :, order[0].flatten().long()])


def test_half_keeps_a_random_half_as_it_is() -> None:
    x, y = changed("half")
    assert len(y) == 1000
    rows = {row.tobytes() for row in IMAGES.flatten(1).numpy()}
    assert {row.tobytes() for row in x.flatten(1).numpy()} <= rows
    assert int(y.bincount().min()) > 60, "at random, not by class"


@pytest.mark.parametrize("name", catalogue("corruption"))
def test_a_corruption_comes_after_the_split_and_changes_training_alone(name: str) -> None:
    clean, dirty = digits(None), digits(part("corruption", name))
    assert not all(torch.equal(a, b) for a, b in zip(clean.train, dirty.train, strict=True))
    for which in ("validation", "test"):
        (x, y), (x_clean, y_clean) = getattr(dirty, which), getattr(clean, which)
        assert torch.equal(y, y_clean)
        if name == "fixed_permutation":  # another way to write all images down
            expected = load("corruption", name)(x_clean, y_clean, CLASSES)[0]
            assert torch.equal(x, expected)
            assert not torch.equal(x, x_clean)
        else:
            assert torch.equal(x, x_clean)


def test_a_share_is_of_the_examples_that_are_trained_on() -> None:
    cut = digits(part("corruption", "label_flip", {"fraction": 0.25}), train_limit=100)
    assert int((cut.train[1] != digits(None, train_limit=100).train[1]).sum()) == 25
    assert len(digits(part("corruption", "half"), train_limit=100).train[1]) == 50


def test_no_corruption_has_the_keys_of_before_and_each_corruption_its_own() -> None:
    plain = cells_of("corruption=none")[0].levels[0]
    assert "corruption" not in plain.data.describe()
    words = [[f"corruption={name}"] for name in catalogue("corruption")]
    words += [["corruption=label_flip", f"corruption.args.{one}"] for one in ("fraction=0.1", "seed=1")]
    keys = {plain.key, *(cells_of(*given)[0].levels[0].key for given in words)}
    assert len(keys) == len(words) + 1
    flip = cells_of("corruption=label_flip", "corruption.args.fraction=0.2", "seed=3")[0].levels[0]
    assert flip.data.corruption == part("corruption", "label_flip", {"fraction": 0.2, "seed": 0})


def test_a_number_draws_the_same_however_it_is_written() -> None:
    one, other = (
        cells_of("corruption=label_flip", f"corruption.args.seed={seed}")[0].levels[0] for seed in ("1", "1.0")
    )
    assert one.key == other.key
    drawn, same = (Examples(run.data, Path("nowhere"), CPU).train[1] for run in (one, other))
    assert torch.equal(drawn, same)


def test_the_table_tells_corrupted_cells_apart(tmp_path: Path) -> None:
    words = ["-m", "corruption=none,half,label_flip", "budget=smoke", "prune.levels=1", "sweep=s"]
    assert main([*words, f"paths.output_dir={tmp_path}"]) == 0
    rows = list(csv.DictReader((tmp_path / "s" / "results.csv").read_text().splitlines()))
    assert [row["corruption"] for row in rows] == ["none"] * 2 + ["half"] * 2 + ["label_flip"] * 2
    assert len({row["key"] for row in rows}) == 6
    assert {row["status"] for row in rows} == {"done"}


def test_every_output_tells_of_a_corruption_that_all_cells_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["corruption=label_flip", "budget=smoke", "prune.levels=0", "sweep=s", f"paths.output_dir={tmp_path}"]
    assert main(words) == 0
    told = "128 evaluation examples, corruption=label_flip(fraction=0.2, seed=0)"
    assert told in capsys.readouterr().out
    assert all(told in (tmp_path / "s" / name).read_text() for name in ("report.html", "summary.md"))


@pytest.mark.parametrize("fraction", ["1.5", "-0.1", "much"])
def test_a_share_that_is_none_is_refused(fraction: str) -> None:
    said = r"^corruption(\.args\.fraction=.*must be between 0 and 1| label_flip: fraction=much: give a number)$"
    with pytest.raises(Mistake, match=said):
        cells_of("corruption=label_flip", f"corruption.args.fraction={fraction}")
    if fraction != "much":
        with pytest.raises(ValueError, match="must be between 0 and 1"):
            changed("label_flip", fraction=float(fraction))


@pytest.mark.parametrize("word", ["dataset.train=1400", "dataset.test=361", "dataset.classes=9"])
def test_what_a_data_set_says_is_held_against_its_files_before_anything_trains(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word, "sweep=s", f"paths.output_dir={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert word in line
    assert any(there in line for there in ("has 1437 such", "has 360 such", "labels up to 9"))
    assert not [*(tmp_path / "store").rglob("*.json")], "nothing was trained"
