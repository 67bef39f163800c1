"""The speed of each kind of training on this machine, from calibrations and finished trainings. No torch here.

    <store>/calibration/<hash>.json     a rate, its kind and the machine that it was measured on

A rate is in no key and changes no result; it may be deleted at any time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from lt_sweeps import results
from lt_sweeps.execution.plan import Job, Plan
from lt_sweeps.graph import Measure, Train, Work
from lt_sweeps.keys import canonical, digest
from lt_sweeps.store.disk import read
from lt_sweeps.store.store import Store, write

KERNEL = "kernel"  # entry of a fingerprint: by what steps were computed, where it is not the masked network itself
MOST = 1 << 20  # bytes of a calibration's file
NOT_SPEED = ("split_seed", "corruption", "train_limit")  # of Data: they choose examples and do not change the speed


@dataclass(frozen=True)
class Rate:
    """Seconds per iteration (or point of a measure), per evaluation, and once per training."""

    step: float
    evaluation: float = 0.0
    once: float = 0.0

    def seconds(self, job: Job) -> float:
        """Seconds that a job takes.
        >>> from lt_sweeps.graph import Dense, Init, Ticket, Train
        >>> from lt_sweeps.specs import Data, Network, Part, Recipe
        >>> net = Network(Part("net"), (1,), 2)
        >>> run = Train(Ticket(net, Init(net, 0), Dense(net)), Data(Part("d"), 2, (1,)), Recipe(50, 10, Part("sgd")))
        >>> Rate(0.5, 3.0, 7.0).seconds(Job(run))
        35.0
        """
        return self.once + self.evaluation * evaluations(job) + self.step * job.iterations


@dataclass(frozen=True)
class By:
    """What computes a training other than the masked network: `sparse` or `dense`, and the share of weights kept."""

    kernel: str
    kept: float


class Kinds:
    """Names the kind of a training or measure; runs of one kind are equally fast.

    `kernel` returns what a training will be computed by, None for masked steps.
    """

    def __init__(self, kernel: Callable[[Train], By | None] = lambda run: None) -> None:
        self.kernel = kernel
        self._names: dict[tuple[Any, ...], tuple[Work, str]] = {}  # by ids, which the work keeps alive

    def __call__(self, run: Work) -> str:
        """The name of a run's kind, cached by the ids of the objects that the trainings of a cell share."""
        if isinstance(run, Measure):
            near: tuple[Any, ...] = (id(run.of[0].network), id(run.data), id(run.what))
        else:
            near = (id(run.ticket.network), id(run.data), id(run.recipe), run.ticket.fill is None, self._kept(run))
        if near not in self._names:
            self._names[near] = run, digest(self.described(run))
        return self._names[near][1]

    def described(self, run: Work) -> dict[str, Any]:
        """The settings that decide a run's speed."""
        kept = self._kept(run)
        return described(run) if kept is None else {**described(run), "kept": kept}

    def _kept(self, run: Work) -> str | None:
        """Sparse trainings are of one kind from a power of two to the next, dense ones of one."""
        by = None if isinstance(run, Measure) else self.kernel(run)
        if by is None:
            return None
        return "dense" if by.kernel == "dense" else f"2^{math.floor(math.log2(max(by.kept, 1e-9)))}"


def described(run: Work) -> dict[str, Any]:
    """Returns the settings that decide the speed of masked steps: network, data, batch, optimizer, or the measure."""
    network = (run.of[0] if isinstance(run, Measure) else run.ticket).network.describe()
    features: dict[str, Any] = {
        "network": {name: value for name, value in network.items() if name != "initialiser"},
        "data": {name: value for name, value in run.data.describe().items() if name not in NOT_SPEED},
    }
    if isinstance(run, Measure):
        return features | {"measure": run.what.describe()}
    recipe = run.recipe
    return features | {
        "batch_size": recipe.batch_size,
        "precision": recipe.precision,
        "optimizer": recipe.optimizer.name,
        "clipped": recipe.clip_norm is not None,
        "frozen": run.ticket.fill is not None,
    }


def evaluations(job: Job) -> int:
    """Number of evaluations during a job: at each multiple of `eval_every`, and at the recipe's end."""
    if isinstance(job.run, Measure):
        return 0
    recipe, first = job.run.recipe, job.first
    last, every = first + job.iterations, recipe.eval_every
    return last // every - first // every + (last == recipe.steps and last % every > 0)


def known(plan: Plan, store: Store, machine: Mapping[str, Any], kind: Kinds) -> dict[str, Rate]:
    """Returns the known rates of the plan's kinds on a machine.

    A calibrated rate is scaled by the median ratio of actual to predicted seconds of finished trainings of its kind;
    without a calibration all their seconds are attributed to iterations. A training that was computed by one kernel
    says nothing of one that another will compute.
    """
    kinds = dict.fromkeys(kind(run) for run in plan.asks)
    rates = {name: rate for name in kinds if (rate := _calibrated(store, name, machine)) is not None}
    took: dict[str, list[tuple[Job, float]]] = {}
    for run, record in plan.records.items():
        made_by = dict(record["fingerprint"])
        was_by = made_by.pop(KERNEL, "").partition(" ")[0]
        if made_by == machine and results.is_done(record) and isinstance(run, Work):
            by = kind.kernel(run) if isinstance(run, Train) else None
            if (was_by if was_by in ("sparse", "dense") else "") != ("" if by is None else by.kernel):
                continue
            seconds = store.load_timing(run.key).get("seconds")
            if seconds is not None:
                took.setdefault(kind(run), []).append((Job(run), seconds))
    for name, finished in took.items():
        rate = rates.get(name, Rate(1.0))
        factor = median(seconds / rate.seconds(job) for job, seconds in finished)
        rates[name] = Rate(rate.step * factor, rate.evaluation * factor, rate.once * factor)
    return rates


def missing(plan: Plan, rates: Iterable[str], kind: Kinds) -> list[Work]:
    """Returns one training or measure to be done of each kind without a known rate."""
    rated = {*rates}
    return list({name: job.run for job in plan.jobs if (name := kind(job.run)) not in rated}.values())


def keep(store: Store, run: Work, machine: Mapping[str, Any], rate: Rate, kind: Kinds | None = None) -> None:
    """Writes a measured rate to the store, for later plans."""
    kind = kind or Kinds()
    record = {"kind": kind.described(run), "machine": dict(machine), "seconds": asdict(rate)}
    write(_path(store, kind(run), machine), json.dumps(record, indent=1).encode())


def _calibrated(store: Store, kind: str, machine: Mapping[str, Any]) -> Rate | None:
    try:
        seconds = json.loads(read(_path(store, kind, machine), MOST))["seconds"]
        numbers = all(type(value) in (int, float) and math.isfinite(value) and value >= 0 for value in seconds.values())
        return Rate(**seconds) if numbers else None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _path(store: Store, kind: str, machine: Mapping[str, Any]) -> Path:
    return store.root / "calibration" / f"{digest([kind, canonical(machine)])[:32]}.json"
