"""Somebody's network as the laws see it: a draw of its weights, a mask of half of them, a short training on noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lt_sweeps.check.example import half
from lt_sweeps.check.laws import Broken, surroundings
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.masks import Mask, State, TicketTensors, dense
from lt_sweeps.networks.build import drawn, initial
from lt_sweeps.randomness import rng
from lt_sweeps.registry import part
from lt_sweeps.specs import Data, Network, Part, Recipe
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.progress import encode_progress
from lt_sweeps.training.recorder import LOOK_EVERY, Session

SGD = Part("torch.optim.SGD", args={"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4})
STEPS = LOOK_EVERY + 1  # one more than it takes to come to a checkpoint
RECIPE = Recipe(steps=STEPS, batch_size=4, optimizer=SGD, eval_every=STEPS)


def candidate(name: str, args: Mapping[str, Any], shape: tuple[int, ...], classes: int) -> Candidate:
    """The network of a registered name or an import path."""
    return Candidate(Network(part("network", name, args), shape, classes))


@dataclass(frozen=True)
class Candidate:
    """A network, and what the laws make of it, each made once."""

    network: Network

    @cached_property
    def weights(self) -> State:
        """Initial weights."""
        return initial(self.network, 0)

    @cached_property
    def mask(self) -> Mask:
        """About half of the prunable weights."""
        return half(dense(self.module())[0])

    def module(self, seed: int = 0) -> nn.Module:
        """The network as built without this project, after `seed` was set for all that draws."""
        with surroundings(seed):
            return drawn(self.network)

    def loaded(self) -> nn.Module:
        """The network with its initial weights."""
        module = self.module()
        module.load_state_dict(self.weights)
        return module

    def images(self, count: int) -> Tensor:
        """Noise that looks normalised."""
        return torch.randn(count, *self.network.shape, generator=rng(0, "images"))

    @cached_property
    def run(self) -> Train:
        """A few masked steps on noise."""
        described = self.network
        source = Part("lt_sweeps.check.example.noise", args={"shape": described.shape, "classes": described.classes})
        middle = (0.5,) * described.shape[0]
        data = Data(source, described.classes, described.shape, mean=middle, std=middle)
        return Train(Ticket(described, Init(described, 0), Dense(described)), data, RECIPE)

    @cached_property
    def examples(self) -> Examples:
        """The noise on the CPU."""
        return Examples(self.run.data, Path(), torch.device("cpu"))

    @cached_property
    def whole(self) -> tuple[Trained, State, bytes]:
        """An uninterrupted training, its end weights, and what it left for a resume."""
        saved: list[bytes] = []
        trained, state = self.trained(
            checkpoint=lambda progress: saved.append(encode_progress(progress, {})), wait=lambda cost: 0.0
        )
        return trained, state, saved[0]

    def trained(self, seed: int = 0, **more: Any) -> tuple[Trained, State]:
        """A training in a process where `seed` was set for all that draws, and its end weights.

        Raises Broken for one that diverged.
        """
        with surroundings(seed):
            made = fit(self.run, TicketTensors(self.weights, self.mask), self.examples, Hardware(), Session(**more))
        if made.state is None:
            raise Broken(f"the loss is not finite at step {made.diverged_at} of SGD at a learning rate of 0.01")
        return made, made.state
