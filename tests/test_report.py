"""What a report may claim, and that its page needs nothing but itself."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import lt_sweeps.report.page
from lt_sweeps.errors import Mistake
from lt_sweeps.metrics import METRICS
from lt_sweeps.report import best, compare
from lt_sweeps.report.curves import closest, curves, sparsest_matching
from lt_sweeps.report.figures import cuts_intervals, early_stop_figure, result_figure
from lt_sweeps.report.layers import by_curve, layer_figure, remaining
from lt_sweeps.report.markdown import summary
from lt_sweeps.report.page import render
from lt_sweeps.report.statistics import interval, matching, paired, worse
from lt_sweeps.report.styles import COLOURS, styles
from lt_sweeps.report.traces import GREY
from lt_sweeps.report.verdict import verdicts

PAPER = ["budget=paper: 50,000 iterations of batch 60, evaluated every 100"]
SMOKE = ["budget=smoke: 8 iterations of batch 16, evaluated every 4"]


def row(level: int, seed: int, accuracy: float | None, status: str = "done", **labels: Any) -> dict[str, Any]:
    """A line of results.csv; `accuracy` is that at the early stop, the end is half a point lower."""
    done = status == "done"
    control = labels.get("control", "none")
    return {
        "model": "lenet_300_100",
        "dataset": "mnist",
        "prune": "imp",
        "rewind": "init",
        "survivors": "rewind",
        "control": "none",
        **labels,
        "seed": seed,
        "level": level,
        "density": None if status == "blocked" else 0.5**level,
        "weights_remaining": None if status == "blocked" else 100 * 0.5**level,
        "sparsity": None if status == "blocked" else 1 - 0.5**level,
        "test_accuracy": accuracy - 0.5 if done and accuracy is not None else None,
        "val_accuracy": accuracy,
        "early_stop_step": 5000 - 100 * level if done else None,
        "early_stop_test_accuracy": accuracy if done else None,
        "steps": 50000,
        "status": status,
        "key": f"{seed}-dense" if level == 0 else f"{seed}-{level}-{control}-{labels}",
    }


def sweep(differences: dict[int, list[float]], **labels: Any) -> list[dict[str, Any]]:
    """Rows whose level differs from the dense network of each seed by so much."""
    dense = [98.04, 98.2, 98.1, 98.3, 97.9]
    return [
        row(level, seed, dense[seed] + difference, **labels)
        for level, by_seed in ({0: [0.0] * len(next(iter(differences.values())))} | differences).items()
        for seed, difference in enumerate(by_seed)
    ]


MATCHES = {1: [0.1, 0.0, 0.2], 2: [-0.05, -0.1, 0.0], 3: [-1.0, -1.1, -0.9]}


def page(rows: list[dict[str, Any]], budgets: list[str] = PAPER) -> str:
    return render(rows, title="Tickets", sweep="demo", budgets=budgets, command="python -m lt_sweeps.main")


def test_pairing_removes_what_differs_between_seeds() -> None:
    dense, ticket = {0: 97.0, 1: 98.0, 2: 99.0}, {0: 96.9, 1: 97.9, 2: 98.9}
    alone, difference = interval(ticket.values()), paired(ticket, dense)
    assert difference is not None
    assert difference.low == pytest.approx(-0.1)
    assert alone.low is not None
    assert alone.low < 96  # unpaired, nothing could be said
    assert matching(difference)


def test_matching_looks_at_the_lower_bound_and_never_at_means() -> None:
    close, wide = interval([-0.1, -0.1, -0.1]), interval([-1.0, 0.0, 1.3])
    assert wide.mean > close.mean
    assert matching(close)
    assert not matching(wide)
    assert not matching(interval([0.0]))
    assert not matching(interval([-0.2, -0.2]))  # the margin itself is too far


def test_the_sparsest_matching_level_is_not_dense_and_controls_of_equal_keys_share_it() -> None:
    [ticket] = curves(sweep(MATCHES))
    best = sparsest_matching(ticket)
    assert best is not None
    assert best.remaining == 25
    [worse] = curves(sweep({1: [-1.0, -1.2], 2: [-0.5, -0.6]}))
    assert sparsest_matching(worse) is None
    near = closest(worse)
    assert near is not None
    assert near.level == 2


def test_accuracies_at_early_stop_and_at_the_end_are_never_mixed() -> None:
    rows = sweep(MATCHES)
    assert curves(rows)[0].points[0].test[0] == pytest.approx(98.04)
    rows[-1] |= {"early_stop_test_accuracy": None, "early_stop_step": None}
    assert curves(rows)[0].points[0].test[0] == pytest.approx(97.54)


def test_two_trainings_of_one_place_in_the_table_are_refused() -> None:
    rows = sweep(MATCHES)
    assert curves([*rows, rows[0]]) == curves(rows)
    with pytest.raises(Mistake, match="two trainings of level 0, seed 0"):
        curves([*rows, rows[0] | {"key": "another"}])
    for known in (rows, [one | {"key": None} for one in rows]):
        with pytest.raises(Mistake, match="two values of early_stop_test_accuracy of level 0, seed 0"):
            curves([*known, known[0] | {"early_stop_test_accuracy": 12.0}])


def by_perplexity(dense: list[float], tickets: list[float]) -> list[dict[str, Any]]:
    """Two levels of a network that is judged by its perplexity at the end."""
    none = {"test_accuracy": None, "val_accuracy": None, "early_stop_step": None, "early_stop_test_accuracy": None}
    return [
        row(level, seed, None) | none | {"val_perplexity": value, "test_perplexity": value}
        for level, values in enumerate((dense, tickets))
        for seed, value in enumerate(values)
    ]


def test_a_dense_network_beside_no_ticket_does_not_widen_a_margin_that_is_a_share_of_it() -> None:
    """1 % of the mean of 10, 10.1 and 100,000 is 333; of the two that are paired it is 0.1."""
    [curve] = curves(by_perplexity([10.0, 10.1, 100_000.0], [20.0, 20.2]))
    assert curve.points[1].verdict == "worse"


def test_a_result_that_is_not_finite_is_left_out_and_counted() -> None:
    rows = by_perplexity([10.0, 10.1, 10.2], [10.0, math.inf, math.nan])
    [curve] = curves(rows)
    assert curve.points[1].test == {0: 10.0}
    assert curve.points[1].notes == "2 without a finite result"
    assert "2 without a finite result" in page(rows)
    *_, last = best.table([row | {"level": 1 + row["seed"], "seed": 0} for row in rows if row["level"]])
    assert last == "| 1 | 10 | 10 | 50 to 50 |", "nan is no level to choose"


def test_verdict_of_matching_tickets() -> None:
    assert verdicts(curves(sweep(MATCHES))) == [
        "lenet_300_100 on mnist: the sparsest matching tickets keep 25 % of the weights (test accuracy 98.1 %, "
        "-0.05 points against dense, 95 % interval [-0.17, 0.07], 3 seeds)."
    ]


def test_verdict_names_the_denser_levels_that_fail() -> None:
    [told] = verdicts(curves(sweep({1: [-1.0, 1.0], 2: [0.0, 0.0]})))
    assert told.endswith("2 seeds). Denser levels: 1 undecided.")


def test_verdict_against_a_control_is_paired_at_the_same_level() -> None:
    control = sweep({1: [-1.0, -1.0, -1.0], 2: [-2.0, -2.0, -2.1], 3: [-3.0, -3.0, -3.0]}, control="reinit")
    [told] = verdicts(curves(sweep(MATCHES) + control))
    assert told.endswith(
        "3 seeds). Ticket minus control=reinit at that level: +1.98 points, 95 % interval [1.72, 2.24], 3 seeds."
    )


def test_verdict_where_none_matches_gives_the_closest() -> None:
    assert verdicts(curves(sweep({1: [-0.5, -0.6], 2: [-1.5, -1.6]}))) == [
        "lenet_300_100 on mnist: no level is matching (1 worse, 1 undecided); the closest tickets keep 50 % of "
        "the weights (test accuracy 97.6 %, -0.55 points against dense, 95 % interval [-1.19, 0.09], 2 seeds)."
    ]


def test_a_level_has_one_of_three_verdicts_which_a_page_explains_and_says_everywhere() -> None:
    """Of five seeds: -0.1 with a narrow interval, -1.0 with one, -0.1 with a wide one; and one seed of the last."""
    spread = [-0.02, -0.01, 0.0, 0.01, 0.02]
    levels = {1: [x - 0.1 for x in spread], 2: [x - 1.0 for x in spread], 3: [40 * x - 0.1 for x in spread], 4: [0.1]}
    rows = sweep(levels)
    [curve] = curves(rows)
    assert [point.verdict for point in curve.points] == ["", "matching", "worse", "undecided", "undecided"]
    html = page(rows)
    cells = re.findall(r"<tr><td>[\d.]+ %</td>.*?</tr>", html)
    assert [re.findall(r">(matching|worse|undecided|yes|no|not judged)</td>", cell) for cell in cells] == [
        [],
        ["matching"],
        ["worse"],
        ["undecided"],
        ["undecided"],
    ]
    assert [html.count(f"<dt>{word}</dt>") for word in ("Matching", "Worse", "Undecided")] == [1, 1, 1]
    assert "when the lower end of the 95 % interval of its difference to dense lies above -0.2 points" in html
    assert "when the upper end of the 95 % interval of its difference to dense lies below -0.2 points" in html
    assert "shown to match" not in html
    [told] = verdicts(curves(sweep({1: levels[2], 2: levels[3], 3: levels[1]})))
    assert told.endswith(" Denser levels: 1 worse, 1 undecided.")


def test_where_lower_is_better_a_worse_level_lies_above_the_margin() -> None:
    error = METRICS["mse"]
    for values, word in (([0.0, 0.001], "matching"), ([1.0, 1.01], "worse"), ([-1.0, 1.0], "undecided")):
        difference = interval(values)
        assert matching(difference, error, 1.0) == (word == "matching")
        assert worse(difference, error, 1.0) == (word == "worse")


def test_a_warning_about_the_budget_stands_before_the_finding_and_the_paper_s_own_budget_below() -> None:
    quick, whole = page(sweep(MATCHES), ["budget=quick: 8 iterations"]), page(sweep(MATCHES))
    assert quick.index("These are not the paper") < quick.index('class="verdicts"')
    assert whole.index('class="budget"') > whole.index('class="verdicts"')


def test_levels_are_named_by_their_weights_also_where_curves_differ_in_them() -> None:
    rows = sweep({1: [0.0]}, criterion="grasp")
    sparser = [one | {"weights_remaining": 0.9 * one["weights_remaining"]} for one in rows]
    both = curves([*sweep(MATCHES, criterion="snip"), *sparser])
    assert (remaining(both[:1], 1), remaining(both, 1)) == ("50 %", "level 1, 45 to 50 %")
    assert remaining(both, 7) == "level 7"


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    """As WCAG 2 defines it, of red, green and blue between 0 and 1."""

    def light(colour: Sequence[float]) -> float:
        parts = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def style_sheet() -> str:
    return Path(lt_sweeps.report.page.__file__).with_name("page.css").read_text()


def parts(word: str) -> list[float]:
    """Red, green and blue of `#rrggbb` or `#rgb`."""
    digits = word[1:] if len(word) == 7 else "".join(2 * digit for digit in word[1:])
    return [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]


@pytest.mark.parametrize("colour", [*COLOURS, GREY])
def test_lines_and_intervals_can_be_told_from_a_dark_page(colour: str) -> None:
    """3 to 1, which WCAG 2 asks of graphics; the page makes colours lighter there."""
    _, dark = style_sheet().split("prefers-color-scheme: dark")
    own = re.search(rf'stroke="{colour}"\] {{ stroke: (#\w+)', dark)
    [paper], [factor], [opacity] = (
        re.findall(what, dark) for what in (r"--paper: (#\w+)", r"brightness\(([\d.]+)\)", r"stroke-opacity: ([\d.]+)")
    )
    ground = parts(paper)
    line = [min(1.0, float(factor) * part) for part in parts(own[1] if own else colour)]
    interval = [float(opacity) * top + (1 - float(opacity)) * below for top, below in zip(line, ground, strict=True)]
    assert contrast(line, ground) > 4.5
    assert contrast(interval, ground) > 3


@pytest.mark.parametrize("colour", [*COLOURS, GREY])
def test_intervals_can_be_told_from_a_light_page(colour: str) -> None:
    """3 to 1 there too, and on paper. Lines keep their colours, which colour-blind readers can tell apart."""
    light, _ = style_sheet().split("@media screen and (prefers-color-scheme: dark)")
    own = re.search(rf'\.error\[stroke="{colour}"\] {{ stroke: (#\w+)', light)
    opacity = re.search(r"\.error {[^}]*opacity: ([\d.]+)", light)
    share, ground = float(opacity[1]) if opacity else 1.0, parts(re.findall(r"--paper: (#\w+)", light)[0])
    interval = [
        share * top + (1 - share) * below for top, below in zip(parts(own[1] if own else colour), ground, strict=True)
    ]
    assert contrast(interval, ground) > 3


def test_verdict_from_one_seed_judges_nothing() -> None:
    rows = sweep({1: [0.3], 2: [0.1]}) + sweep({1: [-1.0], 2: [-2.0]}, control="reinit")
    assert verdicts(curves(rows)) == [
        "lenet_300_100 on mnist: with one seed all levels are undecided; test accuracy is 98.0 % dense and 98.1 % for "
        "tickets that keep 25 % of the weights. Ticket minus control=reinit at that level: +2.10 points, no interval, "
        "1 seed."
    ]


def test_verdict_says_that_what_a_given_ticket_began_is_not_dense() -> None:
    [told] = verdicts(curves([row | {"weights_remaining": 0.8 * row["weights_remaining"]} for row in sweep(MATCHES)]))
    head = "lenet_300_100 on mnist (level 0 is the given ticket, not a dense network, 80 % of the weights): "
    assert told.startswith(head + "the sparsest matching tickets keep 20 % of the weights")


def test_verdict_of_runs_that_did_not_finish() -> None:
    dense = [row(0, 0, 98.0), row(0, 1, 98.1)]
    [told] = verdicts(curves([*dense, row(1, 0, None, "collapsed"), row(1, 1, None, "diverged")]))
    assert told == "lenet_300_100 on mnist: none of the tickets has finished: 1 collapsed, 1 diverged."
    [told] = verdicts(curves([row(0, 0, None, "failed"), row(1, 0, None, "blocked")]))
    assert told == "lenet_300_100 on mnist: no dense network has finished: 1 failed, so there is nothing to match."
    [told] = verdicts(curves([row(0, 0, 98.0), row(0, 1, None, "failed"), row(1, 1, 98.0)]))
    assert "nothing can be paired" in told


def test_cells_are_told_apart_by_what_differs_and_a_control_alone_is_no_ticket() -> None:
    rows = sweep(MATCHES, **{"prune.rate": 0.2}) + sweep(MATCHES, **{"prune.rate": 0.5}, control="reinit")
    found = curves(rows)
    first, second = verdicts(found)
    assert first.startswith("lenet_300_100 on mnist (prune.rate=0.2): the sparsest matching tickets keep")
    assert second.startswith("lenet_300_100 on mnist (prune.rate=0.5): the sparsest matching control=reinit networks")
    assert [style.name for style in styles(found)] == ["prune.rate=0.2, ticket", "prune.rate=0.5, control=reinit"]
    assert [style.name for style in styles(curves(sweep(MATCHES)))] == ["ticket"]


def collapsing() -> list[dict[str, Any]]:
    lost = [row(3, 0, None, "collapsed"), row(3, 1, None, "collapsed"), row(3, 2, 97.0), row(4, 0, None, "blocked")]
    return [r for r in sweep(MATCHES) if r["level"] < 3] + lost


def test_what_collapsed_is_left_out_of_the_means_and_shown() -> None:
    [curve] = curves(collapsing())
    assert curve.points[3].test == {2: 97.0}
    assert curve.points[3].unfinished == {"collapsed": 2}
    html = page(collapsing())
    assert '<td class="notes">2 collapsed</td>' in html
    assert "<td>level 4</td><td>0</td><td>&ndash;</td>" in html
    assert "14 results" not in html
    assert "13 results (level and seed of each curve): 10 done, 1 blocked, 2 collapsed." in html
    crosses = [t for t in result_figure([curve], styles([curve]))["data"] if t["mode"] == "markers"]
    assert [trace["x"] for trace in crosses] == [[12.5]]
    assert "A cross on the axis" in html


def test_emptied_layers_are_named_and_drawn() -> None:
    rows = [r | {"emptied": "fc1.weight fc2.weight" if r["status"] == "collapsed" else None} for r in collapsing()]
    [curve] = curves(rows)
    assert curve.points[3].emptied == ("fc1.weight", "fc2.weight")
    kept = {2: {"fc1.weight": (20, 20), "fc2.weight": (5, 5)}, 3: {"fc1.weight": (0, 2), "fc2.weight": (0, 0)}}
    layers = [
        {name: rows[0][name] for name in curve.labels}
        | {"seed": seed, "level": level, "layer": layer, "kept": n, "total": 100, "density": n / 100}
        for level, shares in kept.items()
        for layer, by_seed in shares.items()
        for seed, n in enumerate(by_seed)
    ]
    figure = layer_figure([curve], styles([curve]), by_curve(layers))
    assert figure is not None
    line, crosses = figure["data"]
    assert (line["x"], line["y"]) == (["fc1.weight", "fc2.weight"], [1.0, None])  # the sparsest level is shown first
    assert crosses["x"] == ["fc1.weight", "fc2.weight"]
    assert [text.split("<br>")[1] for text in crosses["text"]] == [
        "fc1.weight: empty in 1 of 2 seeds",
        "fc2.weight: empty in 2 of 2 seeds",
    ]
    [slider] = figure["layout"]["sliders"]
    assert [step["label"] for step in slider["steps"]] == ["25 %", "12.5 %"]
    assert slider["steps"][0]["args"][0]["y"] == [[20.0, 5.0], []]
    html = render(rows, layers, title="T", sweep="s", budgets=PAPER, command=None)
    assert "The slider chooses the level." in html
    last = render(rows, [of for of in layers if of["level"] == 3], title="T", sweep="s", budgets=PAPER, command=None)
    assert "Weights remaining: 12.5 %." in last
    assert "slider" not in without_script(last)
    assert '<td class="notes">2 collapsed (fc1.weight, fc2.weight empty)</td>' in html
    assert "Where weights are kept" in html
    assert "Where weights are kept" not in page(rows)


def compared(*cells: tuple[list[dict[str, Any]], dict[str, str]], **reference: str) -> list[str]:
    found = [compare.Compared(curve, settings) for rows, settings in cells for curve in curves(rows)]
    return list(compare.table(found, reference))


def test_cells_are_compared_at_equal_density_where_they_differ_in_what_is_named_alone() -> None:
    tickets, others = sweep({1: [0.0, 1.0], 2: [1.0, 2.0]}), sweep({2: [-1.0, -2.0]}, prune="at_init", criterion="snip")
    imp = tickets, {"prune.name": "imp", "prune.rate": "0.2", "criterion.name": "magnitude", "recipe.steps": "9"}
    snip = {"prune.name": "at_init", "prune.rate": "0.75", "criterion.name": "snip", "recipe.steps": "9"}
    [_, _, line] = compared(imp, (others, snip), prune="imp", criterion="magnitude")
    assert line == "| at_init | snip | 25 | 2 | 96.62 ± 0.59 | 99.62 ± 0.82 | -3.00 [-15.71, 9.71] | 0 of 2 |"
    with pytest.raises(Mistake, match=r"dense networks of prune=imp; what else differs, name too: criterion\.name"):
        compared(imp, (others, snip), prune="imp")
    with pytest.raises(Mistake, match=r"name too: recipe\.steps"):
        compared(imp, (others, snip | {"recipe.steps": "8"}), prune="imp", criterion="magnitude")
    for row in others:
        row["key"] += "-of another dense network"
    with pytest.raises(Mistake, match="name too: the dense network"):
        compared(imp, (others, snip), prune="imp", criterion="magnitude")
    with pytest.raises(Mistake, match="no cell has prune=snip"):
        compared(imp, prune="snip")
    with pytest.raises(Mistake, match="no cell has a setting 'prun'"):
        compared(imp, prun="imp")


def test_seeds_that_a_comparison_lacks_are_counted_on_both_sides() -> None:
    rows = [*sweep({1: [0.0, 0.01]}), row(0, 2, 98.0), row(1, 2, None, "diverged")]
    others = [*sweep({1: [0.0, 0.01, 0.02]}, survivors="reinit")]
    [_, _, line] = compared(
        (rows, {"survivors.name": "rewind"}), (others, {"survivors.name": "reinit"}), survivors="rewind"
    )
    assert line.startswith("| reinit | 50 | 2 (1 diverged) |")


def test_survivors_among_collapsed_seeds_are_called_that() -> None:
    rows = [*sweep({1: [0.0, 0.01]}), row(0, 2, 98.0), row(1, 2, None, "collapsed")]
    [told] = verdicts(curves(rows))
    assert told.endswith("[-0.06, 0.07], 2 seeds, 1 collapsed left out).")


def test_figures_share_one_dense_line() -> None:
    found = curves(sweep(MATCHES) + sweep(MATCHES, control="reinit"))
    for figure in (result_figure(found, styles(found)), early_stop_figure(found, styles(found))):
        assert figure is not None
        assert [trace["name"] for trace in figure["data"]] == ["dense", "ticket", "control=reinit"]
        assert figure["layout"]["xaxis"]["range"][0] > figure["layout"]["xaxis"]["range"][1]  # dense at the left
        assert figure["layout"]["xaxis"]["ticktext"] == ["100", "50", "25", "12"]


def test_two_dense_networks_have_two_lines() -> None:
    other = [r | {"key": r["key"] + "lr"} for r in sweep(MATCHES, lr=0.1)]
    found = curves(sweep(MATCHES, lr=0.01) + other)
    names = [trace["name"] for trace in result_figure(found, styles(found))["data"]]
    assert names == ["dense (lr=0.01)", "dense (lr=0.1)", "lr=0.01", "lr=0.1"]


def test_one_seed_has_no_interval_and_wide_intervals_that_are_cut_are_announced() -> None:
    found = curves(sweep({1: [0.1]}))
    figure = result_figure(found, styles(found))
    assert figure["data"][1]["error_y"] == figure["data"][1]["error_y"] | {"visible": False, "array": [None, None]}
    assert not cuts_intervals(figure)
    wide = sweep({1: [-2.0, 2.0]})
    assert "Some intervals reach beyond the figure" in page(wide)


def test_levels_that_fall_far_do_not_hide_what_is_near_dense() -> None:
    far, near = (curves(sweep({1: [-0.1, 0.1], 2: [last, last]})) for last in (-60.0, -2.0))
    [menu] = result_figure(far, styles(far))["layout"]["updatemenus"]
    whole, close = (button["args"][0]["yaxis.range"] for button in menu["buttons"])
    assert whole[0] < 40
    assert close[0] == pytest.approx(98.12 - 5)
    assert "updatemenus" not in result_figure(near, styles(near))["layout"]


def test_without_a_validation_split_the_page_says_so() -> None:
    rows = [r | {"early_stop_step": None, "early_stop_test_accuracy": None} for r in sweep(MATCHES)]
    html = page(rows)
    assert "No figure of the early-stop step" in html
    assert "Test accuracy at the end (%)" in html
    assert 'id="early-stop-1"' not in html


def test_each_model_and_data_set_has_its_own_section() -> None:
    html = page(sweep(MATCHES) + sweep(MATCHES, model="conv2", dataset="cifar10"))
    assert html.count(">lenet_300_100 on mnist</h2>") == html.count(">conv2 on cifar10</h2>") == 1
    assert html.count('id="accuracy-1"') == html.count('id="accuracy-2"') == 1


@pytest.mark.parametrize("budgets", [SMOKE, PAPER + SMOKE, [], ["budget=paper, budget.steps=0.1: 5,000 iterations"]])
def test_a_budget_that_is_not_the_papers_cannot_be_overlooked(budgets: list[str]) -> None:
    html = page(sweep(MATCHES), budgets)
    assert 'class="budget not-paper"' in html
    assert all(line in html for line in budgets)
    assert 'class="budget not-paper"' not in page(sweep(MATCHES), PAPER)


class Tags(HTMLParser):
    """Every start tag of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def without_script(html: str) -> str:
    """A page less the script that draws its figures."""
    script = (Path(lt_sweeps.report.page.__file__).parent / "figure.js").read_text()
    assert html.count(script) == 1
    return html.replace(script, "")


