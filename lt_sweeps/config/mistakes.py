"""Hydra's and OmegaConf's errors as one line: what, where, the nearest valid."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.errors import OverrideParseException

from lt_sweeps.registry import nearest


def explain(error: BaseException) -> str:
    """Returns one line that says what a user must fix."""
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read; write key=value, and quotes around brackets and spaces"
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip()
    lines = [line for line in text.splitlines() if not line.endswith("raised while composing config:")]
    first = lines[0] if lines else type(error).__name__
    if first.startswith("Ambiguous value"):
        return f"{first}; to sweep over its values, put -m before it"
    where = re.search(r"full_key: (\S+)", text)
    if match := re.match(r"In '([^']*)': Could not find '([^']*)'", first):
        return _no_option(match[2], re.findall(r"^\t(\S+)$", text, re.MULTILINE))
    if match := re.match(r"In '[^']*': Could not load '([^']*)'", first):  # of several options, as in logger=[a,b]
        from lt_sweeps.config.schema import CONF

        options = (CONF / match[1]).parent.glob("*.yaml")
        return _no_option(match[1], sorted(path.stem for path in options))
    if match := re.match(r"Could not override '([^']+)'", first):
        return f"unknown key {match[1]!r}{nearest_key(match[1])}"
    if match := re.match(r"Key '([^']+)' (?:is )?not in '\w+'", first):
        key = where[1] if where else match[1]
        return f"unknown key {key!r}{nearest_key(key)}"
    if where and first.endswith("is not in struct"):
        return f"unknown key {where[1]!r}; to add it, put + before what you wrote"
    if where and first.startswith("Missing mandatory value"):
        return f"{where[1]}: it has no value until you give it one"
    if where and where[1] not in first:
        return f"{where[1]}: {first}"
    return first


def nearest_key(key: str) -> str:
    """Returns a hint at the nearest known key, or at the key for arguments, or an empty string."""
    from dataclasses import fields, is_dataclass

    from lt_sweeps.config.schema import Config

    schema = Config
    *parents, last = key.split(".")
    for parent in parents:
        inner = {f.name: f.default_factory for f in fields(schema)}.get(parent)
        if not is_dataclass(inner):
            return ""
        schema = inner  # type: ignore[assignment]
    names = [f.name for f in fields(schema)]
    if not nearest(last, names) and "args" in names:
        return f"; its arguments are given as '{'.'.join([*parents, 'args', last])}'"
    return nearest(key, [".".join([*parents, name]) for name in names])


def _no_option(path: str, options: Sequence[str]) -> str:
    group, _, option = path.rpartition("/")
    return f"{group}={option}: there is {', '.join(options)}{nearest(option, options)}"
