"""The findings of a sweep: at most three sentences for the first screen, and a table of all, best first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from lt_sweeps.columns import PLACE
from lt_sweeps.metrics import Metric
from lt_sweeps.report.curves import (
    DEFAULT,
    Curve,
    Point,
    closest,
    controls_of,
    differing,
    over_seeds,
    sparsest_matching,
)
from lt_sweeps.report.statistics import Interval, paired, worse_end
from lt_sweeps.report.verdict import by_verdict, sentences, settings, verdicts
from lt_sweeps.report.wording import difference, fewer, percent, result

SENTENCES = 3  # of the first screen; as many verdicts are prose, more a table alone
COLUMNS = 5  # settings with a column each; with more, a line names its unusual ones
NOTHING = "&ndash;"
LEFT = ' class="label"'


def main(curves: Sequence[Curve]) -> Curve:
    """The curve that the first screen is about: the best ticket, else the first control."""
    return [*ranked(curves), *curves][0]


def first_screen(curves: Sequence[Curve]) -> list[str]:
    """Returns the paragraphs of the first screen: all verdicts if they have at most SENTENCES, else the best ticket's.

    Controls of the best ticket share a sentence where they would exceed SENTENCES.
    """
    paragraphs = by_verdict(curves)
    if sum(map(len, paragraphs)) <= SENTENCES:
        return [" ".join(paragraph) for paragraph in paragraphs]
    best = main(curves)
    group = [curve for curve in curves if curve.ground == best.ground]
    return [" ".join(sentences(best, controls_of(best, group), settings(best, curves), SENTENCES))]


def section(curves: Sequence[Curve], above: Sequence[str]) -> str:
    """Returns the section of findings that the first screen, `above`, lacks: all tickets, a few verdicts in prose."""
    all_verdicts = verdicts(curves)
    missing = [text for text in all_verdicts if text not in above]
    if not missing:
        return ""
    prose = missing if len(all_verdicts) <= SENTENCES else []
    lines = "".join(f"<p>{escape(text).replace(' %', '&nbsp;%')}</p>\n" for text in prose)
    shown = table(curves) if len(ranked(curves)) > 1 else ""
    return f'<section id="findings">\n<h2>Findings</h2>\n{shown}{lines}</section>' if shown or lines else ""


def table(curves: Sequence[Curve]) -> str:
    """Returns the HTML table of findings, a line per ticket, best first.

    A line is about the sparsest matching level; where no level matches, about the closest.
    """
    tickets = ranked(curves)
    named = [name for name in PLACE if len({curve.labels[name] for curve in tickets}) > 1]
    named += differing(tickets)
    controls = list(dict.fromkeys(c.control for ticket in tickets for c in controls_of(ticket, curves)))
    usual = _usual(tickets, named) if len(named) > COLUMNS else None
    heads = [*map(escape, named)] if usual is None else ["Setting"]
    settings_end = len(heads)
    heads += ["Shown:<br>weights", "Test result", "Minus dense"]
    heads += [*(f"Minus control<br>{escape(name)}" for name in controls), "Verdict", "n"]
    body = "".join(_line(ticket, curves, _settings(ticket, named, usual), controls) for ticket in tickets)
    head = "".join(f'<th scope="col"{LEFT * (index < settings_end)}>{name}</th>' for index, name in enumerate(heads))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Findings">\n<table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
        '<p class="sweep below">First what is matching at the fewest weights, then by the worse end of the '
        "difference to dense. The level shown is the sparsest that is matching, else the closest; "
        "differences are paired by seed, with 95 % t-intervals." + _otherwise(usual) + "</p>"
    )


def _usual(tickets: Sequence[Curve], named: Sequence[str]) -> dict[str, str]:
    """The most frequent value of each label."""
    values = {name: Counter(ticket.label(name) for ticket in tickets) for name in named}
    return {name: counts.most_common(1)[0][0] for name, counts in values.items()}


def _settings(ticket: Curve, named: Sequence[str], usual: Mapping[str, str] | None) -> list[str]:
    """The first cells of a line: the value of each label, or with `usual` a cell of the unusual ones."""
    values = {name: ticket.label(name) for name in named}
    if usual is None:
        return [*values.values()]
    return [" ".join(f"{name}={value}" for name, value in values.items() if value != usual[name]) or "as usual"]


def _otherwise(usual: Mapping[str, str] | None) -> str:
    words = [f"{name}={value}" for name, value in (usual or {}).items() if value != DEFAULT]
    return f" Where a line does not say otherwise: {escape(', '.join(words))}." if words else ""


def ranked(curves: Sequence[Curve]) -> list[Curve]:
    """Returns the ticket curves, best first: by weights of the sparsest matching level, then by the deficit to dense.

    >>> from lt_sweeps.report.curves import curves as grouped
    >>> def rows(name, *tests):
    ...     labels = {"model": "m", "dataset": "d", "control": "none", "criterion": name}
    ...     row = {"weights_remaining": 50.0, "status": "done"}
    ...     return [labels | row | {"seed": s, "level": level, "key": f"{s}{level and name}", "test_accuracy": test}
    ...             for level, at in enumerate([(98.0, 98.1), tests]) for s, test in enumerate(at)]
    >>> [curve.labels["criterion"] for curve in ranked(grouped(rows("a", 90.0, 90.1) + rows("b", 98.2, 98.3)))]
    ['b', 'a']
    """
    tickets = [curve for curve in curves if curve.control == "none"]
    return sorted(tickets, key=_rank)


def _rank(curve: Curve) -> tuple[float, float]:
    best, shown = sparsest_matching(curve), _shown(curve)
    worst = worse_end(shown.to_dense, curve.metric) if shown and shown.to_dense else None
    return (
        best.remaining or 0.0 if best else float("inf"),
        float("inf") if worst is None else -worst,
    )


def _shown(curve: Curve) -> Point | None:
    """The level that a line is about; None where no level has finished."""
    finished = [point for point in curve.pruned if point.test]
    return sparsest_matching(curve) or closest(curve) or (finished[-1] if finished else None)


def _line(ticket: Curve, curves: Sequence[Curve], settings: Sequence[str], controls: Sequence[str]) -> str:
    shown = _shown(ticket)
    mean = over_seeds(shown.test) if shown else None
    cells = [NOTHING if shown is None else f"{percent(shown.remaining or 0)} %"]
    cells.append(NOTHING if mean is None else result(mean, ticket.metric))
    cells.append(_difference(shown.to_dense if shown else None, mean, ticket.metric))
    by_name = {control.control: control for control in controls_of(ticket, curves)}
    for name in controls:
        other = by_name[name].at(shown.level) if shown and name in by_name else None
        interval = paired(shown.test, other.test) if shown and other else None
        cells.append(_difference(interval, mean, ticket.metric))
    cells += [shown.verdict or NOTHING if shown else NOTHING, str(mean.n if mean else 0)]
    heads = "".join(f'<th scope="row">{escape(setting)}</th>' for setting in settings)
    return f"<tr>{heads}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _difference(interval: Interval | None, mean: Interval | None, metric: Metric) -> str:
    """A paired difference of a mean, with its own number of seeds where these are fewer."""
    return difference(interval, metric) + fewer(interval.n, mean.n) if interval and mean else NOTHING
