"""The bytes that a plan will write into the store, from shapes and densities. No torch here."""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from lt_sweeps import results
from lt_sweeps.execution.plan import Plan
from lt_sweeps.execution.rates import evaluations
from lt_sweeps.graph import At, Mask, Measure, Prune, Train, end, sources, topological
from lt_sweeps.keys import Node
from lt_sweeps.metrics import named
from lt_sweeps.results import Evaluated, Finished, Kept, Layer
from lt_sweeps.store.store import Store

WIDTH = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "U8": 1, "I8": 1, "BOOL": 1}  # bytes, as stored
HASH, SHORT = "0" * 64, "0" * 16
CARD = 7_000  # bytes of a ticket's card, mostly its configuration


@dataclass(frozen=True)
class Layout:
    """Shape and safetensors type of each tensor of a network, and the size of its optimizer's state."""

    tensors: Mapping[str, tuple[tuple[int, ...], str]]
    optimizer: int = 0  # bytes of the optimizer's state
    _sizes: dict[tuple[str, ...], int] = field(default_factory=dict, compare=False)
    _masks: dict[tuple[str, ...], int] = field(default_factory=dict, compare=False)

    @cached_property
    def whole(self) -> int:
        """Bytes of all tensors."""
        return sum(math.prod(shape) * WIDTH[kind] for shape, kind in self.tensors.values())

    def state(self, kept: Mapping[str, int]) -> int:
        """Bytes of a file with all tensors, of those in `kept` only so many values."""
        names = tuple(kept)
        if names not in self._sizes:
            flat = {
                name: ((math.prod(shape),) if name in kept else shape, k) for name, (shape, k) in self.tensors.items()
            }
            pruned = sum(math.prod(self.tensors[name][0]) * WIDTH[self.tensors[name][1]] for name in names)
            self._sizes[names] = file_size(flat) - pruned
        return self._sizes[names] + sum(n * WIDTH[self.tensors[name][1]] for name, n in kept.items())

    def mask(self, names: Iterable[str]) -> int:
        """Bytes of a mask file: one bit for every value of these tensors."""
        masked = tuple(sorted(names))
        if masked not in self._masks:
            shapes = {name: list(self.tensors[name][0]) for name in masked}
            bits = {name: ((-(-math.prod(shape) // 8),), "U8") for name, shape in shapes.items()}
            self._masks[masked] = file_size(bits, json.dumps(shapes))
        return self._masks[masked]


@dataclass
class Disk:
    """Bytes that a plan will write, and those of its checkpoints and exported tickets."""

    weights: int = 0
    snapshots: int = 0
    masks: int = 0
    records: int = 0
    checkpoints: int = 0  # at most, temporary, of the trainings running at a time
    at_most: bool = False  # whether some mask is counted as if nothing of it were pruned
    tickets: int = 0  # what all levels would take as ticket files, stored ones included

    @property
    def total(self) -> int:
        """Bytes that stay."""
        return self.weights + self.snapshots + self.masks + self.records


def file_size(tensors: Mapping[str, tuple[tuple[int, ...], str]], note: str = "") -> int:
    """Bytes of a safetensors file: 8 for the header's length, the header padded to a multiple of 8, the values.

    >>> file_size({"weight": ((2, 3), "F32")})
    96
    """
    head: dict[str, Any] = {"__metadata__": {"note": note}} if note else {}
    end = 0
    for name, (shape, kind) in sorted(tensors.items(), key=lambda item: (-WIDTH[item[1][1]], item[0])):
        begin, end = end, end + math.prod(shape) * WIDTH[kind]
        head[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
    return 8 + -(-len(json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()) // 8) * 8 + end


def estimate(
    plan: Plan,
    store: Store,
    layout: Callable[[Train | Prune], Layout],
    kept: Callable[[Mask], Mapping[str, int]],
    machine: Mapping[str, Any],
    slots: int,
) -> Disk:
    """Estimates what the jobs of a plan will store.

    `layout` gives the tensors of a training's network, or of the one that a mask is pruned from, perhaps another;
    `kept` counts the kept weights of each tensor of a mask.
    """
    disk, made_by = Disk(), indented({"fingerprint": machine}) - indented({"fingerprint": {}})
    counted = {end(run).mask for run in plan.records if isinstance(run, Train)}
    running: list[int] = []
    for job in plan.jobs:
        run = job.run
        if isinstance(run, Measure):
            disk.records += _measured(run, made_by)
            continue
        form, mask = layout(run), end(run).mask
        live = kept(mask)
        state = form.state(live)
        disk.snapshots += state * len(job.snapshots)
        blobs = ["state"] if run.static else ["state", "mask"]
        if not run.static:  # equal masks are one file
            disk.masks += form.mask(live) * len(job.snapshots)
        if job.snapshots:  # their records differ in the digits of the step
            step = max(job.snapshots)
            disk.records += len(job.snapshots) * _record(At(run, step), {"step": step}, blobs, made_by)
        if job.replay_to is None:
            disk.weights += state
            layers = [Layer(name, n, math.prod(form.tensors[name][0])) for name, n in live.items()]
            disk.records += _trained(run, layers, evaluations(job), made_by)
            if mask not in counted and not isinstance(mask, Prune):
                counted.add(mask)
                disk.masks += form.mask(live)
            best = form.whole if run.data.validation else 0
            running.append(form.whole + best + form.optimizer + 250 * len(form.tensors) + 150 * evaluations(job))
    for node in _prunings(plan):
        if node not in counted and node.key not in store:
            live = kept(node)
            disk.masks += layout(node).mask(live)
            counts = {"kept": 10**6, "total": 10**6, "eligible": 10**6, "emptied": []}
            disk.records += _record(node, counts, ["mask"], made_by)
    disk.checkpoints = sum(heapq.nlargest(slots, running))
    disk.tickets = sum(_ticket(run, layout(run), kept(end(run).mask)) for run in plan.shown)
    return disk


def _prunings(plan: Plan) -> list[Prune]:
    """Every mask that must be pruned for the jobs."""
    masks = [end(job.run).mask for job in plan.jobs if isinstance(job.run, Train)]
    return [n for n in topological(masks, stop=lambda node: isinstance(node, Train)) if isinstance(n, Prune)]


def _ticket(run: Train, form: Layout, live: Mapping[str, int]) -> int:
    return (form.state(live) if run.ticket.fill is None else form.whole) + form.mask(live) + CARD


LIKE = {"accuracy": 98.7654}  # metrics of another task take about as much
TIMING = len(json.dumps({"seconds": 123.456}))


def _trained(run: Train, layers: Sequence[Layer], evaluated: int, made_by: int) -> int:
    """Bytes of a training's record, with lines for every layer and evaluation, and of its timing."""
    validated = run.data.validation > 0
    row, early = _row(run.recipe.steps, validated=validated), None
    if validated:
        early = Evaluated(LIKE, 0.123456, row["step"], 0.123456, LIKE)
    kept = Kept(10**5, 10**5, layers=tuple(layers))
    begun = None if run.static else kept
    result = results.written(Finished(kept, row["step"], (row,), Evaluated(LIKE, 0.123456), early, begun))
    more_rows = _row_bytes(run.recipe.steps, validated=validated) * (evaluated - 1)
    return _record(run, result, ["end", "mask"], made_by) + more_rows + TIMING


def _row(step: int, *, validated: bool) -> dict[str, Any]:
    """A row of a training's history."""
    row = {"step": step, "train_loss": 0.123456, "digest": SHORT}
    return {**row, "val_loss": 0.123456, **named("val", LIKE)} if validated else row


@cache
def _row_bytes(step: int, *, validated: bool) -> int:
    """Bytes of a further row of a history."""
    row = _row(step, validated=validated)
    return indented({"result": {"history": [row, row]}}) - indented({"result": {"history": [row]}})


def _measured(measure: Measure, made_by: int) -> int:
    """Bytes of a measure's record, a number or two for every point, and of its timing."""
    table = {"status": "done", "alpha": [0.123456] * measure.points, "test_error": [12.3456] * measure.points}
    return _record(measure, {**table, "barrier": 12.3456, "midpoint": 12.3456}, [], made_by) + TIMING


def _record(node: Node, result: Mapping[str, Any], blobs: Iterable[str], made_by: int) -> int:
    """Bytes of a record, whose fingerprint has `made_by`."""
    record = {
        "key": node.key,
        "node": node.describe(),
        "sources": dict.fromkeys(sources(node), SHORT),
        "result": dict(result),
        "blobs": dict.fromkeys(blobs, HASH),
        "fingerprint": {},
        "checksum": HASH,
    }
    return indented(record) + made_by


def indented(value: Any) -> int:
    """Characters of `json.dumps(value, indent=1)`, which Python writes by itself at five times the cost.

    >>> value = {"a": [1, {"b": 2}], "c": {}, "d": []}
    >>> indented(value) == len(json.dumps(value, indent=1))
    True
    """
    return len(json.dumps(value, separators=(",", ": "))) + _breaks(value, 1)


def _breaks(value: Any, depth: int) -> int:
    """A line break before each item and before the closing bracket, and as many spaces as containers are around it."""
    if not isinstance(value, (dict, list, tuple)) or not value:
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return len(value) * (1 + depth) + depth + sum(_breaks(item, depth + 1) for item in inner)


def summary(disk: Disk) -> str:
    """The bytes that a plan writes, in one line.

    >>> summary(Disk(weights=1_000_000_000, snapshots=300_000_000, masks=5_000, checkpoints=40_000_000))
    'disk: 1.3 GB (weights 1.0 GB, snapshots 300 MB, masks 5.0 kB), checkpoints in progress 40 MB'
    >>> summary(Disk(weights=1_000, at_most=True))
    'disk: at most 1.0 kB (weights 1.0 kB)'
    """
    parts = {"weights": disk.weights, "snapshots": disk.snapshots, "masks": disk.masks, "records": disk.records}
    shares = ", ".join(f"{name} {size(n)}" for name, n in parts.items() if n)
    most = "at most " if disk.at_most else ""
    line = f"disk: {most}{size(disk.total)} ({shares})" if disk.total else "disk: nothing more"
    if disk.checkpoints:
        line += f", checkpoints in progress {size(disk.checkpoints)}"
    return line + (f"; all tickets as files: {size(disk.tickets)}" if disk.tickets else "")


def size(n: float) -> str:
    """Bytes in words.

    >>> size(999), size(1_234_000), size(45e9)
    ('999 bytes', '1.2 MB', '45 GB')
    """
    if n < 1000:
        return f"{n:.0f} bytes"
    units = iter(("kB", "MB", "GB", "TB"))
    n, unit = n / 1000, next(units)
    while n >= 999.5 and unit != "TB":
        n, unit = n / 1000, next(units)
    return f"{n:.1f} {unit}" if n < 9.95 else f"{n:,.0f} {unit}"
