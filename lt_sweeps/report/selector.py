"""The selector of a report: a box for each value of each label; a curve is shown where all its values are checked."""

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
    """Returns the boxes for curves, by the names that figure.js and the tables know them by; empty without choice.

    It is shown only where a script can answer it. `lines` are of several curves: boxes of labels that they lack leave
    them as they are. Another box shows each seed of curves that have several.
    """
    curves = [curve for _, curve in keys]
    names = varied(curves)
    several = any(len(point.test) > 1 for curve in curves for point in curve.points)
    names = names if len(curves) >= FEWEST else []
    if not names and not several:
        return ""
    of_curves = [(key, {name: curve.label(name) for name in names}) for key, curve in keys]
    of_lines = [(key, {name: line.labels[name] for name in names if name in line.labels}) for key, line in lines]
    sets = "".join(_values(name, [of[name] for _, of in of_curves]) for name in names)
    sets += SEEDS * several
    return f'<form class="selector" aria-label="What is shown" hidden>{data(of_curves + of_lines)}{sets}</form>'


def _values(name: str, values: Sequence[str]) -> str:
    boxes = "".join(
        f'<label><input type="checkbox" checked name="{escape(name)}" value="{escape(value)}"> {escape(value)}</label>'
        for value in dict.fromkeys(values)
    )
    return f"<fieldset><legend>{escape(name)}</legend>{boxes}</fieldset>"


def data(value: Any) -> str:
    """Returns what a script reads of the page; no text in it can end the element.

    >>> data({"name": "</script>"})
    '<script type="application/json">{"name":"\\\\u003c/script>"}</script>'
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'
