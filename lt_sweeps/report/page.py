"""The report of a sweep: one self-contained HTML file, whose bytes depend on its rows alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from lt_sweeps.columns import ALONE, COLUMNS, DRAWN
from lt_sweeps.report import findings, first_layers, grids, histograms
from lt_sweeps.report.along import by_column
from lt_sweeps.report.contents import contents, with_links
from lt_sweeps.report.curves import Curve, Row, curves, require_label
from lt_sweeps.report.figures import cuts_intervals, early_stop_figure, measure_figure, panels, result_figure
from lt_sweeps.report.heat import heat_maps
from lt_sweeps.report.layers import Labels, Levels, by_curve, layer_figure, layer_maps
from lt_sweeps.report.levels import table
from lt_sweeps.report.over import Line, rewinds
from lt_sweeps.report.points import by_measure, tables
from lt_sweeps.report.quantities import compared
from lt_sweeps.report.sections import MEANS, cost_section, framed, learning_section, line, rewind_section
from lt_sweeps.report.selector import selector
from lt_sweeps.report.styles import Style, styles
from lt_sweeps.report.terms import terms
from lt_sweeps.report.wording import BESIDE, statuses

STEPS = "The step of least validation loss; lower is faster."
NOT_TRAINED = "No figure of the early-stop step: these tickets are not trained."
NO_STEPS = """No figure of the early-stop step: no finished run here held out validation examples, so none has a step of
least validation loss."""
BARRIER = "How far the test error rises on the line between two trained networks above the mean of its ends"
FROM = {  # measure -> the beginning of its caption
    "barrier": f"{BARRIER}: between",
    "aligned_barrier": f"{BARRIER}, the units of the first matched with those of the second: between",
}
OTHER = {
    "sibling": "each level and the same ticket trained with other data order and augmentation (its sibling).",
    "parent": "each level and the training that its mask was pruned from, under that mask.",
    "start": "each level and what it was when its training began.",
    "init": "each level and the initial weights of the dense network, under its mask.",
    "planted": "each level and the ticket that is planted in the network's draw.",
    "dense": "each level and the dense network, both as trained.",
    "before": "the beginning and the end of the training that each level's mask was pruned from.",
    "trained": "each level as trained",
    "ticket": "each level before it is trained",
    "whole": "each level before it is trained and the same weights with nothing pruned.",
    "spawn": "each level and a copy of its training to which noise was added (measure.perturbed).",
}
LAYERS = """What each layer keeps, in the network's order. Means over seeds; curves that keep the same of every layer
are drawn once. A cross on the axis: an emptied layer, through which nothing passes."""
HISTOGRAMS = """What a level keeps (solid) and prunes (dashed) of the weights that the training before had. Bins of a
quarter deviation, all layers together; measures.csv has each layer. Means over seeds."""
MOMENT = "the level and the moment"
CUT = "Some intervals reach beyond the figure"
WHOLE = {True: "; the table has them whole.", False: "; results.csv has every seed."}  # whether the table has them
FACETS = "side-by-side"
FIRST = "first"
CONTINUED = ' class="continued"'  # of the section whose main figure is on the first screen
ABOVE = f'<p>The first figure of the page is <a href="#{FIRST}">above</a>.</p>'
CROSS = "A cross on the axis: some seed did not finish at that level."


class Measured:
    """The rows of measures.csv and of histories.csv, by the column of what was measured or evaluated."""

    def __init__(self, rows: Sequence[Row], histories: Sequence[Row]) -> None:
        self.points, self.grids, self.histograms = by_measure(rows), grids.by_measure(rows), histograms.by_measure(rows)
        self.first_layers, self.learning = first_layers.by_measure(rows), by_column(histories)


def render(
    rows: Sequence[Row],
    layers: Sequence[Row] = (),
    points: Sequence[Row] = (),
    *,
    title: str,
    sweep: str,
    budgets: list[str],
    command: str | None,
    facet: str | None = None,
    color: str | None = None,
    pairs: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
    machines: Sequence[str] = (),
    days: str | None = None,
    histories: Sequence[Row] = (),
    recipes: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Returns the whole page: verdicts, budgets, and per model and data set figures and a table.

    `rows` are those of results.csv (absent values None), with costs where they are known; `layers`, `points` and
    `histories` are those of layers.csv, measures.csv and histories.csv; `pairs` are the tables of measures between
    cells, by name. `machines` and `days` say where and when trainings ran; `recipes` are the settings of each network
    and data set. A budget is a line `budget=NAME: what it means`; any name but `paper` adds a warning to the page.
    Values of the label `facet` stand side by side, and those of the label `color` have a colour each. Raises Mistake
    for two trainings of one cell, level and seed, and for an unknown label.
    """
    all_curves, kept, measured = curves(rows), by_curve(layers), Measured(points, histories)
    for option, label in (("--facet", facet), ("--color", color)):
        require_label(option, label, all_curves)
    look = styles(all_curves, color)
    look_with_places = styles(all_curves, color, places=True)
    grounds = list(dict.fromkeys(curve.ground for curve in all_curves))
    sentences = findings.first_screen(all_curves) if all_curves else ["This sweep has no results yet."]
    sections = [findings.section(all_curves, sentences)] if all_curves else []
    shown = "\n".join(_facets(all_curves, look_with_places, facet)) if facet else ""  # the first screen's figure
    main = findings.main(all_curves).ground if all_curves else None
    keys, line_keys = list[tuple[str, Curve]](), list[tuple[str, Curve]]()
    if facet:
        keys += [(f"{FACETS} {style.name}", curve) for curve, style in zip(all_curves, look_with_places, strict=True)]
    for number, ground in enumerate(grounds, 1):
        styled = [(curve, style) for curve, style in zip(all_curves, look, strict=True) if curve.ground == ground]
        group, group_look = [curve for curve, _ in styled], [style for _, style in styled]
        lines = rewinds(group)
        rewound = [*zip(lines, styles([line.curve for line in lines], color), strict=True)]
        result = _result(number, group, group_look)
        if ground == main and not shown:
            shown, result = f'<section id="{FIRST}" data-curves="{_section(number)}">\n{result}\n</section>', ABOVE
        section = _place(number, group, group_look, kept, measured, rewound, result)
        sections.append(with_links(section, _section(number)))
        keys += [(f"{_section(number)} {style.name}", curve) for curve, style in styled]
        line_keys += [(f"{_section(number)} {style.name}", line.curve) for line, style in rewound]
    script = f"<script>{_asset('figure.js')}</script>\n" if sections else ""
    budget, warned = _budget(budgets), not _of_paper(budgets)  # a warning stands before the finding
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # An empty icon keeps browsers from asking a server for one.
        '<link rel="icon" href="data:,">',
        f"<title>{escape(title)}</title>\n<style>\n{_asset('page.css')}</style>\n</head>\n<body>\n<main>",
        f'<p class="sweep">Sweep {escape(sweep)}</p>\n<h1>{escape(title)}</h1>',
        budget if warned else "",
        '<div class="verdicts">',
        *(f"<p>{escape(sentence).replace(' %', '&nbsp;%')}</p>" for sentence in sentences),
        "</div>",
        shown,
        "" if warned else budget,
        _finished(rows),
        contents(sections),
        selector(keys, line_keys),
        *sections,
        heat_maps(pairs or {}),
        terms(all_curves),
        _recipes(recipes or {}),
        _footer(command, machines, days),
        f"</main>\n{script}</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _section(number: int) -> str:
    """The name of the section of a model and data set."""
    return f"place-{number}"


