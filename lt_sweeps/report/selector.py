"""The selector of a report: a box for each value of each label; a curve is shown where all its values are checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from lt_sweeps.errors import Mistake
from lt_sweeps.registry import nearest
from lt_sweeps.report.curves import Curve, differing
from lt_sweeps.report.styles import PLACE

FEWEST = 3  # curves for which it is worth its place


def selector(keys: Sequence[tuple[str, Curve]]) -> str:
    """Returns the boxes for curves, by the names that figure.js and the tables know them by; empty for a few.

    It is shown only where a script can answer it.
    """
    curves = [curve for _, curve in keys]
    names = labels(curves)
    if len(curves) < FEWEST or not names:
        return ""
    of_curves = [(key, {name: curve.labels.get(name, "default") for name in names}) for key, curve in keys]
    sets = "".join(_values(name, [of[name] for _, of in of_curves]) for name in names)
    return f'<form class="selector" aria-label="What is shown" hidden>{data(of_curves)}{sets}</form>'


def labels(curves: Sequence[Curve]) -> list[str]:
    """Returns the labels in which curves differ."""
    return [n for n in (*PLACE, "control") if len({curve.labels[n] for curve in curves}) > 1] + differing(curves)


def require_label(option: str, label: str | None, curves: Sequence[Curve]) -> None:
    """Raises Mistake if an option names what is no label of these curves."""
    known = dict.fromkeys(name for curve in curves for name in curve.labels)
    if label is not None and label not in known:
        there = f"choose one of {', '.join(known)}{nearest(label, known)}"
        raise Mistake(f"{option} {label}: no label of these results; {there}")


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
