"""Learning curves, and errors on the lines between networks, on paper: what is drawn is the mean of the stored rows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from test_report import row

from lt_sweeps import cli
from lt_sweeps.report import paper_along
from lt_sweeps.report.curves import curves
from lt_sweeps.report.table import as_csv, read_histories, read_points

FOUND = {0: 98.0, 1: 97.0, 2: 96.0}  # test accuracy by level; levels keep 100, 50 and 25 %


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tables of a sweep of two seeds: a ticket and a control of two levels."""
    monkeypatch.chdir(tmp_path)
    made = [
        row(level, seed, FOUND[level], control=control)
        for control in ("none", "reinit")
        for level in FOUND
        for seed in (0, 1)
    ]
    there = tmp_path / "s"
    there.mkdir()
    (there / "results.csv").write_text(as_csv(made))
    labels = [{name: of[name] for name in [*of][: [*of].index("level") + 1]} for of in made]
    (there / "histories.csv").write_text(
        as_csv([{**of, "step": step, "val_accuracy": value(of, step)} for of in labels for step in (10, 20, 30)])
    )
    (there / "measures.csv").write_text(
        as_csv(
            [
                {**of, "measure": "barrier", "alpha": way, "test_error": 5 + 10 * way * (1 - way) + of["seed"]}
                for of in labels
                for way in (0.0, 0.5, 1.0)
            ]
        )
    )
    return Path("s")


def value(of: dict[str, Any], step: int) -> float:
    return float(90 + step / 10 - of["level"] + 2 * of["seed"] - (of["control"] == "reinit"))


def drawn(folder: Path, what: str, at: list[float] | None = None) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """The lines of a figure by the titles of their panels and their names in the legend."""
    made = curves([*csv_rows(folder)])
    along, panels, _ = paper_along.panels(what, read_histories(folder), read_points(folder), made, at)
    return {
        axis.get_title(): {str(line.get_label()): [*zip(*line.get_data(), strict=True)] for line in axis.lines}
        for axis in paper_along.draw(along, panels).axes
    }


def csv_rows(folder: Path) -> list[dict[str, Any]]:
    from lt_sweeps.report.costs import read

    return read(folder)


def test_learning_curves_are_means_over_seeds_by_level(folder: Path) -> None:
    assert drawn(folder, "accuracy") == {
        "ticket": {
            "dense": [(10, 92.0), (20, 93.0), (30, 94.0)],
            "50 %": [(10, 91.0), (20, 92.0), (30, 93.0)],
            "25 %": [(10, 90.0), (20, 91.0), (30, 92.0)],
        },
        "control=reinit": {
            "dense": [(10, 91.0), (20, 92.0), (30, 93.0)],
            "50 %": [(10, 90.0), (20, 91.0), (30, 92.0)],
            "25 %": [(10, 89.0), (20, 90.0), (30, 91.0)],
        },
    }


def test_a_barrier_is_drawn_on_its_whole_line_at_the_levels_of_at(folder: Path) -> None:
    line = [(0.0, 5.5), (0.5, 8.0), (1.0, 5.5)]
    assert drawn(folder, "barrier", [25.0]) == {
        title: {"dense": line, "25 %": line} for title in ("ticket", "control=reinit")
    }


def test_levels_that_keep_the_same_number_but_not_the_same_share_are_lines_of_their_own(folder: Path) -> None:
    """Level 1 of the one curve keeps 50 %, of the other 80 %: the legend has both."""
    text = (folder / "results.csv").read_text().splitlines()
    (folder / "results.csv").write_text(
        "\n".join(of.replace(",50.0,", ",80.0,").replace(",0.5,", ",0.8,") if "reinit" in of else of for of in text)
    )
    assert [[*lines] for lines in drawn(folder, "accuracy").values()] == [
        ["dense", "50 %", "25 %"],
        ["dense", "80 %", "25 %"],
    ]


def test_many_levels_are_thinned_and_the_first_and_the_last_stay() -> None:
    made = curves([{**row(level, 0, 98.0), "weights_remaining": 100 * 0.8**level} for level in range(30)])
    lines = {level: {10.0: 1.0, 20.0: 2.0} for level in range(30)}
    chosen = [name for _, name in paper_along._chosen(made[0], lines, None)]
    assert len(chosen) <= paper_along.MOST
    assert (chosen[0], chosen[-1]) == ("dense", "0.155 %")


def test_the_command_writes_the_figure_and_the_rows_behind_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["figure", str(folder), "--along", "control=reinit", "--format", "svg"]) == 0
    assert "Validation accuracy of" in capsys.readouterr().out
    assert b"<svg" in (folder / "accuracy_along.svg").read_bytes()
    with (folder / "accuracy_along.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 18
    assert {of["control"] for of in rows} == {"reinit"}
    assert cli.main(["figure", str(folder), "barrier", "--along"]) == 0
    assert (folder / "barrier_along.pdf").exists()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--along", "--over", "cost"], "--along: is of one sweep, without --facet, --against, --over\n"),
        (["--along", "--pictures"], "is of one sweep"),
        (["--along", "--at", "60"], "--at 60: no level keeps this share of weights; there are 100, 50, 25"),
        (["overlap", "--along"], "overlap --along: nothing was evaluated at two places in measures.csv"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_line(
    words: list[str], answer: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["figure", str(folder), *words]) == 2
    assert answer in capsys.readouterr().err


def test_a_sweep_without_histories_is_told_how_to_get_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "histories.csv").unlink()
    assert cli.main(["figure", str(folder), "--along"]) == 2
    assert "histories.csv: lt-sweeps report FOLDER writes it" in capsys.readouterr().err
