"""What it took to get a ticket: iterations counted by hand, from expressions; and the figure over them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from composed import composed
from test_report import PAPER, page, row, sweep

from lt_sweeps import cli
from lt_sweeps.columns import COST
from lt_sweeps.graph import search_of
from lt_sweeps.keys import Node
from lt_sweeps.report import costs, paper
from lt_sweeps.report.curves import curves
from lt_sweeps.report.page import render
from lt_sweeps.report.table import as_csv
from lt_sweeps.store.store import Record

SMALL = ("model=lenet_300_100", "budget=smoke", "budget.levels=8", "prune.levels=8", "budget.max_steps=100")
T, K = 100, 30  # iterations of a training, and the step that tickets are rewound to


def of_levels(*words: str, records: Mapping[Node, Record] | None = None) -> list[int | None]:
    cell = composed(*SMALL, *words)
    assert cell.levels[0].recipe.steps == T
    return [costs.cost(run, records or {}) for run in cell.levels]


def times(*trainings: int) -> list[int | None]:
    return [T * n for n in trainings]


@pytest.mark.parametrize(
    ("words", "trainings"),
    [
        (("prune=imp",), (1, 2, 3, 4, 5, 6, 7, 8, 9)),
        (("prune=imp", "rewind=learning_rate"), (1, 2, 3, 4, 5, 6, 7, 8, 9)),
        (("prune=one_shot",), (1, *[2] * 8)),
        (("prune=at_init", "criterion=snip"), (1, *[1] * 8)),
        (("prune=at_init", "criterion=random", "train.hook.name=rigl"), (1, *[1] * 8)),
        (("prune=imp", "control=reinit"), (1, 2, 3, 4, 5, 6, 7, 8, 9)),
        (("prune=imp", "control=mask_shuffle"), (1, 2, 3, 4, 5, 6, 7, 8, 9)),
        (("prune=imp", "control=random"), (1, *[1] * 8)),
        (("prune=cyclic", "rewind=learning_rate"), (1, 2, 3, 4, 5, 6, 7, 8, 9)),
    ],
)
def test_a_level_costs_the_trainings_that_it_depends_on(words: tuple[str, ...], trainings: tuple[int, ...]) -> None:
    hooked = "train.hook.name=rigl" in words
    cell = composed(*SMALL, *words)
    done: dict[Node, Record] = {run: finished(T) for run in cell.levels} if hooked else {}
    assert [costs.cost(run, done) for run in cell.levels] == times(*trainings)


def finished(steps: int) -> Record:
    """What the store says of a training of so many steps."""
    kept: dict[str, Any] = {"kept": 1, "total": 2, "layers": []}
    return Record({"result": {"status": "done", "steps": steps, "history": [], "end": {"test_accuracy": 90.0}, **kept}})


def test_rewinding_saves_what_is_not_trained_again() -> None:
    """From step k, a ticket trains T - k; pruned at initialisation it takes k iterations of the dense training too."""
    dense, *imp = of_levels("prune=imp", *stepped())
    assert dense == T
    assert imp == [T + n * (T - K) for n in range(1, 9)]
    assert of_levels("prune=one_shot", *stepped()) == [T, *[T + T - K] * 8]
    assert of_levels("prune=at_init", "criterion=snip", *stepped()) == [T, *[K + T - K] * 8]


def stepped() -> tuple[str, ...]:
    """The words that rewind to step K of T."""
    return ("rewind=step", f"rewind.step={50_000 * K // T}it")


def test_a_search_costs_as_long_as_it_was_and_no_record_of_one_is_no_cost() -> None:
    """Early-bird ends the search after 40 iterations: with the ticket's own training 140."""
    words = ("prune=one_shot", "find.hook.name=early_bird", "prune.levels=1")
    cell = composed(*SMALL, *words)
    search = search_of(cell.levels[1])
    assert search is not None
    assert search.hooks
    assert costs.cost(cell.levels[1], {search: finished(40)}) == 40 + T
    assert costs.cost(cell.levels[1], {}) is None


