"""Learning curves, and errors on the lines between networks, on paper: what is drawn is the mean of the stored rows."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_report import row

from lt_sweeps import cli
from lt_sweeps.report import paper_along
from lt_sweeps.report.costs import read
from lt_sweeps.report.curves import curves
from lt_sweeps.report.table import as_csv, read_histories, read_points

ACCURACY = {0: 98.0, 1: 97.0, 2: 96.0}  # test accuracy by level; levels keep 100, 50 and 25 %


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tables of a sweep of two seeds: a ticket and a control of two levels."""
    monkeypatch.chdir(tmp_path)
    made = [
        row(level, seed, ACCURACY[level], control=control)
        for control in ("none", "reinit")
        for level in ACCURACY
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
    made = curves(read(folder))
    along, panels, _ = paper_along.panels(what, read_histories(folder), read_points(folder), made, at)
    return {
        axis.get_title(): {str(line.get_label()): [*zip(*line.get_data(), strict=True)] for line in axis.lines}
        for axis in paper_along.draw(along, panels).axes
    }


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
        (["--along", "--over", "cost"], "--along: is of one sweep, without --facet, --against, --over, --spread\n"),
        (["--along", "--pictures"], "is of one sweep"),
        (["--along", "--spread", "bars"], "is of one sweep"),
        (["--along", "--at", "60"], "--at 60: no level keeps this share of weights; there are 100, 50, 25"),
        (
            ["overlap", "--along"],
            "there are learning curves, without a name, and lines of barrier",
        ),
        (
            ["aligned_barrier", "--along"],
            "nothing was evaluated at two places in measures.csv",
        ),
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


def test_points_of_tensors_and_classes_are_on_no_line_between_networks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "measures.csv").read_text()
    (folder / "measures.csv").write_text(text.replace("barrier", "overlap_parent").replace("alpha", "tensor"))
    assert cli.main(["figure", str(folder), "overlap_parent", "--along"]) == 2
    assert "overlap_parent --along: there are learning curves" in capsys.readouterr().err


@pytest.mark.parametrize("shuffled", ["histories.csv", "measures.csv"])
def test_lines_do_not_depend_on_the_order_of_rows(folder: Path, shuffled: str) -> None:
    before = [drawn(folder, what) for what in ("accuracy", "barrier")]
    head, *lines = (folder / shuffled).read_text().splitlines()
    (folder / shuffled).write_text("\n".join([head, *lines[1::2], *lines[::2]]) + "\n")
    assert [drawn(folder, what) for what in ("accuracy", "barrier")] == before


def test_a_line_has_only_points_of_all_seeds(folder: Path) -> None:
    """Without the middle of one seed, which is worse than the other, the mean would bend there."""
    rows = [of for of in read_points(folder) if not (of["seed"] == of["level"] == 1 and of["alpha"] == "0.5")]
    (folder / "measures.csv").write_text(as_csv(rows))
    assert drawn(folder, "barrier")["ticket"]["50 %"] == [(0.0, 5.5), (1.0, 5.5)]


def changed(folder: Path, table: str, column: str, value: object) -> None:
    """Changes one field of a table: of level 1, seed 0."""
    rows = [*csv.DictReader((folder / table).read_text().splitlines())]
    next(of for of in rows if (of["level"], of["seed"]) == ("1", "0"))[column] = str(value)
    (folder / table).write_text(as_csv(rows))


@pytest.mark.parametrize(
    ("table", "column", "value", "why"),
    [
        ("histories.csv", "step", "ten", "step: 'ten' is no whole number"),
        ("histories.csv", "step", "nan", "step: 'nan' is no whole number"),
        ("histories.csv", "step", "-10", "step: '-10' is no whole number"),
        ("histories.csv", "step", "", "step: '' is no whole number"),
        ("histories.csv", "step", "20.0", "two values of val_accuracy at step 20 of level 1, seed 0"),
        ("histories.csv", "level", "", "a line has no level"),
        ("histories.csv", "seed", "", "a line has no seed"),
        ("measures.csv", "alpha", "half", "alpha: 'half' is no number"),
        ("measures.csv", "test_error", "much", "test_error: 'much' is no number"),
        ("measures.csv", "level", "", "a line has no level"),
        ("measures.csv", "measure", "", "a line has no measure"),
    ],
)
def test_a_field_that_no_sweep_writes_is_told_in_a_line(
    table: str, column: str, value: str, why: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(folder, table, column, value)
    what = ["barrier"] if table == "measures.csv" else []
    for words in (["figure", str(folder), *what, "--along"], ["report", str(folder), "--out", "page.html"]):
        assert cli.main(words) == 2
        message = capsys.readouterr().err
        assert f"{table}: " in message
        assert why in message


@pytest.mark.parametrize("gone", ["seed", "level", "step"])
def test_a_table_without_a_column_that_it_needs_is_told_in_a_line(
    gone: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*csv.DictReader((folder / "histories.csv").read_text().splitlines())]
    (folder / "histories.csv").write_text(as_csv([{n: v for n, v in of.items() if n != gone} for of in rows]))
    assert cli.main(["figure", str(folder), "--along"]) == 2
    assert f"histories.csv: cannot be read (a line has no {gone})" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e308"])
def test_a_loss_that_is_no_finite_number_is_left_out_and_figures_stay_whole(folder: Path, value: str) -> None:
    """A record may have it, but JSON has no word for it: a browser would draw nothing."""
    text = (folder / "histories.csv").read_text()
    (folder / "histories.csv").write_text(text.replace("val_accuracy", "train_loss"))
    changed(folder, "histories.csv", "train_loss", value)
    assert cli.main(["report", str(folder), "--out", "page.html"]) == 0
    figures = re.findall(r'<script type="application/json">(.*?)</script>', Path("page.html").read_text())
    assert [json.loads(each, parse_constant=pytest.fail) for each in figures]
    assert drawn(folder, "accuracy")["ticket"]["50 %"] == [(20, 92.0), (30, 93.0)]


def test_a_level_that_results_do_not_have_is_no_line(folder: Path) -> None:
    rows = read_histories(folder)
    (folder / "histories.csv").write_text(as_csv([*rows, *({**of, "level": 9} for of in rows if of["level"] == 2)]))
    assert [*drawn(folder, "accuracy")["ticket"]] == ["dense", "50 %", "25 %"]


def test_panels_of_a_narrow_figure_are_below_each_other(folder: Path) -> None:
    made = curves(read(folder))
    along, panels, _ = paper_along.panels("accuracy", read_histories(folder), [], made, None)
    narrow, wide = (paper_along.draw(along, panels, width=width) for width in (3.25, 6.75))
    assert [figure.get_size_inches()[0] for figure in (narrow, wide)] == [3.25, 6.75]
    for figure, columns in ((narrow, 1), (wide, 2)):
        assert len({round(axis.get_position().x0, 3) for axis in figure.axes}) == columns