def test_the_page_asks_nothing_of_the_network() -> None:
    html = without_script(page(sweep(MATCHES)))
    tags = Tags()
    tags.feed(html)
    links = [attrs["href"] or "" for _, attrs in tags.found if "href" in attrs]
    assert [link for link in links if not link.startswith("#")] == ["data:,"]
    assert not [tag for tag, attrs in tags.found if {"src", "srcset", "action"} & attrs.keys()]
    assert not [word for word in ("http:", "https:", "//cdn", "@import", "url(") if word in html]
    assert not re.search(r"fetch|XMLHttp|import\(|https?:(?!//www.w3.org/2000/svg)", page(sweep(MATCHES)))


def test_the_same_rows_make_the_same_bytes() -> None:
    assert page(sweep(MATCHES)) == page(sweep(MATCHES))


def test_labels_are_text_and_never_markup() -> None:
    name = "<b>net</b></script><script>alert(1)"
    html = without_script(page(sweep(MATCHES, model=name, **{"prune.rate": "<i>"}), [f"budget=<u>{name}: x"]))
    tags = Tags()
    tags.feed(html)
    kinds = [tag for tag, _ in tags.found]
    assert not {"b", "i", "u"} & set(kinds)
    assert kinds.count("script") == 4  # the one that draws, and the data of two figures and of the selector
    assert "&lt;b&gt;net&lt;/b&gt;" in html


