"""The mask-aware optimizer: pruned weights hold their fill exactly, and leak nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

# Optimizers that treat every weight by itself: where gradient, weight and state are zero, they stay zero. (Adamax and
# Rprop do too, but for state that is never zero.)
ELEMENTWISE = frozenset({"SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "ASGD"})


class MaskedOptimizer(pl.Callback):
    """Keeps `w = mask * w + (1 - mask) * fill` through any optimizer.

    Weights are masked at the start, and gradients before clipping, so norms and clipping see live weights only.
    After each step weights and optimizer state are masked and the fill put back, unless a step cannot have moved
    them: an element-wise optimizer cannot move a zero without a gradient, but weight decay moves a fill. Masks
    are float tensors on the device, applied by `torch._foreach_mul_`; tensors of which nothing is pruned are
    left out.

    In any Lightning module with a `network` and one optimizer the hooks do all this; `TicketModule`, whose optimization
    is manual, calls `mask_gradients` and `mask_weights` itself.
    """

    def __init__(self, mask: Mapping[str, Tensor], fill: Mapping[str, Tensor] | None, *, moving: bool = False) -> None:
        self._mask = {name: ones for name, ones in mask.items() if moving or not bool(ones.all())}
        self._fill = fill
        self._weights: list[nn.Parameter] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Attaches to the parameters, which are on their device now."""
        self.attach(pl_module.network, trainer.optimizers[0])  # type: ignore[arg-type]

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        """Masks the gradients, which are complete and not yet clipped."""
        self.mask_gradients()

    def on_train_batch_end(self, *_: Any) -> None:
        """Masks the weights after a step, before anything reads them."""
        self.mask_weights()

    def attach(self, network: nn.Module, optimizer: Optimizer) -> None:
        """Masks a network's weights now, and prepares `mask_gradients` and `mask_weights` for this optimizer."""
        parameters = dict(network.named_parameters())
        names = sorted(self._mask)
        self._weights = [parameters[name] for name in names]
        self._set(self._mask)
        self._put_back = None
        if self._fill is not None:
            fills = [_like_weight(w, self._fill[name]) for name, w in zip(names, self._weights, strict=True)]
            self._put_back = [fill * (1 - keep) for fill, keep in zip(fills, self._keep, strict=True)]
        elementwise = type(optimizer).__module__.startswith("torch.optim") and type(optimizer).__name__ in ELEMENTWISE
        # With masked gradients such an optimizer leaves a zero weight, and its zero state, exactly where they are.
        self._moves = not elementwise or self._fill is not None
        self._optimizer = optimizer
        self._mask_weights(state=self._moves)

    def change(self, mask: Mapping[str, Tensor]) -> None:
        """Keep other weights from now on: those that go become zero with their state, those that come begin at zero.

        Only of one that is made with `moving`, and has no fill.
        """
        self._set(mask)
        self._mask_weights(state=True)

    def _set(self, mask: Mapping[str, Tensor]) -> None:
        names = sorted(self._mask)
        self._keep = [_like_weight(w, mask[name]) for name, w in zip(names, self._weights, strict=True)]

    @property
    def kept(self) -> list[tuple[nn.Parameter, Tensor]]:
        """The weights of which some are pruned, each with its mask as floats."""
        return list(zip(self._weights, self._keep, strict=True))

    def mask_gradients(self) -> None:
        """Zeroes the gradients of pruned weights."""
        gradients = [weight.grad for weight in self._weights]
        if any(gradient is None for gradient in gradients):  # a layer that the loss does not depend on
            pairs = [(g, keep) for g, keep in zip(gradients, self._keep, strict=True) if g is not None]
            for gradient, keep in pairs:
                gradient.mul_(keep)
        elif gradients:
            torch._foreach_mul_(gradients, self._keep)  # type: ignore[arg-type]

    def mask_weights(self) -> None:
        """Zeroes or refills the pruned weights, and zeroes their optimizer state, if a step may have moved them."""
        if self._moves:
            self._mask_weights(state=True)

    @torch.no_grad()
    def _mask_weights(self, *, state: bool) -> None:
        if not self._weights:
            return
        torch._foreach_mul_(self._weights, self._keep)  # type: ignore[arg-type]
        if self._put_back is not None:
            torch._foreach_add_(self._weights, self._put_back)  # type: ignore[arg-type]
        if state:
            for weight, keep in zip(self._weights, self._keep, strict=True):
                for value in self._optimizer.state.get(weight, {}).values():
                    if torch.is_tensor(value) and value.shape == weight.shape:
                        value.mul_(keep)


def _like_weight(weight: Tensor, values: Tensor) -> Tensor:
    """Returns values on the device of a weight, in its dtype and memory format, with which it is multiplied fastest."""
    return torch.empty_like(weight, requires_grad=False).copy_(values)


def check_masked(state: Mapping[str, Tensor], mask: Mapping[str, Tensor], fill: Mapping[str, Tensor] | None) -> None:
    """Raises RuntimeError unless every pruned place equals its fill (zero if `fill` is None) exactly."""
    for name, ones in mask.items():
        held = state[name].cpu()[~ones]
        expected = fill[name][~ones].to(held.dtype) if fill else torch.zeros_like(held)
        if not torch.equal(held, expected):
            moved = int((held != expected).sum())
            raise RuntimeError(f"{moved} pruned weights of {name} moved during training: the result is refused")
