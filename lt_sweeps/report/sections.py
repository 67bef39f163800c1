"""Sections of the page whose figures have another horizontal axis than the weights that remain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lt_sweeps.report.across import COST
from lt_sweeps.report.along import Lines, learning_figure, line_figure
from lt_sweeps.report.curves import Curve
from lt_sweeps.report.figures import sliding_figure
from lt_sweeps.report.over import REWIND_STEP, Line, across, at_share, densities, kept_at, over_cost, units_of
from lt_sweeps.report.points import Points
from lt_sweeps.report.quantities import BARRIERS, compared, measured, test_result
from lt_sweeps.report.selector import data
from lt_sweeps.report.shares import distinct_shares
from lt_sweeps.report.styles import Style
from lt_sweeps.report.wording import percent

MEANS = "Means over seeds, with 95 % t-intervals from two seeds on."
REWINDS = """Tickets of one share of weights over the step that survivors are rewound to, as it is configured;
rewind=init is step 0, which stands left of the others on the logarithmic axis."""
COSTS = """All iterations that had to be trained to get there: of the ticket, and of every training that its mask or its
start weights come from, each counted once, up to the step that was needed of it. Scores of weights count as nothing,
iterations of networks of other sizes as one each."""
FROM_FILES = "Tickets whose masks come from files have no known cost, and are left out."
NO_COST = """No figure over the cost: it is in no costs.csv beside these results, or masks come from files. lt-sweeps
report FOLDER writes that file where the expressions of a sweep can still be read."""
FILLED = "Filled: matching levels. Open: worse or undecided."
NO_REWINDS = "No figure over the rewind step: some steps are in epochs, others in iterations."
LEARNING = """Means over seeds, without intervals, as far as all seeds were trained; at most 25 evaluations of each
training, which histories.csv has by seed."""
LEVEL = "the level"
LINE = (
    "on the line between the two networks of each level, whose barrier is above. Means over seeds, without intervals."
)


def framed(
    figure: Mapping[str, Any], name: str, label: str, caption: str, chooses: str = "the share of weights"
) -> str:
    """Returns the element of a figure: its data, which figure.js draws, and its caption.

    The caption ends with what the figure's slider `chooses`. A slider with one stop is left out, and the caption ends
    with the name of that stop.
    """
    for slider in figure["layout"].get("sliders", ()):
        if len(slider["steps"]) > 1:
            caption += f" The slider chooses {chooses}."
        else:
            caption += f" {slider['currentvalue']['prefix']}{slider['steps'][0]['label']}."
            figure = {**figure, "layout": {key: value for key, value in figure["layout"].items() if key != "sliders"}}
    below = f"<figcaption>{escape(caption)}</figcaption>\n" if caption else ""
    plot = f'<div class="plot" id="{name}">{data(figure)}</div>'
    return f'<figure role="group" aria-label="{escape(label)}">\n{plot}\n{below}</figure>'


def cost_section(number: int, group: Sequence[Curve], look: Sequence[Style], notes: Sequence[str]) -> list[str]:
    """Test results over the cost; empty where tickets of one share of weights cost the same.

    `notes` are sentences that captions end with.
    """
    quantity = test_result(group)
    costly = [(curve, style) for curve, style in zip(over_cost(group, quantity), look, strict=True) if curve.points]
    points = [point for curve, _ in costly for point in curve.points]
    if not points:
        methods = {curve.label("prune") for curve in group if curve.pruned}
        return [f"<p>{NO_COST}</p>"] if len(methods) > 1 else []
    lines = [curve for curve, _ in costly]
    views = {f"{percent(share)} %": [kept_at(line, [share]) for line in lines] for share in distinct_shares(points)}
    if all(len({COST.place(point) for line in view for point in line.points}) == 1 for view in views.values()):
        return []
    views |= {"all levels": lines} if len(views) > 1 else {}
    figure = sliding_figure(group, views, [style for _, style in costly], quantity, COST)
    label = f"{quantity.title} of {' on '.join(group[0].place)} over training iterations"
    unknown = any(p.test and not p.cost for curve in group for p in curve.pruned)
    caption = " ".join([f"{quantity.title}.", COSTS, *([FROM_FILES] if unknown else []), FILLED, MEANS, *notes])
    return ["<h3>Cost</h3>", framed(figure, f"cost-{number}", label, caption)]


def rewind_section(
    number: int, group: Sequence[Curve], rewound: Sequence[tuple[Line, Style]], notes: Sequence[str]
) -> list[str]:
    """Test results and barriers over the rewind step; empty if it was not swept. `notes` end the captions."""
    if len(units_of([curve for curve in group if REWIND_STEP in curve.labels], REWIND_STEP)) > 1:
        return [f"<p>{NO_REWINDS}</p>"]
    lines, look = [line for line, _ in rewound], [style for _, style in rewound]
    axis = across(lines, REWIND_STEP)
    columns = dict.fromkeys(column for curve in group for point in curve.points for column in point.measures)
    quantities = {group[0].metric.name: test_result(group)}
    quantities |= {column: measured(column, group) for column in columns if compared(column)[0] in BARRIERS}
    figures = []
    for name, quantity in quantities.items():
        views = {f"{percent(share)} %": at_share(lines, share, quantity) for share in densities(lines, quantity)}
        if views:
            figure = sliding_figure(group, views, look, quantity, axis)
            label = f"{quantity.title} of {' on '.join(group[0].place)} over the rewind step"
            filled = [FILLED] if quantity.metric else []
            caption = " ".join([f"{quantity.title}.", REWINDS, *filled, MEANS, *notes])
            figures.append(framed(figure, f"{name.replace('_', '-')}-rewind-{number}", label, caption))
    return ["<h3>Over the rewind step</h3>", *figures] if figures else []


def learning_section(
    number: int, group: Sequence[Curve], look: Sequence[Style], lines: Mapping[str, Lines]
) -> list[str]:
    """The learning curves; empty where no training has two evaluations."""
    learning = learning_figure(lines, group, look)
    if learning is None:
        return []
    title, figure = learning
    label = f"{title} of {' on '.join(group[0].place)} during training"
    return ["<h3>During training</h3>", framed(figure, f"learning-{number}", label, f"{title}. {LEARNING}", LEVEL)]


def line(name: str, column: str, points: Points, group: Sequence[Curve], look: Sequence[Style]) -> str:
    """The figure of the error on the line between two networks; empty for measures that are no barrier."""
    between = line_figure(points, group, look) if compared(column)[0] in BARRIERS else None
    if between is None:
        return ""
    title, figure = between
    label = f"{title} of {' on '.join(group[0].place)} between two networks"
    return framed(figure, name, label, f"{title} {LINE}", LEVEL)
