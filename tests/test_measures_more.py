"""Measures of corrupted inputs, pools, pictures and degrees of masks, histograms and sizes, against known cases."""

from __future__ import annotations

import csv
import re
import struct
import zlib
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from small import DATA, NETWORK, examples, half_mask, weights
from test_inside import column, drawn, number, of_masks, of_module, of_states
from test_sweep import SMALL, cells_of, sweep
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lt_sweeps.cli import main as cli
from lt_sweeps.config.measuring import joined, option
from lt_sweeps.config.methods import PerturbedConfig
from lt_sweeps.deploy.csr import sparse_rows
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Treat, at
from lt_sweeps.main import main
from lt_sweeps.masks import State, effective
from lt_sweeps.measures import corrupted
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.measures.connectivity import between, renew_statistics
from lt_sweeps.measures.corrupted import CORRUPTIONS, corruption_accuracy
from lt_sweeps.measures.ends import Ends
from lt_sweeps.measures.graphon import SIZE, graphon
from lt_sweeps.measures.histogram import weight_histogram
from lt_sweeps.measures.pooled import pooled_accuracy
from lt_sweeps.measures.size import size
from lt_sweeps.measures.skew import degree_skew, gradient_skew
from lt_sweeps.networks.build import build, holding
from lt_sweeps.randomness import rng
from lt_sweeps.realise import Values
from lt_sweeps.registry import part
from lt_sweeps.report.grids import png
from lt_sweeps.store.store import Store

REGRESSION = part("task", "regression")
NEW = ("corruption_accuracy", "pooled_accuracy", "graphon", "degree_skew", "gradient_skew", "weight_histogram", "size")


# ----------------------------------------------------------------------------------------- inputs


@cache
def fitted() -> State:
    """Weights of the small network that get most of the digits right."""
    torch.manual_seed(0)
    module = holding(build(NETWORK), weights(0)).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(15):
        for x, y in examples().chunks("train", size=100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x), y).backward()
            optimizer.step()
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def images(count: int = 400) -> Tensor:
    return torch.rand(count, 3, 24, 32, generator=rng(0, "images"))


def test_each_corruption_is_of_the_size_that_it_says() -> None:
    x, draw = images(), rng(0, "draw")
    noisy = corrupted.noise(x, 0.2, draw) - x
    assert float(noisy.std()) == pytest.approx(0.2, rel=0.01)
    pale = corrupted.contrast(x, 0.25, draw)
    assert torch.allclose(pale.mean((1, 2, 3)), x.mean((1, 2, 3)), atol=1e-5)
    assert torch.allclose(pale.std((1, 2, 3)), 0.25 * x.std((1, 2, 3)), rtol=1e-4)
    assert torch.equal(corrupted.brightness(x, 0.5, draw), x + 0.5)
    hidden = (corrupted.occlusion(torch.zeros_like(x), 0.375, draw) > 0).sum((1, 2, 3))
    assert hidden.tolist() == [3 * 9 * 9] * len(x), "a square of the same place in all channels"
    flat = torch.full((1, 3, 24, 32), 0.3)
    assert torch.allclose(corrupted.blur(flat, 0.08, draw), flat), "nothing comes in from beyond an edge"
    blurred = corrupted.blur(x, 0.08, draw)
    assert float(blurred.std()) < 0.25 * float(x.std())
    assert torch.allclose(blurred.flip(3), corrupted.blur(x.flip(3), 0.08, draw), atol=1e-6)


def test_corrupted_examples_are_counted_one_by_one() -> None:
    ends, module = of_states(fitted()), holding(build(NETWORK), fitted()).eval()
    table = corruption_accuracy(ends)
    assert number(table, "clean") > 80 > number(table, "corruption_accuracy") > 20
    assert all(first > last for name in CORRUPTIONS for first, _, last in [column(table, name)])
    x, y = (torch.cat(values) for values in zip(*ends.examples("test"), strict=True))
    low, high = float(x.min()), float(x.max())
    for name in ("contrast", "brightness"):
        change, amounts = CORRUPTIONS[name]
        for amount, found in zip(amounts, column(table, name), strict=True):
            seen = change((x - low) / (high - low), amount, rng(0)).clamp(0, 1) * (high - low) + low
            with torch.no_grad():
                right = (module(seen).argmax(1) == y).double().mean()
            assert found == pytest.approx(100 * float(right), abs=1e-3)
    assert number(table, "clean") == evaluate(module, ends.examples("test"), 10).accuracy
    every = [value for name in CORRUPTIONS for value in column(table, name)]
    assert number(table, "corruption_accuracy") == pytest.approx(sum(every) / 15, abs=1e-3)


