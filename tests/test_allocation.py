"""Laws 1, 2 and 6: allocation keeps exactly what it is asked to, nested, whatever the scores."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lt_sweeps.allocation import allocate, allotted, counts, decayed_counts, eligible, inverted, select
from lt_sweeps.allocations.layerwise import erk, smart_ratio
from lt_sweeps.masks import Mask, kept, prunable, shuffled
from lt_sweeps.networks.build import build
from lt_sweeps.randomness import rng
from lt_sweeps.registry import catalogue, part
from lt_sweeps.specs import Network, Part

SHAPES = {"a.weight": (7, 5), "b.weight": (3, 3, 2), "c.weight": (11,)}
KINDS = ["normal", "all equal", "few values", "some excluded", "all excluded", "bfloat16"]


def scores_of(kind: str, seed: int) -> dict[str, torch.Tensor]:
    """Scores as criteria may give them, ties and exclusions included."""
    generator = rng(seed, "scores")
    drawn = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    match kind:
        case "all equal":
            return {name: torch.ones_like(value) for name, value in drawn.items()}
        case "few values":
            return {name: value.round() for name, value in drawn.items()}
        case "some excluded":
            return {name: value.masked_fill(value < 0, -torch.inf) for name, value in drawn.items()}
        case "all excluded":
            return {name: torch.full_like(value, -torch.inf) for name, value in drawn.items()}
        case "bfloat16":
            return {name: value.bfloat16() for name, value in drawn.items()}
    return drawn


def parent_of(seed: int) -> Mask:
    """A mask that keeps about two thirds."""
    generator = rng(seed, "parent")
    return {name: torch.rand(shape, generator=generator) < 0.67 for name, shape in SHAPES.items()}


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 99), share=st.floats(0, 1))
def test_exactly_the_asked_count_is_kept_nested_in_the_parent(kind: str, seed: int, share: float) -> None:
    parent, scores, names = parent_of(seed), scores_of(kind, seed), tuple(sorted(SHAPES))
    for keep in {0, round(share * kept(parent)), kept(parent)}:
        mask = select(scores, parent, names, keep, rng(seed, "ties"))
        assert kept(mask) == keep
        assert all(bool((parent[name] | ~mask[name]).all()) for name in names)


@given(seed=st.integers(0, 99), share=st.floats(0, 1))
def test_excluded_weights_are_taken_last_and_the_eligible_are_counted(seed: int, share: float) -> None:
    parent, scores = parent_of(seed), scores_of("some excluded", seed)
    allowed = eligible(scores, parent)
    assert allowed == sum(int((scores[n][parent[n]] > -torch.inf).sum()) for n in SHAPES)
    keep = round(share * kept(parent))
    mask = select(scores, parent, tuple(sorted(SHAPES)), keep, rng(seed, "ties"))
    taken = sum(int((scores[name][mask[name]] > -torch.inf).sum()) for name in SHAPES)
    assert taken == min(keep, allowed)


def test_ties_are_broken_by_the_seed_and_not_by_position_or_layer() -> None:
    parent = {name: torch.ones(2000, dtype=torch.bool) for name in ("early", "late")}
    scores = {name: torch.zeros(2000) for name in parent}
    masks = [select(scores, parent, ("early", "late"), 2000, rng(seed, "ties")) for seed in (0, 0, 1)]
    assert all(torch.equal(masks[0][name], masks[1][name]) for name in parent)
    assert not torch.equal(masks[0]["early"], masks[2]["early"])
    for mask in masks:  # 1000 expected of each half, standard deviation 22
        assert abs(kept({"early": mask["early"]}) - 1000) < 150
        assert abs(int(mask["early"][:1000].sum()) - 500) < 120


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 99), power=st.integers(-20, 20))
def test_a_scale_of_the_scores_and_the_order_of_names_change_nothing(kind: str, seed: int, power: int) -> None:
    parent, scores = parent_of(seed), scores_of(kind, seed)
    scaled = {name: scores[name] * 2.0**power for name in sorted(SHAPES, reverse=True)}
    turned = {name: parent[name] for name in sorted(SHAPES, reverse=True)}
    for groups in ("global", "layerwise"):
        one = allocate(scores, parent, counts(parent, 0.3, groups, {"c*": 0.5}, 1), rng(seed, "ties"))
        two = allocate(scaled, turned, counts(turned, 0.3, groups, {"c*": 0.5}, 1), rng(seed, "ties"))
        assert all(torch.equal(one[name], two[name]) for name in SHAPES)


@pytest.mark.parametrize("groups", ["global", "layerwise"])
@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.97])
def test_each_level_removes_its_share_of_what_remains_until_nothing_is_left(groups: str, rate: float) -> None:
    mask = {name: torch.ones(shape, dtype=torch.bool) for name, shape in SHAPES.items()}
    scores, levels = scores_of("normal", 0), 0
    while kept(mask):
        smaller = allocate(scores, mask, counts(mask, rate, groups, {}, 1), rng(levels, "ties"))
        for names in [tuple(SHAPES)] if groups == "global" else [(name,) for name in SHAPES]:
            n = sum(int(mask[name].sum()) for name in names)
            left = sum(int(smaller[name].sum()) for name in names)
            assert n - left == min(n, max(1, round(rate * n)))
        mask, levels = smaller, levels + 1
    assert levels >= 1
    assert kept(allocate(scores, mask, counts(mask, rate, groups, {}, 1), rng(0, "ties"))) == 0


def test_times_compounds_the_rate_as_levels_do() -> None:
    dense = {name: torch.ones(shape, dtype=torch.bool) for name, shape in SHAPES.items()}
    scores, chain = scores_of("normal", 3), dense
    for level in range(1, 12):
        chain = allocate(scores, chain, counts(chain, 0.2, "layerwise", {"b*": 0.5}, 1), rng(0, "ties"))
        once = allocate(scores, dense, counts(dense, 0.2, "layerwise", {"b*": 0.5}, level), rng(0, "ties"))
        assert all(torch.equal(chain[name], once[name]) for name in SHAPES)  # one ranking: nested cuts of it


def test_factors_scale_a_groups_rate_and_zero_spares_it() -> None:
    mask = {name: torch.ones(100, dtype=torch.bool) for name in ("conv", "fc", "output")}
    found = counts(mask, 0.2, "layerwise", {"conv": 0.5, "output": 0.0})
    assert dict(found) == {("conv",): 90, ("fc",): 80, ("output",): 100}
    assert dict(counts(mask, 0.2, "global", {"output": 0.5})) == {("conv", "fc"): 160, ("output",): 90}
    with pytest.raises(ValueError, match=r"nope.*matches none of conv, fc, output"):
        counts(mask, 0.2, "global", {"nope": 1.0})


def test_a_score_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        select({"w": torch.tensor([1.0, torch.nan])}, {"w": torch.ones(2, dtype=torch.bool)}, ("w",), 1, rng(0))


@given(seed=st.integers(0, 199), scope=st.sampled_from(["layer", "global"]))
def test_a_shuffled_mask_keeps_its_counts_and_differs(seed: int, scope: str) -> None:
    mask = parent_of(seed)
    other = shuffled(mask, scope, rng(seed, "shuffle"))
    assert kept(other) == kept(mask)
    if scope == "layer":
        assert all(int(other[name].sum()) == int(mask[name].sum()) for name in mask)
    for name in mask:
        if scope == "layer" and 0 < int(mask[name].sum()) < mask[name].numel():
            assert not torch.equal(other[name], mask[name])
    assert any(not torch.equal(other[name], mask[name]) for name in mask)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_draw_that_equals_the_mask_is_repeated(scope: str) -> None:
    """Of two places every other draw does."""
    mask = {"w": torch.tensor([True, False])}
    assert all(shuffled(mask, scope, rng(seed))["w"].tolist() == [False, True] for seed in range(20))


def test_a_shuffle_that_cannot_differ_ends() -> None:
    for value in (True, False):
        mask = {"w": torch.full((4,), value)}
        assert torch.equal(shuffled(mask, "layer", rng(0))["w"], mask["w"])


def test_a_shuffle_reaches_every_place_equally() -> None:
    mask = {"w": torch.arange(10) < 5}
    hits = sum(shuffled(mask, "layer", rng(seed))["w"].int() for seed in range(2000))
    assert isinstance(hits, torch.Tensor)
    assert int(hits.min()) > 850  # 1000 expected, standard deviation 22
    assert [a <= b for a, b in pairwise([int(hits.max()), 1150])] == [True]


RESNET = Network(Part("resnet20", 1, {"shortcut": "conv"}), (3, 32, 32), 10)
RESNET20 = {name: tuple(w.shape) for name, w in prunable(build(RESNET)).items()}
LENET = {"fc1": (300, 784), "fc2": (100, 300), "output": (10, 100)}


@pytest.mark.parametrize("name", catalogue("allocation"))
@given(density=st.floats(0.05, 1.0), seed=st.integers(0, 9))
def test_every_allocation_keeps_exactly_the_asked_count_and_no_more_than_there_is(
    name: str, density: float, seed: int
) -> None:
    sizes = {layer: math.prod(shape) for layer, shape in RESNET20.items()}
    keep = round(density * sum(sizes.values()))
    found = dict(allotted(RESNET20, sizes, keep, part("allocation", name)))
    assert sum(found.values()) == keep
    assert all(0 <= found[(layer,)] <= n for layer, n in sizes.items())
    # Under a parent that has little left of some layers, the others keep the rest.
    left = {layer: n // (1 + (seed + i) % 3) for i, (layer, n) in enumerate(sizes.items())}
    some = min(keep, sum(left.values()))
    found = dict(allotted(RESNET20, left, some, part("allocation", name)))
    assert sum(found.values()) == some
    assert all(0 <= found[(layer,)] <= n for layer, n in left.items())


ERK = {  # rigl/sparse_utils.py, weights only
    0.2: (0.1622, 0.4694, 1.0),
    0.1: (0.0796, 0.2302, 1.0),
    0.05: (0.0385, 0.1113, 0.9185),
    0.02: (0.0154, 0.0445, 0.3674),
}


@pytest.mark.parametrize("density", ERK)
def test_erk_densities_of_lenet_are_those_of_its_authors_code(density: float) -> None:
    sizes = {layer: math.prod(shape) for layer, shape in LENET.items()}
    found = dict(allotted(LENET, sizes, round(density * sum(sizes.values())), part("allocation", "erk")))
    assert list(erk(LENET, density).values()) == pytest.approx(ERK[density], abs=1e-4)
    assert [found[(name,)] for name in sizes] == pytest.approx(
        [share * n for share, n in zip(erk(LENET, density).values(), sizes.values(), strict=True)], abs=1
    )


def test_erk_densities_of_resnet20_are_those_of_its_authors_code() -> None:
    found = erk(RESNET20, 0.1)
    kinds = {(shape, round(found[name], 4)) for name, shape in RESNET20.items()}
    wanted = {
        ((16, 3, 3, 3), 0.983),
        ((16, 16, 3, 3), 0.2802),
        ((32, 16, 3, 3), 0.1991),
        ((32, 32, 3, 3), 0.1290),
        ((32, 16, 1, 1), 1.0),
        ((64, 32, 3, 3), 0.0940),
        ((64, 64, 3, 3), 0.0617),
        ((64, 32, 1, 1), 0.8128),
        ((10, 64), 1.0),
    }
    assert {shape for shape, _ in kinds} == {shape for shape, _ in wanted}
    assert dict(kinds) == pytest.approx(dict(wanted), abs=1e-4)


def test_smart_ratios_keep_three_tenths_of_the_linear_layers_and_fewer_with_depth() -> None:
    found = smart_ratio(RESNET20, 0.1)
    convolutions = [share for name, share in found.items() if len(RESNET20[name]) == 4]
    assert all(later <= earlier for earlier, later in pairwise(convolutions))
    assert {found[name] for name, shape in RESNET20.items() if len(shape) == 2} == {0.3}
    with pytest.raises(ValueError, match="no convolution is pruned"):
        smart_ratio(LENET, 0.1)


@given(seed=st.integers(0, 99), rounds=st.integers(1, 7), share=st.floats(0, 1))
def test_rounds_end_at_what_is_wanted_and_never_take_more_than_is_left(seed: int, rounds: int, share: float) -> None:
    parent = parent_of(seed)
    wanted = [((name,), round(share * int(parent[name].sum()))) for name in sorted(parent)]
    steps = [decayed_counts(wanted, parent, done, rounds) for done in range(1, rounds + 1)]
    assert steps[-1] == wanted
    for before, after in pairwise(steps):
        assert all(b >= a for (_, b), (_, a) in zip(before, after, strict=True))


def test_an_inverted_selection_is_what_the_other_leaves() -> None:
    parent, scores = parent_of(0), scores_of("normal", 0)
    names, n = tuple(sorted(SHAPES)), kept(parent)
    best = select(scores, parent, names, n // 2, rng(0, "ties"))
    worst = select(inverted(scores), parent, names, n - n // 2, rng(0, "ties"))
    assert all(torch.equal(best[name] ^ worst[name], parent[name]) for name in names)
