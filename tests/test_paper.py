"""Figures and tables for papers: they show the numbers of results.csv, and nothing of the machine that drew them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib
import pandas as pd
import pytest
from test_report import row

from lt_sweeps import cli
from lt_sweeps.config.schema import CONF
from lt_sweeps.errors import Mistake
from lt_sweeps.loggers import aggregate
from lt_sweeps.report import paper, paper_data, paper_layers, published
from lt_sweeps.report.curves import curves
from lt_sweeps.report.quantities import quantities
from lt_sweeps.report.statistics import interval
from lt_sweeps.report.styles import SYMBOLS
from lt_sweeps.report.table import as_csv, read_layers
from lt_sweeps.report.tabular import table

DENSE, HALF, REINIT = (98.04, 98.2, 98.1), (98.1, 98.27, 98.13), (97.0, 97.4, 97.1)
T95 = 4.302653  # Student's t for 95 % and three seeds
Folder = Callable[..., Path]


def rows(**labels: Any) -> list[dict[str, Any]]:
    """Three seeds: dense, a ticket at a half, and its control, which one seed did not finish at a quarter."""
    made = [row(0, seed, value, **labels) for seed, value in enumerate(DENSE)]
    made += [row(0, seed, value, control="reinit", **labels) for seed, value in enumerate(DENSE)]
    made += [row(1, seed, value, **labels) for seed, value in enumerate(HALF)]
    made += [row(1, seed, value, control="reinit", **labels) for seed, value in enumerate(REINIT)]
    return [*made, row(2, 0, 90.0, control="reinit", **labels), row(2, 1, None, "diverged", control="reinit", **labels)]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Writes the table of a sweep."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, made: list[dict[str, Any]]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "results.csv").write_text(as_csv(made))
        return Path(name)

    return write


def test_markers_show_on_paper_whether_they_are_filled() -> None:
    from matplotlib.markers import MarkerStyle
    from matplotlib.path import Path as Outline

    size, edge = paper.LOOKS["paper"].marker, 0.7 * paper.LOOKS["paper"].line
    places = [(x / 40, y / 40) for x in range(-40, 41) for y in range(-40, 41)]
    for name in SYMBOLS:
        style = MarkerStyle(paper.MARKERS[name])
        [outline] = style.get_path().transformed(style.get_transform()).to_polygons()
        inside = [
            place for place, within in zip(places, Outline(outline).contains_points(places), strict=True) if within
        ]
        ends = [*pairwise(outline)]
        radius = max(min(_to_segment(place, *of) for of in ends) for place in inside)
        assert size * radius - edge / 2 > 0.5, f"{name}: what its edge leaves of it, in points"


def _to_segment(place: Any, start: Any, end: Any) -> float:
    """How far a place is from a segment."""
    (x, y), (along_x, along_y) = place - start, end - start
    share = min(max((x * along_x + y * along_y) / ((along_x**2 + along_y**2) or 1.0), 0.0), 1.0)
    return float(((x - share * along_x) ** 2 + (y - share * along_y) ** 2) ** 0.5)


def lines(figure: Any) -> dict[str, list[tuple[float, float]]]:
    """The points of each curve of a figure's first panel, by its name in the legend."""
    axis = figure.axes[0]
    names = {line.get_color(): line.get_label() for line in axis.lines if not line.get_label().startswith("_")}
    drawn = [line for line in axis.lines if line.get_linestyle() != "None" and len(line.get_xdata())]
    return {
        names[line.get_color()]: [(round(x, 6), round(y, 6)) for x, y in zip(*line.get_data(), strict=True)]
        for line in drawn
        if line.get_color() in names
    }


def test_a_figure_shows_means_and_intervals_of_the_table() -> None:
    figure = paper.draw(curves(rows()))
    dense, half, reinit = (round(fmean(values), 6) for values in (DENSE, HALF, REINIT))
    found = lines(figure)
    assert found["ticket"] == [(100.0, dense), (50.0, half)]
    assert found["control=reinit"] == [(100.0, dense), (50.0, reinit), (25.0, 90.0)]
    [level, _] = {y for _, y in found["dense"]}, None
    assert level == {dense}
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    expected = T95 * stdev(HALF) / 3**0.5
    at_half = sorted({round(y, 4) for x, y in band if x == 50.0})
    assert at_half == [round(half - expected, 4), round(half + expected, 4)]


