"""A grid's cells: corners that make no sense are left out and named, and arguments go to the options that take them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lt_sweeps.main import main

PLAN = ["-m", "budget=smoke", "prune.levels=1", "hydra.launcher.only_plan=true"]


@pytest.mark.parametrize(
    ("words", "cells", "told"),
    [
        ("survivors=rewind,reinit control=none,reinit", 3, "left out: survivors=reinit control=reinit: "),
        ("prune=imp,at_init survivors=rewind,keep", 3, "left out: prune=at_init survivors=keep: "),
        ("prune=imp,at_init measure=barriers", 1, "left out: prune=at_init: measure.parent.name=barrier"),
        ("rewind=init,step rewind.step=0it,4it", 3, "left out: rewind=init rewind.step=4it: "),
        (
            "model=lenet_digits,resnet20 dataset=digits seed=0,1",
            2,
            "left out: 2 cells, the first model=resnet20 seed=0: ",
        ),
        ("prune=at_init criterion=snip,random criterion.args.examples=50", 2, "is given to snip; random has no such"),
        (
            "prune=at_init criterion=snip,random criterion.args.examples=50,60",
            3,
            "is given to snip; random has no such",
        ),
        ("corruption=none,label_flip corruption.args.fraction=0.5", 2, "is given to label_flip; none has no such"),
        ("model=lenet_digits,mlp model.args.hidden=[20]", 2, "is given to mlp; lenet_300_100 has no such"),
    ],
)
def test_a_grid_is_planned_without_its_corners(
    words: str, cells: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*PLAN, f"paths.output_dir={tmp_path}", *words.split()]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(told in line for line in lines), lines[0]
    assert any(line.startswith(f"{cells} cell") for line in lines), lines


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("survivors=rewind,reinit control=none,reinit hydra.launcher.strict=true", "control=reinit: with survivors"),
        ("survivors=reinit control=reinit", "control=reinit: with survivors"),
        ("criterion=random,magnitude criterion.args.examples=50", "criterion random takes no argument 'examples'"),
        ("prune=imp,at_init survivors=rewind,keep seed=0.5", "seed"),
    ],
)
def test_what_holds_for_every_cell_or_is_asked_for_strictly_is_a_mistake(
    words: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*PLAN, f"paths.output_dir={tmp_path}", *words.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_an_import_path_is_given_to_the_option_that_wants_one(tmp_path: Path) -> None:
    words = "dataset=digits,custom dataset._target_=lt_sweeps.datasets.digits.digits seed=0,1"
    assert main([*PLAN[:3], "sweep=s", f"paths.output_dir={tmp_path}", *words.split()]) == 0
    header, *rows = [line.split(",") for line in (tmp_path / "s/results.csv").read_text().splitlines()]
    assert {row[header.index("dataset")] for row in rows} == {"digits", "lt_sweeps.datasets.digits.digits"}


def test_settings_of_a_launcher_make_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["budget=smoke", "hydra.launcher.only_plan=true", f"paths.output_dir={tmp_path}"]) == 0
    assert "3 to train" in capsys.readouterr().out
    assert not list(tmp_path.glob("*/results.csv"))


def test_rows_say_what_each_cell_was_given(tmp_path: Path) -> None:
    words = "prune=at_init criterion=snip,random criterion.args.examples=50,60 recipe.optimizer.lr=0.01"
    assert (
        main(["-m", "budget=smoke", "prune.levels=1", "sweep=s", f"paths.output_dir={tmp_path}", *words.split()]) == 0
    )
    header, *rows = [line.split(",") for line in (tmp_path / "s/results.csv").read_text().splitlines()]
    columns = [header.index(name) for name in ("criterion", "criterion.args.examples", "level")]
    told = {tuple(row[column] for column in columns) for row in rows}
    assert told == {(*one, level) for one in (("snip", "50"), ("snip", "60"), ("random", "")) for level in "01"}