def test_another_recipe_of_the_search_counts_its_own_iterations() -> None:
    levels = of_levels("prune=imp", "train.steps=25000it")
    assert levels[:3] == [T, T + T // 2, 2 * T + T // 2]


def costed(differences: dict[int, list[float]], paid: dict[int, int], **labels: Any) -> list[dict[str, Any]]:
    return [line | {COST: paid[line["level"]]} for line in sweep(differences, **labels)]


LEVELS = {1: [0.1, 0.0, 0.2], 2: [-0.05, -0.1, 0.0]}


def both() -> list[dict[str, Any]]:
    return [
        *costed(LEVELS, {0: 100, 1: 200, 2: 300}, prune="imp"),
        *costed(LEVELS, {0: 100, 1: 100, 2: 100}, prune="at_init"),
    ]


def figure(html: str) -> Any:
    found = re.search(r'id="cost-1"><script type="application/json">(.*?)</script>', html)
    return json.loads(found[1]) if found else None


def test_the_figure_has_a_point_for_each_level_and_a_view_for_each_density() -> None:
    drawn = figure(page(both()))
    steps = drawn["layout"]["sliders"][0]["steps"]
    assert [step["label"] for step in steps] == ["50 %", "25 %", "all levels"]
    names = [trace["name"] for trace in drawn["data"]]
    imp, at_init = names.index("prune=imp"), names.index("prune=at_init")
    places = [(step["args"][0]["x"][imp], step["args"][0]["x"][at_init]) for step in steps]
    assert places == [([200], [100]), ([300], [100]), ([200, 300], [100, 100])]
    assert steps[1]["args"][0]["y"][imp] == pytest.approx([98.04 / 3 + 98.2 / 3 + 98.1 / 3 - 0.05])
    assert drawn["layout"]["xaxis"]["title"]["text"] == "Training iterations, search included"


def test_a_slider_with_a_single_stop_is_left_out_and_the_caption_names_it() -> None:
    one = [line for line in both() if line["level"] < 2]
    html, several = page(one), page(both())
    assert "sliders" not in figure(html)["layout"]
    assert (html.count("Weights remaining: 50 %."), html.count("The slider chooses")) == (1, 0)
    assert (several.count("Weights remaining: 50 %."), several.count("The slider chooses the share of weights.")) == (
        0,
        1,
    )


def test_there_is_no_figure_where_all_cost_the_same_or_no_cost_is_known() -> None:
    one = page(costed(LEVELS, {0: 100, 1: 200, 2: 300}))
    assert figure(one) is None
    assert "No figure over the cost" not in one
    assert "No figure over the cost" in page([*sweep(LEVELS, prune="imp"), *sweep(LEVELS, prune="at_init")])
    partly = page([*both(), *sweep(LEVELS, prune="given")])
    assert "Tickets whose masks come from files have no known cost, and are left out." in partly


def test_the_command_draws_all_levels_or_those_that_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = both()
    (tmp_path / "results.csv").write_text(as_csv([{n: v for n, v in line.items() if n != COST} for line in rows]))
    words = ["figure", str(tmp_path), "--over", "cost", "--format", "svg"]
    assert cli.main(words) == 2
    assert "no cost is known: lt-sweeps report FOLDER writes costs.csv" in capsys.readouterr().err
    (tmp_path / "costs.csv").write_text(as_csv([{"key": line["key"], "level": 0, COST: line[COST]} for line in rows]))
    assert cli.main(words) == 0
    assert "over training iterations, search included, mean over seeds" in capsys.readouterr().out
    made = [*csv.DictReader((tmp_path / "accuracy_over_cost.csv").read_text().splitlines())]
    assert [(line["prune"], line["level"], line["x"]) for line in made] == [
        ("imp", "1", "200.0"),
        ("imp", "2", "300.0"),
        ("at_init", "1", "100.0"),
        ("at_init", "2", "100.0"),
        ("", "0", ""),
    ]
    dense = [float(made[-1][f"seed_{seed}"]) for seed in range(3)]
    assert float(made[-1]["mean"]) == pytest.approx(fmean(dense))
    assert cli.main([*words, "--at", "25"]) == 0
    made = [*csv.DictReader((tmp_path / "accuracy_over_cost.csv").read_text().splitlines())]
    assert [(line["prune"], line["x"]) for line in made] == [("imp", "300.0"), ("at_init", "100.0"), ("", "")]
    lines = (tmp_path / "costs.csv").read_text().splitlines()
    (tmp_path / "costs.csv").write_text("\n".join(line for line in lines if not line.endswith(",300")))
    assert cli.main(words) == 0
    assert "Levels left out, whose cost is not known: 1." in capsys.readouterr().out
    assert cli.main([*words, "--at", "33"]) == 2
    assert "--at 33: no level keeps this share of weights; there are 50, 25" in capsys.readouterr().err


def test_points_on_paper_say_how_many_weights_they_keep() -> None:
    """At 3.25 inches, of four levels: the ends of each line, and where there is place; nothing covers anything."""
    falling = {level: [-0.3 * level, -0.28 * level, -0.32 * level] for level in range(1, 5)}
    paid = {level: 100 * (level + 1) for level in range(5)}
    found = curves([*costed(falling, paid, prune="imp"), *costed(falling, dict.fromkeys(paid, 150), prune="one_shot")])
    axis = paper.draw(found, over="cost").axes[0]
    places = {(note.xy[0], note.get_text()) for note in axis.texts}
    assert {(200, "50 %"), (500, "6.25 %"), (150, "50 %"), (150, "6.25 %")} <= places
    assert {text for _, text in places} <= {"50 %", "25 %", "12.5 %", "6.25 %"}
    boxes = [note.get_window_extent() for note in axis.texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    marks = [axis.transData.transform(line.get_xydata()) for line in axis.get_lines()]
    assert not any(box.count_contains(at) for box in boxes for at in marks)
    assert all(box.x0 >= axis.bbox.x0 and box.x1 <= axis.bbox.x1 for box in boxes)
    assert {note.get_fontsize() for note in axis.texts} == {6}
    assert paper.caption(found, over="cost").endswith("Percentages beside points: weights remaining.")


def test_points_of_one_share_of_weights_have_no_labels_as_the_caption_says_it() -> None:
    found = curves(both())
    assert not paper.draw(found, over="cost", at=[25]).axes[0].texts
    assert "beside points" not in paper.caption(found, over="cost", at=[25])
    assert {note.get_text() for note in paper.draw(found, over="cost", at=[50, 25]).axes[0].texts} == {"50 %", "25 %"}
    assert not paper.draw(found).axes[0].texts, "over the weights that remain"


def test_costs_that_cannot_be_read_are_answered_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results.csv").write_text(as_csv([row(0, 0, 98.0)]))
    (tmp_path / "costs.csv").write_text(f"key,level,{COST}\nab,0,many\n")
    assert cli.main(["figure", str(tmp_path)]) == 2
    assert "costs.csv: line 2 is no key with a number of iterations; lt-sweeps report" in capsys.readouterr().err
    (tmp_path / "costs.csv").write_text(f"key,level,{COST}\nab,0,3\nab,0,4\n")
    assert cli.main(["figure", str(tmp_path)]) == 2
    assert "line 3 is no key" in capsys.readouterr().err
    (tmp_path / "costs.csv").write_text("")
    assert cli.main(["figure", str(tmp_path)]) == 2
    assert "has no columns key and iterations_with_search" in capsys.readouterr().err


def test_costs_change_no_other_part_of_a_page() -> None:
    plain = sweep(LEVELS)
    with_costs = costed(LEVELS, {0: 100, 1: 200, 2: 300})
    words: dict[str, Any] = {"title": "Tickets", "sweep": "demo", "budgets": PAPER, "command": None}
    assert render(plain, **words) == render(with_costs, **words)
