"""Records a training: its evaluations, the early-stop point, snapshots, checkpoints."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lt_sweeps.datasets.loader import Loader
from lt_sweeps.graph import Train
from lt_sweeps.masks import State
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.metrics import named
from lt_sweeps.store.tensors import encode_mask, encode_masked
from lt_sweeps.tasks.task import task_of
from lt_sweeps.training.dynamics import Dynamics
from lt_sweeps.training.leaving import Left
from lt_sweeps.training.module import TicketModule
from lt_sweeps.training.progress import EarlyStop, Progress, optimizer_state
from lt_sweeps.training.ranks import Ranks

Tell = Callable[[int, Sequence[Mapping[str, Any]]], None]  # the step, and every evaluation so far
LOOK_EVERY = 16  # steps between two checks whether a checkpoint is due, and between two calls of `tell`
TELL_EVERY = 1.0  # seconds after which `tell` is called in any case


def checkpoint_wait(cost: float) -> float:
    """Seconds from one checkpoint to the next, if the last took `cost`: at most 2 % of the time is spent on them.

    >>> checkpoint_wait(0.01), checkpoint_wait(2.0)
    (5.0, 100.0)
    """
    return max(5.0, 50 * cost)


@dataclass(frozen=True)
class Session:
    """The part of a training that runs now: where it begins and ends, which snapshots it keeps, its callbacks."""

    progress: Progress | None = None  # where an earlier session left off; None: begin with the ticket
    until: int | None = None  # the last step; None: the recipe's
    snapshots: frozenset[int] = frozenset()  # the steps whose weights are kept
    keep: Callable[[bytes], str] = lambda content: ""  # stores a snapshot and returns its name
    checkpoint: Callable[[Progress], None] = lambda progress: None  # saves the progress, at any step
    tell: Tell = lambda step, history: None
    wait: Callable[[float], float] = checkpoint_wait  # seconds that the last checkpoint took -> to the next
    leave: Callable[[], bool] = lambda: False  # whether the next step is the last one for now

    def unrecorded(self) -> Session:
        """The same session for a rank other than 0: it keeps, saves and tells nothing."""
        return Session(self.progress, self.until, self.snapshots, wait=self.wait, leave=self.leave)


class Recorder:
    """Records a training in `progress`; `on_step` is called after each step, when the weights are masked."""

    def __init__(
        self,
        run: Train,
        examples: Loader,
        mask: Mapping[str, Tensor],
        progress: Progress,
        session: Session,
        ranks: Ranks,
        dynamics: Dynamics | None = None,
    ) -> None:
        self.run, self.examples, self.mask, self.progress = run, examples, mask, progress
        self._session, self._ranks, self.dynamics = session, ranks, dynamics
        self._task = task_of(run.data.task)
        self._begun = self._last_tell = time.monotonic()
        self._due = self._begun + session.wait(0.0)
        self._seconds_before = progress.seconds

    def on_step(self, module: TicketModule, optimizer: Optimizer) -> None:
        """Records a finished step. Raises Left, after a checkpoint, if the training is to be left."""
        step = self.progress.step = module.step
        if step in self._session.snapshots:
            module.look()
            state, mask = self._now(module.network)
            self.progress.snapshots[step] = self._session.keep(encode_masked(state, mask))
            if self.dynamics is not None:
                self.progress.masks[step] = self._session.keep(encode_mask(mask))
        if step % self.run.recipe.eval_every == 0 or step == self.run.recipe.steps:
            self.evaluate(module.network, module.look())
        elif step % LOOK_EVERY == 0 or time.monotonic() - self._last_tell > TELL_EVERY:
            self._last_tell = time.monotonic()
            self._session.tell(step, self.progress.history)
        if module.leaving:
            module.look()
            self.leave(copy_state(module.network), optimizer_state(optimizer))
        if step % LOOK_EVERY == 0 and step < self.run.recipe.steps and time.monotonic() >= self._due:
            module.look()
            self._save(copy_state(module.network), optimizer_state(optimizer))

    def evaluate(self, network: nn.Module, loss: float | None = None) -> None:
        """Evaluates the network and adds a row to the history; `loss` is the mean of the last training batch."""
        progress = self.progress
        row: dict[str, Any] = {"step": progress.step, "digest": state_digest(network.state_dict())}
        if self.dynamics is not None and self.dynamics.explored is not None:
            row["explored"] = self.dynamics.explored
        if loss is not None:
            row["train_loss"] = self._task.rounded(loss)
        self._ranks.agree(f"the network after step {progress.step}", row["digest"])
        if self.examples.data.validation:
            chunks = self.examples.chunks("validation", self._ranks.share)
            evaluation = evaluate(network, chunks, self.examples.data.classes, self.examples.data.task)
            row |= {"val_loss": evaluation.loss, **named("val", evaluation.metrics)}
            least = math.inf if progress.best is None or math.isnan(progress.best.val_loss) else progress.best.val_loss
            if progress.best is None or evaluation.loss < least:
                progress.best = EarlyStop(progress.step, evaluation.loss, evaluation.metrics)
                progress.best_state = self.kept(network)[0]
        progress.history.append(row)
        self._session.tell(progress.step, progress.history)

    def kept(self, network: nn.Module) -> tuple[State, Mapping[str, Tensor]]:
        """What is trained as an ordinary network, and its mask: a copy that later steps do not change."""
        state, mask = self._now(network)
        return {name: value.detach().clone() for name, value in state.items()}, mask

    def _now(self, network: nn.Module) -> tuple[State, Mapping[str, Tensor]]:
        return (network.state_dict(), self.mask) if self.dynamics is None else self.dynamics.kept()

    def leave(self, state: State, optimizer: list[dict[str, Any]]) -> NoReturn:
        """Checkpoints this state of the network and of its optimizer, and raises Left."""
        self._save(state, optimizer)
        self._ranks.any(True)  # wait for all: the first rank to end ends the others, and rank 0 may be saving
        raise Left(self.progress.step)

    def _save(self, state: State, optimizer: list[dict[str, Any]]) -> None:
        now = time.monotonic()
        self.progress.state = state
        self.progress.optimizer = optimizer
        self.progress.seconds = self._seconds_before + now - self._begun
        if self.dynamics is not None:
            self.dynamics.save(self.progress)
        self._session.checkpoint(self.progress)
        saved = time.monotonic()
        self._due = saved + self._session.wait(saved - now)

    @property
    def seconds(self) -> float:
        """How long this training has taken, interruptions included."""
        return self._seconds_before + time.monotonic() - self._begun


def copy_state(network: nn.Module) -> State:
    """A copy of a network's state that later steps do not change."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def state_digest(state: Mapping[str, Tensor]) -> str:
    """The first 16 hex digits of the SHA-256 of all values, sorted by name: equal exactly for bit-equal weights."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous().flatten()
        digest.update(value.view(torch.uint8).numpy().data if value.numel() else b"")
    return digest.hexdigest()[:16]
