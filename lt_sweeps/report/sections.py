"""Sections of the page whose figures are not over the weights that remain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lt_sweeps.errors import Mistake
from lt_sweeps.report.curves import Curve
from lt_sweeps.report.figures import sliding_figure
from lt_sweeps.report.over import REWIND_STEP, Line, across, at_share, densities
from lt_sweeps.report.quantities import BARRIERS, compared, measured, test_result
from lt_sweeps.report.selector import data
from lt_sweeps.report.styles import Style
from lt_sweeps.report.wording import percent

MEANS = "Means over seeds, with 95 % t-intervals from two seeds on."
REWINDS = """Tickets of one share of weights, which the slider chooses, over the step that survivors are rewound to, as
it is configured; rewind=init is step 0."""
FILLED = "Filled: levels that match dense. Open: not shown to match."
NO_REWINDS = "No figure over the rewind step: some steps are in epochs, others in iterations."


def framed(figure: Mapping[str, Any], name: str, label: str, caption: str) -> str:
    """A figure as its data, which figure.js draws."""
    below = f"<figcaption>{escape(caption)}</figcaption>\n" if caption else ""
    plot = f'<div class="plot" id="{name}">{data(figure)}</div>'
    return f'<figure role="group" aria-label="{escape(label)}">\n{plot}\n{below}</figure>'


def rewind_section(number: int, group: Sequence[Curve], rewound: Sequence[tuple[Line, Style]]) -> list[str]:
    """Test results and barriers over the rewind step; empty if it was not swept."""
    found, look = [line for line, _ in rewound], [style for _, style in rewound]
    try:
        axis = across(found, REWIND_STEP)
    except Mistake:
        return [f"<p>{NO_REWINDS}</p>"]
    columns = dict.fromkeys(column for curve in group for point in curve.points for column in point.measures)
    quantities = {group[0].metric.name: test_result(group)}
    quantities |= {column: measured(column, group) for column in columns if compared(column)[0] in BARRIERS}
    figures = []
    for name, quantity in quantities.items():
        views = {f"{percent(share)} %": at_share(found, share, quantity) for share in densities(found, quantity)}
        if views:
            figure = sliding_figure(group, views, look, quantity, axis)
            label = f"{quantity.title} of {' on '.join(group[0].place)} over the rewind step"
            filled = [FILLED] if quantity.metric else []
            caption = " ".join([f"{quantity.title}.", REWINDS, *filled, MEANS])
            figures.append(framed(figure, f"{name.replace('_', '-')}-rewind-{number}", label, caption))
    return ["<h3>Over the rewind step</h3>", *figures] if figures else []
