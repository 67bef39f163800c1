"""Tasks in which an example is a sequence of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.text import Perplexity

from lt_sweeps.registry import register
from lt_sweeps.tasks.task import Task


@register("task", version=1)
def next_token(skip: float = 0.0) -> Task:
    """Cross-entropy of logits (N, T, tokens) of the token that follows each of T; metrics: perplexity, and accuracy.

    Perplexity, e to the mean loss of the tokens, is what networks are compared by: lower is better. The first `skip` of
    the T places, a share that is rounded down, count nowhere.

    >>> import torch
    >>> logits, tokens = torch.zeros(2, 3, 4), torch.tensor([[0, 1, 2], [3, 0, 1]])
    >>> loss, perplexity = next_token().loss, next_token().metrics(4)["perplexity"]
    >>> perplexity.update(logits, tokens)
    >>> round(loss(logits, tokens).item(), 4), round(perplexity.compute().item(), 4)  # log 4, and 4
    (1.3863, 4.0)
    >>> logits[:, 0, 0] = 100.0  # sure of the first place, which does not count
    >>> round(next_token(skip=0.5).loss(logits, tokens).item(), 4)
    1.3863
    """
    if not 0 <= skip < 1:
        raise ValueError(f"task.args.skip={skip}: must be in [0, 1)")
    return Task(partial(_of_tokens, skip=skip), partial(_metrics, skip=skip), targets="tokens")


def _scored(outputs: Tensor, targets: Tensor, skip: float) -> tuple[Tensor, Tensor]:
    """Returns the logits (n, tokens) and targets (n,) of the places that count."""
    first = int(skip * targets.shape[1])
    return outputs[:, first:].flatten(0, 1), targets[:, first:].flatten()


def _of_tokens(outputs: Tensor, targets: Tensor, *, reduction: str = "mean", skip: float = 0.0) -> Tensor:
    logits, tokens = _scored(outputs, targets, skip)
    loss = nn.functional.cross_entropy(logits, tokens, reduction=reduction)
    return loss / (targets.shape[1] - int(skip * targets.shape[1])) if reduction == "sum" else loss


class _Perplexity(Perplexity):
    """Perplexity of the places that count."""

    def __init__(self, skip: float) -> None:
        super().__init__()
        self.skip = skip

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch: (N, T, tokens) and (N, T)."""
        logits, tokens = _scored(preds, target, self.skip)
        super().update(logits[None], tokens[None])


class _TokenAccuracy(MulticlassAccuracy):
    """Accuracy of logits whose classes are in the last dimension, in the places that count."""

    def __init__(self, outputs: int, skip: float) -> None:
        super().__init__(outputs, average="micro", validate_args=False)
        self.skip = skip

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch: (N, T, tokens) and (N, T)."""
        super().update(*_scored(preds, target, self.skip))


def _metrics(outputs: int, skip: float) -> Mapping[str, Metric]:
    return {"perplexity": _Perplexity(skip), "token_accuracy": _TokenAccuracy(outputs, skip)}
