"""Criteria at initialisation against formulas that are found otherwise, and what their authors prove of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lt_sweeps import masks
from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.criteria.flow import synflow
from lt_sweeps.criteria.gradient import force, gradient, grasp, grasp_magnitude, snip
from lt_sweeps.criteria.probe import HeldExamples, Probe
from lt_sweeps.execution.worker import Worker
from lt_sweeps.graph import Dense, Init, Prune, Score, Ticket
from lt_sweeps.masks import Mask
from lt_sweeps.networks.build import build, initial
from lt_sweeps.randomness import rng
from lt_sweeps.realise import Values
from lt_sweeps.registry import needs, part
from lt_sweeps.specs import Data, Network, Part
from lt_sweeps.store.store import Store

DIGITS = Data(part("dataset", "digits"), 10, (1, 8, 8))
LENET = Network(Part("lenet_300_100", 1), (1, 28, 28), 10, Part("kaiming_normal", 1))
SMALL = Network(Part("lenet_300_100", 1, {"width": 0.1}), (1, 8, 8), 10)


def probe(network: Network = SMALL, seed: int = 0) -> Probe:
    """An untrained network with twelve examples, of four classes."""
    generator = rng(seed, "examples")
    x, y = torch.rand(12, *network.shape, generator=generator), torch.arange(12) % 4
    state, module = initial(network, seed), build(network)
    return Probe(
        weights=state,
        mask=masks.dense(module)[0],
        unmasked=state,
        ref=None,
        generator=rng(seed, "score"),
        make_network=lambda: build(network),
        make_source=lambda: HeldExamples(x, y),
        shape=network.shape,
    )


def loss(of: Probe, state: dict[str, Tensor], temperature: float = 1.0) -> Tensor:
    """The loss in double precision on all examples, of these weights."""
    x, y = of.examples
    network = build(SMALL).double()
    logits = torch.func.functional_call(network, state, (x.double(),))
    return nn.functional.cross_entropy(logits / temperature, y)


def doubled(of: Probe) -> dict[str, Tensor]:
    return {name: value.double() for name, value in of.weights.items()}


def slopes(of: Probe, state: dict[str, Tensor], temperature: float = 1.0) -> dict[str, Tensor]:
    given = {name: state[name].clone().requires_grad_() for name in of.mask}
    found = torch.autograd.grad(loss(of, state | given, temperature), list(given.values()))
    return dict(zip(given, found, strict=True))


def test_snip_is_what_the_loss_changes_by_when_a_connection_is_scaled() -> None:
    """Central differences of the loss in the mask, at m = 1 (Lee et al. 2019, equation 4)."""
    of, step = probe(), 1e-4
    scores, state = snip(of, examples=12), doubled(of)
    for name, place in [("fc1.weight", (3, 40)), ("fc2.weight", (2, 7)), ("output.weight", (1, 5))]:
        ends = []
        for factor in (1 + step, 1 - step):
            changed = state[name].clone()
            changed[place] *= factor
            ends.append(float(loss(of, state | {name: changed})))
        assert abs(ends[0] - ends[1]) / (2 * step) == pytest.approx(float(scores[name][place]), rel=1e-3, abs=1e-8)


def test_grasp_is_how_the_gradients_norm_changes() -> None:
    """w (H g), with H g by central differences of the gradient along itself."""
    of, temperature, step = probe(), 200.0, 1e-2
    state = doubled(of)
    g = slopes(of, state, temperature)
    ends = [slopes(of, {n: v + sign * step * g.get(n, 0) for n, v in state.items()}, temperature) for sign in (1, -1)]
    scores = grasp(of, per_class=3, temperature=temperature, training=False)
    for name in of.mask:
        curved = (ends[0][name] - ends[1][name]) / (2 * step)
        wanted = (state[name] * curved).float()
        assert torch.allclose(scores[name], wanted, rtol=2e-3, atol=1e-3 * float(wanted.abs().max()))
    absolute = grasp_magnitude(probe(), per_class=3, temperature=temperature, training=False)
    assert all(torch.equal(absolute[name], scores[name].abs()) for name in scores)


def test_force_is_snip_where_nothing_is_pruned_yet_and_asks_of_pruned_weights_as_they_were() -> None:
    plain = probe()
    one, two = snip(plain, examples=12), force(probe(), examples=12, training=False)
    assert all(torch.equal(one[name], two[name]) for name in one)
    half: Mask = {name: torch.rand(ones.shape, generator=rng(0, name)) < 0.5 for name, ones in plain.mask.items()}
    pruned = replace(plain, weights=masks.effective(plain.weights, half), mask=half, generator=rng(0, "score"))
    slope = gradient(replace(pruned, generator=rng(0, "score")), examples=12)
    found = force(replace(pruned, generator=rng(0, "score")), examples=12, training=False)
    assert all(torch.equal(found[name], (plain.unmasked[name] * slope[name]).abs()) for name in half)
    assert any(bool((found[name][~half[name]] > 0).any()) for name in half)


def test_synflow_is_conserved_from_layer_to_layer() -> None:
    """In a plain network without biases each layer's scores add up to R (Tanaka et al. 2020, theorem 1)."""
    of = probe(LENET)
    scores = synflow(of)
    network = build(LENET).double()
    network.load_state_dict({name: value.abs().double() for name, value in of.weights.items()})
    with torch.no_grad():
        flow = float(network(torch.ones(1, 1, 28, 28, dtype=torch.float64)).sum())
    assert [float(score.sum()) for score in scores.values()] == pytest.approx([flow] * 3, rel=1e-5)


