"""Steps of sparse tickets: LeNet-300-100 on MNIST by sparse kernels, by masked steps, and by a dense plain loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch

from benchmarks.lenet_step import plain
from benchmarks.rounds import Contender, race
from benchmarks.stand_in import BATCH, LENET, mnist
from benchmarks.table import Row
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.execution.worker import new_tensors
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.masks import Mask, TicketTensors, dense
from lt_sweeps.networks.build import build, initial
from lt_sweeps.specs import Part, Recipe
from lt_sweeps.training import step as stepping
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.sparse import choose as choosing

SHORT, LONG = 50, 450
GOALS = {0.05: 5.0, 0.02: 9.0, 0.01: 12.0}
STOCK_GOAL = 2.5
LEVELS, CHAIN_GOAL = 20, 8.5
STEPPERS: dict[str, dict[str, Any]] = {"SGD": {"lr": 0.1}, "Adam": {"lr": 1.2e-3}}


class Fit:
    """`fit` as a worker calls it: a random ticket of this density, by this kernel, n steps."""

    def __init__(
        self,
        examples: Examples,
        optimizer: str,
        density: float,
        kernel: str,
        *,
        batch: int = BATCH,
        every: int = 0,
        compiler: bool = True,
    ) -> None:
        self._examples, self._hardware, self._every = examples, Hardware("cpu", kernel=kernel), every
        self._mask, self._weights = at_density(density), initial(LENET, 0)
        self._described, self._batch, self._compiler = (
            Part(f"torch.optim.{optimizer}", args=STEPPERS[optimizer]),
            batch,
            compiler,
        )

    def __call__(self, steps: int) -> None:
        """One fit; it is evaluated at its end, and every `every` steps."""
        recipe = Recipe(steps, self._batch, self._described, eval_every=self._every or steps)
        run = Train(Ticket(LENET, Init(LENET, 0), Dense(LENET)), self._examples.data, recipe)
        ticket = TicketTensors(self._weights, self._mask)
        with _compiler(self._compiler), new_tensors(filled=False):
            sparse = choosing.choose(run, ticket, self._examples, self._hardware)
            fit(run, ticket, self._examples, self._hardware, kernel=sparse)


@contextmanager
def _compiler(there: bool) -> Iterator[None]:
    """Context manager: without a compiler, torch's sparse matrices and optimizers are used."""
    real = choosing.library, stepping.masked_update
    if not there:
        choosing.library, stepping.masked_update = lambda dtype, **_: None, lambda *_: None  # type: ignore[assignment]
    try:
        yield
    finally:
        choosing.library, stepping.masked_update = real


def at_density(density: float) -> Mask:
    """A random mask; the output layer, which papers prune at half the rate, keeps the root of it."""
    draw = torch.Generator().manual_seed(0)
    full, _ = dense(build(LENET))
    shares = {name: density**0.5 if name.startswith("output") else density for name in full}
    return {name: torch.rand(ones.shape, generator=draw) < shares[name] for name, ones in full.items()}


def rows(rounds: int) -> list[Row]:
    """Steps at three densities, with SGD and Adam, with and without a compiler; then a chain of 21 levels."""
    examples = mnist()
    made: list[Row] = []
    for optimizer, args in STEPPERS.items():
        for density, goal in GOALS.items():
            made += _steps(examples, optimizer, args, density, goal, rounds)
    return [*made, _chain(min(rounds, 3))]


def _steps(
    examples: Examples, optimizer: str, args: dict[str, Any], density: float, goal: float, rounds: int
) -> list[Row]:
    stock = plain(examples, getattr(torch.optim, optimizer), **args)
    contenders = {
        "masked": Fit(examples, optimizer, density, "masked"),
        "sparse, C": Fit(examples, optimizer, density, "sparse"),
        "sparse, torch": Fit(examples, optimizer, density, "sparse", compiler=False),
    }
    goals = {"sparse, C": goal, "sparse, torch": STOCK_GOAL if density == 0.05 else None}
    timings = race(
        Contender("plain loop", stock, SHORT, LONG),
        [Contender(name, work, SHORT, LONG) for name, work in contenders.items()],
        rounds,
    )
    made = []
    for timing in timings[1:]:
        faster = sorted(1 / ratio for ratio in timing.cpu_ratios)
        wanted = goals.get(timing.name)
        detail = f"{median(timing.cpu):.3f} ms a step, the dense plain loop {median(timings[0].cpu):.3f} ms"
        made.append(
            Row(
                f"LeNet at {density:.0%}, {optimizer}",
                timing.name,
                faster[0],
                median(faster),
                "x faster than a dense plain loop",
                detail,
                "" if wanted is None else f">= {wanted:g}",
                None if wanted is None else median(faster) >= wanted,
            )
        )
    return made


def _chain(rounds: int) -> Row:
    """All levels of IMP at rate 0.2 to 1.2 %, evaluated every 100 steps of 60, in dense trainings."""
    examples = mnist(validation=5000)
    levels = [
        Contender(f"level {level}", Fit(examples, "Adam", 0.8**level, "auto", batch=60, every=100), 200, 800)
        for level in range(LEVELS + 1)
    ]
    before = Fit(examples, "Adam", 1.0, "masked", batch=60, every=100, compiler=False)
    timings = race(Contender("dense, by torch's step", before, 200, 800), levels, rounds)
    sums = [sum(timing.cpu_ratios[turn] for timing in timings[1:]) for turn in range(rounds)]
    late = median(timings[-1].cpu_ratios)
    return Row(
        "LeNet, 21 levels to 1.2 %",
        "trainer.kernel=auto",
        min(sums),
        median(sums),
        "dense trainings",
        f"dense ones by torch's own step; evaluations included; ours {median(timings[1].cpu_ratios):.3f}, "
        f"the last level {late:.3f}",
        f"<= {CHAIN_GOAL}",
        median(sums) <= CHAIN_GOAL,
    )
