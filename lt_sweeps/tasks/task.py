"""What a network is asked: a loss, and the metrics by which its answers are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric

from lt_sweeps.registry import load
from lt_sweeps.specs import Part

Targets = Literal["classes", "numbers", "flags", "tokens", "maps"]
# The outputs of a network for other targets than (N, outputs).
FORMS = {"tokens": ("N", "T", "tokens"), "maps": ("N", "classes", "H", "W")}


class Loss(Protocol):
    """A loss of a batch, as torch's functional ones are."""

    def __call__(self, outputs: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
        """Returns the mean over examples, or with reduction="sum" the sum of what each example adds to that mean."""


@dataclass(frozen=True)
class Task:
    """A loss and metrics, of outputs (N, outputs), (N, T, outputs) of tokens, or (N, outputs, H, W) of maps.

    `targets` are classes, int64 (N,); numbers, float32 (N, outputs); flags, the same, of 0 and 1; tokens, int64 (N, T);
    maps of classes, int64 (N, H, W), of which those that are `ignore` count nowhere. `metrics(outputs)` makes
    torchmetrics by their names in `lt_sweeps.metrics.METRICS`, for that number of outputs.
    """

    loss: Loss
    metrics: Callable[[int], Mapping[str, Metric]]
    targets: Targets = "classes"
    ignore: int | None = None

    @property
    def of_classes(self) -> bool:
        """Whether each example has one class."""
        return self.targets == "classes"

    @property
    def of_logits(self) -> bool:
        """Whether outputs are logits."""
        return self.targets != "numbers"

    def rounded(self, loss: float) -> float:
        """Returns a loss as records have it: of classes with six decimals, else with six digits."""
        return round(loss, 6) if self.of_classes else float(f"{loss:.6g}")

    def counted(self, targets: Tensor) -> Tensor:
        """Returns the targets that count, flattened where some do not."""
        return targets if self.ignore is None else targets[targets != self.ignore]

    def example(self, outputs: Tensor) -> Tensor:
        """Returns targets that are possible for a network's outputs, for a trial step. Raises ValueError."""
        form = FORMS.get(self.targets, ("N", "outputs"))
        if outputs.ndim != len(form):
            raise ValueError(f"the network gives {list(outputs.shape)}, and the task takes ({', '.join(form)})")
        if self.of_classes:
            return torch.arange(len(outputs), device=outputs.device) % 2
        if self.targets in FORMS:
            return torch.zeros_like(outputs[:, 0] if self.targets == "maps" else outputs[..., 0], dtype=torch.long)
        return torch.zeros_like(outputs)


def task_of(chosen: Part | None) -> Task:
    """Returns the task of some data; None is classification.

    >>> task_of(None).targets, task_of(Part("regression", 1)).targets
    ('classes', 'numbers')
    """
    name, args = ("classification", {}) if chosen is None else (chosen.name, dict(chosen.args))
    task = load("task", name)(**args)
    if not isinstance(task, Task):
        raise ValueError(f"task {name} gave a {type(task).__name__}, not a lt_sweeps.tasks.task.Task")
    return task


def as_input(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns what a network of this dtype is given: numbers in its dtype, and tokens as they are.

    >>> as_input(torch.tensor([0.5]), torch.float64).dtype, as_input(torch.tensor([7]), torch.float64).dtype
    (torch.float64, torch.int64)
    """
    return x.to(dtype) if x.is_floating_point() else x
