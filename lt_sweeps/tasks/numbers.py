"""Tasks in which an example has numbers as its target."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torchmetrics import MeanSquaredError, Metric, R2Score

from lt_sweeps.registry import register
from lt_sweeps.tasks.task import Task


@register("task", version=1)
def regression() -> Task:
    """Mean squared error over examples and outputs; metrics: the same (lower is better), and R2 averaged over outputs.

    >>> import torch
    >>> outputs, targets = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    >>> loss = regression().loss
    >>> loss(outputs, targets).item(), loss(outputs, targets, reduction="sum").item()  # 1/4 + 4/4; 1/2 + 4/2
    (1.25, 2.5)
    """
    return Task(_squared, _errors, targets="numbers")


def _squared(outputs: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    error = nn.functional.mse_loss(outputs, targets.to(outputs.dtype), reduction=reduction)
    return error / targets.shape[1] if reduction == "sum" else error


def _errors(outputs: int) -> Mapping[str, Metric]:
    return {"mse": MeanSquaredError(), "r2": R2Score()}