def test_corruptions_are_of_pixels_however_these_are_normalised_and_the_same_each_time() -> None:
    class Undone(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(4 * x + 0.5)
            return out

    def normalised(part: str) -> Iterator[tuple[Tensor, Tensor]]:
        return (((x - 0.5) / 4, y) for x, y in examples(DATA).chunks(part))

    state, module = fitted(), Undone(build(NETWORK))
    other = Ends(
        ({f"inner.{name}": value for name, value in state.items()},),
        ({},),
        10,
        lambda s: holding(module, s),
        normalised,
    )
    table = corruption_accuracy(of_states(state))
    for name, found in corruption_accuracy(other).items():
        assert found == pytest.approx(table[name], abs=0.3), "rounding may turn an example over"
    assert corruption_accuracy(of_states(state)) == table
    assert column(corruption_accuracy(of_states(state), seed=1), "noise") != column(table, "noise")


@pytest.mark.parametrize(
    ("x", "task", "said"),
    [
        (torch.zeros(2, 5, dtype=torch.long), None, "no images of at least 4x4 pixels"),
        (torch.zeros(2, 5), None, "no images of at least 4x4 pixels"),
        (torch.zeros(2, 1, 1, 20), None, "no images of at least 4x4 pixels"),
        (torch.zeros(2, 1, 4, 4), REGRESSION, "this task has none"),
    ],
    ids=["tokens", "vectors", "rows", "numbers"],
)
def test_what_is_no_image_or_has_no_class_is_not_corrupted(x: Tensor, task: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        corruption_accuracy(of_module(nn.Linear(4, 2), {}, (x, torch.zeros(2, dtype=torch.long)), task=task))


# ------------------------------------------------------------------------------------------ pools


def threshold(bias: float) -> State:
    """Class 1 where x + bias > 0."""
    return {"weight": torch.tensor([[0.0], [1.0]]), "bias": torch.tensor([0.0, bias])}


def pool(test: Tensor, **given: Any) -> Ends:
    """Two networks that answer always 1 and always 0, and their mean, which is right on the validation examples."""
    module, x, y = nn.Linear(1, 2), torch.tensor([[-0.5], [0.5]]), torch.tensor([0, 1])
    parts = {"train": (x, y), "validation": (x, y), "test": (x, test)}
    states = threshold(1.0), threshold(-1.0)
    return Ends(states, ({}, {}), 2, lambda s: holding(module, s), lambda p: iter([parts[p]]), **given)


def test_the_pool_is_chosen_on_validation_examples_whatever_the_test_examples_say() -> None:
    table = pooled_accuracy(pool(torch.tensor([0, 1])))
    assert column(table, "validation_accuracy")[5] == number(table, "pooled_accuracy") == 100.0
    assert (number(table, "alone"), number(table, "gained")) == (50.0, 50.0)
    assert number(table, "best") == 0.7, "of those that are right, the nearest to the second"
    wrong = pooled_accuracy(pool(torch.tensor([1, 0])))
    assert number(wrong, "pooled_accuracy") == 0.0 < max(column(wrong, "pooled_test_accuracy"))
    assert number(wrong, "best") == 0.7


def test_the_pool_has_the_second_mask_and_its_own_statistics() -> None:
    mask = half_mask(1)
    first, second = effective(weights(0), half_mask(0)), effective(weights(1), mask)
    ends = of_states(first, second, masks=(half_mask(0), mask))
    table = pooled_accuracy(ends, points=3)
    module = ends.network(between(first, second, 0.5, mask))
    renew_statistics(module, ends)
    found = [evaluate(module, ends.examples(part), 10).accuracy for part in ("validation", "test")]
    assert found == [column(table, "validation_accuracy")[1], column(table, "pooled_test_accuracy")[1]]
    assert not any(bool(module.state_dict()[name][~ones].any()) for name, ones in mask.items())


def test_a_pool_needs_classes_points_and_validation_examples() -> None:
    with pytest.raises(ValueError, match="this task has none"):
        pooled_accuracy(pool(torch.tensor([0, 1]), task=REGRESSION))
    with pytest.raises(ValueError, match="points=1: give 2 or more"):
        pooled_accuracy(pool(torch.tensor([0, 1])), points=1)
    without = replace(pool(torch.tensor([0, 1])), examples=lambda part: iter(()))
    with pytest.raises(ValueError, match="none are held out"):
        pooled_accuracy(without)


# ------------------------------------------------------------------------------------------ masks


def cells(table: Any, tensor: int = 1) -> Tensor:
    chosen = [place for place, at in enumerate(column(table, "tensor")) if at == tensor]
    grid = torch.tensor([column(table, f"at_{at:02}") for at in range(SIZE)]).T
    return grid[chosen]


@pytest.mark.parametrize("shape", [(64, 96), (32, 32), (10, 300), (50, 7)])
def test_the_picture_of_a_block_is_a_block_wherever_its_units_were(shape: tuple[int, int]) -> None:
    generator = rng(0, "block")
    block = torch.zeros(shape, dtype=torch.bool)
    block[: shape[0] // 2, : shape[1] // 2] = True
    table = graphon(of_masks({"w": block}))
    rows, columns = (torch.randperm(n, generator=generator) for n in shape)
    assert graphon(of_masks({"w": block[rows][:, columns]})) == table
    grid, density = cells(table), 100 * float(block.double().mean())
    assert float(grid.mean()) == pytest.approx(density, abs=1e-3)
    assert float(grid[0, 0]) == 100.0
    assert not grid[-1].any()
    assert not grid[:, -1].any()
    p, q = (n // 2 / n for n in shape)
    if all(SIZE * (n // 2) % n == 0 for n in shape):
        assert number(table, "graphon") == pytest.approx(100 * sqrt(p * q * (1 - p * q)), abs=1e-3)


def test_random_masks_are_nearly_flat_and_flatter_where_wider() -> None:
    distances = [
        number(graphon(of_masks({"w": drawn((width, width), round(0.3 * width**2), rng(0, "mask"))})), "graphon")
        for width in (64, 256, 1024)
    ]
    assert distances[2] < 3 < 20 < distances[0]
    for narrow, wide in pairwise(distances):
        assert 1.7 < narrow / wide < 4.5, "degrees vary half as much, and cells less than that"


def test_convolutions_are_pictured_by_their_kernels_and_a_dense_or_flat_mask_is_flat() -> None:
    ones = torch.zeros(32, 32, 2, 2, dtype=torch.bool)
    ones[:, :, 0, 0] = True
    table = graphon(of_masks({"bias": torch.ones(32, dtype=torch.bool), "conv": ones}))
    assert number(table, "graphon") == 0.0
    assert {*column(table, "tensor")} == {2.0}, "numbered as among all tensors"
    assert set(cells(table, 2).flatten().tolist()) == {25.0}
    assert number(graphon(of_masks({"w": torch.ones(5, 7, dtype=torch.bool)})), "graphon") == 0.0
    for measure in (graphon, degree_skew):
        with pytest.raises(ValueError, match="of this mask has"):
            measure(of_masks({"bias": torch.ones(32, dtype=torch.bool)}))


def test_units_of_equal_degree_turn_nothing_and_others_by_the_angle_of_their_factors() -> None:
    equal = torch.stack([torch.randperm(20, generator=rng(n, "unit")) < 5 for n in range(30)])
    table = degree_skew(of_masks({"w": equal}))
    assert number(table, "degree_skew") == pytest.approx(0.0, abs=1e-4)
    assert column(table, "factor")[1] == 2.0
    ones = torch.rand(40, 30, generator=rng(0, "ones")) < torch.linspace(0.05, 0.9, 40)[:, None]
    ones[3] = False
    kept = ones.sum(1).double()
    factors = (ones.double() / kept.sqrt().clamp(min=1e-9)[:, None])[ones]  # of each weight
    cosine = nn.functional.cosine_similarity(factors, torch.ones_like(factors), dim=0)
    angle = float(torch.rad2deg(torch.arccos(cosine)))
    table = degree_skew(of_masks({"w": ones, "v": equal, "b": torch.ones(3, dtype=torch.bool)}))
    assert column(table, "tensor_degree_skew")[1:] == pytest.approx([angle, 0.0, 0.0], abs=1e-3)
    assert angle > number(table, "degree_skew") > 0, "the other tensor stays as it is"


def layered(norm: bool) -> tuple[nn.Module, dict[str, Tensor], tuple[Tensor, Tensor]]:
    """A hidden layer of 60 units on white inputs, whose units lose from none to 95 % of 400 weights."""
    module = nn.Sequential(
        nn.Linear(400, 60), nn.BatchNorm1d(60) if norm else nn.Identity(), nn.ReLU(), nn.Linear(60, 10)
    )
    torch.nn.init.normal_(module[0].weight, std=400**-0.5, generator=rng(0, "w"))
    torch.nn.init.normal_(module[3].weight, std=0.1, generator=rng(1, "w"))
    lost = torch.linspace(0, 0.95, 60)[:, None]
    mask = {
        "0.weight": torch.rand(60, 400, generator=rng(2, "w")) >= lost,
        "3.weight": torch.ones(10, 60, dtype=torch.bool),
    }
    x = torch.randn(2000, 400, generator=rng(3, "x"))
    return module, mask, (x, torch.randint(10, (2000,), generator=rng(4, "y")))


@pytest.mark.parametrize(("norm", "exponent"), [(True, 1.0), (False, 0.0)])
def test_gradients_of_normalised_units_grow_as_the_law_says_and_others_do_not(norm: bool, exponent: float) -> None:
    """1 / sqrt(1 - s): 4.5 where 95 % are lost (Adnan et al. 2026)."""
    module, mask, batch = layered(norm)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    one = of_module(module, mask, batch)
    ends = replace(one, weights=(state, effective(state, mask)), masks=(mask, mask), examples=lambda p: iter([batch]))
    table = gradient_skew(ends, examples=2000)
    assert number(table, "gradient_skew") == pytest.approx(exponent, abs=0.1)
    assert column(table, "tensor_gradient_skew")[2] == 0.0, "nothing is pruned there"
    expected, measured = column(table, "expected")[1], column(table, "measured")[1]
    assert expected > 1.5
    assert measured == pytest.approx(expected**exponent, rel=0.1)
    assert gradient_skew(ends, examples=2000) == table
    with pytest.raises(ValueError, match="examples=0: give 1 or more"):
        gradient_skew(ends, examples=0)
    whole = {name: torch.ones_like(ones) for name, ones in mask.items()}
    with pytest.raises(ValueError, match="no unit of this mask has lost"):
        gradient_skew(replace(ends, masks=(whole, whole)))


# ---------------------------------------------------------------------------------------- weights


def histogram(prune: str) -> tuple[Any, State]:
    draw = {"a": torch.randn(300, 400, generator=rng(0, "a")), "b": 5 * torch.randn(1000, generator=rng(0, "b"))}
    chosen = {"magnitude": lambda w: w.abs() > 0.5 * w.std(correction=0), "random": lambda w: torch.rand_like(w) < 0.6}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        left = {name: chosen[prune](value) for name, value in draw.items()}
    had = {name: torch.ones_like(ones) for name, ones in left.items()}
    end = {name: 2 * value for name, value in draw.items()}
    trained = {name: 3 * value * left[name] for name, value in draw.items()}
    ends = Ends((draw, draw, end, trained), (had, had, had, left), 2, lambda s: nn.Identity(), lambda p: iter(()))
    return weight_histogram(ends), draw


@pytest.mark.parametrize(("prune", "low", "high"), [("magnitude", 100.0, 100.0), ("random", 0.0, 2.5)])
def test_histograms_of_a_gaussian_draw_are_gaussian_and_tell_what_was_pruned_by_it(
    prune: str, low: float, high: float
) -> None:
    table, draw = histogram(prune)
    assert low <= number(table, "weight_histogram") <= high
    place = {"all": 0, "a": 1, "b": 2}
    middles = column(table, "weight")
    assert (min(middles), max(middles), len(middles)) == (-5.875, 5.875, 3 * 48)
    for moment, scale in (("init", 1.0), ("begun", 1.0), ("ended", 2.0)):
        together = torch.tensor(column(table, f"kept_{moment}")) + torch.tensor(column(table, f"pruned_{moment}"))
        together = together.view(3, 48)
        assert together.sum(1).tolist() == pytest.approx([100.0] * 3, abs=0.01)
        inside = torch.distributions.Normal(0, scale)
        wanted = 100 * float(inside.cdf(torch.tensor(0.25)) - inside.cdf(torch.tensor(0.0)))
        for name, tolerance in (("a", 0.3), ("b", 3.0)):
            assert float(together[place[name]][24]) == pytest.approx(wanted, abs=tolerance)
    outer = 100 * float((draw["a"] / draw["a"].std(correction=0) * 3 >= 5.75).double().mean())
    trained = torch.tensor(column(table, "kept_trained")).view(3, 48)
    assert prune == "random" or float(trained[1][-1]) == pytest.approx(outer, abs=0.05), "the last bin has all beyond"


def test_a_layer_that_was_drawn_as_a_constant_has_no_histogram() -> None:
    constant, mask = {"w": torch.ones(3)}, {"w": torch.tensor([True, False, True])}
    with pytest.raises(ValueError, match="the weights of w are all the same"):
        weight_histogram(Ends((constant,) * 4, (mask,) * 4, 2, lambda s: nn.Identity(), lambda p: iter(())))


# ------------------------------------------------------------------------------------------ sizes


def ticket_of(option: str, density: float) -> tuple[nn.Module, Ends]:
    network = cells_of(f"model={option}")[0].levels[0].ticket.network
    module = build(network)
    mask = {
        name: torch.rand(value.shape, generator=rng(0, name)) < density
        for name, value in module.named_parameters()
        if value.dim() > 1 and "output" not in name
    }
    x = torch.rand(1, *network.shape)
    ends = of_module(module, mask, (x, torch.zeros(1)))
    return module, replace(ends, weights=(effective(ends.weights[0], mask),), examples=lambda p: iter([(x, x)]))


@pytest.mark.parametrize("option", ["lenet_300_100", "resnet20", "conv2"])
def test_sizes_are_those_that_others_count(option: str) -> None:
    module, ends = ticket_of(option, 0.1)
    table = size(ends)
    x, _ = next(ends.examples("test"))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(x)
    assert column(table, "operations")[0] == counter.get_total_flops() / 2
    assert column(table, "parameters")[0] == sum(value.numel() for value in module.parameters())
    kept = [int(ones.sum()) for ones in ends.masks[0].values()]
    assert column(table, "kept_parameters")[1:] == kept
    pruned = sum(ones.numel() for ones in ends.masks[0].values()) - sum(kept)
    assert column(table, "kept_parameters")[0] == column(table, "parameters")[0] - pruned
    assert column(table, "bytes")[0] == sum(v.nbytes for v in (*module.parameters(), *module.buffers()))
    for number_of, (name, ones) in enumerate(ends.masks[0].items(), 1):
        layer = nn.Linear(ones[0].numel(), len(ones), bias=False)
        layer.weight.data = ones.float().flatten(1)
        _, row_at, columns, value, _ = sparse_rows(layer)
        assert column(table, "csr_bytes")[number_of] == row_at.nbytes + columns.nbytes + value.nbytes, name
    share = 100 * column(table, "least_bytes")[0] / column(table, "bytes")[0]
    assert number(table, "size") == pytest.approx(share, abs=1e-3)
    assert number(size(ticket_of(option, 0.6)[1]), "size") == 100.0, "indices take as much as values"


def test_what_cannot_be_left_out_or_counted_has_no_size() -> None:
    module, ends = ticket_of("lenet_300_100", 0.1)
    with pytest.raises(ValueError, match=r"pruned weights of fc1\.weight are not zero"):
        size(replace(ends, weights=(dict(module.state_dict()),)))
    recurrent = nn.LSTM(4, 3, batch_first=True)
    mask = {"weight_ih_l0": torch.ones(12, 4, dtype=torch.bool)}
    with pytest.raises(ValueError, match="weight_ih_l0 is run by none"):
        size(of_module(recurrent, mask, (torch.zeros(1, 2, 4), torch.zeros(1))))


# --------------------------------------------------------------------------------- command lines


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["measure=corruption_accuracy", "model=transformer"], "examples of dataset=text are none"),
        (["measure=corruption_accuracy", "model=planted"], "needs images, and examples of dataset=circle are none"),
        (["measure=pooled_accuracy", "recipe.validation=0"], "holds none out: recipe.validation="),
        (["measure=pooled_accuracy", "prune=at_init"], "no mask here was pruned from a training"),
        (["measure.of={trained: {pooled_accuracy: {}}}"], "it compares two networks, and there is one"),
        (["measure.of={parent: {pooled_accuracy: {points: 1}}}"], "give 2 to 10,000 points"),
        (["measure=weight_histogram", "prune=at_init"], "no mask here was pruned from a training"),
        (["measure.of={trained: {weight_histogram: {}}}"], "it is of the training before a level"),
        (["measure.of={trained: {gradient_skew: {}}}"], "it is of a mask before training: measure.of.whole"),
        (["measure=graphon", "train=untrained"], "tickets that are not trained"),
        (["measure=spawn", "measure.perturbed.step=60it"], "no training here has 60 steps and more"),
        (["measure=spawn", "measure.perturbed.sigma=0"], "sigma=0.0: give a number above 0"),
        (["measure=spawn", "measure.perturbed.share=0"], "share=0.0: give a share above 0, up to 1"),
        (["measure=spawn", "measure.perturbed.share=1.5"], "share=1.5: give a share above 0, up to 1"),
        (
            ["measure=pooled_accuracy", "model=planted_relu"],
            "and task=regression has none",
        ),
        (
            ["measure=tangent_solution", "model=planted_relu"],
            "and task=regression has none",
        ),
        (["measure=calibration_error", "task=one_hot"], "needs probabilities of classes, and task=one_hot gives none"),
        (["measure=aligned_barrier", "model=lstm", "dataset=parity"], "model=lstm: it has no units that could be"),
        (["measure.of={sibling: {aligned_barrier: {points: 1}}}"], "give 2 to 10,000 points"),
        (["measure.of={sibling: {aligned_barrier: {by: signs}}}"], "choose one of weights, activations"),
        (["measure=spawn", "measure.perturbed.step=9it", "gate=sign_in"], "is perturbed where it begins, at 0it"),
    ],
)
def test_a_measure_that_cannot_be_asked_is_refused_in_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, *words, f"paths.output_dir={tmp_path}"]) != 0
    assert said in capsys.readouterr().err


def test_a_mask_is_measured_before_training_beside_the_same_weights_with_nothing_pruned() -> None:
    for words in ((), ("prune=at_init", "criterion=random"), ("train=untrained",)):
        [cell] = cells_of("measure=gradient_skew", *words)
        none, *measures = cell.measures["gradient_skew_whole"]
        assert none is None
        for measure, run in zip(measures, cell.levels[1:], strict=True):
            assert measure is not None
            whole, ticket = measure.of
            assert ticket == run.ticket
            assert whole == replace(run.ticket, mask=cell.levels[0].ticket.mask)
    assert cells_of()[0].levels == cells_of("measure=gradient_skew")[0].levels


# -------------------------------------------------------------------------------------- spawning


@pytest.mark.parametrize("step", [0, 9])
def test_copies_differ_in_noise_of_the_draw_s_deviations_alone(step: int, tmp_path: Path) -> None:
    words = ("rewind=step", "rewind.step=20it", "measure=spawn", "measure.perturbed.sigma=0.5")
    [cell] = cells_of(*words, f"measure.perturbed.step={step}it")
    assert cell.levels == cells_of(*words[:2])[0].levels
    assert list(cell.measures) == ["barrier_spawn", "l2_distance_spawn", "angular_cka_spawn"]
    draw = cell.levels[0].ticket.weights
    for measure, run in zip(cell.measures["barrier_spawn"], cell.levels, strict=True):
        assert measure is not None
        spawn, twin = (ticket.weights.run for ticket in measure.of)  # type: ignore[union-attr]
        begun = run.ticket.start + step
        assert (twin.ticket.start, twin.ticket.weights) == (begun, at(run, begun))
        assert replace(spawn, ticket=twin.ticket) == twin, "recipe, data order and augmentation are the same"
        assert (twin == run) == (step == 0)
        noise = spawn.ticket.weights
        assert isinstance(noise, Treat)
        assert (noise.ref, noise.end, noise.treatment.args) == (twin.ticket.weights, draw, {"sigma": 0.5})
    values = Values(Store(tmp_path), Path(), torch.device("cpu"), {})
    treated = Treat(noise.treatment, noise.mask, draw, draw, 0)
    before, after = values.weights(draw), values.weights(treated)
    for name, value in before.items():
        moved = after[name] - value
        deviation = float(value.std(correction=0)) if name.endswith("weight") else 0.0
        assert float(moved.std(correction=0)) == pytest.approx(0.5 * deviation, rel=0.1), name
    other = Treat(noise.treatment, noise.mask, draw, draw, 1)
    assert not torch.equal(values.weights(other)["fc1.weight"], after["fc1.weight"])


@pytest.mark.sweeps
def test_a_copy_without_noise_to_speak_of_ends_where_its_training_does_and_another_elsewhere(tmp_path: Path) -> None:
    rows = sweep(tmp_path, "measure=spawn", "measure.perturbed.sigma=1e-20,1.0", "measure.perturbed.step=9it")
    small, large = ([row for row in rows if float(row["measure.perturbed.sigma"]) == sigma] for sigma in (1e-20, 1.0))
    names = ("barrier_spawn", "l2_distance_spawn", "angular_cka_spawn")
    assert [[float(row[name]) for name in names] for row in small] == [[0.0] * 3] * 3
    assert all(0.01 < float(row["angular_cka_spawn"]) < 1.5708 for row in large)
    assert all(float(row["l2_distance_spawn"]) > 5 for row in large)
    assert [row["key"] for row in small] == [row["key"] for row in large]
    page = (tmp_path / "s" / "report.html").read_text()
    assert "Error barrier to the perturbed copy (points)" in page


def test_measures_that_are_joined_agree_on_their_noise() -> None:
    one, other = option("spawn"), replace(option("spawn"), perturbed=PerturbedConfig(sigma=0.5))
    assert joined([option("overlap"), other]).perturbed.sigma == 0.5
    with pytest.raises(Mistake, match=r"measure\.perturbed: asked for with .* and with others"):
        joined([one, other])


# --------------------------------------------------------------------------------------- reports


@pytest.mark.sweeps
def test_a_stored_sweep_is_measured_and_drawn_and_a_second_time_nothing_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, "control=none,reinit", "seed=0,1")
    folder = tmp_path / "s"
    assert cli(["measure", str(folder), *NEW]) == 0
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    names = [name for name in rows[0] if name.startswith(NEW)]
    assert len(names) == len(NEW)
    assert all(row[name] for row in rows for name in names if row["level"] != "0")
    page = (folder / "report.html").read_text()
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == 2 * 2 * 3, "curves, levels and layers"
    [image] = re.findall(r'base64,([^"]+)" width="72" height="72" alt="fc1.weight, 80.2 %', page)[:1]
    assert struct.unpack(">II", b64decode(image)[16:24]) == (SIZE, SIZE)
    assert "Histograms of lenet_300_100 on digits" in page
    assert "as the training before ended" in page
    assert (
        "<summary>Table of corruption accuracy trained: blur, brightness, contrast, noise, occlusion</summary>" in page
    )
    before = (folder / "results.csv").read_bytes(), page
    capsys.readouterr()
    assert cli(["measure", str(folder), *NEW]) == 0
    assert re.search(r"(\d+) measures, \1 in the store, 0 to do", capsys.readouterr().out)
    assert ((folder / "results.csv").read_bytes(), (folder / "report.html").read_text()) == before


def test_a_picture_is_read_back_as_it_was_drawn() -> None:
    content = png([[0.0, 0.5], [1.0, 0.25], [0.0, 0.0]])
    at = content.index(b"IDAT")
    length = struct.unpack(">I", content[at - 4 : at])[0]
    lines = zlib.decompress(content[at + 4 : at + 4 + length])
    assert struct.unpack(">II", content[16:24]) == (2, 3)
    assert [[lines[row * 9 + 4], lines[row * 9 + 8]] for row in range(3)] == [[0, 128], [255, 64], [0, 0]]
