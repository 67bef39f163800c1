"""The work that is timed: data of the right shape, networks, and tickets of which half is pruned."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.execution.worker import new_tensors
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.masks import Mask, TicketTensors, dense
from lt_sweeps.networks.build import build, initial
from lt_sweeps.specs import Data, Network, Part, Recipe
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.sparse.choose import choose

BATCH = 128
LENET = Network(Part("lenet_300_100", 1), (1, 28, 28), 10, Part("glorot_normal", 1))
RESNET20 = Network(Part("resnet20", 1), (3, 32, 32), 10, Part("kaiming_normal", 1))


def noise(data_dir: Path, shape: tuple[int, ...], train: int, test: int) -> Arrays:
    """Random images and classes, registered with nobody: `Data` names it by import path."""
    draw = torch.Generator().manual_seed(0)
    sizes = (train, test)
    x = [torch.randint(256, (n, *shape), generator=draw, dtype=torch.uint8) for n in sizes]
    y = [torch.randint(10, (n,), generator=draw) for n in sizes]
    return Arrays(x[0], y[0], x[1], y[1])


def mnist(validation: int = 0) -> Examples:
    """MNIST where LT_SWEEPS_DATA says where it is, else noise of its shape and size."""
    folder = os.environ.get("LT_SWEEPS_DATA")
    source = Part("mnist", 1) if folder else _noise((1, 28, 28), 60_000)
    data = Data(source, 10, (1, 28, 28), mean=(0.1307,), std=(0.3081,), validation=validation, eval_limit=100)
    return Examples(data, Path(folder or "."), torch.device("cpu"))


def cifar(augment: tuple[str, ...] = ()) -> Examples:
    """Noise of CIFAR-10's shape, a fifth of its size."""
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    data = Data(_noise((3, 32, 32), 10_000), 10, (3, 32, 32), mean=mean, std=std, augment=augment, eval_limit=100)
    return Examples(data, Path(), torch.device("cpu"))


def _noise(shape: tuple[int, ...], train: int) -> Part:
    return Part("benchmarks.stand_in.noise", 0, {"shape": shape, "train": train, "test": 100})


def half(network: Network) -> Mask:
    """A mask that keeps a random half of every prunable tensor."""
    draw = torch.Generator().manual_seed(0)
    full, _ = dense(build(network))
    return {name: torch.rand(ones.shape, generator=draw) < 0.5 for name, ones in full.items()}


class Ours:
    """`lt_sweeps.training.fit.fit` as a worker calls it: a ticket at density one half, n steps by this kernel."""

    def __init__(
        self, network: Network, examples: Examples, optimizer: str, kernel: str = "masked", **args: Any
    ) -> None:
        self._hardware = Hardware("cpu", kernel=kernel)
        self._ticket = Ticket(network, Init(network, 0), Dense(network))
        self._optimizer = Part(f"torch.optim.{optimizer}", 0, args)
        self.network, self.mask = network, half(network)
        self._weights, self._examples = initial(network, 0), examples

    def __call__(self, steps: int) -> None:
        """One fit; the only evaluations are those of its end."""
        recipe = Recipe(steps, BATCH, self._optimizer, eval_every=steps)
        run, ticket = Train(self._ticket, self._examples.data, recipe), TicketTensors(self._weights, self.mask)
        with new_tensors(filled=False):
            kernel = choose(run, ticket, self._examples, self._hardware)
            fit(run, ticket, self._examples, self._hardware, kernel=kernel)