def test_markers_say_what_matches_and_crosses_what_did_not_finish() -> None:
    axis = paper.draw(curves(rows())).axes[0]
    markers = [line for line in axis.lines if line.get_linestyle() == "None" and len(line.get_xdata())]
    white = {
        (x, round(y, 2))
        for m in markers
        if m.get_markerfacecolor() == "white"
        for x, y in zip(*m.get_data(), strict=True)
    }
    filled = {
        (x, round(y, 2))
        for m in markers
        if m.get_markerfacecolor() != "white" and m.get_marker() != "x"
        for x, y in zip(*m.get_data(), strict=True)
    }
    assert (50.0, round(fmean(HALF), 2)) in filled, "0.05 above dense, within 0.03"
    assert white == {(50.0, round(fmean(REINIT), 2)), (25.0, 90.0)}
    [cross] = [m for m in markers if m.get_marker() == "x"]
    assert [*cross.get_xdata()] == [25.0]


def test_differences_are_paired_by_seed_and_have_no_point_for_dense() -> None:
    by_seed = [half - dense for half, dense in zip(HALF, DENSE, strict=True)]
    drawn = lines(paper.draw(curves(rows()), "difference"))
    assert drawn["ticket"] == [(50.0, round(fmean(by_seed), 6))]
    [shown] = [r for r in paper_data.data(curves(rows()), "difference") if r["control"] == "none" and r["level"] == 1]
    assert shown["high"] - shown["mean"] == pytest.approx(T95 * stdev(by_seed) / 3**0.5, rel=1e-6)
    assert [shown[f"seed_{seed}"] for seed in range(3)] == pytest.approx(by_seed)


