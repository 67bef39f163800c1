"""One training step: loss, gradients, masks, clipping, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from lt_sweeps.training.masked_update import masked_update
from lt_sweeps.training.masking import MaskedOptimizer
from lt_sweeps.training.optim import Rates, apply
from lt_sweeps.training.watch import DeviceWatch, Watch

Batch = tuple[Tensor, Tensor]


class Step:
    """Takes steps of a masked optimizer, and stops before one whose loss is not finite: see `watch`.

    `loss_of` returns the loss to differentiate, of this rank's part of the batch, and the mean loss of the whole batch;
    `after_backward` completes the gradients before they are masked. With `hooks` the mask may change before a step.
    Loss and gradients are computed within `drawing`, which can be entered again and again.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        masked: MaskedOptimizer,
        clip_norm: float | None,
        loss_of: Callable[[Batch], tuple[Tensor, Tensor]],
        watch: Watch,
        after_backward: Callable[[], None] = lambda: None,
        hooks: Hooks | None = None,
        drawing: AbstractContextManager[object] | None = None,
    ) -> None:
        self.optimizer, self._masked, self._clip_norm = optimizer, masked, clip_norm
        self._loss_of, self._after_backward, self._hooks = loss_of, after_backward, hooks
        self._parameters = list(network.parameters())
        self.watch, self._drawing = watch, drawing or nullcontext()
        self._update = masked_update(optimizer, masked) if hooks is None and clip_norm is None else None
        if isinstance(watch, DeviceWatch) and any(group.get("fused") for group in optimizer.param_groups):
            optimizer.found_inf = watch.halt  # type: ignore[attr-defined]

    def __call__(self, batch: Batch) -> None:
        """Takes one step."""

        def closure() -> Tensor:
            """The loss, and its gradients as the optimizer is to see them."""
            loss = self._gradients(batch)
            self._prepare()
            return loss

        if self._update is not None:
            self._gradients(batch)
            self._update()
        elif self._hooks is None:
            self.optimizer.step(closure)  # type: ignore[arg-type]
        else:
            self._with_hooks(batch, self._hooks)
        self._masked.mask_weights()
        self.watch.done()

    def _gradients(self, batch: Batch) -> Tensor:
        for parameter in self._parameters:
            parameter.grad = None
        with self._drawing:
            loss, mean = self._loss_of(batch)
            self.watch.note(mean)
            loss.backward()  # no precision that we offer scales the loss
        self._after_backward()
        return loss

    def _prepare(self) -> None:
        self._masked.mask_gradients()
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)

    def _with_hooks(self, batch: Batch, hooks: Hooks) -> None:
        if self.watch.halted:
            return  # an earlier loss was not finite: `look` says so
        hooks.before()
        self._gradients(batch)
        if not self.watch.halted and hooks.on_gradients():  # a hook is never asked about a loss that is not finite
            self._prepare()
            self.optimizer.step()
        hooks.after()

    def look(self) -> float:
        """Returns the loss of the last step. May wait for the device; raises Diverged if any was not finite."""
        return self.watch.look()


class Hooks(Protocol):
    """What is asked before a step, after its gradients are complete, and after it."""

    def before(self) -> None:
        """The step begins."""

    def on_gradients(self) -> bool:
        """Gradients are complete, and not masked. Returns whether the optimizer takes its step."""

    def after(self) -> None:
        """The step is done."""


class Steps(Protocol):
    """Takes the steps of a stretch; calls `after_step` after each, when it is done or queued on the device."""

    def take(self, stretch: Iterable[Any], after_step: Callable[[], None]) -> None:
        """Takes one step for each batch."""


class OneStep(Protocol):
    """Takes one step of an optimizer."""

    optimizer: Optimizer

    def __call__(self, batch: Any) -> None:
        """Takes one step."""


class EagerSteps:
    """Takes steps one after another, eagerly."""

    def __init__(self, step: OneStep, rates: Rates) -> None:
        self._step, self._rates = step, rates

    def take(self, stretch: Iterable[Any], after_step: Callable[[], None]) -> None:
        """Takes one step for each batch."""
        for batch in stretch:
            apply(self._rates.next(), self._step.optimizer)
            self._step(batch)
            after_step()