@pytest.mark.parametrize("layers", [44, 56])
def test_synflow_is_finite_where_single_precision_is_not(layers: int) -> None:
    deep = Network(Part(f"resnet{layers}", 1), (3, 32, 32), 10, Part("kaiming_normal", 1))
    of = probe(deep)
    network = of.network.eval()
    with torch.no_grad():
        for value in network.state_dict().values():
            value.abs_()
        assert not bool(network(torch.ones(1, 3, 32, 32)).sum().isfinite())
    assert all(bool(score.isfinite().all()) for score in synflow(probe(deep)).values())


Left = Callable[..., Mask]


@pytest.fixture
def left(tmp_path: Path) -> Left:
    """The mask that a criterion leaves of an untrained network."""

    def of(network: Network, density: float, criterion: str, **settings: object) -> Mask:
        values = Values(Store(tmp_path / "store"), tmp_path, torch.device("cpu"), {})
        ticket = Ticket(network, Init(network, 0), Dense(network))
        data = DIGITS if "data" in needs("criterion", criterion) else None
        score = Score(part("criterion", criterion), ticket, data=data)
        return values.mask(Prune(score, ticket.mask, 1 - density, **settings))  # type: ignore[arg-type]

    return of


def shares(mask: Mask) -> list[float]:
    return [float(ones.float().mean()) for ones in mask.values()]


def test_synflow_in_a_hundred_rounds_empties_nothing_that_one_round_empties(left: Left) -> None:
    assert masks.emptied(left(LENET, 0.02, "synflow", rounds=1)) == ["fc1.weight"]
    assert masks.emptied(left(LENET, 0.001, "synflow", rounds=100)) == []
    assert masks.kept(left(LENET, 0.001, "synflow", rounds=100)) == round(0.001 * 266_200)


def test_synflow_leaves_what_its_authors_algorithm_leaves(left: Left) -> None:
    """Computed from the definition by a program of its own, of another draw of the weights."""
    assert shares(left(LENET, 0.1, "synflow", rounds=1)) == pytest.approx([0.0145, 0.741, 0.99], abs=0.02)
    assert shares(left(LENET, 0.1, "synflow", rounds=100)) == pytest.approx([0.0705, 0.3026, 0.964], abs=0.02)
    assert shares(left(LENET, 0.02, "synflow", rounds=100)) == pytest.approx([0.0121, 0.0554, 0.819], abs=0.02)


def test_iterative_snip_never_takes_back_and_force_does(left: Left) -> None:
    for criterion, revive in (("snip", False), ("force", True)):
        three, four = (left(SMALL, 0.5**n, criterion, rounds=n, revive=revive) for n in (3, 4))
        assert (masks.kept(three), masks.kept(four)) == (290, 145)
        back = sum(int((four[name] & ~three[name]).sum()) for name in four)
        assert (back > 0) == revive


def test_inversion_keeps_what_the_criterion_wants_least(left: Left) -> None:
    best, worst = left(SMALL, 0.5, "magnitude"), left(SMALL, 0.5, "magnitude", invert=True)
    assert masks.kept(best) + masks.kept(worst) == masks.total(best)
    assert not any(bool((best[name] & worst[name]).any()) for name in best)


def test_scores_before_the_first_training_of_a_process_are_computed_as_those_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU other algorithms give other bits, and so other masks."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        for deterministic in (False, True):
            torch.use_deterministic_algorithms(False)
            trainer = TrainerConfig(accelerator="cpu", deterministic=deterministic)
            Worker(Store(tmp_path / "store"), tmp_path, trainer, print)
            assert torch.are_deterministic_algorithms_enabled() == deterministic
            assert torch.is_deterministic_algorithms_warn_only_enabled() == deterministic
            assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if deterministic else None)
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
