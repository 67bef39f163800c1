"""The schema of records: types and bounds of their fields, checked whenever a record is read.

A checksum shows that a file is as it was written, not that its content makes sense. The store knows the names and types
of results, not their meaning.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

HASH = re.compile(r"[0-9a-f]{64}")
STATUSES = ("done", "diverged", "collapsed")
MOST = 1 << 53  # steps or weights; beyond it a count is not exact as a float
LARGEST = 1 << 1023  # integers below have a value as a float
DEEPEST = 32  # levels of nesting; a description of a node has about six
PERCENTAGES = ("accuracy", "token_accuracy", "f1", "mean_iou", "pixel_accuracy")  # metrics with these bounds

Check = Callable[[Any], bool]


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < LARGEST)


def _is_percent(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 100


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_layers(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, list)
        and len(row) == 3
        and _is_text(row[0])
        and _is_count(row[1])
        and _is_count(row[2])
        and row[1] <= row[2]
        for row in value
    )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_finite(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value)


def _is_evaluation(value: Any) -> bool:
    """Whether this is a row of evaluation: losses may be infinite or nan; percentages are in range."""
    return isinstance(value, dict) and all(
        EVALUATION.get(name, _is_number if name.startswith(("val_", "test_")) else lambda _: True)(item)
        for name, item in value.items()
    )


def _has_metric(value: Any, part: str) -> bool:
    """Whether a row of evaluation has a metric of a part, beside the loss."""
    return any(name.startswith(f"{part}_") and name != f"{part}_loss" for name in value)


def _is_best(value: Any) -> bool:
    return (
        _is_evaluation(value)
        and _has_metric(value, "val")
        and {"step", "val_loss"} <= value.keys()
        and all(name == "step" or name.startswith("val_") for name in value)
    )


def _is_history(value: Any) -> bool:
    return isinstance(value, list) and all(_is_evaluation(row) and "step" in row for row in value)


EVALUATION: dict[str, Check] = {
    "step": _is_count,
    "digest": _is_text,
    "explored": _is_percent,
    "train_loss": _is_number,
    "val_loss": _is_number,
    "test_loss": _is_number,
    **{f"{part}_{name}": _is_percent for part in ("val", "test") for name in PERCENTAGES},
}
TRAINING: dict[str, Check] = {
    "status": STATUSES.__contains__,
    "kept": _is_count,
    "total": _is_count,
    "excluded": _is_count,
    "layers": _is_layers,
    "eligible": _is_count,
    "emptied": _is_names,
    "steps": _is_count,
    "history": _is_history,
    "diverged_at": _is_count,
    "end": lambda value: _is_evaluation(value) and _has_metric(value, "test"),
    "early_stop": lambda value: _is_evaluation(value) and "step" in value and _has_metric(value, "test"),
    "begun": lambda value: isinstance(value, dict) and _is_count(value.get("kept")) and _is_count(value.get("total")),
    "ended_by": _is_text,
    "noted": lambda value: _is_noted(value),
    "sampled": lambda value: isinstance(value, list) and all(map(_is_number, value)),
}
PRUNING: dict[str, Check] = {name: TRAINING[name] for name in ("kept", "total", "eligible", "emptied")}
SNAPSHOT: dict[str, Check] = {"step": _is_count}


NOTE: dict[str, Check] = {  # of a checkpoint
    "step": _is_count,
    "history": _is_history,
    "snapshots": lambda value: isinstance(value, dict) and all(map(_is_snapshot, value.items())),
    "best": lambda value: value is None or _is_best(value),
    "seconds": lambda value: _is_number(value) and value >= 0,
    "optimizer": lambda value: isinstance(value, list) and all(isinstance(entry, dict) for entry in value),
    "fingerprint": lambda value: isinstance(value, dict),
}


# Of a training that changes its mask; others say nothing of it.
DYNAMICS: dict[str, Check] = {
    "masks": NOTE["snapshots"],
    "memories": _is_count,
    "ended_by": lambda value: value is None or _is_text(value),
    "noted": lambda value: _is_noted(value),
}


def _is_noted(value: Any) -> bool:
    """Whether a value is what hooks noted: rows of a step, the hook, and lists of numbers."""
    return isinstance(value, list) and all(
        isinstance(row, dict) and _is_count(row.get("step")) and _is_text(row.get("hook")) for row in value
    )


def _is_snapshot(entry: tuple[str, Any]) -> bool:
    return entry[0].isdecimal() and isinstance(entry[1], str) and bool(HASH.fullmatch(entry[1]))


def require_note(note: Any) -> None:
    """Raises ValueError, naming the field, unless the note of a checkpoint has the right fields and types."""
    if not isinstance(note, dict):
        raise ValueError("its note is not a mapping")
    for name, check in NOTE.items():
        if name not in note:
            raise ValueError(f"its note lacks {name!r}")
        if not check(note[name]):
            raise ValueError(f"its {name} is {repr(note[name])[:40]}")
    for name, check in DYNAMICS.items():
        if name in note and not check(note[name]):
            raise ValueError(f"its {name} is {repr(note[name])[:40]}")


def require(record: Mapping[str, Any]) -> None:
    """Raises ValueError, naming the field, unless a record has the fields, types and bounds of its kind of node."""
    _require_shallow(record)
    for name in ("node", "result", "sources", "blobs", "fingerprint"):
        if not isinstance(record.get(name), dict):
            raise ValueError(f"its {name} is not a mapping" if name in record else f"it has no {name}")
    if not all(isinstance(blob, str) and HASH.fullmatch(blob) for blob in record["blobs"].values()):
        raise ValueError("its blobs are not hashes")
    files = record.get("files", {})
    if not isinstance(files, dict) or not all(
        isinstance(content, str) and HASH.fullmatch(content) for content in files.values()
    ):
        raise ValueError("its files are not hashes")
    for source, identity in record["sources"].items():
        if not HASH.fullmatch(source) or not (identity is None or isinstance(identity, str)):
            raise ValueError("its sources are not keys and identities")
    result, blobs = record["result"], record["blobs"]
    match record["node"].get("node"):
        case "Train":
            _require_training(result, blobs)
        case "Prune":
            _require(result, PRUNING, ("kept", "total", "eligible"))
            _require_blobs(blobs, "mask")
        case "At":
            _require(result, SNAPSHOT, ())
            _require_blobs(blobs, "state")
        case "Measure":
            _require_measure(result)


def _require_training(result: Mapping[str, Any], blobs: Mapping[str, str]) -> None:
    _require(result, TRAINING, ("status", "kept", "total"))
    if result["total"] == 0:
        raise ValueError("its result has no weights: total=0")
    if result["status"] == "done":
        _require(result, {}, ("end", "history", "steps"))
        _require_blobs(blobs, "end", "mask")


def _require_measure(result: Mapping[str, Any]) -> None:
    _require(result, {"status": STATUSES.__contains__}, ("status",))
    for name, value in result.items():
        values = value if isinstance(value, list) else [value]
        if name != "status" and not all(map(_is_finite, values)):
            raise ValueError(f"its result's {name} is not finite numbers")
    if len({len(value) for value in result.values() if isinstance(value, list)}) > 1:
        raise ValueError("its result's columns differ in length")


def _require(result: Mapping[str, Any], checks: Mapping[str, Check], names: tuple[str, ...]) -> None:
    for name in names:
        if name not in result:
            raise ValueError(f"its result has no {name}")
    for name, is_right in checks.items():
        if name in result and not is_right(result[name]):
            raise ValueError(f"its result's {name} is {repr(result[name])[:40]}")
    if "kept" in checks and result["kept"] > result["total"]:
        raise ValueError(f"its result keeps {result['kept']} of {result['total']} weights")


def _require_blobs(blobs: Mapping[str, str], *names: str) -> None:
    for name in names:
        if name not in blobs:
            raise ValueError(f"its blobs have no {name}")


def _require_shallow(record: Mapping[str, Any]) -> None:
    layer: list[Any] = [record]
    for _ in range(DEEPEST):
        layer = [inner for item in layer for inner in (item.values() if isinstance(item, dict) else item)]
        layer = [item for item in layer if isinstance(item, (dict, list))]
        if not layer:
            return
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")
