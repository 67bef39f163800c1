"""Draws follow their formulas, within what chance allows for so many weights, and are functions of the seed alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lt_sweeps import registry
from lt_sweeps.masks import LAYERS
from lt_sweeps.networks.build import build, initial
from lt_sweeps.specs import Network

SHAPES = {"lenet_300_100": (1, 28, 28), "conv2": (3, 32, 32), "resnet20": (3, 32, 32), "vgg16": (3, 32, 32)}
PHI = NormalDist().cdf


def network(name: str, initialiser: str = "", **args: Any) -> Network:
    """A registered network on its paper's images."""
    drawn = registry.part("initialiser", initialiser, args) if initialiser else None
    return Network(registry.part("network", name), SHAPES[name], 10, drawn)


@dataclass(frozen=True)
class Law:
    """What the weights of a layer, divided by their deviation, are drawn from."""

    deviation: Callable[[int, int], float]  # of fan_in and fan_out
    fourth: float  # moment
    beyond: float  # the probability of an absolute value above 1
    largest: float = math.inf


def glorot(fan_in: int, fan_out: int) -> float:
    return math.sqrt(2 / (fan_in + fan_out))


def kaiming(fan_in: int, fan_out: int) -> float:
    return math.sqrt(2 / fan_in)


def cut_at_2() -> Law:
    """A standard normal given that it lies in [-2, 2], and divided by its deviation, by partial integration."""
    inside, density = PHI(2) - PHI(-2), NormalDist().pdf(2)
    variance = 1 - 2 * 2 * density / inside
    fourth = 3 * variance - 2 * 2**3 * density / inside
    deviation = math.sqrt(variance)
    beyond = 2 * (PHI(2) - PHI(deviation)) / inside
    return Law(glorot, fourth / variance**2, beyond, 2 / deviation)


NORMAL = {"fourth": 3.0, "beyond": 2 * (1 - PHI(1))}
LAWS = {
    "glorot_normal": Law(glorot, **NORMAL),
    "lecun_normal": Law(lambda fan_in, fan_out: math.sqrt(1 / fan_in), **NORMAL),
    "kaiming_normal": Law(kaiming, **NORMAL),
    "truncated_glorot_normal": cut_at_2(),
    "kaiming_uniform": Law(kaiming, 9 / 5, 1 - 1 / math.sqrt(3), math.sqrt(3)),
    "signed_constant": Law(kaiming, 1.0, 0.0, 1.0),
}


def layers(described: Network, state: dict[str, Tensor]) -> list[tuple[str, Tensor, tuple[int, int]]]:
    """Each prunable layer's name and weights, and how many places feed an output and are fed by an input."""
    found = []
    for name, module in build(described).named_modules():
        if isinstance(module, LAYERS):
            drawn = state[f"{name}.weight"].double()
            field = math.prod(drawn.shape[2:])
            found.append((name, drawn, (drawn.shape[1] * field, drawn.shape[0] * field)))
    return found


def test_the_laws_cover_every_registered_initialiser() -> None:
    elsewhere = {"planted"}  # of MLPs alone: test_planted.py
    assert set(LAWS) | elsewhere == set(registry.catalogue("initialiser"))


@pytest.mark.parametrize("initialiser", sorted(LAWS))
@pytest.mark.parametrize("name", ["lenet_300_100", "conv2", "resnet20"])
def test_weights_follow_the_law_of_the_formula(name: str, initialiser: str) -> None:
    """Five standard errors of the mean, the variance and a proportion, in each layer: about 1e-6 by chance."""
    described, law = network(name, initialiser), LAWS[initialiser]
    state = initial(described, seed=0)
    for layer, drawn, fans in layers(described, state):
        w, n = drawn / law.deviation(*fans), drawn.numel()
        rounding = 1e-6  # of weights in single precision
        assert abs(w.mean()) < 5 / math.sqrt(n) + rounding, layer
        assert abs((w**2).mean() - 1) < 5 * math.sqrt((law.fourth - 1) / n) + rounding, layer
        if law.beyond:
            beyond = (w.abs() > 1).double().mean()
            assert abs(beyond - law.beyond) < 5 * math.sqrt(law.beyond * (1 - law.beyond) / n), layer
        assert w.abs().max() <= law.largest + rounding, layer
        assert f"{layer}.bias" not in state or not state[f"{layer}.bias"].any(), "biases are zero"


def test_a_signed_constant_is_one_size_and_both_signs() -> None:
    described = network("lenet_300_100", "signed_constant", deviation="glorot")
    for layer, drawn, fans in layers(described, initial(described, seed=0)):
        assert drawn.abs().unique().numel() == 1, layer
        assert drawn.abs().max() == pytest.approx(glorot(*fans), rel=1e-6)
        assert abs(drawn.sign().mean()) < 5 / math.sqrt(drawn.numel())


@pytest.mark.parametrize("initialiser", sorted(LAWS))
def test_batch_normalisation_starts_at_ones_or_uniform(initialiser: str) -> None:
    norms = [name for name, m in build(network("resnet20")).named_modules() if isinstance(m, nn.BatchNorm2d)]
    ones = initial(network("resnet20", initialiser), seed=0)
    uniform = initial(network("resnet20", initialiser, batchnorm="uniform"), seed=0)
    assert all(bool((ones[f"{name}.weight"] == 1).all()) for name in norms)
    scales = torch.cat([uniform[f"{name}.weight"] for name in norms]).double()
    assert 0 <= scales.min() < 0.02
    assert 0.98 < scales.max() <= 1
    assert abs(scales.mean() - 0.5) < 5 * math.sqrt(1 / 12 / len(scales))
    assert abs(scales.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / len(scales))
    for state in (ones, uniform):
        assert not any(bool(state[f"{name}.bias"].any()) for name in norms)
        assert all(bool((state[f"{name}.running_var"] == 1).all()) for name in norms)


@pytest.mark.parametrize(
    ("initialiser", "args", "told"),
    [
        ("glorot_normal", {"batchnorm": "zeros"}, "batchnorm=zeros: choose one of ones, uniform"),
        ("signed_constant", {"deviation": "he"}, "deviation=he: choose one of kaiming, glorot"),
    ],
)
def test_an_initialiser_refuses_what_it_does_not_know(initialiser: str, args: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        initial(network("resnet20", initialiser, **args), seed=0)


@pytest.mark.parametrize("initialiser", ["", *sorted(LAWS)])
def test_a_draw_is_a_function_of_the_seed_alone(initialiser: str) -> None:
    described = network("lenet_300_100", initialiser)
    first = initial(described, seed=3)
    torch.rand(7)  # whatever was drawn before
    again, other = initial(described, seed=3), initial(described, seed=4)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))


def test_a_draw_leaves_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    initial(network("lenet_300_100", "glorot_normal"), seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_draw_is_a_copy_that_nothing_else_holds() -> None:
    described = network("lenet_300_100")
    initial(described, seed=0)["fc1.weight"].zero_()
    assert bool(initial(described, seed=0)["fc1.weight"].any())
    assert not any(value.requires_grad for value in initial(described, seed=0).values())