def _facets(all_curves: Sequence[Curve], look: Sequence[Style], label: str) -> list[str]:
    """The test results for each value of a label, side by side on the same axes; a section for each metric."""
    sections = []
    for number, metric in enumerate(dict.fromkeys(curve.metric for curve in all_curves)):
        pairs = [pair for pair in zip(all_curves, look, strict=True) if pair[0].metric == metric]
        of_metric, metric_look = zip(*pairs, strict=True)
        figures = "".join(
            f"<div><h3>{escape(f'{label}={value}')}</h3>\n"
            + framed(figure, f"{FACETS}-{number}-{place}", f"Test {metric.title}, {label}={value}", "")
            + "</div>"
            for place, (value, figure) in enumerate(panels(of_metric, metric_look, label))
        )
        head = f"<h2>{escape(f'Test {metric.title} by {label}')}</h2>"
        sections.append(f'<section id="{FACETS}">\n{head}\n<div class="panels">{figures}</div>\n</section>')
    return sections


def _place(
    number: int,
    group: Sequence[Curve],
    look: Sequence[Style],
    kept: Mapping[Labels, Levels],
    measured: Measured,
    rewound: Sequence[tuple[Line, Style]],
    result: str,
) -> str:
    name, metric = " on ".join(group[0].place), group[0].metric
    steps = early_stop_figure(group, look)
    notes = _notes(group)
    parts = [
        f'<section id="{_section(number)}"{CONTINUED * (result == ABOVE)}>\n<h2>{escape(name)}</h2>',
        f"<h3>{metric.title[0].upper()}{metric.title[1:]}</h3>",
        result,
        *rewind_section(number, group, rewound, notes),
        *cost_section(number, group, look, notes),
        "<h3>Speed of learning</h3>",
        f"<p>{NOT_TRAINED if any(curve.dense and curve.dense.early_stop for curve in group) else NO_STEPS}</p>"
        if steps is None
        else _curves(steps, f"early-stop-{number}", f"Early-stop step of {name}", STEPS, notes),
        *learning_section(number, group, look, measured.learning),
        *_measures(number, group, look, notes, measured, _names(group, kept)),
        *_layers(number, group, look, kept),
        f"<h3>Every level</h3>\n{table(group, look, _section(number))}\n</section>",
    ]
    return "\n".join(parts)


