"""The LightningModule that trains any network by its recipe, from any step of the clock on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lt_sweeps.graph import Train
from lt_sweeps.randomness import GENERATORS, derive, seed_all, seed_torch
from lt_sweeps.tasks.task import task_of
from lt_sweeps.training import optim
from lt_sweeps.training.batchnorm import WholeBatch
from lt_sweeps.training.dynamics import Dynamics
from lt_sweeps.training.graph_steps import GraphSteps, Replay
from lt_sweeps.training.masking import MaskedOptimizer
from lt_sweeps.training.ranks import Ranks
from lt_sweeps.training.sparse.step import ChainStep
from lt_sweeps.training.step import Batch, EagerSteps, Step, Steps
from lt_sweeps.training.watch import watching
from lt_sweeps.units.beside import scales


class TicketModule(pl.LightningModule):
    """Trains `network` by the recipe of `run`; `step` is on the recipe's clock, wherever this fit began.

    A batch of Lightning's is a stretch of steps: its bookkeeping costs some 0.5 ms, a quarter of a LeNet step, and is
    paid once per stretch. So optimization is manual, in the order that the masks need.

    Several ranks take the same steps: each has its share of a batch, and losses and gradients are summed.
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
        replay: Replay | None = None,
        history: Sequence[Mapping[str, Any]] = (),
        dynamics: Dynamics | None = None,
        chained: Callable[[nn.Module, Optimizer], ChainStep] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self._masked, self._after_step = masked, after_step
        self._ranks, self._leave = ranks, leave
        self.leaving = False  # whether to leave after this step, on any rank
        self.network = network
        self.run = run
        self._task = task_of(run.data.task)
        self.step = self._begun = step
        self._optimizer_state, self._replay, self._history = optimizer_state, replay, history
        self._dynamics, self._chained = dynamics, chained
        self._steps: Steps | None = None
        self._step: Step | ChainStep
        # A network's random draws (dropout) are seeded by the step. A foreign network may draw at some steps only; a
        # registered one that drew nothing in its first step is not seeded any more, which saves time.
        self._scales = scales(network) if run.recipe.slimming else {}
        self._foreign = not run.ticket.network.build.is_registered
        self._draws: bool | None = None  # not yet known

    def training_step(self, stretch: Iterable[Any], _: int) -> None:
        """Takes one step for each batch of a stretch."""
        if self._steps is None:
            self._steps = self._begin(self.trainer.optimizers[0])
        self._steps.take(stretch, self._count)

    def _begin(self, optimizer: Optimizer) -> Steps:
        recipe = self.run.recipe
        names = [name for name, p in self.network.named_parameters() if p.requires_grad]
        rates = optim.Rates(recipe.optimizer, recipe.schedule, self._begun, self._history, names)
        if self._chained is not None:
            self._step = self._chained(self.network, optimizer)
            return EagerSteps(self._step, rates)
        hooks = None if self._dynamics is None else _Hooks(self, self._dynamics, self._masked)
        watch = watching(self.network, self._begun)
        step = Step(
            self.network,
            optimizer,
            self._masked,
            recipe.clip_norm,
            self._loss,
            watch,
            self._add_gradients,
            hooks,
            GENERATORS if self._foreign else None,  # it may draw again for its gradients (torch.utils.checkpoint)
        )
        self._step = step
        if self._replay is None:
            return EagerSteps(step, rates)
        return GraphSteps(step, rates, self.network, self._replay, recipe.batch_size, lambda: self._draws)

    def _add_gradients(self) -> None:
        self._ranks.add_gradients(self.network.parameters())
        for scale in self._scales.values():  # after the sum, so that the ranks add it once
            if scale.grad is not None:
                scale.grad.add_(scale.detach().sign(), alpha=self.run.recipe.slimming)

    def _count(self) -> None:
        if self.run.recipe.batchnorm_groups > 1:
            self._ranks.follow_first(self.network.buffers())
        self.step += 1
        if self._ranks.world == 1:
            self.leaving = self._leave()
        self._after_step(self, self.trainer.optimizers[0])

    def look(self) -> float:
        """The mean loss of the last batch. Waits for the device; raises Diverged if any loss so far was not finite."""
        return self._step.look()

    def release(self) -> None:
        """Gives back a graph, and gradients in its memory: Lightning's trainer lives until the garbage collector comes.

        That may be many trainings later, and no other training can use the memory of a graph.
        """
        self._steps = None
        for parameter in self.network.parameters():
            parameter.grad = None

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss to differentiate, of this rank's part of a batch, and the mean loss of the whole batch."""
        if self._draws is False:
            return self._loss_of(batch)
        with GENERATORS:  # all trainings of a process share torch's generators
            seed = derive(self.run.augment, "network", self.run.level, self.step)
            (seed_all if self._foreign else seed_torch)(seed)
            return self._loss_of(batch)

    def _loss_of(self, batch: Batch) -> tuple[Tensor, Tensor]:
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
        if self._ranks.world == 1:
            mean = self._task.loss(logits, y)
            return mean, mean.detach()
        part = self._task.loss(logits, y, reduction="sum")
        here = [part.new_tensor([len(y), self._leave()], dtype=torch.float64), part.detach().double()[None]]
        examples, leaving, total = self._ranks.add(torch.cat(here)).tolist()
        self.leaving = leaving > 0
        # So that the ranks' gradients add up to those of the mean, however unequal the parts.
        return part / examples, part.new_tensor(total / examples)

    def configure_optimizers(self) -> Any:
        """Returns the recipe's optimizer, fresh or with the state of an earlier session."""
        recipe = self.run.recipe
        optimizer = optim.optimizer(recipe.optimizer, self.network)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for parameter, state in zip(parameters, self._optimizer_state or [], strict=False):
            optimizer.state[parameter] = {name: _resumed(value, parameter) for name, value in state.items()}
        return optimizer

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Returns the batch, which is on the device already."""
        return batch


class _Hooks:
    """The dynamics of a training at the step that its module takes."""

    def __init__(self, module: TicketModule, dynamics: Dynamics, masked: MaskedOptimizer) -> None:
        self._module, self._dynamics, self._masked = module, dynamics, masked

    def before(self) -> None:
        self._dynamics.before(self._module.step, self._masked)

    def on_gradients(self) -> bool:
        return self._dynamics.on_gradients(self._module.step, self._masked)

    def after(self) -> None:
        self._dynamics.after(self._module.step)


def _resumed(value: Any, parameter: Tensor) -> Any:
    """Copies a value of optimizer state to the device and memory format of its parameter, for fused optimizers."""
    if not torch.is_tensor(value):
        return value
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _random_states(device: torch.device) -> list[Tensor]:
    """The states of the generators that a network on this device draws from."""
    states = [torch.get_rng_state()]
    if device.type in ("cuda", "mps"):
        states.append(getattr(torch, device.type).get_rng_state())
    return states
