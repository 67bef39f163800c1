"""Measures the speed of a kind of training by a short run of `fit`, of which nothing is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from inspect import signature
from pathlib import Path

import torch

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.datasets.examples import Batch
from lt_sweeps.datasets.loader import Loader
from lt_sweeps.datasets.order import WHOLE, Share
from lt_sweeps.execution.rates import By, Rate
from lt_sweeps.execution.worker import Worker
from lt_sweeps.graph import Dense, Init, Measure, Ticket, Train, Work
from lt_sweeps.masks import State, TicketTensors
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.measures.solved import tangent_solution
from lt_sweeps.networks.build import build, holding
from lt_sweeps.specs import Batching
from lt_sweeps.store.store import Store
from lt_sweeps.training.fit import fit
from lt_sweeps.training.recorder import Session, copy_state, state_digest
from lt_sweeps.training.sparse.choose import choose
from lt_sweeps.training.sparse.step import ChainKernel, evaluated

SECONDS = 1.5  # for which the steps of a kind are timed; its evaluations for a third of that
PRODUCT, SLOPE = 5, 3  # evaluations that a product with the kernel of a tangent space takes, and its expansion, about
COLD = 3  # first steps, slower and not counted: memory is allocated, kernels are chosen


class _EnoughSteps(Exception):
    """Ends a training when enough of its steps are timed."""


class _TimedLoader:
    """A loader that records when each step requests its batch, and ends the training after SECONDS."""

    def __init__(self, examples: Loader) -> None:
        self._examples = examples
        self.data, self.device, self.published = examples.data, examples.device, examples.published
        self.per_epoch, self.chunks = examples.per_epoch, examples.chunks
        self.require_unchanged = examples.require_unchanged
        self.times: list[float] = []

    def batches(self, start: int, batching: Batching, share: Share = WHOLE) -> Generator[Batch]:
        """Yields the batches of the wrapped loader. Raises _Enough when enough steps are timed."""
        with closing(self._examples.batches(start, batching, share)) as batches:
            while True:
                self.times.append(time.perf_counter())
                if len(self.times) > COLD + 1 and self.times[-1] - self.times[0] > SECONDS:
                    raise _EnoughSteps
                yield next(batches)


class Calibration:
    """Measures rates, with the settings of the worker that would execute the jobs."""

    def __init__(self, store: Store, data_dir: Path, trainer: TrainerConfig) -> None:
        self._worker = Worker(store, data_dir, trainer, lambda line: None)
        self.machine = self._worker.fingerprint

    def rate(self, run: Work, published: tuple[int, int] | None, by: By | None = None) -> Rate:
        """Measures the rate of a training's kind, on its data under some mask, or of a measure's. Stores nothing.

        With `by` the mask keeps its share of the weights, and its kernel computes the steps.
        Raises Mistake if the data set is not as configured.
        """
        values = self._worker.values
        values.require(run.data, published)
        examples = values.examples(run.data)
        network = (run.of[0] if isinstance(run, Measure) else run.ticket).network
        weights = values.weights(Init(network, 0))
        if isinstance(run, Measure):
            module = holding(build(network), weights).to(examples.device)
            return Rate(_examples_per_point(run, examples) * self._example(module, examples, "test"))
        mask = {name: ones.clone() for name, ones in values.mask(Dense(network)).items()}
        for ones in mask.values():  # masking costs the same at any density, but nothing at density 1
            ones.view(-1)[0] = False
            if by is not None:
                ones.copy_(torch.rand(ones.shape, generator=torch.Generator().manual_seed(0)) < by.kept)
        ticket = TicketTensors(weights, mask, weights if run.ticket.fill is not None else None)
        kernel = None
        if by is not None:
            kernel = choose(run, ticket, examples, replace(self._worker.hardware, kernel=by.kernel))
        once, step = self._steps(run, ticket, examples, kernel)
        evaluation, tests = self._evaluations(run, weights, examples, kernel)
        return Rate(step, evaluation, once + tests)

    def _steps(
        self, run: Train, ticket: TicketTensors, examples: Loader, kernel: ChainKernel | None
    ) -> tuple[float, float]:
        """Measures the seconds before the first step, and per step."""
        network = run.ticket.network
        steps = max(run.recipe.steps, COLD + 2)  # a ticket that is not trained is of a kind that others are trained of
        # No step is the recipe's last, and none evaluates.
        recipe = replace(run.recipe, steps=steps + 1, eval_every=steps + 1)
        silent = replace(run, ticket=Ticket(network, Init(network, 0), Dense(network)), recipe=recipe)
        watched, begun = _TimedLoader(examples), time.perf_counter()
        with suppress(_EnoughSteps):
            fit(silent, ticket, watched, self._worker.hardware, Session(until=steps), kernel)
        times = [*watched.times, time.perf_counter()][: steps + 1]
        warm = times[min(COLD, len(times) - 2) :]
        return times[0] - begun, (warm[-1] - warm[0]) / (len(warm) - 1)

    def _evaluations(
        self, run: Train, weights: State, examples: Loader, kernel: ChainKernel | None
    ) -> tuple[float, float]:
        """Measures the seconds of an evaluation during training, and of the test evaluations at the end."""
        network = holding(build(run.ticket.network), weights)
        if run.recipe.precision == "64-true":
            network.double()
        network.to(examples.device)
        begun = time.perf_counter()
        state_digest(network.state_dict())
        copy_state(network)
        kept = time.perf_counter() - begun
        limit = math.inf if run.data.eval_limit is None else run.data.eval_limit
        held, test = min(run.data.validation, limit), min(examples.published[1], limit)
        with evaluated(kernel, run, network):
            validation = held * self._example(network, examples, "validation") if held else 0.0
            return kept + validation, (2 if held else 1) * test * self._example(network, examples, "test")

    def _example(self, network: torch.nn.Module, examples: Loader, part: str) -> float:
        """Measures the seconds to evaluate one example."""
        seen, begun, classes_and_task = 0, 0.0, (examples.data.classes, examples.data.task)

        def timed(chunks: Iterator[Batch]) -> Iterator[Batch]:
            nonlocal seen, begun
            for x, y in chunks:
                if not begun:  # the first is cold
                    evaluate(network, [(x, y)], *classes_and_task)
                    begun = time.perf_counter()
                yield x, y
                seen += len(y)
                if time.perf_counter() - begun > SECONDS / 3:
                    return

        evaluate(network, timed(examples.chunks(part)), *classes_and_task)
        return (time.perf_counter() - begun) / seen


def _examples_per_point(measure: Measure, examples: Loader) -> int:
    """Number of examples that each point of a measure evaluates; of one that iterates, if it never settles."""
    train, test = examples.published
    data, renewed = measure.data, measure.what.args.get("batchnorm") == "recompute"
    limited = train - data.validation if data.train_limit is None else data.train_limit
    held, test = (n if data.eval_limit is None else min(n, data.eval_limit) for n in (data.validation, test))
    if measure.what.name == tangent_solution.__name__:
        return _solver_evaluations(measure, limited, held, test)
    return limited * renewed + test


def _solver_evaluations(measure: Measure, train: int, held: int, test: int) -> int:
    """Evaluations of an example that `tangent_solution` takes at most, if all its iterations are needed."""
    defaults = {name: taken.default for name, taken in signature(tangent_solution).parameters.items()}
    args = defaults | dict(measure.what.args)
    solved = min(args["examples"], train)
    expansions = SLOPE * (solved + held + test) + test
    return int(len(args["ridges"]) * (args["iterations"] * PRODUCT * solved + expansions))
