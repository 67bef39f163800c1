"""Runs whole training steps as one CUDA graph: batch, forward, backward, masks, clipping, optimizer without the host.

A graph replays the kernels of an eager step, so its results are the same bits. This is checked: the first steps are
taken eagerly, then replayed and compared; a graph that differs anywhere is discarded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from lt_sweeps.datasets.examples import Chosen, Examples, sent
from lt_sweeps.randomness import GENERATORS
from lt_sweeps.training.optim import Rates, Settings, apply
from lt_sweeps.training.step import Step
from lt_sweeps.training.watch import DeviceWatch

COMPARED = 8  # eager steps that a graph must repeat bit for bit before it is trusted
STRETCH = 64  # steps in a batch of Lightning's; what a graph reads in them is sent to the device at once
WORTH = 200  # fewest steps of a training for which a capture pays


@dataclass(frozen=True)
class Replay:
    """What replaying needs beside the step: the examples, and a function that tells the user why no graph is used."""

    examples: Examples
    say: Callable[[str], None]


class GraphSteps:
    """Takes steps on the chosen batches, replayed from a graph once it has proved equal to eager steps."""

    def __init__(
        self,
        step: Step,
        rates: Rates,
        network: nn.Module,
        replay: Replay,
        batch_size: int,
        draws: Callable[[], bool | None],
    ) -> None:
        self._step, self._rates, self._network = step, rates, network
        self._examples, self._say, self._batch_size, self._draws = replay.examples, replay.say, batch_size, draws
        self._has_tried = False
        self._graph: Callable[[], None] | None = None

    def take(self, stretch: Iterable[Chosen], after_step: Callable[[], None]) -> None:
        """Takes one step for each batch; smaller batches are taken eagerly."""
        chosen = list(stretch)
        if not self._has_tried:
            self._has_tried = True
            self._try(chosen[: COMPARED + 1], after_step)
            chosen = chosen[COMPARED + 1 :]
        for whole, same in groupby(chosen, key=self._is_whole):
            batches = list(same)
            settings = [self._rates.next() for _ in batches]
            if self._graph is not None and whole and all(self._fits(step_settings) for step_settings in settings):
                self._load(batches, settings)
                for _ in batches:
                    self._graph()
                    after_step()
            else:
                for batch, step_settings in zip(batches, settings, strict=True):
                    self._eager(batch, step_settings)
                    after_step()

    def _is_whole(self, chosen: Chosen) -> bool:
        return len(chosen[0]) == self._batch_size

    def _fits(self, settings: Settings) -> bool:
        """Whether only the learning rate differs from the settings at the capture."""
        return all(
            now[name] == value
            for now, then in zip(settings, self._settings, strict=True)
            for name, value in then.items()
            if name != "lr"
        )

    def _eager(self, chosen: Chosen, settings: Settings) -> None:
        apply(settings, self._step.optimizer)
        self._step(self._examples.batch(sent(chosen, self._examples.device)))

    def _try(self, chosen: Sequence[Chosen], after_step: Callable[[], None]) -> None:
        """Takes the first steps eagerly; keeps a graph if it repeats all but the first of them bit for bit."""
        settings = [self._rates.next() for _ in chosen]
        before: list[Tensor] = []
        for number, (batch, step_settings) in enumerate(zip(chosen, settings, strict=True)):
            if number == 1:  # the first step differs from later ones: the optimizer creates its state
                before = [value.clone() for value in self._state()]
            self._eager(batch, step_settings)
            after_step()
        why = self._refusal(chosen)
        if why is None:
            why = self._compare(chosen[1:], settings[1:], before)
        if why is not None:
            self._graph = None
            self._say(f"{type(self._network).__name__}: no CUDA graph, steps are slower: {why}")

    def _refusal(self, chosen: Sequence[Chosen]) -> str | None:
        optimizer = self._step.optimizer
        if not all(isinstance(group["lr"], Tensor) for group in optimizer.param_groups):
            return f"{type(optimizer).__name__} is not fused"
        if len(optimizer.param_groups) > 1:
            return "its optimizer has several groups"
        if self._rates.follows_loss:
            return "the schedule follows the validation loss"
        if self._draws():
            return "the network draws random numbers as it trains"
        if len(chosen) <= COMPARED or not all(self._is_whole(batch) for batch in chosen):
            return "the first batches are not all whole"
        return None

    def _compare(self, chosen: Sequence[Chosen], settings: Sequence[Settings], before: Sequence[Tensor]) -> str | None:
        """Replays these steps from the values `before` them; returns None if that ends in the same bits, else why."""
        held = self._state()
        after = [value.clone() for value in held]
        if len(before) != len(held):
            return "the optimizer's state grows"
        try:
            self._settings = settings[-1]
            self._capture(chosen[0])
            for place, value in zip(held, before, strict=True):
                place.copy_(value)
            self._load(chosen, settings)
            for _ in chosen:
                self._graph()  # type: ignore[misc]
            equal = all(_same(place, value) for place, value in zip(held, after, strict=True))
            return None if equal else "replayed steps differ from eager ones"
        except RuntimeError as error:
            return f"it cannot be captured ({str(error).splitlines()[0]})"
        finally:
            for place, value in zip(held, after, strict=True):
                place.copy_(value)

    def _capture(self, like: Chosen) -> None:
        device = self._examples.device
        self._inputs = tuple(part.new_zeros((STRETCH, *part.shape), device=device) for part in like)
        self._lrs = torch.zeros(STRETCH, device=device, dtype=torch.float32)
        self._place = torch.zeros(1, dtype=torch.int64, device=device)

        def step() -> None:
            if self._settings:
                for group in self._step.optimizer.param_groups:
                    group["lr"].copy_(self._lrs.index_select(0, self._place)[0])
            self._step(self._examples.batch(tuple(part.index_select(0, self._place)[0] for part in self._inputs)))
            self._place.add_(1)

        self._graph = captured(step)

    def _load(self, chosen: Sequence[Chosen], settings: Sequence[Settings]) -> None:
        """Copies the batches and learning rates of a stretch to where the graph reads them."""
        stacked = tuple(torch.stack(parts) for parts in zip(*chosen, strict=True))
        for place, values in zip(self._inputs, sent(stacked, self._examples.device), strict=True):
            place[: len(chosen)].copy_(values)
        if self._settings:
            rates = torch.tensor([step_settings[0]["lr"] for step_settings in settings], dtype=torch.float32)
            (rates,) = sent((rates,), self._examples.device)
            self._lrs[: len(chosen)].copy_(rates)
        self._place.zero_()

    def _state(self) -> list[Tensor]:
        """All tensors that a step reads and changes."""
        watch = self._step.watch
        watched = (watch.loss, watch.halt, watch.taken) if isinstance(watch, DeviceWatch) else ()
        values = [*self._network.parameters(), *self._network.buffers(), *watched]
        for state in self._step.optimizer.state.values():
            values += [value for value in state.values() if isinstance(value, Tensor)]
        return [value.detach() for value in values]


def captured(work: Callable[[], None]) -> Callable[[], None]:
    """Captures `work` as a CUDA graph; returns a function that repeats it on the same memory, as one launch.

    `work` is only recorded. Raises RuntimeError for work that waits for the device. One thread captures at a time, and
    none draws meanwhile: every capture takes hold of the GPU's generator, which then (torch 2.11) refuses other draws.
    """
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.current_stream()
    with GENERATORS, torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        work()
    return graph.replay


def _same(value: Tensor, other: Tensor) -> bool:
    """Whether all values are equal, bit for bit but for the sign of a zero; nan equals nan."""
    return bool(((value == other) | ((value != value) & (other != other))).all())
