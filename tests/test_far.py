"""What a GPU does, on a stand-in for one: the bits of the CPU, and no tensors of two devices in one operation."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from far import FAR, near, world
from small import examples, half_mask, run_of, weights

from lt_sweeps import masks, randomness
from lt_sweeps.criteria.probe import Probe
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.graph import Train
from lt_sweeps.masks import TicketTensors
from lt_sweeps.measures.ends import Ends
from lt_sweeps.measures.solved import _Space
from lt_sweeps.networks.build import build, holding, initial
from lt_sweeps.randomness import rng
from lt_sweeps.registry import load, part
from lt_sweeps.specs import Network
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.leaving import Left
from lt_sweeps.training.progress import decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

LENET = Network(part("network", "lenet_300_100", {"width": 0.1}), (1, 8, 8), 10)
CLOCK = {"begin": 2, "until": 20, "every": 4}
PLAIN = run_of(steps=24)
RUNS = {
    **{name: run_of(name, steps=24) for name in ("sgd", "adam", "mixing")},
    "rigl": replace(PLAIN, hooks=(part("hook", "rigl", CLOCK),)),
    "early_bird": replace(PLAIN, hooks=(part("hook", "early_bird", {**CLOCK, "window": 2, "tolerance": 0.9}),)),
    "sign_in": replace(PLAIN, gate=part("gate", "sign_in", {"restore_every": 0.25})),
    "bernoulli": replace(PLAIN, gate=part("gate", "bernoulli")),
}
MEASURES = ("barrier", "calibration_error", "cka", "gradient_flow", "gradient_skew", "group_loss", "sharpness")


def trained(run: Train, on: Examples, **session: Any) -> Trained:
    return fit(run, TicketTensors(weights(), half_mask()), on, Hardware(), Session(**session))


def bits(made: Trained) -> Any:
    assert made.state is not None
    return state_digest(near(made.state)), made.progress.history


@pytest.mark.parametrize("name", RUNS)
def test_a_training_has_the_bits_of_the_cpu_and_goes_on_in_them(name: str) -> None:
    """On a device without doubles, as Apple's are."""
    expected = bits(trained(RUNS[name], examples()))
    with world(doubles=False):
        there = Examples(examples().data, Path(), FAR)
        assert bits(trained(RUNS[name], there)) == expected
        if name == "early_bird":
            return  # it ends before it is left
        saved, steps = list[bytes](), count(1)
        with suppress(Left):
            trained(
                RUNS[name],
                there,
                checkpoint=lambda progress: saved.append(encode_progress(progress, {})),
                leave=lambda: next(steps) >= 11,
            )
        assert bits(trained(RUNS[name], there, progress=decode_progress(saved[-1])[0])) == expected


def tickets(device: torch.device) -> Ends:
    """Two draws of a network under two masks."""
    module, data = build(LENET).to(device), Examples(examples().data, Path(), device)
    full, of = masks.dense(build(LENET))[0], []
    for seed in range(2):
        mask = {name: torch.rand(ones.shape, generator=rng(seed, name)) >= 0.3 * seed for name, ones in full.items()}
        of.append((masks.effective(initial(LENET, seed), mask), mask))
    states, kept = zip(*of, strict=True)
    return Ends(states, kept, 10, lambda state: holding(module, state), data.chunks)


@pytest.mark.parametrize("name", MEASURES)
def test_measures_are_those_of_the_cpu(name: str) -> None:
    expected = load("measure", name)(tickets(torch.device("cpu")))
    with world(doubles=False):
        assert load("measure", name)(tickets(FAR)) == expected


def test_what_a_tangent_space_takes_back_is_masked_on_its_device() -> None:
    found = []
    for device in (torch.device("cpu"), FAR):
        with world():
            ends = tickets(device)
            space = _Space(ends.network(ends.weights[1]).eval(), ends.masks[1])
            x, y = next(ends.examples("test"))
            found.append(near(space.back([(x, y)], torch.ones(len(y), 10, device=device))))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert not bool(found[1]["fc1.weight"][~tickets(torch.device("cpu")).masks[1]["fc1.weight"]].any())


@pytest.mark.parametrize("name", ["snip", "grasp", "force"])
def test_scores_are_those_of_the_cpu(name: str) -> None:
    def scores(device: torch.device) -> Any:
        start, mask = initial(LENET, 0), masks.dense(build(LENET))[0]
        source = Examples(examples().data, Path(), device)
        return load("criterion", name)(
            Probe(start, mask, start, None, rng(0, "score"), lambda: build(LENET), lambda: source, LENET.shape)
        )

    expected = scores(torch.device("cpu"))
    with world():
        found = scores(FAR)
    assert all(torch.equal(found[tensor], expected[tensor]) for tensor in expected)


def test_dropout_on_an_apple_gpu_is_a_function_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = list[int]()
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "manual_seed", seeds.append)
    randomness.seed_torch(7)
    assert seeds == [7]
