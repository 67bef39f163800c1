"""A small network of every kind of layer, and a small run of it on the embedded digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lt_sweeps.check.example import half
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.masks import Mask, dense
from lt_sweeps.networks.build import build, initial
from lt_sweeps.registry import part
from lt_sweeps.specs import Data, Network, Part, Recipe
from lt_sweeps.training.fit import Trained

GROUPS = {
    "fc.weight": {"_target_": "torch.optim.Muon"},
    "*.bias": {"_target_": "torch.optim.SGD", "momentum": 0.9},
    "*": {"_target_": "torch.optim.AdamW", "lr": 5e-3},
}
OPTIMIZERS = {
    "sgd": Part("torch.optim.SGD", args={"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-3}),
    "nesterov": Part("torch.optim.SGD", args={"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": Part("torch.optim.Adam", args={"lr": 5e-3, "weight_decay": 1e-2}),
    "adamw": Part("torch.optim.AdamW", args={"lr": 5e-3, "weight_decay": 0.1}),
    "mixing": Part("small.Mixing", args={"lr": 0.05}),
    "grouped": part("optimizer", "by_pattern", {"groups": GROUPS, "lr": 0.05}),
}


class Net(nn.Module):
    """A convolution, batch normalisation, dropout, and two linear layers."""

    def __init__(self, shape: tuple[int, ...], classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(shape[0], 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(4 * shape[1] * shape[2] // 4, 16)
        self.output = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.bn(self.conv(x)).relu(), 2)
        return self.output(self.drop(self.fc(x.flatten(1)).relu()))


class Mixing(torch.optim.Optimizer):
    """Not element-wise: each update adds the mean gradient of its tensor, pruned places included."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state["ema"] = state.get("ema", torch.zeros_like(p)) * 0.9 + p.grad + p.grad.mean()
                p -= group["lr"] * state["ema"]
        return loss


DATA = Data(part("dataset", "digits"), 10, (1, 8, 8), validation=237, augment=("crop",))
NETWORK = Network(Part("small.Net"), (1, 8, 8), 10)


def run_of(optimizer: str = "sgd", *, start: int = 0, network: Network = NETWORK, **recipe: Any) -> Train:
    """A ticket of the small network under a short recipe: 20 iterations an epoch, 50 in all."""
    settings = {"steps": 50, "batch_size": 60, "eval_every": 10, **recipe}
    described = Recipe(optimizer=OPTIMIZERS[optimizer], **settings)
    return Train(Ticket(network, Init(network, 0), Dense(network), start=start), DATA, described)


def examples(data: Data = DATA) -> Examples:
    """The embedded digits on the CPU."""
    return Examples(data, Path(), torch.device("cpu"))


def weights(seed: int = 0) -> dict[str, Tensor]:
    """Initial weights of the small network."""
    return initial(NETWORK, seed)


def half_mask(seed: int = 0) -> Mask:
    """About half of the small network's prunable weights."""
    return half(dense(build(NETWORK))[0], seed)


def trained_state(trained: Trained) -> dict[str, Tensor]:
    """The weights of a training that did not diverge."""
    assert trained.state is not None
    return trained.state
