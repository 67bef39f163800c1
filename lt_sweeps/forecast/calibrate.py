"""How fast a kind of training goes here: a moment of the product's own `fit`, of which nothing is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import torch

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.datasets.examples import Batch
from lt_sweeps.datasets.loader import Loader
from lt_sweeps.datasets.order import WHOLE, Share
from lt_sweeps.execution.rates import Rate
from lt_sweeps.execution.worker import Worker
from lt_sweeps.graph import Dense, Init, Measure, Ticket, Train, Work
from lt_sweeps.masks import State, TicketTensors
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.networks.build import build, holding
from lt_sweeps.specs import Batching
from lt_sweeps.store.store import Store
from lt_sweeps.training.fit import fit
from lt_sweeps.training.recorder import Session, copy_state, state_digest

SECONDS = 1.5  # that the steps of a kind are watched, and a third of that its evaluations
COLD = 3  # steps that come first, and are slower: memory is new, and kernels are chosen


class _Enough(Exception):
    """What was to be seen was seen; the rest of the training is of no interest."""


class _Watched:
    """A loader that writes down when each step asks for its batch, and ends the training after a while."""

    def __init__(self, examples: Loader) -> None:
        self._examples = examples
        self.data, self.device, self.published = examples.data, examples.device, examples.published
        self.per_epoch, self.chunks = examples.per_epoch, examples.chunks
        self.require_unchanged = examples.require_unchanged
        self.times: list[float] = []

    def batches(self, start: int, batching: Batching, share: Share = WHOLE) -> Generator[Batch]:
        """The same batches, until it is enough."""
        with closing(self._examples.batches(start, batching, share)) as batches:
            while True:
                self.times.append(time.perf_counter())
                if len(self.times) > COLD + 1 and self.times[-1] - self.times[0] > SECONDS:
                    raise _Enough
                yield next(batches)


class Calibration:
    """Measures kinds of training, with the settings of the worker that would do them."""

    def __init__(self, store: Store, data_dir: Path, trainer: TrainerConfig) -> None:
        self._worker = Worker(store, data_dir, trainer, lambda line: None)
        self.machine = self._worker.fingerprint

    def rate(self, run: Work, published: tuple[int, int]) -> Rate:
        """The rate of a kind: of training under some mask, on its own data, or of a measure's points. Writes nothing.

        Raises Mistake where the data set is not what its configuration says.
        """
        values = self._worker.values
        values.require(run.data, published)
        examples = values.examples(run.data)
        network = (run.of[0] if isinstance(run, Measure) else run.ticket).network
        weights = values.weights(Init(network, 0))
        if isinstance(run, Measure):
            module = holding(build(network), weights).to(examples.device)
            return Rate(_looked_at(run, examples) * self._example(module, examples, "test"))
        once, step = self._steps(run, weights, examples)
        evaluation, tests = self._evaluations(run, weights, examples)
        return Rate(step, evaluation, once + tests)

    def _steps(self, run: Train, weights: State, examples: Loader) -> tuple[float, float]:
        """Seconds before the first step, and of each."""
        network, values = run.ticket.network, self._worker.values
        mask = values.mask(Dense(network))
        for ones in mask.values():  # masking costs the same whatever is pruned, but not where nothing is
            ones.view(-1)[0] = False
        # No step of it is its last, nor one that evaluates.
        recipe = replace(run.recipe, steps=run.recipe.steps + 1, eval_every=run.recipe.steps + 1)
        silent = replace(run, ticket=Ticket(network, Init(network, 0), Dense(network)), recipe=recipe)
        watched, begun = _Watched(examples), time.perf_counter()
        with suppress(_Enough):
            fill = weights if run.ticket.fill is not None else None
            fit(
                silent,
                TicketTensors(weights, mask, fill),
                watched,
                self._worker.hardware,
                Session(until=run.recipe.steps),
            )
        times = [*watched.times, time.perf_counter()][: run.recipe.steps + 1]
        warm = times[min(COLD, len(times) - 2) :]
        return times[0] - begun, (warm[-1] - warm[0]) / (len(warm) - 1)

    def _evaluations(self, run: Train, weights: State, examples: Loader) -> tuple[float, float]:
        """Seconds of an evaluation on the way, and of those on the test examples at the end."""
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
        validation = held * self._example(network, examples, "validation") if held else 0.0
        return kept + validation, (2 if held else 1) * test * self._example(network, examples, "test")

    def _example(self, network: torch.nn.Module, examples: Loader, part: str) -> float:
        """Seconds to evaluate one example."""
        seen, begun = 0, 0.0

        def timed(chunks: Iterator[Batch]) -> Iterator[Batch]:
            nonlocal seen, begun
            for x, y in chunks:
                if not begun:  # the first is cold
                    evaluate(network, [(x, y)], examples.data.classes)
                    begun = time.perf_counter()
                yield x, y
                seen += len(y)
                if time.perf_counter() - begun > SECONDS / 3:
                    return

        evaluate(network, timed(examples.chunks(part)), examples.data.classes)
        return (time.perf_counter() - begun) / seen


def _looked_at(measure: Measure, examples: Loader) -> int:
    """How many examples there are at each point of a measure."""
    train, test = examples.published
    data, renewed = measure.data, measure.what.args.get("batchnorm") == "recompute"
    limited = (train - data.validation if data.train_limit is None else data.train_limit) * renewed
    return limited + (test if data.eval_limit is None else min(test, data.eval_limit))
