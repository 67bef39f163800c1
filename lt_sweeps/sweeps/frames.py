"""Converts result rows and curves for the DataFrames of a notebook."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pandas as pd

from lt_sweeps.columns import COLUMNS
from lt_sweeps.report import curves
from lt_sweeps.report.table import Row

TRUTH = {"True": True, "true": True, "False": False, "false": False}


def framed(rows: Sequence[Row]) -> pd.DataFrame:
    """Returns results as a DataFrame; a column of overrides becomes numeric or boolean if all its values are.

    >>> framed([{"prune.rate": "0.2", "mask_from": "012345", "seed": 0}]).to_dict("records")
    [{'prune.rate': 0.2, 'mask_from': '012345', 'seed': 0}]
    """
    frame = pd.DataFrame(list(rows))
    for name in frame:
        if name not in COLUMNS and name not in ("ticket", "mask_from"):  # which may be keys that look like numbers
            texts = frame[name]
            if texts.isin(list(TRUTH)).all():
                frame[name] = texts.map(TRUTH)
            else:
                with suppress(ValueError, TypeError):
                    frame[name] = pd.to_numeric(texts)
    return frame


def varying(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the columns in which rows differ, and keys only where nothing else does; all columns of a single row.

    >>> list(varying(pd.DataFrame({"seed": [0, 1], "model": ["a", "a"], "key": ["3f", "b2"], "note": [None, None]})))
    ['seed']
    """
    if len(frame) < 2:
        return frame
    differing = [name for name in frame if frame[name].nunique(dropna=False) > 1]
    return frame[[name for name in differing if name != "key"] or differing]


def normalized(value: Any) -> Any:
    """Normalises a value for comparison, whether it is text from a command line or read by pandas.

    >>> normalized(30) == normalized("30") == normalized(30.0)
    True
    >>> normalized(None) == normalized(float("nan")) == normalized("null")
    True
    """
    text = str(value).lower()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    return number if math.isfinite(number) else "null" if text in ("none", "nan") else text


def described(curve: curves.Curve, point: curves.Point) -> dict[str, Any]:
    """A level of a curve as a row: statistics over seeds, and against the dense network."""
    over, against, metric = curves.over_seeds(point.test), point.to_dense, curve.metric.name
    return {
        **curve.labels,
        "level": point.level,
        "weights_remaining": point.remaining,
        "n": over.n if over else 0,
        metric: over.mean if over else None,
        "deviation": pd.Series(list(point.test.values()), dtype=float).std(),
        "low": over.low if over else None,
        "high": over.high if over else None,
        "minus_dense": against.mean if against else None,
        "minus_dense_low": against.low if against else None,
        "minus_dense_high": against.high if against else None,
        "at": "early stop" if curve.at_early_stop else "end",
    }
