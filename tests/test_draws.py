"""Law 5: what a network draws as it trains is a function of (seed, level, step)."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from small import Net, examples, half_mask, run_of, trained_state, weights
from torch import nn

from lt_sweeps.datasets.examples import Examples
from lt_sweeps.graph import Train
from lt_sweeps.masks import TicketTensors
from lt_sweeps.specs import Network, Part
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

State = dict[str, torch.Tensor]
CPU = Hardware()


@pytest.fixture(scope="module")
def digits() -> Examples:
    return examples()


class Recorded(nn.Dropout):
    """Dropout that keeps the mask of each training step."""

    masks: ClassVar[list[bytes]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        mask = super().forward(torch.ones_like(x))
        self.masks.append(mask.numpy().tobytes())
        return x * mask


class Dropping(Net):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        self.drop = Recorded(0.5)


def dropped(run: Train, on: Examples, **session: Any) -> list[bytes]:
    """The mask of dropout at each step that a session takes."""
    Recorded.masks.clear()
    fit(run, TicketTensors(weights(), half_mask()), on, CPU, Session(**session))
    return list(Recorded.masks)


@pytest.fixture(params=[True, False], ids=["registered", "foreign"])
def dropping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Train:
    monkeypatch.setattr(Part, "is_registered", request.param)
    return run_of(network=Network(Part("test_draws.Dropping"), (1, 8, 8), 10), steps=40)


def test_dropout_draws_another_mask_at_each_step_at_each_level_and_for_each_seed(
    dropping: Train, digits: Examples
) -> None:
    others = (dropping, replace(dropping, level=1), replace(dropping, augment=1))
    masks = [mask for run in others for mask in dropped(run, digits, until=10)]
    assert len(set(masks)) == len(masks) == 30


def test_a_resumed_training_draws_the_masks_of_dropout_that_it_would_have_drawn(
    dropping: Train, digits: Examples
) -> None:
    saved: list[bytes] = []

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {}))

    whole = dropped(dropping, digits, checkpoint=save, wait=lambda cost: 0.0)
    assert [decode_progress(content)[0].step for content in saved] == [16, 32]
    for step, content in zip((16, 32), saved, strict=True):
        assert dropped(dropping, digits, progress=decode_progress(content)[0]) == whole[step:]
    assert len(whole) == 40


class Functional(Net):
    """Dropout that no module shows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.dropout(x, 0.2, self.training))


def test_draws_inside_a_network_are_functions_of_the_step(digits: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Part, "is_registered", True)
    network = Network(Part("test_draws.Functional", args={"dropout": 0.0}), (1, 8, 8), 10)
    ends = []
    for history in (1, 2):
        torch.manual_seed(history)
        trained = fit(run_of(network=network), TicketTensors(weights(), half_mask()), digits, CPU)
        ends.append(state_digest(trained_state(trained)))
    assert ends[0] == ends[1]


class Noisy(Net):
    """Draws noise from numpy and random, at some steps only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and random.random() < 0.7:
            x = x + 0.1 * torch.from_numpy(np.random.randn(*x.shape)).to(x)
        return super().forward(x)


def test_a_network_that_draws_from_numpy_and_random_resumes_to_the_same_bits(digits: Examples) -> None:
    network = Network(Part("test_draws.Noisy", args={"dropout": 0.2}), (1, 8, 8), 10)
    run, mask, saved = run_of(network=network), half_mask(), list[bytes]()

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {}))

    whole = fit(run, TicketTensors(weights(), mask), digits, CPU, Session(checkpoint=save, wait=lambda cost: 0.0))
    assert len(saved) == 3
    quiet = fit(replace(run, augment=run.augment + 1), TicketTensors(weights(), mask), digits, CPU)
    assert state_digest(trained_state(quiet)) != state_digest(trained_state(whole)), "the noise is there, and seeded"
    for content in saved:
        random.seed(content)
        np.random.seed(len(content) % 1000)
        resumed = fit(run, TicketTensors(weights(), mask), digits, CPU, Session(progress=decode_progress(content)[0]))
        assert state_digest(trained_state(resumed)) == state_digest(trained_state(whole))
        assert resumed.progress.history == whole.progress.history
