"""Tasks in which an example has one of several classes, or several of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MultilabelF1Score

from lt_sweeps.registry import register
from lt_sweeps.tasks.task import Task


@register("task", version=1, needs=("classes",))
def classification(label_smoothing: float = 0.0) -> Task:
    """Cross-entropy of logits; metric: accuracy, in percent. Validation and test losses are smoothed too.

    >>> import torch
    >>> logits, classes = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    >>> loss = classification().loss
    >>> round(loss(logits, classes).item(), 4), round(loss(logits, classes, reduction="sum").item(), 4)  # log 2
    (0.6931, 1.3863)
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"task.args.label_smoothing={label_smoothing}: must be in [0, 1)")
    return Task(partial(nn.functional.cross_entropy, label_smoothing=label_smoothing), _accuracy)


@register("task", version=1, needs=("classes",))
def one_hot() -> Task:
    """Squared error of outputs to one-hot targets, mean over classes (Hui & Belkin 2021); metric: accuracy, in percent.

    Differs: they scale the target of the right class, and its weight in the loss, for data sets of many classes.

    >>> import torch
    >>> outputs = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # right, and wrong in both places
    >>> one_hot().loss(outputs, torch.tensor([0, 1])).item()
    0.5
    """
    return Task(_to_one_hot, _accuracy)


def _to_one_hot(outputs: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    one_hot = nn.functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    error = nn.functional.mse_loss(outputs, one_hot, reduction=reduction)
    return error / outputs.shape[1] if reduction == "sum" else error


@register("task", version=1)
def multi_label() -> Task:
    """Binary cross-entropy of logits, mean over labels; metric: F1 score in percent, mean over labels.

    >>> import torch
    >>> round(multi_label().loss(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])).item(), 4)  # log 2
    0.6931
    """
    return Task(_of_flags, lambda labels: {"f1": _F1(labels, validate_args=False)}, targets="flags")


class _F1(MultilabelF1Score):
    """F1 score of logits, which torchmetrics would take for probabilities where all of a batch are between 0 and 1."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch: (N, labels) both."""
        super().update(preds.sigmoid(), target)


def _of_flags(outputs: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    loss = nn.functional.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype), reduction=reduction)
    return loss / targets.shape[1] if reduction == "sum" else loss


def _accuracy(outputs: int) -> Mapping[str, Metric]:
    return {"accuracy": MulticlassAccuracy(outputs, average="micro", validate_args=False)}
