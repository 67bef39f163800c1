"""Loss and metrics of a network on held-out examples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from lt_sweeps.metrics import METRICS, compared_by
from lt_sweeps.randomness import seeded
from lt_sweeps.specs import Part
from lt_sweeps.tasks.task import as_input, task_of


class Evaluation(NamedTuple):
    """The mean of the task's loss, and its metrics; of classification `accuracy`, in percent."""

    loss: float
    metrics: Mapping[str, float]

    @property
    def value(self) -> float:
        """The metric that networks are compared by."""
        return self.metrics[compared_by(self.metrics).name]

    @property
    def accuracy(self) -> float:
        """The percentage of examples whose class has the largest logit. Raises KeyError for a task without classes."""
        return self.metrics["accuracy"]


@torch.no_grad()
def evaluate(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], outputs: int, chosen: Part | None = None
) -> Evaluation:
    """Evaluates a network at a task, in evaluation mode, and restores its modes. Needs at least one batch."""
    modes = {module: module.training for module in network.modules()}  # a network may keep a part in evaluation mode
    network.eval()
    weight = next(network.parameters())
    device, dtype = weight.device, weight.dtype
    task = task_of(chosen)
    metrics = {name: metric.to(device) for name, metric in task.metrics(outputs).items()}
    loss = MeanMetric(nan_strategy=math.nan).to(device)  # torchmetrics leaves nan out of a mean if it is not told
    # Independent of autocast in the caller; a network that draws in evaluation mode draws the same each time.
    with torch.autocast(device.type, enabled=False), seeded(0):
        for x, y in batches:
            logits = network(as_input(x, dtype)).float()
            loss.update(task.loss(logits, y), len(y))
            for metric in metrics.values():
                metric.update(logits, y)
    network.train(modes[network])  # a network may do more there
    for module, mode in modes.items():
        module.training = mode
    values = {name: metric.compute().item() for name, metric in metrics.items()}
    results = {name: METRICS[name].rounded(100 * v if METRICS[name].percent else v) for name, v in values.items()}
    return Evaluation(task.rounded(loss.compute().item()), results)