def _result(number: int, group: Sequence[Curve], look: Sequence[Style]) -> str:
    """The figure of the test results of a model and data set."""
    name, metric = " on ".join(group[0].place), group[0].metric
    when = "at the step of least validation loss" if group[0].at_early_stop else "at the end of training"
    caption = f"Test {metric.title} of {name} {when}. "
    caption += f"Filled: dense, and matching levels (within {metric.allowed}). Open: worse or undecided."
    caption += "" if metric.higher else " Lower is better."
    label = f"Test {metric.title} of {name}"
    return _curves(result_figure(group, look), f"{metric.name}-{number}", label, caption, _notes(group), True)


def _notes(group: Sequence[Curve]) -> list[str]:
    """The sentences that the captions of curves end with."""
    points = [point for curve in group for point in curve.points]
    notes = [BESIDE] if any(point.keeps_all for point in points) else []
    return notes + ([CROSS] if any(point.unfinished for point in points) else [])


def _names(group: Sequence[Curve], kept: Mapping[Labels, Levels]) -> list[str]:
    """The names of the layers of a model, in the network's order."""
    levels = (kept.get(tuple(curve.labels.items()), {}) for curve in group)
    return list(next((shares for by_level in levels for shares in by_level.values()), ()))


def _measures(
    number: int,
    group: Sequence[Curve],
    look: Sequence[Style],
    notes: Sequence[str],
    measured: Measured,
    layers: Sequence[str],
) -> list[str]:
    """The figures of measures, each with the table of its points; empty if nothing was measured."""
    name, parts, columns = " on ".join(group[0].place), list[str](), dict[str, list[str]]()
    for column in dict.fromkeys(column for curve in group for point in curve.points for column in point.measures):
        columns.setdefault(compared(column)[0], []).append(column)
    for measure, of_measure in columns.items():
        head = "Stability" if measure == "barrier" else DRAWN.get(measure, measure)
        figures = [
            _curves(figure, f"{column.replace('_', '-')}-{number}", f"{measure} of {name}", _measured(column), notes)
            + _inside(f"{column.replace('_', '-')}-inside-{number}", column, group, look, measured, layers)
            for column in of_measure
            if (figure := measure_figure(group, look, column)) is not None
        ]
        parts += [f"<h3>{escape(head)}</h3>", *figures] if figures else []
    return parts