@pytest.mark.parametrize("form", paper.FORMATS)
def test_a_file_depends_on_the_rows_alone(form: str) -> None:
    first = paper.encoded(paper.draw(curves(rows()), "difference"), form)
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.facecolor": "black", "savefig.dpi": 7}):
        again = paper.encoded(paper.draw(curves(rows()), "difference"), form)
    assert first == again
    assert first.startswith({"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}[form])
    assert form != "pdf" or b"/FontFile2" in first, "its fonts are embedded"
    assert form != "svg" or b"<text" not in first, "its letters are outlines"


def test_the_size_is_the_one_asked_for() -> None:
    assert paper.draw(curves(rows()), width=5.5).get_figwidth() == 5.5
    assert paper.draw(curves(rows())).get_figwidth() == 3.25
    assert paper.draw(curves(rows()), style="talk").get_figwidth() == 8.0


def test_panels_share_one_look_and_one_legend() -> None:
    both = curves([*rows(criterion="snip"), *rows(criterion="grasp")])
    figure = paper.draw(both, facet="criterion")
    assert [axis.get_title() for axis in figure.axes] == ["criterion=snip", "criterion=grasp"]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dense", "ticket", "control=reinit"]
    colours = [{line.get_color() for line in axis.lines if line.get_label() == "ticket"} for axis in figure.axes]
    assert colours[0] == colours[1]


def test_each_model_and_data_set_has_a_panel() -> None:
    both = curves([*rows(), *rows(model="conv2")])
    titles = [axis.get_title() for axis in paper.draw(both).axes]
    assert titles == ["lenet_300_100, mnist", "conv2, mnist"]


@pytest.mark.parametrize("spread", paper.SPREADS)
def test_seeds_are_thin_lines_where_asked(spread: str) -> None:
    axis = paper.draw(curves(rows()), spread=spread).axes[0]
    thin = [line for line in axis.lines if line.get_alpha() == 0.35]
    assert len(thin) == (6 if spread == "seeds" else 0)
    if thin:
        assert [round(float(y), 2) for y in thin[0].get_ydata()] == [DENSE[0], HALF[0]]


def test_the_command_writes_figure_data_and_caption(sweep: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sweep("lenet", rows())
    assert cli.main(["figure", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert (folder / "accuracy.pdf").read_bytes().startswith(b"%PDF")
    assert "n = 1 to 3 seeds" in printed
    assert "1 training that did not finish is left out" in printed
    written = [*csv.DictReader(io.StringIO((folder / "accuracy.csv").read_text()))]
    [ticket] = [line for line in written if line["control"] == "none" and line["level"] == "1"]
    assert float(ticket["mean"]) == pytest.approx(fmean(HALF))
    assert [float(ticket[f"seed_{seed}"]) for seed in range(3)] == pytest.approx(HALF)
    assert ticket["matching"] == "True"


def test_parquet_has_what_csv_has(sweep: Folder) -> None:
    folder = sweep("lenet", rows())
    for form in ("csv", "parquet"):
        assert cli.main(["figure", str(folder), "difference", "--data", form, "--out", "here/f.svg"]) == 0
    plain, columns = pd.read_csv("here/f.csv"), pd.read_parquet("here/f.parquet")
    assert list(plain) == list(columns)
    assert plain["mean"].tolist() == pytest.approx(columns["mean"].tolist(), nan_ok=True)


def test_several_sweeps_are_one_figure_and_shared_trainings_are_one_row(sweep: Folder) -> None:
    sweep("one", rows(criterion="snip")), sweep("two", [*rows(criterion="snip"), *rows(criterion="grasp")])
    assert cli.main(["figure", "one", "two", "control=none", "--out", "f.png"]) == 0
    written = pd.read_csv("f.csv")
    assert written.groupby(["criterion", "level"]).size().to_dict() == {
        (name, level): 1 for name in ("snip", "grasp") for level in (0, 1)
    }


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("lenet acuracy", ("acuracy", "accuracy")),
        ("lenet barrier", ("barrier", "early_stop_step")),
        ("lenet control=shuffle", ("control=shuffle", "none, reinit")),
        ("lenet contrl=none", ("contrl", "control")),
        ("lenet --facet critrion", ("critrion", "control")),
        ("lenet --out f.gif", ("gif", "pdf")),
        ("nowhere", ("nowhere", "no such folder")),
        ("lenet accuracy nowhere", ("nowhere", "folder")),
        ("empty", ("empty", "no results")),
    ],
)
def test_a_mistake_is_one_line(
    words: str, parts: tuple[str, ...], sweep: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep("lenet", rows()), sweep("empty", []).joinpath("results.csv").write_text("seed,level,status,key\n")
    assert cli.main(["figure", *words.split()]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert all(part in line for part in parts), line


def test_a_table_in_latex() -> None:
    text = table(curves(rows()), form="latex", at=[50.0, 25.0])
    assert text.splitlines() == [
        "% Test accuracy at early stop (%); n = 3 seeds where a cell says no other; bold: shown to match dense.",
        r"% Needs \usepackage{booktabs}.",
        r"\begin{tabular}{lcc}",
        r"\toprule",
        r"Weights remaining (\%) & 50 & 25 \\",
        r"\midrule",
        r"ticket & $\mathbf{98.17} \pm 0.09$ &  \\",
        r"control=reinit & $97.17 \pm 0.21$ & $90.00$ (n = 1) \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_a_table_of_differences_in_markdown_and_csv() -> None:
    markdown = table(curves(rows()), "difference", at=[50.0], interval=True)
    assert markdown.splitlines()[2:] == [
        "| ticket | +0.05 [0.00, 0.11] |",
        "| control=reinit | -0.95 [-1.27, -0.63] |",
    ]
    [head, *rest] = csv.reader(io.StringIO(table(curves(rows()), form="csv")))
    assert head == ["curve", "weights_remaining", "Test accuracy at early stop (%)", "spread", "n"]
    assert ["ticket", "50", "98.17", "± 0.09", "3"] in rest


def test_a_cell_of_fewer_seeds_than_others_says_how_many() -> None:
    """Whether a seed diverged or has not been trained yet: the quarter has one of three, all others have all."""
    head, _, ticket, control = table(curves(rows())).splitlines()
    assert head == "| Test accuracy at early stop (%), n = 3 | 100 % | 50 % | 25 % |"
    assert "n =" not in ticket
    assert control.endswith("| 97.17 ± 0.21 | 90.00 (n = 1) |")
    absent = [row for row in rows() if (row["control"], row["level"], row["seed"]) != ("none", 1, 2)]
    *_, ticket, control = table(curves(absent), interval=True).splitlines()
    assert ticket.endswith("(n = 2) |  |")
    assert control.count("n =") == 1
    by_csv = [*csv.DictReader(io.StringIO(table(curves(absent), form="csv")))]
    assert [line["n"] for line in by_csv] == ["3", "2", "3", "3", "1"]


def test_a_control_that_keeps_all_weights_stands_at_the_level_of_its_ticket() -> None:
    """As `control=dense` does: its own share would put all its levels where the dense network is."""
    dense = [row(0, seed, value, control="dense") for seed, value in enumerate(DENSE)]
    dense += [row(1, seed, 98.3, control="dense") | {"weights_remaining": 100.0, "density": 1.0} for seed in range(3)]
    found = curves([*rows(), *dense])
    [control] = [curve for curve in found if curve.control == "dense"]
    assert [(point.remaining, point.shown_at, point.notes) for point in control.points] == [
        (100.0, 100.0, ""),
        (100.0, 50.0, "keeps all weights"),
    ]
    assert lines(paper.draw(found))["control=dense"] == [(100.0, round(fmean(DENSE), 6)), (50.0, 98.3)]
    assert paper.caption(found).count("A control that keeps all weights stands at those of its ticket.") == 1
    assert "keeps all" not in paper.caption(curves(rows()))
    [drawn] = [line for line in paper_data.data(found) if line["control"] == "dense" and line["level"]]
    assert (drawn["weights_remaining"], drawn["shown_at"]) == (100.0, 50.0)
    assert "shown_at" not in paper_data.data(curves(rows()))[0]
    *_, last = table(found).splitlines()
    assert last == "| control=dense | 98.11 ± 0.08 | 98.30 ± 0.00 |  |"
    [logged] = [line for line in aggregate.rows([*rows(), *dense]) if line["control"] == "dense" and line["level"]]
    assert logged["weights_remaining"] == 50.0, "in W&B's means over seeds too"
    alone = curves(dense)
    assert [point.shown_at for point in alone[0].points] == [100.0, 100.0], "no ticket is shown"


def test_a_share_that_no_level_keeps_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="--at 42: no level keeps this share of weights; there are 100, 50, 25"):
        table(curves(rows()), at=[42.0])


MARKS = ("table", "text", "data", "figure", "quoted")


@pytest.mark.parametrize("name", published.papers())
def test_published_numbers_are_whole(name: str) -> None:
    for number in published.read(name):
        assert number.mark in MARKS
        assert number.source
        assert number.relation in ("=", ">", "<")
        assert number.remaining is None or 0 < number.remaining <= 100
        assert number.quantity != "accuracy" or 10 <= number.value <= 100
        assert (CONF / "model" / f"{number.model}.yaml").exists()
        assert (CONF / "dataset" / f"{number.dataset}.yaml").exists()
        for label, value in number.labels:
            group = CONF / {"find.model.name": "model", "find.survivors.name": "survivors"}.get(label, label)
            assert (group / f"{value}.yaml").exists() or label == "gate.args.rescale"


def test_published_numbers_stand_beside_ours_and_in_the_figure() -> None:
    ours = curves(rows())  # dense 98.11; half the weights, where the paper has no number
    [head, _, *lines] = published.compared(ours, "frankle2019")
    assert "ours - published" in head
    assert lines == [
        "| Test accuracy at early stop (%), lenet_300_100 on mnist | 100 | 98.00 ± 0.20 | 98.11 [97.91, 98.31] | 3 "
        "| +0.11 | yes | Frankle et al. 2019 (arXiv 1903.01611), Figure 2 [table] |"
    ]
    axis = paper.draw(ours, against="frankle2019").axes[0]
    drawn = [line.get_data() for line in axis.lines if line.get_label() == "frankle2019"]
    assert sorted((float(x[0]), float(y[0])) for x, y in drawn) == [(10.7, 98.3), (100.0, 98.0)]


def test_a_control_stands_beside_its_ticket() -> None:
    """How far the ticket is ahead, and how much later the control stops: paired by seed, at the same level."""
    both = curves(rows())
    [control] = [curve for curve in both if curve.control != "none"]
    [ticket] = [curve for curve in both if curve.cell == control.cell and curve.control == "none"]
    found = quantities(both)
    half, quarter = control.pruned
    assert found["ahead"].values(half) == {seed: HALF[seed] - REINIT[seed] for seed in range(3)}
    steps = ticket.pruned[0].early_stop
    assert found["slower"].values(half) == {seed: step / steps[seed] for seed, step in half.early_stop.items()}
    assert not found["ahead"].values(quarter), "the ticket has no such level"
    assert not found["ahead"].values(ticket.pruned[0]), "a ticket is not compared with itself"
    assert "ahead" not in quantities([ticket])


def test_a_number_is_of_what_is_usual_where_a_sweep_has_no_label() -> None:
    """A ticket of the network itself is not compared with a number for one from another."""
    [ticket, *_] = curves(rows(model="mlp2"))
    for labels, expected in {"transfer=none": True, "transfer=elastic": False, "find.model.name=mlp3": False}.items():
        name, _, value = labels.partition("=")
        of = ((name, value),)
        number = published.Published("p", "mlp2", "mnist", of, "accuracy", 50.0, "=", 98.0, None, 3, None, "T", "table")
        assert number.is_of(ticket) is expected, labels


def test_a_number_without_a_density_is_compared_with_the_level_chosen_on_validation() -> None:
    """The level differs by seed; the test result plays no part in the choice."""
    results = {0: {1: (90.0, 60.0), 2: (80.0, 99.0)}, 1: {1: (70.0, 98.0), 2: (75.0, 62.0)}}  # validation, test
    labels = {"model": "m", "dataset": "d", "control": "none"}
    told = [
        labels
        | {"seed": seed, "level": level, "status": "done", "key": f"{seed}{level}", "weights_remaining": 40.0 / level}
        | {"val_accuracy": val, "test_accuracy": test}
        for seed, levels in results.items()
        for level, (val, test) in levels.items()
    ]
    [curve] = curves(told)
    number = published.Published("p", "m", "d", (), "accuracy", None, "<", 62.0, None, 5, None, "Table 1", "table")
    point = number.at(curve)
    assert point
    assert (point.remaining, dict(point.test)) == (30.0, {0: 60.0, 1: 62.0})
    assert (
        published.Comparison(number, curve, point, quantities([curve])["accuracy"], interval([60.0, 62.0])).inside
        == "reached"
    )


def test_a_paper_about_something_else_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="no number for these networks"):
        [*published.compared(curves(rows(model="conv2", dataset="mnist")), "renda2020")]
    with pytest.raises(Mistake, match="frankle2019"):
        published.read("frankel2019")


def test_panels_of_controls_and_two_trainings_of_one_seed(
    sweep: Folder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = sweep("lenet", rows())
    assert cli.main(["figure", str(folder), "--facet", "control"]) == 0
    both = [*rows(), {**rows()[0], "key": "another", "early_stop_test_accuracy": 12.0}]
    assert cli.main(["figure", str(sweep("twice", both))]) == 2
    assert "two trainings of level 0, seed 0" in capsys.readouterr().err


def test_a_cut_off_table_of_layers_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "layers.csv").write_text("model,seed,level,layer,kept,total\nlenet,0,1,fc1,10\n")
    with pytest.raises(Mistake, match=r"layers\.csv: cannot be read \(a line ends before total\); lt-sweeps report"):
        read_layers(tmp_path)


def test_layers_and_levels_are_a_heat_map_on_paper(sweep: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    made = rows()
    folder = sweep("s", made)
    names = [*made[0]][: [*made[0]].index("seed")]
    shares = [
        {name: made[0][name] for name in names}
        | {"seed": seed, "level": 1, "layer": layer, "kept": kept, "total": 100, "density": kept / 100}
        for seed in (0, 1)
        for layer, kept in (("fc2.weight", 80 + seed), ("fc1.weight", 20))
    ]
    (folder / "layers.csv").write_text(as_csv(shares))
    before = (folder / "layers.csv").read_bytes()
    assert cli.main(["figure", str(folder), "layer_densities", "--format", "svg"]) == 0
    assert "Percent of each layer's weights" in capsys.readouterr().out
    assert (folder / "layers.csv").read_bytes() == before
    with (folder / "layer_densities.csv").open() as file:
        assert [(line["layer"], line["kept"]) for line in csv.DictReader(file)] == [
            (line["layer"], str(line["kept"])) for line in shares
        ]
    maps, _ = paper_layers.maps(read_layers(folder), curves(made))
    assert maps == [("ticket", ["50 %"], {"fc2.weight": [80.5], "fc1.weight": [20.0]})]
    [axis] = paper_layers.draw(maps).axes
    assert [text.get_text() for text in axis.texts] == ["80.5", "20"]
    assert cli.main(["figure", str(folder), "layer_densities", "--over", "cost"]) == 2
    (folder / "layers.csv").unlink()
    assert cli.main(["figure", str(folder), "layer_densities"]) == 2
