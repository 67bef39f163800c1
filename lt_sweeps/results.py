"""Results of trainings and prunings as typed values, and their form in records. No torch.

Only this module accesses entries of a record's `result` by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lt_sweeps.metrics import Metric, compared_by, named, values_of

DONE = "done"


@dataclass(frozen=True)
class Layer:
    """A prunable tensor: how many of its `total` weights are kept."""

    name: str
    kept: int
    total: int


@dataclass(frozen=True)
class Kept:
    """How many prunable weights a mask keeps, in total and per layer."""

    kept: int
    total: int
    excluded: int = 0  # weights that prune.exclude protects
    layers: tuple[Layer, ...] = ()
    eligible: int | None = None  # not excluded by the criterion: of the kept (in a pruning: of the parent's)

    @property
    def density(self) -> float:
        """The kept share of the prunable weights."""
        return self.kept / self.total

    def remaining(self, *, count_excluded: bool) -> float:
        """Returns the density in percent; `count_excluded` adds the excluded weights to both counts."""
        counted = self.excluded if count_excluded else 0
        return 100 * (self.kept + counted) / (self.total + counted)


@dataclass(frozen=True)
class Evaluated:
    """Test results of a network, and validation results if validation chose its step: metrics by name, and losses."""

    test: Mapping[str, float]
    test_loss: float | None = None
    step: int | None = None
    val_loss: float | None = None
    val: Mapping[str, float] = field(default_factory=dict)

    @property
    def metric(self) -> Metric:
        """The metric that networks are compared by."""
        return compared_by(self.test)

    @property
    def value(self) -> float:
        """The test result in that metric."""
        return self.test[self.metric.name]


@dataclass(frozen=True)
class Finished:
    """A training that reached its end."""

    kept: Kept
    steps: int
    history: tuple[Mapping[str, Any], ...]  # a row per evaluation: step, digest, losses, validation metrics
    at_end: Evaluated
    at_early_stop: Evaluated | None = None  # None without validation examples
    begun: Kept | None = None  # what its mask kept at the start, where a gate or a hook may have changed it
    ended_by: str | None = None  # the hook that ended it before its recipe does
    sampled: tuple[float, ...] = ()  # the test metric under masks drawn at the end, where a gate draws them
    noted: tuple[Mapping[str, Any], ...] = ()  # by hooks, a row per moment: step, hook, lists of numbers
    status = DONE

    @property
    def shown(self) -> Evaluated:
        """The results at the step of least validation loss; without validation, at the end."""
        return self.at_early_stop or self.at_end


@dataclass(frozen=True)
class Diverged:
    """A training whose loss became non-finite; `step` is the step that was not taken."""

    kept: Kept
    steps: int
    history: tuple[Mapping[str, Any], ...]
    step: int
    status = "diverged"


@dataclass(frozen=True)
class Collapsed:
    """A ticket that is not trained because whole layers are pruned."""

    kept: Kept
    emptied: tuple[str, ...]
    history = ()  # not trained
    status = "collapsed"


Outcome = Finished | Diverged | Collapsed


def status(record: Mapping[str, Any]) -> str:
    """Returns `done`, `diverged` or `collapsed`; for a measure `done`."""
    return str(record["result"]["status"])


def is_done(record: Mapping[str, Any]) -> bool:
    """Whether the status is `done`, so that dependent work can be computed."""
    return status(record) == DONE


def measured(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the table of a measure from its record: columns and summary numbers."""
    return {name: value for name, value in record["result"].items() if name != "status"}


def outcome(record: Mapping[str, Any]) -> Outcome:
    """Returns the typed result of a training from its record."""
    result = record["result"]
    kept, history = kept_of(record), tuple(result.get("history", ()))
    match result["status"]:
        case "collapsed":
            return Collapsed(kept, tuple(result.get("emptied", ())))
        case "diverged":
            return Diverged(kept, result.get("steps", 0), history, result.get("diverged_at", result.get("steps", 0)))
    early, begun = result.get("early_stop"), result.get("begun")
    return Finished(
        kept,
        result["steps"],
        history,
        _evaluated(result["end"]),
        None if early is None else _evaluated(early),
        None if begun is None else kept_of({"result": begun}),
        result.get("ended_by"),
        tuple(result.get("sampled", ())),
        tuple(result.get("noted", ())),
    )


def kept_of(record: Mapping[str, Any]) -> Kept:
    """Returns the counts of a mask from the record of a training or pruning."""
    result = record["result"]
    layers = tuple(Layer(*layer) for layer in result.get("layers", ()))
    return Kept(result["kept"], result["total"], result.get("excluded", 0), layers, result.get("eligible"))


def _evaluated(row: Mapping[str, Any]) -> Evaluated:
    values = values_of(row, "test"), values_of(row, "val")
    return Evaluated(values[0], row.get("test_loss"), row.get("step"), row.get("val_loss"), values[1])


def written(value: Outcome) -> dict[str, Any]:
    """Returns the `result` entry of a training's record.

    >>> kept = Kept(3, 4, layers=(Layer("fc.weight", 3, 4),))
    >>> written(Collapsed(kept, ("fc.weight",)))["emptied"], written(Collapsed(kept, ()))["layers"]
    (['fc.weight'], [['fc.weight', 3, 4]])
    >>> outcome({"result": written(Collapsed(kept, ()))}) == Collapsed(kept, ())
    True
    """
    result: dict[str, Any] = {"status": value.status, **_counted(value.kept)}
    match value:
        case Collapsed(emptied=emptied):
            result["emptied"] = list(emptied)
        case Diverged(steps=steps, history=history, step=step):
            result |= {"steps": steps, "history": list(history), "diverged_at": step}
        case Finished(steps=steps, history=history, at_end=at_end, at_early_stop=early):
            result |= {"steps": steps, "history": list(history), "end": _row(at_end)}
            result |= {} if early is None else {"early_stop": _row(early)}
            result |= {} if value.begun is None else {"begun": _counted(value.begun)}
            result |= {} if value.ended_by is None else {"ended_by": value.ended_by}
            result |= {"noted": list(value.noted)} if value.noted else {}
            result |= {"sampled": list(value.sampled)} if value.sampled else {}
    return result


def _counted(kept: Kept) -> dict[str, Any]:
    layers = [[layer.name, layer.kept, layer.total] for layer in kept.layers]
    counts = {"kept": kept.kept, "total": kept.total, "excluded": kept.excluded, "layers": layers}
    return counts if kept.eligible is None else {**counts, "eligible": kept.eligible}


def _row(tested: Evaluated) -> dict[str, Any]:
    losses = {"test_loss": tested.test_loss, "step": tested.step, "val_loss": tested.val_loss}
    present = {name: value for name, value in losses.items() if value is not None}
    return {**named("test", tested.test), **present, **named("val", tested.val)}
