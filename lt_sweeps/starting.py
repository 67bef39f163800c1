"""Starts a sweep from Python, as the command line does: the same plan, progress, checks and store."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from lt_sweeps.ending import Terminated
from lt_sweeps.errors import Mistake
from lt_sweeps.main import run_words
from lt_sweeps.sweeps.notebook import Sweep, open

CONSTANTS = ("true", "false", "null", "nan", "inf")  # which are no text unless they are quoted


def sweep(*words: str, **settings: Any) -> Sweep:
    """Trains what is missing of a sweep and returns it opened. Repeated, it trains nothing again.

    `words` are those of the command line, such as "experiment=demo" or "prune.rate=0.2,0.5". `settings` are overrides
    by name: a list, tuple, range or array is swept over, anything else is one value; a list as one value is written as
    a word, "recipe.augment=[flip,crop]". Names with dots are given as mappings, `prune={"rate": [0.2, 0.5]}`:

        sweep("experiment=demo", seed=range(3), prune={"levels": 5})

    Raises Mistake for what the command refuses, and `lt_sweeps.sweeps.run.Failed` after all else is done.
    """
    if flags := [word for word in words if word.startswith("-")]:
        raise Mistake(f"{flags[0]}: is for the command line; a sweep from Python takes settings alone")
    setting_words = [word for name, value in settings.items() for word in _words(name, value)]
    try:
        folders = run_words(["-m", *words, *setting_words])
    except Terminated as left:
        raise SystemExit(left.code) from None
    if not folders:
        raise Mistake("sweep: these settings only show a plan; lt-sweeps plan does")
    return open(folders[-1])


def _words(name: str, value: Any) -> list[str]:
    """
    >>> _words("prune", {"rate": [0.2, 0.5], "levels": 3}), _words("sweep", "a b")
    (['prune.rate=0.2,0.5', 'prune.levels=3'], ["sweep='a b'"])
    """
    if isinstance(value, dict):
        return [word for key, inner in value.items() for word in _words(f"{name}.{key}", inner)]
    swept = isinstance(value, Iterable) and not isinstance(value, str)
    values = list(value) if swept else [value]
    if not values:
        raise Mistake(f"{name}: there is no value to sweep over")
    return [f"{name}={','.join(_literal(name, item) for item in values)}"]


def _literal(name: str, value: Any) -> str:
    """A value as Hydra's grammar writes it."""
    if hasattr(value, "item"):  # numpy's and torch's numbers
        value = value.item()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str() if re.fullmatch(r"[A-Za-z_][\w./-]*", value, re.ASCII) and value.lower() not in CONSTANTS:
            return value
        case str():
            quoted = re.sub(r"(\\*)'", r"\1\1\\'", value)
            return "'" + re.sub(r"(\\+)$", r"\1\1", quoted) + "'"
    raise Mistake(f"{name}: give numbers, text, paths, booleans or None, not a {type(value).__name__}")
