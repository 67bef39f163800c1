"""Tasks in which each place of a map has a class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from lt_sweeps.registry import register
from lt_sweeps.tasks.task import Task


@register("task", version=1, needs=("maps",))
def dense_prediction(ignore: int | None = None) -> Task:
    """Cross-entropy of logits (N, classes, H, W), mean over the places of an example; metrics: mean IoU, and accuracy.

    Mean intersection over union, in percent, is what networks are compared by: of each class over all places of all
    examples together, then the mean over classes; a class that is neither answered nor right anywhere is left out.
    Places whose target is `ignore` count nowhere. The loss is the mean over examples, each of which is the mean of its
    own places that count (0 if it has none). Differs from torch's `ignore_index`, which averages over the places of a
    batch, so that what an example adds depends on the others.

    Four places of two classes, none of them sure; one of class 0 is answered 1: 2 of 3 and 1 of 2.

    >>> import torch
    >>> logits, classes = torch.zeros(1, 2, 2, 2), torch.tensor([[[0, 0], [0, 1]]])
    >>> logits[0, 1, :, 1] = 1e-6  # answers 1 in the second column
    >>> task, mean_iou = dense_prediction(), dense_prediction().metrics(2)["mean_iou"]
    >>> mean_iou.update(logits, classes)
    >>> round(task.loss(logits, classes).item(), 4), round(mean_iou.compute().item(), 4)  # log 2, 7 / 12
    (0.6931, 0.5833)
    >>> logits[0, 0, 0, 1] = 100.0  # sure of the place that was wrong, which does not count
    >>> classes[0, 0, 1] = 255
    >>> round(dense_prediction(ignore=255).loss(logits, classes).item(), 4)
    0.6931
    """
    if ignore is not None and (isinstance(ignore, bool) or not isinstance(ignore, int)):
        raise ValueError(f"task.args.ignore={ignore}: give the integer that stands in places without a class, or null")
    return Task(partial(_of_places, ignore=ignore), partial(_metrics, ignore=ignore), targets="maps", ignore=ignore)


def _of_places(outputs: Tensor, targets: Tensor, *, reduction: str = "mean", ignore: int | None = None) -> Tensor:
    if outputs.shape[2:] != targets.shape[1:]:
        raise ValueError(f"the network gives {list(outputs.shape)}, and the maps are {list(targets.shape)}")
    # As a list of places: torch's loss of maps has no deterministic form on a GPU.
    places = outputs.movedim(1, -1).flatten(0, -2), targets.flatten()
    if ignore is None:
        loss = nn.functional.cross_entropy(*places, reduction=reduction)
        return loss / (targets.shape[1] * targets.shape[2]) if reduction == "sum" else loss
    each = nn.functional.cross_entropy(*places, reduction="none", ignore_index=ignore).view_as(targets)
    counted = (targets != ignore).flatten(1).sum(1).clamp(min=1)
    means = each.flatten(1).sum(1) / counted
    return means.sum() if reduction == "sum" else means.mean()


class _MeanIoU(Metric):
    """Mean intersection over union of the classes that are answered or right somewhere.

    As torchmetrics' Jaccard index, whose deterministic confusion matrix takes memory of places x classes^2.
    """

    both: Tensor
    answered: Tensor
    right: Tensor

    def __init__(self, outputs: int, ignore: int | None) -> None:
        super().__init__()
        self.ignore = ignore
        for name in ("both", "answered", "right"):
            self.add_state(name, default=torch.zeros(outputs, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch: logits (N, classes, H, W) and classes (N, H, W)."""
        answers = preds.argmax(1)
        if self.ignore is not None:
            answers = answers.where(target != self.ignore, -1)
            target = target.where(target != self.ignore, -1)
        for label in range(len(self.both)):
            answered, right = answers == label, target == label
            self.both[label] += (answered & right).sum()
            self.answered[label] += answered.sum()
            self.right[label] += right.sum()

    def compute(self) -> Tensor:
        """The mean, from 0 to 1, in double precision."""
        both, answered, right = self.both.cpu(), self.answered.cpu(), self.right.cpu()  # not every GPU has doubles
        union = answered + right - both
        return (both / union.clamp(min=1).double()).sum() / (union > 0).sum()


def _metrics(outputs: int, ignore: int | None) -> Mapping[str, Metric]:
    accuracy = MulticlassAccuracy(outputs, average="micro", ignore_index=ignore, validate_args=False)
    return {"mean_iou": _MeanIoU(outputs, ignore), "pixel_accuracy": accuracy}
