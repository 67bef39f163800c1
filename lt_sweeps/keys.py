"""What a key is: the SHA-256 of canonical JSON, in which equal meanings are equal texts."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Self, get_args, get_type_hints


def canonical(value: Any) -> Any:
    """`value` as plain JSON in which equal meanings are equal texts.

    Raises ValueError for a number that is not finite, TypeError for anything that is not data.
    """
    if isinstance(value, Node):
        return {"key": value.key}
    if isinstance(value, Spec):
        return value.describe()
    if value is None or isinstance(value, (bool, str)):
        return value
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
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _differs_from_default(item: Any, value: Any) -> bool:
    default = item.default_factory() if item.default_factory is not MISSING else item.default
    return default is MISSING or canonical(value) != canonical(default)


@dataclass(frozen=True, eq=False)
class Spec:
    """A plain value inside a node: described by its non-default fields, equal when it is described equally."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Spec) and digest(self) == digest(other)

    def __hash__(self) -> int:
        return hash(digest(self))

    def describe(self) -> dict[str, Any]:
        """The non-default fields, canonical."""
        given = ((f, getattr(self, f.name)) for f in fields(self))
        return {f.name: canonical(value) for f, value in given if _differs_from_default(f, value)}

    @classmethod
    def restored(cls, told: Mapping[str, Any]) -> Self:
        """The value that `describe` told of. Raises TypeError for what it cannot have told."""
        hints = get_type_hints(cls)
        if unknown := sorted(told.keys() - hints.keys()):
            raise TypeError(f"{cls.__name__} has no {unknown[0]}")
        return cls(**{name: restored(value, hints[name]) for name, value in told.items()})


def restored(value: Any, hint: Any) -> Any:
    """A field's value from its canonical form, by the field's type."""
    inner = [hint, *get_args(hint)]
    if isinstance(value, list):
        return tuple(restored(item, next(iter(get_args(hint)), None)) for item in value)
    spec = next((kind for kind in inner if isinstance(kind, type) and issubclass(kind, Spec)), None)
    return spec.restored(value) if spec is not None and isinstance(value, dict) else value


@dataclass(frozen=True, eq=False, repr=False)
class Node:
    """A computation. `==` and `hash` are the key's."""

    version: ClassVar[int] = 1
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", digest(self.describe()))

    def describe(self) -> dict[str, Any]:
        """What the key is the hash of; also what the store writes down beside a result."""
        given = ((f, getattr(self, f.name)) for f in fields(self) if f.name != "key")
        told = {f.name: canonical(value) for f, value in given if _differs_from_default(f, value)}
        return {"node": type(self).__name__, "version": self.version, **told}

    @property
    def children(self) -> tuple[Node, ...]:
        """The nodes this one is computed from."""
        given = (getattr(self, f.name) for f in fields(self) if f.name != "key")
        return tuple(value for value in given if isinstance(value, Node))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}:{self.key[:8]}"
