"""The network under test: its initial weights, a mask of half of them, and a short training on noise."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lt_sweeps.check.example import half
from lt_sweeps.check.laws import Broken, surroundings
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.forecast.layers import takes
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.masks import Mask, State, TicketTensors, dense
from lt_sweeps.networks.build import draw_network, initial
from lt_sweeps.randomness import rng
from lt_sweeps.registry import part
from lt_sweeps.specs import Data, Network, Part, Recipe
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.progress import encode_progress
from lt_sweeps.training.recorder import LOOK_EVERY, Session

SGD = Part("torch.optim.SGD", args={"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4})
STEPS = LOOK_EVERY + 1  # one more than the first checkpoint needs
RECIPE = Recipe(steps=STEPS, batch_size=4, optimizer=SGD, eval_every=STEPS)


def candidate(name: str, args: Mapping[str, Any], shape: tuple[int, ...], classes: int) -> Candidate:
    """Returns the network of a registered name or an import path, for inputs of `shape` (C, H, W)."""
    return Candidate(Network(part("network", name, args), shape, classes))


@dataclass(frozen=True)
class Candidate:
    """A network under test, with its weights, mask, examples and training, each computed once."""

    network: Network

    @cached_property
    def weights(self) -> State:
        """The initial weights."""
        return initial(self.network, 0)

    @cached_property
    def mask(self) -> Mask:
        """A mask of about half of the prunable weights."""
        return half(dense(self.module())[0])

    def module(self, seed: int = 0) -> nn.Module:
        """Returns the newly constructed network, with global generators seeded with `seed`."""
        with surroundings(seed):
            return draw_network(self.network)

    def loaded(self) -> nn.Module:
        """Returns the network with its initial weights."""
        module = self.module()
        module.load_state_dict(self.weights)
        return module

    @cached_property
    def reads_tokens(self) -> bool:
        """Whether the network takes integers and no floats: an embedding comes first."""
        return self._trial is not None and not self._trial[0].is_floating_point()

    @cached_property
    def answers_each(self) -> bool:
        """Whether the network of tokens gives logits for each of them: (N, T, classes)."""
        return self.reads_tokens and self._trial is not None and self._trial[1].ndim == 3

    @cached_property
    def answers_places(self) -> bool:
        """Whether the network of images gives logits for each pixel: (N, classes, H, W)."""
        return self._trial is not None and self._trial[1].ndim == 4

    def answers(self, x: Tensor) -> list[int]:
        """Returns the shape of the logits for a batch x, by the shape of a trial batch's."""
        if self.answers_places:
            return [len(x), self.network.classes, *x.shape[2:]]
        return [*(x.shape if self.answers_each else x.shape[:1]), self.network.classes]

    @cached_property
    def _trial(self) -> tuple[Tensor, Tensor] | None:
        """Two examples as the network takes them, and its outputs; None if it takes none."""
        with suppress(Exception), surroundings(0), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return takes(self.module().eval(), torch.zeros(2, *self.network.shape))
        return None

    @property
    def task(self) -> Part | None:
        """The task of its outputs; None: classification."""
        if self.answers_places:
            return part("task", "dense_prediction")
        return part("task", "next_token") if self.answers_each else None

    def images(self, count: int) -> Tensor:
        """Returns standard normal noise, (count, C, H, W); for a network of tokens uniform integers, (count, T)."""
        shape = (count, *self.network.shape)
        if self.reads_tokens:
            return torch.randint(self.network.classes, shape, generator=rng(0, "images"))
        return torch.randn(shape, generator=rng(0, "images"))

    @cached_property
    def run(self) -> Train:
        """The expression of a short training on noise."""
        described = self.network
        args: dict[str, Any] = {"shape": described.shape, "classes": described.classes}
        if self.reads_tokens:
            source = Part("lt_sweeps.check.example.sequences", args={**args, "answers_each": self.answers_each})
            data = Data(source, described.classes, described.shape, task=self.task)
        else:
            middle = (0.5,) * described.shape[0]
            maps = {"maps": True} if self.answers_places else {}
            source = Part("lt_sweeps.check.example.noise", args=args | maps)
            data = Data(source, described.classes, described.shape, mean=middle, std=middle, task=self.task)
        return Train(Ticket(described, Init(described, 0), Dense(described)), data, RECIPE)

    @cached_property
    def examples(self) -> Examples:
        """The noise on the CPU."""
        return Examples(self.run.data, Path(), torch.device("cpu"))

    @cached_property
    def whole(self) -> tuple[Trained, State, bytes]:
        """An uninterrupted training, its end weights, and its first checkpoint."""
        saved: list[bytes] = []
        trained, state = self.trained(
            checkpoint=lambda progress: saved.append(encode_progress(progress, {})), wait=lambda cost: 0.0
        )
        return trained, state, saved[0]

    def trained(self, seed: int = 0, **more: Any) -> tuple[Trained, State]:
        """Trains with global generators seeded with `seed`; returns the training and its end weights.

        Raises Broken if it diverges.
        """
        with surroundings(seed):
            trained = fit(self.run, TicketTensors(self.weights, self.mask), self.examples, Hardware(), Session(**more))
        if trained.state is None:
            raise Broken(f"the loss is not finite at step {trained.diverged_at} of SGD at a learning rate of 0.01")
        return trained, trained.state
