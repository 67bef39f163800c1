"""Keys: the SHA-256 of canonical JSON, in which equal values have equal text."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache, cached_property
from typing import Any, ClassVar, Self, get_args, get_type_hints

_text = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def canonical(value: Any) -> Any:
    """Returns `value` as plain JSON data, equal for equal values: `1.0` becomes `1`, floats have 12 digits.

    Raises ValueError for a number that is not finite, TypeError for anything that is not data.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Node):
        return {"key": value.key}
    if isinstance(value, Spec):
        return value._plain
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        rounded = float(f"{value:.12g}") if isinstance(value, float) else value
        return int(rounded) if rounded == int(rounded) else rounded
    if isinstance(value, Mapping):
        return {str(name): canonical(value[name]) for name in sorted(value)}
    if isinstance(value, (tuple, list)):
        return [canonical(item) for item in value]
    raise TypeError(f"{value!r} cannot be part of a key")


def digest(value: Any) -> str:
    """The SHA-256 (hex) of the canonical JSON of `value`."""
    return _sha256(canonical(value))


def _sha256(plain: Any) -> str:
    return hashlib.sha256(_text(plain).encode()).hexdigest()


def _default(f: Field[Any]) -> Any:
    return f.default_factory() if f.default_factory is not MISSING else f.default


@cache
def _defaults(kind: Any) -> dict[str, Any]:
    """Returns the init fields of a dataclass with their canonical defaults; MISSING for a required field."""
    defaults = {f.name: _default(f) for f in fields(kind) if f.init}
    return {name: default if default is MISSING else canonical(default) for name, default in defaults.items()}


def _plain_fields(value: Any) -> dict[str, Any]:
    """Returns the non-default fields in canonical form."""
    kind: Any = type(value)
    entries = ((name, canonical(getattr(value, name)), default) for name, default in _defaults(kind).items())
    return {name: item for name, item, default in entries if default is MISSING or item != default}


@dataclass(frozen=True, eq=False)
class Spec:
    """A plain value inside a node; two are equal if their classes and their canonical non-default fields are."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Spec) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    @cached_property
    def _plain(self) -> dict[str, Any]:  # cached: the nodes of a chain share one network, data and recipe
        return _plain_fields(self)

    @cached_property
    def _digest(self) -> str:
        return _sha256(self._plain)

    def describe(self) -> dict[str, Any]:
        """Returns the non-default fields in canonical form."""
        return dict(self._plain)

    @classmethod
    def restored(cls, description: Mapping[str, Any]) -> Self:
        """Returns the value whose `describe()` is `description`. Raises TypeError for unknown or missing fields."""
        hints = get_type_hints(cls)
        if unknown := sorted(description.keys() - hints.keys()):
            raise TypeError(f"{cls.__name__} has no {unknown[0]}")
        return cls(**{name: restored(value, hints[name]) for name, value in description.items()})


def restored(value: Any, hint: Any) -> Any:
    """Returns a field's value from its canonical form, given the field's type hint."""
    inner = [hint, *get_args(hint)]
    if isinstance(value, list):
        return tuple(restored(item, next(iter(get_args(hint)), None)) for item in value)
    spec = next((kind for kind in inner if isinstance(kind, type) and issubclass(kind, Spec)), None)
    return spec.restored(value) if spec is not None and isinstance(value, dict) else value


@dataclass(frozen=True, eq=False, repr=False)
class Node:
    """A computation; nodes are equal if their keys are."""

    version: ClassVar[int] = 1
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _sha256(self.describe()))

    def describe(self) -> dict[str, Any]:
        """Returns the content that `key` hashes; the store writes it beside the result."""
        return {"node": type(self).__name__, "version": self.version, **_plain_fields(self)}

    @cached_property
    def children(self) -> tuple[Node, ...]:
        """The nodes this one is computed from."""
        kind: Any = type(self)
        values = (getattr(self, name) for name in _defaults(kind))
        flat = (item for value in values for item in (value if isinstance(value, tuple) else (value,)))
        return tuple(item for item in flat if isinstance(item, Node))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}:{self.key[:8]}"
