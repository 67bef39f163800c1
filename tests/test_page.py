"""The page of a report in a browser: what it draws, what can be hidden, how large it becomes."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import time
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from test_report import MATCHES, PAPER, page, row, sweep

import lt_sweeps as lt
from lt_sweeps.cli import main as cli
from lt_sweeps.errors import Mistake
from lt_sweeps.report.curves import curves
from lt_sweeps.report.figures import panels
from lt_sweeps.report.page import render
from lt_sweeps.report.selecting import merge
from lt_sweeps.report.styles import styles
from lt_sweeps.report.table import as_csv

CRITERIA = ("magnitude", "snip", "grasp", "synflow")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CALLS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--virtual-time-budget=5000")


def eight() -> list[dict[str, Any]]:
    """Four criteria, each with a control, of three levels and three seeds."""
    return [
        row | {"key": f"{row['key']} {criterion}"}
        for criterion in CRITERIA
        for control in ("none", "reinit")
        for row in sweep(MATCHES, criterion=criterion, control=control)
    ]


def of_scripts(html: str) -> list[Any]:
    """The data in a page: the selector's, if it has one, then those of figures."""
    found = [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', html)]
    return sorted(found, key=lambda data: isinstance(data, dict))


def test_the_selector_knows_every_curve_by_the_name_that_figures_and_tables_have() -> None:
    html = page(eight())
    boxes = re.findall(r'<input type="checkbox" checked name="(\w+)" value="(\w+)">', html)
    assert boxes == [("control", "none"), ("control", "reinit"), *(("criterion", name) for name in CRITERIA)]
    [selector, *figures] = of_scripts(html)
    names = [name for name, _ in selector]
    assert names == [unescape(name) for name in re.findall(r'<tbody data-curve="(.*?)">', html)]
    assert {labels["criterion"] for _, labels in selector} == {*CRITERIA}
    for figure in figures:
        drawn = {trace["legendgroup"] for trace in figure["data"] if "legendgroup" in trace}
        assert {f"place-1 {name}" for name in drawn} == {*names}
    assert 'type="checkbox" checked' not in page(sweep(MATCHES)), "there is nothing to select among one curve"
    one_seed = [of for of in sweep(MATCHES) if of["seed"] == 0]
    assert "<form" not in page(one_seed)


def test_values_of_a_label_stand_side_by_side_on_the_same_axes() -> None:
    html = render(eight(), title="t", sweep="s", budgets=PAPER, command=None, facet="criterion", color="control")
    assert "Test accuracy by criterion" in html
    figures = [data for data in of_scripts(html)[1:] if data["layout"]["yaxis"]["title"]["text"].startswith("Test acc")]
    assert re.findall(r"<h3>(criterion=\w+)</h3>", html) == [f"criterion={name}" for name in CRITERIA]
    *beside, whole = figures
    assert len(beside) == 4
    assert all(figure["layout"]["yaxis"]["range"] == whole["layout"]["yaxis"]["range"] for figure in beside)
    assert all(figure["layout"]["xaxis"] == whole["layout"]["xaxis"] for figure in beside)
    found = curves(eight())
    assert [value for value, _ in panels(found, styles(found), "control")] == ["none", "reinit"]


def test_a_colour_is_for_each_value_of_the_label_that_is_asked_for() -> None:
    found = curves(eight())
    look = dict(zip([(c.labels["criterion"], c.control) for c in found], styles(found, "control"), strict=True))
    assert len({style.colour for style in look.values()}) == 2
    assert len({style.colour for (_, control), style in look.items() if control == "none"}) == 1
    assert len({style.symbol for (_, control), style in look.items() if control == "none"}) == 4
    assert len({(style.colour, style.symbol) for style in look.values()}) == 8


def test_eight_curves_are_told_apart_without_their_colour() -> None:
    """Readers of grey paper have symbols and dashes alone: of four criteria with a control each, and of eight."""
    several = [row | {"criterion": f"{row['criterion']}-{row['control']}", "control": "none"} for row in eight()]
    for rows in (eight(), several):
        assert len({(style.symbol, style.dash) for style in styles(curves(rows))}) == 8


def test_rows_alone_make_a_page_that_does_not_know_their_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those of the measured sweeps of this repository, which come without their cells and their store."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "results.csv").write_text(as_csv(sweep(MATCHES)))
    assert cli(["report", str(tmp_path / "s"), "--out", str(tmp_path / "page.html")]) == 0
    html = (tmp_path / "page.html").read_text()
    assert "the sparsest matching tickets keep 25" in html
    assert "The budget is not known: do not quote these numbers." in html
    assert cli(["report", str(tmp_path / "s")]) == 2
    assert "has the rows of a sweep and nothing else of it; --out page.html shows them" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["results.csv"]


def test_a_label_that_there_is_not_is_a_mistake() -> None:
    with pytest.raises(Mistake, match=r"--facet criterio: no label of these results; .* did you mean 'criterion'\?"):
        render(eight(), title="t", sweep="s", budgets=PAPER, command=None, facet="criterio")


@pytest.mark.sweeps
def test_the_command_takes_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lt_sweeps.main import main

    small = ["recipe.steps=10it", "recipe.eval_every=5it", "prune.levels=1", "trainer.processes=0", "sweep=s"]
    assert main(["-m", *small, "control=none,reinit", f"paths.output_dir={tmp_path}"]) == 0
    before = (tmp_path / "s" / "results.csv").read_bytes()
    assert cli(["report", str(tmp_path / "s"), "--facet", "control", "--color", "control"]) == 0
    html = (tmp_path / "s" / "report.html").read_text()
    assert "Test accuracy by control" in html
    assert re.findall(r"<h1>(.*?)</h1>", html) == ["lenet_300_100 on digits, control=none,reinit"]
    history = lt.open(tmp_path / "s").ticket(level=1, seed=0, control="reinit").history
    written = [*csv.DictReader((tmp_path / "s" / "histories.csv").read_text().splitlines())]
    lines = [line for line in written if (line["control"], line["level"]) == ("reinit", "1")]
    assert [float(line["val_accuracy"]) for line in lines] == [*history.val_accuracy]
    [learning] = re.findall(r'id="learning-1"><script type="application/json">(.*?)</script>', html)
    assert [(trace["name"], trace["x"]) for trace in json.loads(learning)["data"]] == [
        (name, [5, 10]) for name in ("dense", "ticket", "control=reinit")
    ]
    assert json.loads(learning)["data"][2]["y"] == [*history.val_accuracy]
    assert "lt_sweeps.main -m recipe.steps=10it" in html, "the command that trained, beside that which made the page"
    assert "<summary>Recipe of lenet_300_100 on digits</summary>\n<pre>name: lenet_digits\n" in html
    assert "\nsteps: 10it\nbatch_size: 60\noptimizer._target_: torch.optim.Adam\noptimizer.args.lr: 0.0012\n" in html
    assert "4 results (level and seed of each curve): 4 done. These are 3 trainings: what curves share" in html
    assert f"<p>Computed with {re.findall('Machine: (.*)', (tmp_path / 's' / 'summary.md').read_text())[0]}</p>" in html
    assert f"lt-sweeps report {tmp_path / 's'} --facet control --color control" in html
    assert (tmp_path / "s" / "results.csv").read_bytes() == before
    assert cli(["report", str(tmp_path / "s"), "--facet", "contrl"]) == 2
    assert "--facet contrl: no label of these results" in capsys.readouterr().err


def test_contents_lead_to_every_part_of_every_section() -> None:
    html = page([*eight(), *sweep(MATCHES, model="conv2")])
    [nav] = re.findall("<nav.*?</nav>", html)
    links = dict(re.findall(r'<a href="#([^"]*)">(.*?)</a>', nav))
    assert [*links.values()] == [
        text
        for model in ("lenet_300_100", "conv2")
        for text in (f"{model} on mnist", "Accuracy", "Speed of learning", "Every level")
    ]
    assert all(re.search(rf'<h[23] id="{name}">{title}</h', html) for name, title in links.items())


def test_learning_curves_are_means_at_the_steps_that_all_seeds_have() -> None:
    """Of each level, beside the dense network; training losses where nothing is held out for validation."""
    rows = sweep(MATCHES)

    def evaluated(column: str, value: float, ends: tuple[int, ...] = (30, 20, 30)) -> list[dict[str, Any]]:
        labels = curves(rows)[0].labels
        return [
            {**labels, "seed": seed, "level": level, "step": step, column: value * step + seed - level}
            for level in (0, 1, 2)
            for seed, end in enumerate(ends)
            for step in (10, 20, 30)
            if step <= end
        ]

    def figure(histories: list[dict[str, Any]]) -> Any:
        html = render(rows, title="t", sweep="s", budgets=PAPER, command=None, histories=histories)
        found = re.findall(r'id="learning-1"><script type="application/json">(.*?)</script>', html)
        return json.loads(found[0]) if found else None

    drawn = figure(evaluated("val_accuracy", 3.0))
    dense, ticket = drawn["data"]
    assert (dense["name"], dense["x"], dense["y"]) == ("dense", [10, 20], [31, 61])
    assert (ticket["name"], ticket["y"]) == ("ticket", [29, 59]), "of the sparsest level"
    [slider] = drawn["layout"]["sliders"]
    assert [(step["label"], step["args"][0]["y"][1]) for step in slider["steps"]] == [
        ("50 %", [30, 60]),
        ("25 %", [29, 59]),
    ]
    assert drawn["layout"]["yaxis"]["title"]["text"] == "Validation accuracy (%)"
    assert figure(evaluated("train_loss", 0.1))["layout"]["yaxis"]["title"]["text"] == "Training loss"
    assert figure(evaluated("val_accuracy", 3.0, (10, 10, 10))) is None
    assert figure([]) is None


def test_the_error_along_the_line_between_two_networks_is_a_curve_of_each_level() -> None:
    rows = [row | {"barrier": 1.0, "churn_dense": 1.0} for row in sweep(MATCHES)]
    labels = curves(rows)[0].labels
    points = [
        {**labels, "seed": seed, "level": level, "measure": measure, "layer": "", "alpha": alpha, "test_error": error}
        for measure in ("barrier", "churn_dense")
        for level in (0, 1, 2)
        for seed in (0, 1)
        for alpha, error in ((0.0, 2.0 + seed), (0.5, 4.0 + level), (1.0, 2.0))
    ]
    html = render(rows, [], points, title="t", sweep="s", budgets=PAPER, command=None)
    [text] = re.findall(r'id="[a-z-]+-line-1"><script type="application/json">(.*?)</script>', html)
    figure = json.loads(text)
    stops = {step["label"]: step["args"][0]["y"] for step in figure["layout"]["sliders"][0]["steps"]}
    assert stops == {"100 %": [[2.5, 4, 2]], "50 %": [[2.5, 5, 2]], "25 %": [[2.5, 6, 2]]}
    assert figure["data"][0]["x"] == [0, 0.5, 1]
    assert figure["layout"]["yaxis"]["title"]["text"] == "Test error (%)"
    assert "Test error on the line between the two networks of each level" in html


def many(cells: int, levels: int) -> list[dict[str, Any]]:
    """Two seeds of each setting."""
    changes = {level: [-0.01 * level, -0.02 * level] for level in range(1, levels + 1)}
    return [row for cell in range(cells // 2) for row in sweep(changes, **{"recipe.optimizer.lr": f"0.{cell:03}"})]


@pytest.mark.parametrize(("cells", "levels"), [(40, 8), (200, 12)])
def test_a_large_sweep_has_a_page_that_is_small(cells: int, levels: int) -> None:
    rows, begun = many(cells, levels), time.process_time()
    html = page(rows)
    assert time.process_time() - begun < 15  # on a slow machine; a second or two elsewhere
    assert len(html) < 2_000_000


def in_browser(html: str, folder: Path, script: str = "") -> str:
    """The page as it is once it was drawn, and a script was run."""
    file = folder / "page.html"
    file.write_text(html.replace("</body>", f"<script>{script}</script></body>"))
    done = subprocess.run(
        [str(BROWSER), *CALLS, "--dump-dom", f"--user-data-dir={folder / 'browser'}", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_a_browser_draws_every_curve_and_hides_what_is_hidden(tmp_path: Path) -> None:
    html = page(eight())
    whole = in_browser(html, tmp_path)
    assert whole.count('class="curve" data-curve="place-1 ') == 2 * 8
    assert len(re.findall(r'<path [^>]*class="grid"', whole)) >= 8
    assert len(re.findall(r"<tbody [^>]*hidden", whole)) == 0
    one_off = "document.querySelector('.legend button[data-curve]').click();"
    clicked = in_browser(html, tmp_path, one_off)
    assert clicked.count('class="curve" data-curve="place-1 ') == 2 * 7, "hidden in one figure, hidden in both"
    assert len(re.findall(r"<tbody [^>]*hidden", clicked)) == 1
    unchecked = "const box = document.querySelector('.selector input[value=grasp]'); box.click();"
    selected = in_browser(html, tmp_path, unchecked)
    assert selected.count('class="curve" data-curve="place-1 ') == 2 * 6
    assert not re.search(r'class="curve" data-curve="[^"]*grasp', selected)


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_each_seed_has_a_thin_line_once_that_is_asked_for(tmp_path: Path) -> None:
    html = page(eight())
    assert 'class="seed"' not in in_browser(html, tmp_path)
    asked = in_browser(html, tmp_path, "document.querySelector('.selector .seeds').click();")
    assert asked.count('class="seed"') == 8 * 3, "of each curve, in the figure of test results"
    figure = next(data for data in of_scripts(html) if isinstance(data, dict))
    first = next(trace for trace in figure["data"] if "seeds" in trace)
    assert len(first["seeds"]) == 3
    assert [sum(of) / 3 for of in zip(*first["seeds"], strict=True)] == pytest.approx(first["y"])
    few = in_browser(page(sweep(MATCHES)), tmp_path, "document.querySelector('.selector .seeds').click();")
    assert few.count('class="seed"') == 3


def test_levels_and_layers_are_a_heat_map_in_the_order_of_the_network() -> None:
    labels = {name: of for name, of in eight()[0].items() if name not in ("seed", "level")}
    names = [*labels][: [*eight()[0]].index("seed")]
    shares = [
        {name: labels[name] for name in names}
        | {"seed": seed, "level": level, "layer": layer, "kept": kept + seed, "total": 10, "density": 0.0}
        for seed in (0, 1)
        for level, by_layer in {1: {"fc2.weight": 8, "fc1.weight": 4}, 2: {"fc2.weight": 6, "fc1.weight": 0}}.items()
        for layer, kept in by_layer.items()
    ]
    html = render(eight(), shares, title="t", sweep="s", budgets=PAPER, command=None)
    [maps] = re.findall(r'<div class="maps">(.*?)</details>', html, re.DOTALL)
    assert maps.count("<table>") == 1
    lines = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in re.findall(r"<tr>(.*?)</tr>", maps)]
    assert lines[0][1:] == ["50 %", "25 %"], "the weights remaining at levels 1 and 2"
    assert lines[1:] == [["fc2.weight", "85", "65"], ["fc1.weight", "45", "5"]]
    assert '<td style="--k:0.85">85</td>' in maps


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_the_title_of_an_axis_is_whole_however_long_it_is(tmp_path: Path) -> None:
    shown = """
    const titles = [...document.querySelectorAll(".plot svg text[transform*='rotate(-90)']")].map((text) => {
        const [own, all] = [text, text.ownerSVGElement].map((one) => one.getBoundingClientRect());
        return own.top >= all.top && own.bottom <= all.bottom; });
    document.title = titles.join();"""
    rows = [row | {"weight_histogram_before": 50.0, "graphon_trained": 50.0} for row in eight()]
    assert "<title>true,true,true,true</title>" in in_browser(page(rows), tmp_path, shown)


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_what_is_printed_is_whole(tmp_path: Path) -> None:
    """On a page of paper, some 740 px wide, no column, legend or command is cut, and the level of a slider is said."""
    rows = [*eight(), *(row(4, 0, None, "diverged", criterion=name, control="reinit") for name in CRITERIA)]
    shares = [{**r, "layer": "fc1.weight", "kept": 1, "total": 2} for r in rows if r["level"] in (1, 2)]
    shares = [{name: v for name, v in r.items() if not name.startswith(("test", "val", "early"))} for r in shares]
    words = "python -m lt_sweeps.main " + "recipe.optimizer.lr=0.1 " * 30
    html = render(rows, shares, title="t", sweep="s", budgets=PAPER, command=words)
    script = """
        const beyond = (what) => [...document.querySelectorAll(what)].filter((one) => one.scrollWidth > 740).length;
        const legend = document.querySelector(".legend"), unseen = legend.scrollHeight - legend.clientHeight;
        const [label, slider] = ["label", "input"].map(one => document.querySelector(".controls " + one).offsetHeight);
        document.body.dataset.printed = [beyond(".scroll"), beyond("pre"), unseen, label > 0, slider].join(" ");"""
    printed = html.replace("@media print", "@media all").replace("<main>", '<main style="width: 740px">')
    assert 'data-printed="0 0 0 true 0"' in in_browser(printed, tmp_path, script)
    assert 'data-printed="0 0 0 true 0"' not in in_browser(html, tmp_path, script), "on a screen they scroll"


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_a_long_legend_is_printed_whole_once_and_others_say_how_much_they_leave_out(tmp_path: Path) -> None:
    rows = [row(level, 0, 98.0, criterion=f"c{i}") for i in range(30) for level in (0, 1)]
    html = render(rows, title="t", sweep="s", budgets=PAPER, command=None)
    printed = html.replace("@media print", "@media all")
    script = """
        const shown = [...document.querySelectorAll(".legend")].map((legend) => {
            const more = getComputedStyle(legend, "::after").content.replaceAll('"', "").split(":")[0];
            return [...legend.children].filter((one) => one.offsetHeight).length + " " + more; });
        document.body.dataset.shown = shown.join("; ");"""
    entries = 30 + 1  # and the dense network's line
    assert f'data-shown="{entries} none; 24 and {entries - 24} more"' in in_browser(printed, tmp_path, script)
    assert f'data-shown="{entries} none; {entries} none"' in in_browser(html, tmp_path, script), (
        "on a screen it scrolls"
    )


def test_a_training_that_two_sweeps_share_counts_once_and_two_results_of_it_stand_apart() -> None:
    one = [row(level, seed, 98.0 + level, criterion="snip") for level in (0, 1) for seed in (0, 1)]
    part, places = [dict(each) for each in one if each["seed"] == 0], [Path("runs/one"), Path("runs/part")]
    assert merge([one, part], places) == one
    part[1]["test_accuracy"] = 50.0
    apart = merge([one, part], places)
    assert [each["sweep"] for each in apart] == ["one"] * 4 + ["part"] * 2


def test_what_two_folders_both_measured_is_of_one_seed(tmp_path: Path) -> None:
    """Two folders have seed 0 and one has seed 1: the mean of 80 and 90 is 85, and of each seed there is one value."""
    rows = [row(level, seed, 98.0) | {"overlap": 80.0} for level in (0, 1) for seed in (0, 1)]
    for folder, seeds in ((tmp_path / "one", (0, 1)), (tmp_path / "two", (0,))):
        folder.mkdir()
        points = [
            {"model": "lenet_300_100", "dataset": "mnist", "prune": "imp", "rewind": "init", "survivors": "rewind"}
            | {"control": "none", "seed": seed, "level": 1, "measure": "overlap"}
            | {"layer": "all", "tensor": 0.0, "tensor_overlap": 80.0 + 10 * seed}
            for seed in seeds
        ]
        (folder / "results.csv").write_text(as_csv([one for one in rows if one["seed"] in seeds]))
        (folder / "measures.csv").write_text(as_csv([*points, points[0]]))
    out = tmp_path / "page.html"
    assert cli(["report", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(out)]) == 0
    assert re.findall(r'<td style="background:[^>]*>([^<]*)<', out.read_text()) == ["85"]


def test_a_measure_that_only_the_second_folder_has_is_of_all_its_seeds() -> None:
    plain = [row(level, 0, 98.0) for level in (0, 1)]
    more = [row(level, seed, 98.0) | {"barrier": 1.0 + seed} for level in (0, 1) for seed in (0, 1)]
    [curve] = curves(merge([plain, more], [Path("a"), Path("b")]))
    assert curve.points[1].measures == {"barrier": {0: 1.0, 1: 2.0}}
    assert "barrier" not in plain[0]