def _inside(
    name: str,
    column: str,
    group: Sequence[Curve],
    look: Sequence[Style],
    measured: Measured,
    layers: Sequence[str],
) -> str:
    """The histograms, pictures and tables of a measure that has points inside each level."""
    histogram = histograms.histogram_figure(measured.histograms.get(column, {}), group, look)
    return (
        (
            framed(histogram, name, f"Histograms of {' on '.join(group[0].place)}", HISTOGRAMS, MOMENT)
            if histogram
            else ""
        )
        + line(name.replace("inside", "line"), column, measured.points.get(column, {}), group, look)
        + grids.pictures(measured.grids.get(column, {}), group, look, f"Pictures of {column}")
        + first_layers.strips(measured.first_layers.get(column, {}), group, look, f"Pictures of {column}")
        + tables(column, measured.points.get(column, {}), group, look, layers)
    )


def _measured(column: str) -> str:
    """The caption of a column's figure: what is measured, and between which networks."""
    if column in DRAWN:
        return f"{DRAWN[column]}: {COLUMNS[column].meaning}."
    measure, other = compared(column)
    if other in ALONE:
        return f"{measure} of {OTHER[other]}."
    return f"{FROM.get(measure, f'{measure}, as measured between')} {OTHER[other]}"


def _layers(number: int, group: Sequence[Curve], look: Sequence[Style], kept: Mapping[Labels, Levels]) -> list[str]:
    """The figure of layers and their heat maps; empty if no layer's share is known."""
    figure = layer_figure(group, look, kept)
    if figure is None:
        return []
    label = f"What each layer of {' on '.join(group[0].place)} keeps"
    return [
        "<h3>Where weights are kept</h3>",
        framed(figure, f"layers-{number}", label, LAYERS, "the level"),
        layer_maps(group, look, kept),
    ]


def _curves(
    figure: Mapping[str, Any], name: str, label: str, caption: str, notes: Sequence[str], in_table: bool = False
) -> str:
    """The figure of a quantity of curves; its caption ends with `notes`."""
    cut = [CUT + WHOLE[in_table]] if cuts_intervals(figure) else []
    return framed(figure, name, f"{label} over weights remaining", " ".join([caption, MEANS, *cut, *notes]))


def _of_paper(budgets: Sequence[str]) -> bool:
    """Whether there are budgets and all are named `paper`."""
    return bool(budgets) and all(line.split(":")[0].strip() == "budget=paper" for line in budgets)


def _budget(budgets: Sequence[str]) -> str:
    """The box with the budgets, with a warning unless all of them are the paper's."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in budgets)
    if _of_paper(budgets):
        return f'<div class="budget">{lines}</div>'
    why = "These are not the paper's numbers." if budgets else "The budget is not known: do not quote these numbers."
    rest = "<p>The recipe was cut down as follows; do not quote these accuracies as the paper's.</p>" if budgets else ""
    return f'<div class="budget not-paper" role="note"><strong>{why}</strong>{rest}{lines}</div>'


def _finished(rows: Sequence[Row]) -> str:
    counts = Counter(str(row["status"]) for row in rows)
    done = counts.pop("done", 0)
    others = f", {statuses(dict(sorted(counts.items())))}" if counts else ""
    distinct = len({row.get("key") for row in rows if row["status"] == "done"})
    shared = f" These are {distinct} trainings: what curves share was trained once." if distinct < done else ""
    return (
        f'<p class="sweep">{len(rows)} results (level and seed of each curve): {done} done{escape(others)}.{shared}</p>'
    )


def _recipes(recipes: Mapping[str, Sequence[str]]) -> str:
    """The settings of recipes, closed until opened."""
    return "\n".join(
        f"<details>\n<summary>Recipe of {escape(place)}</summary>\n<pre>{escape(chr(10).join(lines))}</pre>\n</details>"
        for place, lines in recipes.items()
    )


def _footer(command: str | None, machines: Sequence[str], days: str | None) -> str:
    lines = [] if command is None else [f"<p>Made by</p>\n<pre>{escape(command)}</pre>\n"]
    lines += [f"<p>Computed with {escape(machine)}.</p>\n" for machine in machines]
    lines += [] if days is None else [f"<p>Date: {escape(days)} (UTC).</p>\n"]
    return f"<footer>\n{''.join(lines)}</footer>" if lines else ""


def _asset(name: str) -> str:
    """The text of a file in the folder of this one."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
