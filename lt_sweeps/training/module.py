"""The LightningModule: any network, trained by its recipe from a step of the clock on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lt_sweeps.graph import Train
from lt_sweeps.randomness import derive
from lt_sweeps.registry import catalogue
from lt_sweeps.training import optim
from lt_sweeps.training.batchnorm import WholeBatch
from lt_sweeps.training.masking import MaskedOptimizer
from lt_sweeps.training.ranks import Ranks


class Diverged(Exception):
    """The loss was not finite; the step was not taken."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss was not finite at step {step}")
        self.step = step


class TicketModule(pl.LightningModule):
    """`network` under the recipe of `run`; `step` is the absolute step, wherever this fit began.

    What Lightning calls a batch is a stretch of steps: its bookkeeping costs some 0.5 ms, a quarter of a LeNet step,
    and is paid once for all of them. So optimization is manual, in the order that the masks need.

    Several ranks take the same steps: each has its share of a batch, and what a step depends on is added up.
    """

    def __init__(
        self,
        network: nn.Module,
        run: Train,
        step: int,
        optimizer_state: list[dict[str, Any]] | None,
        masked: MaskedOptimizer,
        after_step: Callable[[TicketModule, Optimizer], None],
        ranks: Ranks,
        leave: Callable[[], bool],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self._masked, self._after_step = masked, after_step
        self._ranks, self._leave = ranks, leave
        self.leaving = False  # after this step, on any rank
        self.network = network
        self.run = run
        self.step = step
        self.loss = math.nan
        self._optimizer_state = optimizer_state
        # A network's own draws (dropout) are made a function of the step. A foreign one may draw at some steps only;
        # a registered one that drew nothing in its first step needs no more seeding, which takes time.
        self._foreign = run.ticket.network.build.name not in catalogue("network")
        self._draws: bool | None = None  # not yet known

    def training_step(self, stretch: Iterable[tuple[Tensor, Tensor]], _: int) -> None:
        """Take one step for each batch of a stretch."""
        optimizer, clip = self.trainer.optimizers[0], self.run.recipe.clip_norm
        schedules = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        parameters = list(self.network.parameters())
        for batch in stretch:

            def closure(batch: tuple[Tensor, Tensor] = batch) -> Tensor:
                """The loss, and its gradients as the optimizer is to see them."""
                optimizer.zero_grad()
                loss = self._loss(batch)
                loss.backward()  # no precision that we offer scales the loss
                self._ranks.add_gradients(parameters)
                self._masked.mask_gradients()
                if clip is not None:
                    nn.utils.clip_grad_norm_(parameters, clip)
                return loss

            optimizer.step(closure)  # type: ignore[arg-type]
            self._masked.mask_weights()
            if self.run.recipe.batchnorm_groups > 1:
                self._ranks.follow_first(self.network.buffers())
            for schedule in schedules:
                schedule.step()
            self.step += 1
            self._after_step(self, optimizer)

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy of a batch, or this rank's part of it. Raises Diverged, on all ranks, before any update."""
        if self._draws is not False:
            torch.manual_seed(derive(self.run.augment, "network", self.run.level, self.step))
        x, y = self.trainer.precision_plugin.convert_input(batch)
        looked_at = self._draws is None or (self._draws and self._ranks.world > 1)
        seeded = _random_states(x.device) if looked_at else []
        with WholeBatch(self._ranks) if self._ranks.world > self.run.recipe.batchnorm_groups else nullcontext():
            logits = self.network(x)
        if looked_at:
            pairs = zip(seeded, _random_states(x.device), strict=True)
            drew = any(not torch.equal(before, after) for before, after in pairs)
            if drew and self._ranks.world > 1:
                what = f"{self.run.ticket.network.build.name} draws random numbers as it trains (dropout?)"
                raise ValueError(f"{what}: on {self._ranks.world} devices they would be others than on one")
            self._draws = self._foreign or drew
        loss = self._summed(logits, y)
        if not math.isfinite(self.loss):
            raise Diverged(self.step)
        return loss

    def _summed(self, logits: Tensor, y: Tensor) -> Tensor:
        """What to go backward from; `loss` and `leaving` are set to what they are for all ranks together."""
        if self._ranks.world == 1:
            mean = nn.functional.cross_entropy(logits, y)
            self.loss, self.leaving = mean.item(), self._leave()
            return mean
        part = nn.functional.cross_entropy(logits, y, reduction="sum")
        here = [part.new_tensor([len(y), self._leave()], dtype=torch.float64), part.detach().double()[None]]
        examples, leaving, total = self._ranks.add(torch.cat(here)).tolist()
        self.loss, self.leaving = total / examples, leaving > 0
        return part / examples  # so that the ranks' gradients add up to those of the mean, however unequal the parts

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer, fresh or as it was left, and its schedule at this step."""
        recipe = self.run.recipe
        optimizer = optim.optimizer(recipe.optimizer, self.network)
        schedule = optim.schedule(recipe.schedule, optimizer, self.step) if recipe.schedule else None
        for parameter, state in zip(optimizer.param_groups[0]["params"], self._optimizer_state or [], strict=False):
            optimizer.state[parameter] = {name: _placed(value, parameter) for name, value in state.items()}
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches are made on the device."""
        return batch


def _random_states(device: torch.device) -> list[Tensor]:
    """The states of the generators that a network on this device draws from."""
    states = [torch.get_rng_state()]
    if device.type in ("cuda", "mps"):
        states.append(getattr(torch, device.type).get_rng_state())
    return states


def _placed(value: Any, parameter: nn.Parameter) -> Any:
    """A piece of optimizer state beside its parameter; counters stay where torch wants them."""
    return value.to(parameter.device) if torch.is_tensor(value) and value.shape == parameter.shape else value
