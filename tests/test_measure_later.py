"""`lt-sweeps measure`: what is measured of a finished sweep is what it would have measured itself, without training."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
from test_recipes import composed
from test_supervise import contents
from test_sweep import Rows, sweep

from lt_sweeps.cli import main as cli
from lt_sweeps.sweeps.between import compared, pairs

pytestmark = pytest.mark.sweeps

LATER = ("overlap", "class_accuracy")
SEEDS = "seed=0,1,2"


def rows(path: Path) -> Rows:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_measure_added_later_is_that_of_a_sweep_that_had_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "later" / "s"
    sweep(tmp_path / "later", "measure=sign_flips", "prune.levels=1")
    assert cli(["measure", str(folder), *LATER]) == 0
    at_once = sweep(tmp_path / "once", f"measure=[sign_flips,{','.join(LATER)}]", "prune.levels=1")
    found = rows(folder / "results.csv")
    assert {name: sorted(row[name] for row in found) for name in at_once[0]} == {
        name: sorted(row[name] for row in at_once) for name in at_once[0]
    }
    assert {"overlap_parent", "class_accuracy_trained", "class_loss_dense", "sign_flips_start"} <= {*found[0]}
    report = (folder / "report.html").read_text()
    assert "Mask overlap to the parent (% of the union)" in report
    assert "<summary>Table of overlap parent: tensor deviation, tensor overlap, tensor same inputs" in report
    assert '<th scope="col">all</th><th scope="col">fc1.weight</th>' in report
    there = contents(tmp_path / "later" / "store")
    assert there == contents(tmp_path / "once" / "store")
    assert cli(["measure", str(folder), *LATER]) == 0
    assert re.search(r"0 to train; (\d+) measures, \1 in the store, 0 to do", capsys.readouterr().out)
    assert contents(tmp_path / "later" / "store") == there


def test_pairs_of_seeds_and_of_levels_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path, SEEDS, "prune.levels=1", "recipe.steps=40it")
    folder = tmp_path / "s"
    capsys.readouterr()
    assert cli(["measure", str(folder), "overlap", "--between", "seed"]) == 0
    out = capsys.readouterr().out
    assert "6 measures, 0 in the store, 6 to do" in out
    assert re.search(r"^\| 1 \| 80\.\d\d \| 3 \| 6\d\.\d\d ± \d\.\d\d \|", out, re.MULTILINE)
    found = rows(folder / "overlap_between_seed.csv")
    assert {(row["first"], row["second"]) for row in found} == {("0", "1"), ("0", "2"), ("1", "2")}
    assert len(found) == 6 * 4, "all tensors together, and each of three"
    whole = [row for row in found if row["level"] == "1"]
    assert all(abs(float(row["overlap"]) - float(row["same_layers"])) < 5 for row in whole)
    assert cli(["measure", str(folder), "overlap", "--between", "level"]) == 0
    assert [row["overlap"] for row in rows(folder / "overlap_between_level.csv")[::4]] == ["80.1992"] * 3
    report = (folder / "report.html").read_text()
    assert [report.count(f"<h3>overlap between {label}</h3>") for label in ("seed", "level")] == [1, 1]
    [seeds] = re.findall(r"<caption>80\.2 % of the weights</caption>(.*?)</table>", report, re.DOTALL)
    means = {(row["first"], row["second"]): f"{float(row['overlap']):.4g}" for row in whole}
    assert re.findall(r">([\d.]+|&ndash;)</td>", seeds) == [
        means["0", "1"],
        means["0", "2"],
        "&ndash;",
        means["1", "2"],
    ]
    assert "overlap" not in rows(folder / "results.csv")[0]


def test_methods_are_compared_where_they_have_a_level_in_common(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, "prune=imp,at_init", "prune.levels=1", "recipe.steps=40it", "criterion=magnitude")
    folder = tmp_path / "s"
    assert cli(["measure", str(folder), "churn", "--between", "prune"]) == 0
    assert [(row["first"], row["second"], row["level"]) for row in rows(folder / "churn_between_prune.csv")] == [
        ("imp", "at_init", "1")
    ]
    capsys.readouterr()
    assert cli(["measure", str(folder), "movement"]) == 0
    assert "note: not of 1 of 2 cells: measure of movement, before: no mask here" in capsys.readouterr().out
    moved = {(row["prune"], row["level"]): row["movement_before"] for row in rows(folder / "results.csv")}
    assert [bool(moved[place]) for place in (("imp", "1"), ("imp", "0"), ("at_init", "1"))] == [True, False, False]


def test_methods_that_differ_in_several_labels_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path, "prune=imp", "prune.levels=1", "recipe.steps=40it")
    sweep(tmp_path, "prune=at_init", "criterion=snip,random", "prune.levels=1", "recipe.steps=40it")
    folder = tmp_path / "s"
    capsys.readouterr()
    assert cli(["measure", str(folder), "overlap", "--between", "prune"]) == 2
    assert "no two cells differ in it alone" in capsys.readouterr().err
    assert cli(["measure", str(folder), "overlap", "--between", "prune,criterion"]) == 0
    pairs = rows(folder / "overlap_between_prune+criterion.csv")
    assert {(row["first"], row["second"]) for row in pairs} == {
        ("imp magnitude", "at_init snip"),
        ("imp magnitude", "at_init random"),
        ("at_init snip", "at_init random"),
    }
    assert "overlap between prune, criterion</h3>" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["overlap", "--between", "seed,gaat"], "'gaat' is no label of these results"),
        (["barrier"], "trainings that this needs are not in the store; it trains nothing"),
        (["overlop"], "did you mean 'overlap'?"),
        (["sharpness", "--between", "seed"], "it is of one network, and --between compares two"),
        (["overlap", "--between", "sead"], "'sead' is no label of these results"),
        (["overlap", "--between", "control"], "no two cells differ in it alone"),
        (["overlap", "--between", "seed", "--of", "parent"], "give one of them"),
        (["overlop", "--of", "parent"], "there is no measure 'overlop'; did you mean 'overlap'?"),
        (["overlap", "--of", "trained"], "it compares two networks, and there is one"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    words: list[str], said: str, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["measure", str(small), *words]) == 2
    assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    sweep(folder, "prune.levels=1", "recipe.steps=20it")
    return folder / "s"


def test_a_failed_measure_is_said_and_kept_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path, "prune.levels=1", "recipe.steps=20it")
    folder = tmp_path / "s"
    assert cli(["measure", str(folder), "broken.uneven", "--of", "dense"]) == 1
    assert "measure broken.uneven: one and two differ in length" in capsys.readouterr().out
    assert [row["uneven_dense"] for row in rows(folder / "results.csv")] == ["", ""]
    assert cli(["measure", str(folder), "broken.uneven", "--between", "level"]) == 1
    assert not (folder / "uneven_between_level.csv").exists()


def test_classes_are_not_asked_of_a_task_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path, "prune.levels=1", "recipe.steps=20it", "model=planted_relu")
    folder = str(tmp_path / "s")
    for words in (["churn"], ["churn", "--between", "level"], ["pooled_accuracy"], ["tangent_solution"]):
        assert cli(["measure", folder, *words]) == 2
        name = words[0]
        said = f"measure of {name}: needs one class per example, and task=regression has none"
        assert said in capsys.readouterr().err


def test_two_choices_of_the_same_words_are_two() -> None:
    """One word of `gate` or of `find.gate`, and none of the other: not one cell in the place of both."""
    gates = [("none", "none"), ("sign_in", "none"), ("none", "sign_in")]
    cells = [
        replace(composed("prune.levels=1", f"prune.rate=0.{index + 2}"), swept={"gate": gate, "find.gate": found})
        for index, (gate, found) in enumerate(gates)
    ]
    told = pairs(cells, compared("overlap"), "gate,find.gate")
    assert [(pair.first, pair.second) for pair in told] == [
        ("none", "sign_in none"),
        ("none", "none sign_in"),
        ("sign_in none", "none sign_in"),
    ]
