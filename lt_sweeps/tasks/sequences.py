"""Tasks in which an example is a sequence of tokens."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.text import Perplexity

from lt_sweeps.registry import register
from lt_sweeps.tasks.task import Task


@register("task", version=1)
def next_token() -> Task:
    """Cross-entropy of logits (N, T, tokens) of the token that follows each of T; metrics: perplexity, and accuracy.

    Perplexity, e to the mean loss of the tokens, is what networks are compared by: lower is better.

    >>> import torch
    >>> logits, tokens = torch.zeros(2, 3, 4), torch.tensor([[0, 1, 2], [3, 0, 1]])
    >>> loss, perplexity = next_token().loss, next_token().metrics(4)["perplexity"]
    >>> perplexity.update(logits, tokens)
    >>> round(loss(logits, tokens).item(), 4), round(perplexity.compute().item(), 4)  # log 4, and 4
    (1.3863, 4.0)
    """
    return Task(_of_tokens, _metrics, targets="tokens")


def _of_tokens(outputs: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    loss = nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction=reduction)
    return loss / targets.shape[1] if reduction == "sum" else loss


class _TokenAccuracy(MulticlassAccuracy):
    """Accuracy of logits whose classes are in the last dimension."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch: (N, T, tokens) and (N, T)."""
        super().update(preds.flatten(0, 1), target.flatten())


def _metrics(outputs: int) -> Mapping[str, Metric]:
    accuracy = _TokenAccuracy(outputs, average="micro", validate_args=False)
    return {"perplexity": Perplexity(), "token_accuracy": accuracy}
