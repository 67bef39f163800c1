"""Results over a swept number at one density: points are the means of the rows, and what cannot be drawn says why."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from test_page import BROWSER, in_browser, of_scripts
from test_report import page, row

from lt_sweeps import cli
from lt_sweeps.errors import Mistake
from lt_sweeps.report import paper, paper_data
from lt_sweeps.report.curves import curves
from lt_sweeps.report.over import across, group_lines, rewinds
from lt_sweeps.report.table import as_csv

STEPS = {"0it": 90.0, "10it": 94.0, "100it": 97.0}  # accuracy of seed 0 at level 1; level 2 is 2 points lower
WORSE = {"imp": 0.0, "one_shot": 1.0}


def rows(steps: dict[str, float] = STEPS, **labels: Any) -> list[dict[str, Any]]:
    """Two seeds, of which the second is 0.5 points better; barriers are 8 points at step 0 and 2 less at each step."""
    made = []
    for prune, worse in WORSE.items():
        for place, (step, accuracy) in enumerate(steps.items()):
            for seed in (0, 1):
                own = {"prune": prune, "rewind": "step", "rewind.step": step, **labels}
                values = [98.0, accuracy - worse, accuracy - worse - 2]
                for level, value in enumerate(values):
                    barrier = 8.0 - 2 * place + level + seed
                    made.append(row(level, seed, value + 0.5 * seed, **own) | {"barrier": barrier})
    return made


def figures(html: str) -> dict[str, Any]:
    """The figures over the rewind step, by their names."""
    found = re.findall(r'id="([a-z]+)-rewind-1"><script type="application/json">(.*?)</script>', html)
    return {name: json.loads(text) for name, text in found}


def drawn(figure: Any, label: str) -> dict[str, tuple[list[float], list[float]]]:
    """The places and means of each line of a view."""
    [step] = [step for step in figure["layout"]["sliders"][0]["steps"] if step["label"] == label]
    x, y = step["args"][0]["x"], step["args"][0]["y"]
    named = [(trace["name"], trace.get("showlegend", True)) for trace in figure["data"]]
    return {name: (xs, ys) for (name, shown), xs, ys in zip(named, x, y, strict=True) if shown}


def test_points_are_the_means_of_the_rows_at_each_step() -> None:
    """0 stands a step of sqrt(10 * 10) = 10 below 10, so at 1: its tick says 0."""
    shown = figures(page(rows()))
    assert list(shown) == ["accuracy", "barrier"]
    half, quarter = drawn(shown["accuracy"], "50 %"), drawn(shown["accuracy"], "25 %")
    assert half["prune=imp"] == ([1, 10, 100], [90.25, 94.25, 97.25])
    assert half["prune=one_shot"] == ([1, 10, 100], [89.25, 93.25, 96.25])
    assert quarter["prune=imp"] == ([1, 10, 100], [88.25, 92.25, 95.25])
    assert half["dense"] == quarter["dense"] == ([1, 100], [98.25, 98.25])
    axis = shown["accuracy"]["layout"]["xaxis"]
    assert (axis["tickvals"], axis["ticktext"]) == ([1, 10, 100], ["0", "10", "100"])
    assert axis["title"]["text"] == "Rewind step (iterations)"
    assert drawn(shown["barrier"], "100 %")["prune=imp"] == ([1, 10, 100], [8.5, 6.5, 4.5])
    assert drawn(shown["barrier"], "50 %")["prune=imp"] == ([1, 10, 100], [9.5, 7.5, 5.5])


def test_init_is_step_0_and_other_rewinding_is_left_out() -> None:
    made = [row | {"rewind": "init"} if row["rewind.step"] == "0it" else row for row in rows()]
    made += rows({"10it": 50.0}, rewind="learning_rate", survivors="keep", **{"rewind.step": None})
    found = rewinds(curves(made))
    assert [list(line.by_number) for line in found] == [[0, 10, 100]] * 2
    assert all("rewind" not in line.labels for line in found)


def test_one_step_is_no_figure_and_several_units_say_so() -> None:
    assert not figures(page(rows({"10it": 90.0})))
    mixed = page(rows({"10it": 90.0, "1ep": 91.0}))
    assert not figures(mixed)
    assert "No figure over the rewind step: some steps are in epochs, others in iterations." in mixed
    with pytest.raises(Mistake, match="values are in epochs and in iterations"):
        across(group_lines(curves(rows({"10it": 90.0, "1ep": 91.0})), "rewind.step"), "rewind.step")
    assert figures(page(rows({"0it": 90.0, "1ep": 91.0})))["accuracy"]["layout"]["xaxis"]["title"] == {
        "text": "Rewind step (epochs)"
    }


def test_a_level_that_some_seed_did_not_finish_is_a_cross() -> None:
    made = rows()
    [lost] = [r for r in made if (r["prune"], r["rewind.step"], r["seed"], r["level"]) == ("imp", "10it", 1, 2)]
    lost |= {"status": "diverged", "early_stop_test_accuracy": None, "test_accuracy": None, "barrier": None}
    step = figures(page(made))["accuracy"]["layout"]["sliders"][0]["steps"][1]["args"][0]
    assert step["y"][1] == [88.25, 92.0, 95.25]
    assert step["x"][2] == [10], "of the line before"
    assert len({len(values) for values in step.values()}) == 1, "all views have the same traces"


def test_the_selector_hides_a_line_of_a_method_but_keeps_it_for_a_step() -> None:
    [keys] = [data for data in of_scripts(page(rows())) if isinstance(data, list)]
    assert ["place-1 prune=imp", {"prune": "imp"}] in keys
    assert ["place-1 prune=imp, rewind.step=0it", {"prune": "imp", "rewind.step": "0it"}] in keys


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_a_browser_draws_the_lines_at_the_density_of_the_slider(tmp_path: Path) -> None:
    shown = """
    const slider = document.querySelector("#accuracy-rewind-1 input");
    const heights = () => [...document.querySelectorAll("#accuracy-rewind-1 g.curve path.open")]
      .map((path) => path.getAttribute("transform"));
    const before = heights(); slider.value = 0; slider.dispatchEvent(new Event("input"));
    document.title = `${before.length} ${heights().length} ${before.join() === heights().join()}`;"""
    html = in_browser(page(rows()), tmp_path, shown)
    assert "<title>6 6 false</title>" in html
    assert "Weights remaining: 50 %" in html


def test_the_command_draws_what_the_rows_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results.csv").write_text(as_csv(rows()))
    assert cli.main(["figure", str(tmp_path), "--over", "rewind.step", "--format", "png"]) == 0
    out = capsys.readouterr().out
    assert "over rewind step (iterations), at 25 % of the weights, mean over seeds (n = 2)" in out
    made = [*csv.DictReader((tmp_path / "accuracy_over_rewind.step.csv").read_text().splitlines())]
    *tickets, dense = made
    assert [(line["prune"], float(line["x"]), float(line["mean"])) for line in tickets] == [
        (prune, float(step.removesuffix("it")), accuracy - worse - 1.75)
        for prune, worse in WORSE.items()
        for step, accuracy in STEPS.items()
    ]
    assert [dense[name] for name in ("prune", "rewind.step", "level", "x", "mean", "n")] == [
        "",
        "",
        "0",
        "",
        "98.25",
        "2",
    ]
    assert (dense["control"], dense["weights_remaining"], dense["seed_1"]) == ("none", "100.0", "98.5")
    assert (tmp_path / "accuracy_over_rewind.step.png").read_bytes()[1:4] == b"PNG"


def test_lines_on_paper_are_methods_and_densities() -> None:
    axis = paper.draw(curves(rows()), "barrier", over="rewind.step", at=[100, 50]).axes[0]
    named = {str(line.get_label()): line for line in axis.get_lines() if not str(line.get_label()).startswith("_")}
    assert {*named} == {
        "stable below 2 points",
        *(f"prune={prune}, weights={share} %" for prune in WORSE for share in (100, 50)),
    }
    solid = [[*zip(*line.get_data(), strict=True)] for line in axis.get_lines() if len(line.get_xdata()) == 3]
    assert [(1, 8.5), (10, 6.5), (100, 4.5)] in solid
    assert [text.get_text() for text in axis.get_xticklabels()] == ["0", "10", "100"]


def test_any_number_that_curves_differ_in_is_an_axis() -> None:
    made = [{"model.width": r["rewind.step"].removesuffix("it")} | r | {"rewind.step": None} for r in rows()]
    table = paper_data.data(curves(made), "difference", over="model.width", at=[50])
    assert [(line["x"], line["mean"]) for line in table if line["prune"] == "imp"] == [(0, -8), (10, -4), (100, -1)]
    assert fmean(line["n"] for line in table) == 2


def widths(dense: dict[str, float], levels: int = 1, **labels: str) -> list[dict[str, Any]]:
    """Networks of each width, two seeds, and a level that is a point worse. `labels` come after the width."""
    made = [
        row(level, seed, accuracy - level + 0.5 * seed, **{"model.width": width, **labels})
        for width, accuracy in dense.items()
        for level in range(1 + levels)
        for seed in (0, 1)
    ]
    return [line | {"key": f"{line['key']} {line['model.width']} {labels}"} for line in made]


def named_lines(axis: Any) -> dict[str, list[tuple[float, float]]]:
    """The places of what stands in the legend, without markers."""
    found = {str(line.get_label()): [*zip(*line.get_data(), strict=True)] for line in axis.get_lines()}
    return {name: at for name, at in found.items() if not name.startswith("_")}


def test_dense_networks_that_differ_along_the_axis_are_a_line_too() -> None:
    found = curves(widths({"1": 90.0, "2": 94.0, "4": 96.0}))
    axis = paper.draw(found, over="model.width").axes[0]
    assert named_lines(axis)["dense"] == [(1, 90.25), (2, 94.25), (4, 96.25)]
    assert axis.get_ylim()[1] > 96.25
    table = paper_data.data(found, over="model.width")
    assert [(line["level"], line["x"], line["mean"]) for line in table][:2] == [(0, 1, 90.25), (1, 1, 89.25)]


def test_points_that_are_missing_are_counted_and_lines_keep_their_names() -> None:
    made = [*widths({"1": 90.0, "2": 94.0}, classes="10"), *widths({"1": 80.0, "2": 84.0}, levels=0, classes="2")]
    found = curves(made)
    assert [*named_lines(paper.draw(found, over="model.width").axes[0])] == ["dense", "classes=10"]
    assert "Points that are missing, where no level keeps that share: 2." in paper.caption(found, over="model.width")
    assert "missing" not in paper.caption(found[:2], over="model.width")


def test_intervals_at_one_place_are_bars_and_the_dense_network_goes_across() -> None:
    [curve] = curves(widths({"1": 90.0}))
    alone = replace(curve, points=curve.points[1:])
    axis = paper.draw([alone]).axes[0]
    [bars] = axis.containers
    assert bars.has_yerr
    assert "; bars are 95 % t-intervals" in paper.caption([alone])
    whole = paper.draw([curve]).axes[0]
    assert not whole.containers
    assert "; bands are 95 % t-intervals" in paper.caption([curve])
    one = paper.draw(curves(widths({"1": 90.0}, levels=0) + widths({"1": 91.0}, rewind="step")), facet="rewind")
    assert all(first != last for axis in one.axes for (first, _), *_, (last, _) in [named_lines(axis)["dense"]])


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--over", "depth"), "--over depth: no label of these results; choose one of"),
        (("--over", "prune"), "--over prune: imp is no number from 0 to 1e+15: choose values by prune=..."),
        (
            ("--over", "rewind.step", "--at", "33"),
            "--at 33: no level keeps this share of weights; there are 50, 25",
        ),
        (("--over", "rewind.step", "rewind.step=0it"), "takes results of two values or more at one share of weights"),
        (("--at", "50"), "--at: chooses the shares of weights of a figure over something else: give --over NAME"),
        (("--over", "rewind.step", "--against", "frankle2019"), "--against: a paper's numbers are over the weights"),
        (
            ("--over", "prune", "--facet", "prune"),
            "--over prune: a label has panels or an axis, not both",
        ),
    ],
)
def test_what_cannot_be_is_answered_in_a_line(
    words: tuple[str, ...], answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.csv").write_text(as_csv(rows()))
    assert cli.main(["figure", str(tmp_path), *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert answer in line


def test_two_results_at_one_number_are_a_mistake_and_equal_ones_are_one() -> None:
    with pytest.raises(Mistake, match=r"1 and 1\.0 are one number with other results"):
        group_lines(curves(widths({"1": 90.0, "1.0": 85.0})), "model.width")
    [line] = group_lines(curves(widths({"1": 90.0, "1.0": 90.0, "2": 91.0})), "model.width")
    assert [*line.by_number] == [1, 2]
    for value in ("1e300", "1e-320", "-1", "nan", "inf"):
        with pytest.raises(Mistake, match="is no number from 0 to"):
            group_lines(curves(widths({"1": 90.0, value: 85.0})), "model.width")


def test_a_step_and_an_epoch_of_one_number_are_no_line() -> None:
    assert "some steps are in epochs, others in iterations" in page(rows({"1it": 90.0, "1ep": 91.0}))
