"""The LightningModule: any network, trained by its recipe from a step of the clock on."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from lt_sweeps.graph import Train
from lt_sweeps.randomness import derive
from lt_sweeps.registry import catalogue
from lt_sweeps.training import optim


class Diverged(Exception):
    """The loss was not finite; the step was not taken."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss was not finite at step {step}")
        self.step = step


class TicketModule(pl.LightningModule):
    """`network` under the recipe of `run`; `step` is the absolute step, wherever this fit began."""

    def __init__(self, network: nn.Module, run: Train, step: int, optimizer_state: list[dict[str, Any]] | None) -> None:
        super().__init__()
        self.network = network
        self.run = run
        self.step = step
        self.loss = math.nan
        self._optimizer_state = optimizer_state
        # A network's own draws (dropout) are made a function of the step; known networks without any need no seeding.
        foreign = run.ticket.network.build.name not in catalogue("network")
        self._draws = foreign or any(isinstance(module, _DropoutNd) for module in network.modules())

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Cross-entropy of a batch. Raises Diverged before anything is updated."""
        if self._draws:
            torch.manual_seed(derive(self.run.augment, "network", self.run.level, self.step))
        x, y = batch
        loss = nn.functional.cross_entropy(self.network(x), y)
        self.loss = loss.item()
        if not math.isfinite(self.loss):
            raise Diverged(self.step)
        return loss

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer, fresh or as it was left, and its schedule at this step."""
        recipe = self.run.recipe
        # Lightning refuses to clip what a fused optimizer might unscale, even where nothing is scaled.
        fused = recipe.clip_norm is None or "mixed" not in recipe.precision
        optimizer = optim.optimizer(recipe.optimizer, self.network, fused)
        schedule = optim.schedule(recipe.schedule, optimizer, self.step) if recipe.schedule else None
        for parameter, state in zip(optimizer.param_groups[0]["params"], self._optimizer_state or [], strict=False):
            optimizer.state[parameter] = {name: _placed(value, parameter) for name, value in state.items()}
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches are made on the device."""
        return batch


def _placed(value: Any, parameter: nn.Parameter) -> Any:
    """A piece of optimizer state beside its parameter; counters stay where torch wants them."""
    return value.to(parameter.device) if torch.is_tensor(value) and value.shape == parameter.shape else value
