"""Looks at the loss of every step, and stops a training before the first step whose loss is not finite."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn


class Diverged(Exception):
    """The loss was not finite; the step was not taken."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss was not finite at step {step}")
        self.step = step


class Watch(Protocol):
    """Is told the loss of each step before the step, and that the step was taken."""

    @property
    def halted(self) -> bool:
        """Whether a loss was not finite. May wait for the device."""

    def note(self, loss: Tensor | float) -> None:
        """The mean loss of the step that begins; this may raise Diverged."""

    def done(self) -> None:
        """The step was taken."""

    def look(self) -> float:
        """Returns the loss of the last step. May wait for the device; raises Diverged if any was not finite."""


class HostWatch:
    """Reads each loss at once, as is free on a CPU."""

    halted = False  # `note` raises

    def __init__(self, begun: int) -> None:
        self._step, self._loss = begun, math.nan

    def note(self, loss: Tensor | float) -> None:
        """Raises Diverged for a loss that is not finite."""
        self._loss = float(loss)
        if not math.isfinite(self._loss):
            raise Diverged(self._step)

    def done(self) -> None:
        """Counts the step."""
        self._step += 1

    def look(self) -> float:
        """Returns the loss of the last step."""
        return self._loss


class DeviceWatch:
    """Leaves each loss on the device: waiting for it would leave a GPU idle for most of a small network's step.

    From a loss that is not finite on `halt` is 1, and an optimizer that supports `found_inf` (every fused one) changes
    nothing any more. Other optimizers go on, but nothing of that is recorded, because `look` comes first.
    """

    def __init__(self, begun: int, device: torch.device) -> None:
        self._begun = begun
        self.loss = torch.full((), math.nan, device=device)  # of the last step
        self.halt = torch.zeros((), device=device, dtype=torch.float32)  # as fused optimizers want it
        self.taken = torch.zeros((), device=device, dtype=torch.int64)  # how many steps before it halted

    @property
    def halted(self) -> bool:
        """Whether a loss was not finite. Waits for the device."""
        return bool(self.halt.item())

    def note(self, loss: Tensor | float) -> None:
        """Keeps the loss."""
        assert isinstance(loss, Tensor)
        self.loss.copy_(loss)
        self.halt.masked_fill_(loss.isfinite().logical_not_(), 1.0)

    def done(self) -> None:
        """Counts the step unless it halted."""
        self.taken.add_(self.halt == 0)

    def look(self) -> float:
        """Returns the loss of the last step. Waits for the device; raises Diverged if any was not finite."""
        if self.halted:
            raise Diverged(self._begun + int(self.taken.item()))
        return self.loss.item()


def watching(network: nn.Module, begun: int = 0) -> Watch:
    """Returns what looks at the losses of steps from `begun` on, on the device of a network."""
    device = next(network.parameters()).device
    return HostWatch(begun) if device.type == "cpu" else DeviceWatch(begun, device)
