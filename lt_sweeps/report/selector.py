"""The selector of a report: a checkbox for each value of each label; curves with only checked values are shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from lt_sweeps.report.curves import Curve, varied

FEWEST = 3  # curves for which boxes of labels are worth their place
SEEDS = """<fieldset><legend>seeds</legend><label><input type="checkbox" class="seeds"> a thin line for each, in figures
of test results</label></fieldset>"""


def selector(keys: Sequence[tuple[str, Curve]], lines: Sequence[tuple[str, Curve]] = ()) -> str:
    """Returns the checkboxes for curves, by their names in figure.js and the tables; empty without a choice.

    It is hidden until the script runs. `lines` are of several curves: checkboxes of labels that they lack do not change
    them. Another checkbox shows each seed of curves that have several.
    """
    curves = [curve for _, curve in keys]
    names = varied(curves)
    several_seeds = any(len(point.test) > 1 for curve in curves for point in curve.points)
    names = names if len(curves) >= FEWEST else []
    if not names and not several_seeds:
        return ""
    of_curves = [(key, {name: curve.label(name) for name in names}) for key, curve in keys]
    of_lines = [(key, {name: line.labels[name] for name in names if name in line.labels}) for key, line in lines]
    sets = "".join(_values(name, [values[name] for _, values in of_curves]) for name in names)
    sets += SEEDS * several_seeds
    return f'<form class="selector" aria-label="What is shown" hidden>{data(of_curves + of_lines)}{sets}</form>'


def _values(name: str, values: Sequence[str]) -> str:
    boxes = "".join(
        f'<label><input type="checkbox" checked name="{escape(name)}" value="{escape(value)}"> {escape(value)}</label>'
        for value in dict.fromkeys(values)
    )
    return f"<fieldset><legend>{escape(name)}</legend>{boxes}</fieldset>"


def data(value: Any) -> str:
    """Returns an element with data for a script; no text in the data can end the element.

    >>> data({"name": "</script>"})
    '<script type="application/json">{"name":"\\\\u003c/script>"}</script>'
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'
