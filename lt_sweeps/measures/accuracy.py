"""Accuracy and loss of a network on held-out examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from lt_sweeps.randomness import seeded


class Evaluation(NamedTuple):
    """Mean cross-entropy, and the percentage of examples whose class has the largest logit."""

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], classes: int) -> Evaluation:
    """Evaluates a network in evaluation mode, and restores its mode. Needs at least one batch."""
    mode = network.training
    network.eval()
    weight = next(network.parameters())
    device, dtype = weight.device, weight.dtype
    hits = MulticlassAccuracy(classes, average="micro", validate_args=False).to(device)
    loss = MeanMetric().to(device)
    # Independent of autocast in the caller; a network that draws in evaluation mode draws the same each time.
    with torch.autocast(device.type, enabled=False), seeded(0):
        for x, y in batches:
            logits = network(x.to(dtype) if x.is_floating_point() else x).float()
            loss.update(nn.functional.cross_entropy(logits, y), len(y))
            hits.update(logits, y)
    network.train(mode)
    return Evaluation(round(loss.compute().item(), 6), round(100 * hits.compute().item(), 4))
