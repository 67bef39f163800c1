"""Training steps of convolutions in the memory format channels last, and the check that each training begins with.

torch then uses other convolutions of oneDNN, which are faster on many CPUs and give other bits. They are used on
request only: oneDNN 3.13 writes out of bounds in some of them (its issue 6035), perhaps in more than are known.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lt_sweeps.datasets.examples import Batch
from lt_sweeps.datasets.loader import Loader
from lt_sweeps.graph import Train
from lt_sweeps.masks import TicketTensors, aliases, effective
from lt_sweeps.networks.build import build
from lt_sweeps.randomness import GENERATORS, seed_torch
from lt_sweeps.tasks.task import task_of
from lt_sweeps.training import optim
from lt_sweeps.training.fit import ChannelsLast, Hardware
from lt_sweeps.training.masking import MaskedOptimizer

EXAMPLES = 32  # of a batch, at most, that are compared
COMPARED = 2  # steps whose loss, gradients and update are compared with the usual ones
CLOSE = 1e-2  # largest difference of a gradient, in parts of its norm: ReLUs near zero flip
SLIGHT = 1e-3  # gradients below this part of the norm of all (biases before a normalisation) are rounding errors
BLOCK = 16  # channels that oneDNN takes at once, at most
CLOSE_UPDATE = 1e-5  # the same of the weights after a step by equal gradients


def choose(run: Train, ticket: TicketTensors, examples: Loader, hardware: Hardware) -> ChannelsLast | None:
    """Returns the kernel, or None for torch's usual format; tells the user what was chosen and why."""
    if hardware.kernel != "channels_last":
        return None
    name = run.ticket.network.build.name
    if why := _unfit(run, examples, hardware) or _difference(run, ticket, examples):
        hardware.say(f"{name}: tensors do not lie channels last, steps are masked: {why}")
        return None
    hardware.say(f"{name}: tensors lie channels last (trainer.kernel=masked: not)")
    return ChannelsLast()


def _unfit(run: Train, examples: Loader, hardware: Hardware) -> str | None:
    """Returns why a training cannot use channels last; None if it can."""
    if examples.device.type != "cpu":
        return "it takes a CPU"
    if not torch.backends.mkldnn.is_available():
        return "this torch has no oneDNN"
    if hardware.ranks.world > 1:
        return "several devices train together"
    if not run.static:
        return "a gate or a hook changes the mask"
    if run.recipe.precision != "32-true":
        return f"recipe.precision={run.recipe.precision}"
    if not run.ticket.network.build.is_registered:
        return "a user's own network may depend on how its tensors lie"
    convolutions = [layer for layer in build(run.ticket.network).modules() if isinstance(layer, nn.Conv2d)]
    if not convolutions:
        return "it has no convolutions of images"
    if any(map(_writes_elsewhere, convolutions)):
        return f"oneDNN takes no 1x1 convolution with a stride of fewer than {BLOCK} channels, channels last"
    return None


def _writes_elsewhere(layer: nn.Conv2d) -> bool:
    """Whether the gradient of a convolution's weights is written past its memory (oneDNN 3.13, its issue 6035)."""
    small = layer.in_channels // layer.groups < BLOCK
    return small and 1 in layer.kernel_size and any(step > 1 for step in layer.stride)


@dataclass
class _Side:
    """A network, as it is trained, with its tensors in one format."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    masked: MaskedOptimizer
    loss: Callable[[Tensor, Tensor], Tensor]

    def gradients(self, batch: Batch, seed: int = 0) -> Tensor:
        """Computes loss and masked gradients; random draws are those of a seed."""
        self.optimizer.zero_grad()
        with GENERATORS:
            seed_torch(seed)
            logits = self.network(batch[0])
        loss = self.loss(logits, batch[1])
        loss.backward()
        self.masked.mask_gradients()
        return loss.detach()

    def update(self) -> None:
        self.optimizer.step(lambda: 0.0)
        self.masked.mask_weights()

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        return {name: weight for name, weight in self.network.named_parameters() if weight.grad is not None}


def _sides(run: Train, ticket: TicketTensors) -> tuple[_Side, _Side]:
    """The network as torch lays it, and channels last."""
    sides = []
    for form in (torch.contiguous_format, torch.channels_last):
        network = build(run.ticket.network)
        network.load_state_dict(effective(ticket.weights, ticket.mask, ticket.fill, aliases(network)))
        network.to(memory_format=form)  # type: ignore[call-overload]
        optimizer, masked = optim.optimizer(run.recipe.optimizer, network), MaskedOptimizer(ticket.mask, ticket.fill)
        side = _Side(network, optimizer, masked, task_of(run.data.task).loss)
        side.masked.attach(network, side.optimizer)
        sides.append(side)
    return sides[0], sides[1]


def _batches(run: Train, examples: Loader, count: int) -> list[Batch]:
    with closing(examples.batches(run.ticket.start, run.batching)) as batches:
        return [(x[:EXAMPLES], y[:EXAMPLES]) for _, (x, y) in zip(range(count), batches, strict=False)]


def _difference(run: Train, ticket: TicketTensors, examples: Loader) -> str | None:
    """Takes the first steps both ways; returns how loss, gradients or update differ."""
    usual, last = _sides(run, ticket)
    for number, batch in enumerate(_batches(run, examples, COMPARED)):
        losses = usual.gradients(batch, number), last.gradients(batch, number)
        if not bool(losses[0].isfinite()):
            return None  # both stop here
        expected = {name: weight.grad for name, weight in usual.trained.items() if weight.grad is not None}
        slight = SLIGHT * max(float(slope.norm()) for slope in expected.values())
        differences = [abs(float(losses[1] / losses[0]) - 1)]
        for name, weight in last.trained.items():
            assert weight.grad is not None
            differences.append(float((weight.grad - expected[name]).norm()) / max(float(expected[name].norm()), slight))
            expected[name].copy_(weight.grad)  # equal gradients for both: a step may divide by small ones
        if not max(differences) <= CLOSE:
            return f"step {run.ticket.start + number} differs from a usual one by {max(differences):.1e} of its size"
        for side in (usual, last):
            side.update()
        for name, weight in last.trained.items():
            held = usual.trained[name].detach()
            moved = float((weight.detach() - held).norm()) / max(float(held.norm()), 1e-12)
            if not moved <= CLOSE_UPDATE:
                return f"the update of step {run.ticket.start + number} differs from a usual one by {moved:.1e}"
            held.copy_(weight.detach())
    return None
