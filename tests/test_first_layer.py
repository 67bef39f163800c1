"""Pictures of the first layer: maps of pixels and filters, against known cases."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_inside import column, number, of_module
from test_sweep import SMALL, sweep
from torch import Tensor, nn

from lt_sweeps.cli import main as cli
from lt_sweeps.measures.first_layer import MOST, first_layer
from lt_sweeps.randomness import rng
from lt_sweeps.report.first_layers import Picture, Pictures, by_measure, caption, pixels

WORDS = ("prune=at_init", "criterion=magnitude,snip", "prune.rate=0.7", "seed=0,1")


def batch(*shape: int) -> tuple[Tensor, Tensor]:
    return torch.rand(2, *shape, generator=rng(0, "images")), torch.zeros(2)


def places(table: object, columns: int) -> Tensor:
    return torch.tensor([column(table, f"at_{at:02}") for at in range(columns)]).T


def test_a_pixel_is_what_is_kept_of_its_weights_in_all_channels() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(2 * 2 * 3, 4), nn.Linear(4, 2))
    ones = torch.zeros(4, 2, 2, 3, dtype=torch.bool)  # units, channels, height, width
    ones[:, :, 0, 0] = True
    ones[:2, 1, 1, 2] = True
    mask = {"1.weight": ones.flatten(1), "2.weight": torch.ones(2, 4, dtype=torch.bool)}
    table = first_layer(of_module(network, mask, batch(2, 2, 3)))
    assert places(table, 3).tolist() == [[100.0, 0.0, 0.0], [0.0, 0.0, 25.0]]
    assert number(table, "first_layer") == pytest.approx(100 * 2 / 6, abs=1e-3)
    assert (column(table, "tensor"), column(table, "row")) == ([1.0, 1.0], [0.0, 1.0])


def test_filters_are_the_weights_that_are_kept_of_each() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(3 * 9, 2))
    ones = torch.rand(3, 2, 2, 2, generator=rng(0, "mask")) < 0.5
    mask = {"2.weight": torch.ones(2, 27, dtype=torch.bool), "0.weight": ones}
    ends = of_module(network, mask, batch(2, 4, 4))
    table = first_layer(ends)
    found = places(table, 2).view(3, 2, 2, 2)
    assert torch.allclose(found, ends.weights[0]["0.weight"] * ones, rtol=1e-5)
    assert number(table, "first_layer") == pytest.approx(100 * float(ones.double().mean()), abs=1e-3)
    assert column(table, "picture") == [0.0] * 4 + [1.0] * 4 + [2.0] * 4
    assert column(table, "channel")[:4] == [0.0, 0.0, 1.0, 1.0]
    assert {*column(table, "tensor")} == {2.0}, "the first that runs, wherever it stands in the mask"
    filled = replace(ends, weights=({**ends.weights[0], "0.weight": torch.full((3, 2, 2, 2), 7.0)},))
    assert places(first_layer(filled), 2).view(3, 2, 2, 2)[~ones].tolist() == [0.0] * int((~ones).sum())


def test_many_filters_and_large_images_are_bounded() -> None:
    network = nn.Sequential(nn.Conv2d(3, 500, 5, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    mask = {"0.weight": torch.ones(500, 3, 5, 5, dtype=torch.bool)}
    table = first_layer(of_module(network, mask, batch(3, 6, 6)))
    drawn = MOST // 75
    assert places(table, 5).numel() == 75 * drawn <= MOST
    assert ({*column(table, "filters")}, column(table, "picture")[-1]) == ({500.0}, drawn - 1.0)
    wide = nn.Sequential(nn.Flatten(), nn.Linear(100 * 200, 2, bias=False))
    ones = torch.zeros(2, 100, 200, dtype=torch.bool)
    ones[:, :50] = True
    table = first_layer(of_module(wide, {"1.weight": ones.flatten(1)}, batch(1, 100, 200)))
    picture = places(table, sum(name.startswith("at_") for name in table))
    assert picture.numel() <= MOST < 1.2 * picture.numel()
    assert picture.shape[1] == pytest.approx(2 * picture.shape[0], abs=1)
    assert float(picture.mean()) == pytest.approx(50.0, abs=1e-3)
    assert number(table, "first_layer") == 50.0


def test_a_layer_that_is_not_on_the_pixels_has_no_picture() -> None:
    whole = {"1.weight": torch.ones(4, 12, dtype=torch.bool)}
    for first in (nn.Flatten(2), nn.Sequential(nn.Flatten(), nn.LayerNorm(12))):
        last = nn.Linear(12, 4) if isinstance(first, nn.Sequential) else nn.Linear(4, 12)
        with pytest.raises(ValueError, match=r"that it runs, 1 \(Linear\), is not on the pixels"):
            first_layer(of_module(nn.Sequential(first, last), whole, batch(3, 2, 2)))
    with pytest.raises(ValueError, match="runs no layer with prunable weights"):
        first_layer(of_module(nn.Flatten(), whole, batch(3, 2, 2)))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=transformer"], "needs images, and examples of dataset=text are none"),
        (["model=planted"], "needs images, and examples of dataset=circle are none"),
        (["prune.exclude=[fc1.weight]"], "fc2 (Linear), is not on the pixels of an image"),
    ],
)
def test_it_is_refused_in_one_line_before_anything_trains(
    words: list[str], said: str, refusal: Callable[[list[str]], str]
) -> None:
    assert said in refusal([*SMALL, *words, "measure=first_layer"])


def read(folder: Path) -> Pictures:
    with (folder / "measures.csv").open() as file:
        rows = [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
    return by_measure(rows)["first_layer_trained"]


def test_snip_keeps_the_middle_of_digits_and_nothing_of_pixels_that_are_always_zero(tmp_path: Path) -> None:
    """The outer columns of 8x8 digits are empty: their gradients are zero, where magnitudes know nothing of images."""
    sweep(tmp_path, *WORDS)
    folder = tmp_path / "s"
    assert cli(["measure", str(folder), "first_layer"]) == 0
    maps = read(folder)
    snip, magnitude = (next(m for labels, m in maps.items() if name in labels) for name in ("snip", "magnitude"))
    for level, share in ((1, 30.0), (2, 9.0)):
        kept = torch.tensor(snip[level].cells)
        assert kept.shape == (8, 8)
        assert not kept[:, 0].any()
        assert kept[2:6, 2:6].mean() > 3 * kept[:, [0, 7]].mean()
        flat = torch.tensor(magnitude[level].cells)
        assert float(flat.mean()) == pytest.approx(share, rel=0.2)
        assert float(flat[:, [0, 7]].mean()) == pytest.approx(float(flat.mean()), rel=0.2)
    page = (folder / "report.html").read_text()
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == 2 * 2, "curves and levels"
    assert "A place is a pixel" in page
    assert "Kept places of the first layer" in page


def test_snip_keeps_nothing_of_the_border_of_mnist(tmp_path: Path, data_dir: Path) -> None:
    words = ("model=lenet_300_100", "budget=smoke", "prune=at_init", "criterion=snip", "measure=first_layer")
    sweep(tmp_path, *words, "prune.levels=1", "prune.rate=0.9", f"paths.data_dir={data_dir}")
    [levels] = read(tmp_path / "s").values()
    kept = torch.tensor(levels[1].cells)
    assert kept.shape == (28, 28)
    assert not torch.cat([kept[[0, 27]], kept[:, [0, 27]].T]).any(), "always zero, and so are their gradients"
    assert kept[8:20, 8:20].mean() > 2 * kept.mean() > 0


def test_pictures_are_drawn_for_paper_of_one_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path, "measure=first_layer", *WORDS[:3])
    folder = str(tmp_path / "s")
    assert cli(["figure", folder, "first_layer_trained", "criterion=snip", "--pictures", "--format", "svg"]) == 0
    assert "caption: First layer of " in capsys.readouterr().out
    figure = (tmp_path / "s" / "first_layer_trained_pictures.svg").read_text()
    assert figure.count("<image ") == 2, "levels"
    with (tmp_path / "s" / "first_layer_trained_pictures.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert {row["criterion"] for row in rows} == {"snip"}
    assert (len(rows), "at_07" in rows[0], "at_08" in rows[0]) == (3 * 8, True, False)
    assert cli(["figure", folder, "first_layer_trained"]) == 0, "the curve"
    assert cli(["figure", folder, "--pictures"]) == 2
    assert "accuracy has none; there are those of first_layer_trained" in capsys.readouterr().err
    shutil.copytree(folder, tmp_path / "t")
    assert cli(["figure", folder, str(tmp_path / "t"), "first_layer_trained", "--pictures"]) == 2
    assert "is of one sweep" in capsys.readouterr().err


def test_filters_are_those_of_the_first_seed_and_the_page_says_how_many_of_all() -> None:
    row = {"model": "m", "seed": 0, "level": 0, "measure": "first_layer_trained", "filters": 9.0}
    of_seed = [
        {**row, "picture": at, "channel": channel, "row": 0.0, "at_00": at + 1.0, "at_01": -channel}
        for at in (0.0, 1.0)
        for channel in (0.0, 1.0)
    ]
    others = [{**line, "seed": 1, "at_00": 99.0} for line in of_seed]
    picture = by_measure([*of_seed, *others])["first_layer_trained"]["m",][0]
    assert picture == Picture([[1.0, -0.0, 1.0, -1.0], [None] * 4, [2.0, -0.0, 2.0, -1.0]], 2, 9)
    assert "The first 2 of 9 filters" in caption([{0: picture}])
    assert pixels(picture)[2][0] == bytes((31, 119, 180, 255)), "2 is the largest"
    assert (pixels(picture)[2][3][:3], pixels(picture)[2][3][3]) == (bytes((213, 94, 0)), 128)
