"""The table of a model and data set: one block per curve, one line per level."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from lt_sweeps.metrics import Metric
from lt_sweeps.report.curves import Curve, Point, over_seeds, ticket_of
from lt_sweeps.report.statistics import Interval, paired
from lt_sweeps.report.styles import Style
from lt_sweeps.report.wording import bounds, fewer, percent

NOTHING, INTERVAL = "&ndash;", "95 % interval"


def table(curves: Sequence[Curve], look: Sequence[Style], section: str) -> str:
    """Returns the HTML table of the curves of one model and data set, in a box with its own scroll bar."""
    metric = curves[0].metric
    unit = "<br>(points)" if metric.percent else ""
    heads = ["Weights<br>remaining", "n", f"Test {metric.label}<br>{curves[0].when}, {INTERVAL}"]
    heads += [f"Difference to dense{unit}, {INTERVAL}", "Verdict"]
    controls = any(ticket_of(curve, curves) for curve in curves)
    steps = any(point.early_stop for curve in curves for point in curve.points)
    heads += [f"Ticket minus this{unit}, {INTERVAL}"] if controls else []
    heads += ["Early-stop<br>step, mean"] if steps else []
    head = "".join(f'<th scope="col">{name}</th>' for name in heads) + '<th scope="col" class="notes">Notes</th>'
    body = ""
    for curve, style in zip(curves, look, strict=True):
        name = f'<th scope="rowgroup" colspan="{len(heads) + 1}"><span>{escape(style.name)}</span></th>'
        body += f'<tbody data-curve="{escape(f"{section} {style.name}")}">\n<tr>{name}</tr>\n'
        body += "".join(_line(point, metric, ticket_of(curve, curves), controls, steps) for point in curve.points)
        body += "</tbody>\n"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Every level">\n<table>\n'
        f"<thead><tr>{head}</tr></thead>\n{body}</table>\n</div>"
    )


def _line(point: Point, metric: Metric, ticket: Curve | None, controls: bool, steps: bool) -> str:
    mean = over_seeds(point.test)
    cells = [
        f"<td>{_remaining(point)}</td>",
        f"<td>{len(point.test)}</td>",
        f"<td>{_mean(mean, metric)}</td>",
        f"<td>{_difference(point.to_dense, len(point.test), metric) if point.level else 'dense'}</td>",
        _verdict(point),
    ]
    if controls:
        other = ticket.at(point.level) if ticket and point.level else None
        interval = paired(other.test, point.test) if other else None
        cells.append(f"<td>{_difference(interval, len(point.test), metric)}</td>")
    if steps:
        step = over_seeds(point.early_stop)
        cells.append(f"<td>{f'{step.mean:,.0f}' if step else NOTHING}</td>")
    cells.append(f'<td class="notes">{escape(point.notes)}</td>')
    return f"<tr>{''.join(cells)}</tr>\n"


def _remaining(point: Point) -> str:
    return f"level {point.level}" if point.shown_at is None else f"{percent(point.shown_at)} %"


def _mean(interval: Interval | None, metric: Metric) -> str:
    if interval is None:
        return NOTHING
    return f"{metric.number(interval.mean)}{_range(interval, metric)}"


def _difference(interval: Interval | None, n: int, metric: Metric) -> str:
    """A paired difference of a mean over n seeds, with its own number of seeds where these are fewer."""
    if interval is None:
        return NOTHING
    return f"{metric.signed(interval.mean)}{_range(interval, metric)}{fewer(interval.n, n)}"


def _range(interval: Interval, metric: Metric) -> str:
    return f' <span class="range">{bounds(interval, metric.number)}</span>' if interval.half is not None else ""


def _verdict(point: Point) -> str:
    return f'<td class="yes">{point.verdict}</td>' if point.matching else f"<td>{point.verdict or NOTHING}</td>"