def test_a_sweep_without_results_has_a_page_too() -> None:
    assert "This sweep has no results yet." in render([], title="T", sweep="s", budgets=PAPER, command=None)


def test_reporting_imports_no_torch() -> None:
    program = """
import sys
from lt_sweeps.report import page, statistics, verdict
assert not {"torch", "scipy", "numpy"} & sys.modules.keys()
rows = [{"model": "m", "dataset": "d", "control": "none", "seed": s, "level": l, "weights_remaining": 100 / (l + 1),
         "test_accuracy": 90.0 + s, "status": "done", "key": f"{s}{l}"} for s in (0, 1) for l in (0, 1)]
assert page.render(rows, title="t", sweep="s", budgets=[], command=None)
assert not {"torch", "scipy.stats"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_seed_that_failed_is_in_no_mean() -> None:
    rows = [row(0, 0, 98.0), row(0, 1, 98.0), row(1, 0, 97.0) | {"at_random": 80.0}, row(1, 1, None, "failed")]
    [curve] = curves(rows)
    assert curve.points[1].at_random == 80.0


def test_a_plus_minus_is_a_deviation_everywhere_and_heads_say_what_stands_below() -> None:
    """Three seeds: 98.0, 98.1 and 98.2 deviate by 0.1; half their interval is 4.303 * 0.1 / sqrt(3)."""
    rows = [row(0, 0, 98.0), row(0, 1, 98.1), row(0, 2, 98.2), *(row(1, seed, 97.0 + seed / 10) for seed in range(3))]
    html, text = without_script(page(rows)), summary(rows, PAPER, "", [], None)
    accuracy = next(iter(curves(rows)[0].points[0].test.values()))
    mean = accuracy + 0.1
    html = html.replace("In summary.md ± is", "")
    assert "±" not in html
    assert "\\u00b1" not in html, "nor in the texts of figures"
    assert f'<td>{mean:.2f} <span class="range">[{mean - 0.2484:.2f}, {mean + 0.2484:.2f}]</span></td>' in html
    assert "Test accuracy (%)<br>at early stop, 95 % interval" in html
    assert f"| {mean:.2f} ± 0.10 |" in text
    assert "test accuracy (%) at early stop, mean ± s.d." in text


def test_a_difference_of_fewer_seeds_than_its_mean_says_how_many() -> None:
    """Seed 2 of the dense network diverged; the ticket of that seed did not."""
    rows = sweep({1: [0.1, 0.0, 0.2]})
    rows[2] |= row(0, 2, None, "diverged")
    html, text = without_script(page(rows)), summary(rows, PAPER, "", [], None)
    [cells] = re.findall(r"<tr><td>50 %</td><td>3</td><td>.*?</td><td>(.*?)</td>", html)
    assert cells.endswith("(n = 2)")
    assert html.count("(n = 2)") == 1
    assert re.search(r"\| 50 \| 3 \| [^|]* \| \+0.05 \[[^|]*\] \(n = 2\) \|", text)


def test_what_is_closest_is_explained_where_none_matches() -> None:
    assert "<dt>Closest</dt>" in page(sweep({1: [-0.5, -0.6]}))
    assert "<dt>Closest</dt>" not in page(sweep(MATCHES))


def test_a_level_of_a_control_of_which_no_seed_has_begun_stands_at_its_ticket() -> None:
    waiting = [row(2, seed, None, "missing", control="reinit") | {"weights_remaining": None} for seed in range(3)]
    found = curves([*sweep(MATCHES), *sweep({1: [-1.0, -1.1, -0.9]}, control="reinit"), *waiting])
    [control] = [curve for curve in found if curve.control == "reinit"]
    assert (control.points[2].shown_at, control.points[2].notes) == (25.0, "3 missing")
    [cross] = [t for t in result_figure(found, styles(found))["data"] if t.get("marker", {}).get("symbol") == "x-thin"]
    assert cross["x"] == [25.0]


def test_no_axis_goes_where_no_percentage_can_be() -> None:
    """Two seeds of 40 and 99 have an interval from -305 to 444."""
    wide = result_figure(
        found := curves([row(0, 0, 98.0), row(0, 1, 98.2), row(1, 0, 40.0), row(1, 1, 99.0)]), styles(found)
    )
    low, high = wide["layout"]["yaxis"]["range"]
    assert low >= 0
    assert 100 <= high < 108
    assert cuts_intervals(wide)


def test_names_leave_out_what_a_curve_has_none_of_where_they_still_differ() -> None:
    labels = ["criterion", "hook", "hook.every", "find.lr"]
    values = [("snip", "none", "100it", None), ("grasp", "rigl", "20it", "0.1")]
    rows = [row(0, 0, 98.0, **dict(zip(labels, value, strict=True))) for value in values]
    names = [style.name for style in styles(curves(rows))]
    assert names == ["criterion=snip, hook=none", "criterion=grasp, hook=rigl, hook.every=20it, find.lr=0.1"]
    twice = [row(0, 0, 98.0, hook="none", **{"hook.every": every}) for every in ("100it", "20it")]
    assert [style.name for style in styles(curves(twice))] == ["hook.every=100it", "hook.every=20it"]


def test_measures_of_one_training_in_several_cells_are_all_shown() -> None:
    """As in a sweep over `measure=`: the rows are one training, each with the values of its own measure."""
    plain = [row(level, 0, 98.0 - level) for level in (0, 1)]
    first = [one | {"recall_planted": 80.0 if one["level"] else None, "sign_flips_init": None} for one in plain]
    second = [one | {"recall_planted": None, "sign_flips_init": 5.0} for one in plain]
    [curve] = curves([*first, *second])
    assert curve.points[1].measures == {"recall_planted": {0: 80.0}, "sign_flips_init": {0: 5.0}}
    assert curves([*second, *first])[0].points == curve.points
    page = render([*first, *second], [], title="t", sweep="s", budgets=PAPER, command="c")
    assert ">recall</h3>" in page
    assert ">sign_flips</h3>" in page


def test_what_a_search_found_has_a_figure() -> None:
    rows = [row(level, 0, 98.0) | {"found_accuracy": 91.5 if level else None} for level in (0, 1)]
    page = render(rows, [], title="t", sweep="s", budgets=PAPER, command="c")
    assert ">Test accuracy as found</h3>" in page
    assert "before any ticket is trained" in page
