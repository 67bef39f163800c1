"""Contenders timed in turns: what slows the machine down for a while slows all of them down."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch


@dataclass(frozen=True)
class Contender:
    """`work(n)` sets up and then does n units; a unit's cost is the slope between `short` and `long`."""

    name: str
    work: Callable[[int], object]
    short: int
    long: int


@dataclass
class Timing:
    """One contender's rounds, each beside a turn of the reference: milliseconds per unit, and ratios to it."""

    name: str
    cpu: list[float] = field(default_factory=list)
    setup: list[float] = field(default_factory=list)
    cpu_ratios: list[float] = field(default_factory=list)
    wall_ratios: list[float] = field(default_factory=list)

    def add(self, own: tuple[float, float, float], reference: tuple[float, float, float]) -> None:
        """One more round."""
        self.cpu.append(own[0])
        self.setup.append(own[2])
        self.cpu_ratios.append(own[0] / reference[0])
        self.wall_ratios.append(own[1] / reference[1])

    @property
    def ratio(self) -> float:
        """The median over rounds of the ratio of process CPU times."""
        return median(self.cpu_ratios)


def race(reference: Contender, others: Sequence[Contender], rounds: int) -> list[Timing]:
    """Time each contender right after a turn of the reference, in every round; the reference comes first."""
    for contender in (reference, *others):
        _clocks(contender, contender.short)  # whatever is done once per process is done now
    timings = [Timing(contender.name) for contender in (reference, *others)]
    for turn in range(rounds):
        order = [(turn + place) % len(others) for place in range(len(others))]  # nobody is always last
        for index in order:
            base = _turn(reference)
            timings[0].add(base, base)
            timings[index + 1].add(_turn(others[index]), base)
    return timings


def _turn(contender: Contender) -> tuple[float, float, float]:
    """CPU and wall milliseconds per unit, and CPU milliseconds of everything that is not a unit."""
    cpu_short, wall_short = _clocks(contender, contender.short)
    cpu_long, wall_long = _clocks(contender, contender.long)
    more = contender.long - contender.short
    cpu = (cpu_long - cpu_short) / more
    return cpu, (wall_long - wall_short) / more, cpu_short - contender.short * cpu


def _clocks(contender: Contender, units: int) -> tuple[float, float]:
    gc.collect()
    torch.use_deterministic_algorithms(False)  # a Lightning trainer leaves it as it set it
    cpu, wall = time.process_time(), time.perf_counter()
    contender.work(units)
    return 1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)
