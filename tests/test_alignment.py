"""What is alike in two networks up to an order of their units; noise on a few weights; sizes without dead paths."""

from __future__ import annotations

from dataclasses import replace
from math import pi
from pathlib import Path

import pytest
import torch
from small import half_mask, weights
from test_inside import column, number, of_module, of_states
from test_measures_more import fitted
from test_sweep import SMALL, cells_of
from torch import nn

from lt_sweeps.catalogue.listing import options
from lt_sweeps.cells import level_names
from lt_sweeps.cli import main as cli
from lt_sweeps.columns import COMPARED
from lt_sweeps.config.measuring import AGAINST, chosen, option
from lt_sweeps.graph import Measure, Train, Treat, full, topological
from lt_sweeps.masks import Mask, State, effective
from lt_sweeps.measures.aligned import aligned_barrier, require_units
from lt_sweeps.measures.cka import angular_cka, cka, linear_cka
from lt_sweeps.measures.connectivity import barrier
from lt_sweeps.measures.live import live_density, live_size
from lt_sweeps.measures.size import size
from lt_sweeps.metrics import METRICS
from lt_sweeps.networks.build import build
from lt_sweeps.randomness import rng
from lt_sweeps.realise import Values
from lt_sweeps.registry import catalogue
from lt_sweeps.report.curves import Curve, Point
from lt_sweeps.report.quantities import measured
from lt_sweeps.store.store import Store
from lt_sweeps.survivors.perturbed import perturbed

# ---------------------------------------------------------------------------------- hidden layers


def permuted(state: State, seed: int) -> State:
    """The small network with the channels of its convolution and its hidden units in another order."""
    channels, units = torch.randperm(4, generator=rng(seed, "c")), torch.randperm(16, generator=rng(seed, "u"))
    new = dict(state)
    for name in ("conv.weight", "conv.bias", *(n for n in state if n.startswith("bn.") and state[n].dim())):
        new[name] = state[name][channels]
    rows = state["fc.weight"].unflatten(1, (4, -1))[:, channels].flatten(1)
    new["fc.weight"], new["fc.bias"] = rows[units], state["fc.bias"][units]
    new["output.weight"] = state["output.weight"][:, units]
    return new


def test_hidden_layers_are_alike_whatever_the_order_and_scale_of_their_units() -> None:
    state = weights(0)
    scaled = permuted(state, 0)
    scaled["fc.weight"], scaled["fc.bias"] = 3 * scaled["fc.weight"], 3 * scaled["fc.bias"]
    for other in (state, permuted(state, 0), scaled):
        assert number(cka(of_states(state, other)), "cka") == 1.0
        assert number(angular_cka(of_states(state, other)), "angular_cka") == pytest.approx(0.0, abs=1e-5)
    share = number(cka(of_states(state, weights(1))), "cka")
    assert 0.0 < share < 1.0
    angle = number(angular_cka(of_states(state, weights(1))), "angular_cka")
    assert torch.cos(torch.tensor(angle)) == pytest.approx(share, abs=1e-5)
    assert cka(of_states(weights(1), state)) == cka(of_states(state, weights(1)))


def test_cka_is_what_kornblith_s_formula_says_by_gram_matrices() -> None:
    x, y = (torch.randn(50, n, generator=rng(n, "x"), dtype=torch.float64) for n in (3, 7))
    centre = torch.eye(50, dtype=torch.float64) - 1 / 50
    gram = [centre @ z @ z.T @ centre for z in (x, y)]
    wanted = float((gram[0] * gram[1]).sum() / (gram[0].norm() * gram[1].norm()))
    assert linear_cka(x, y) == pytest.approx(wanted, rel=1e-9)


def test_a_network_whose_hidden_layer_says_nothing_is_at_a_right_angle() -> None:
    dead = {name: torch.zeros_like(value) if name.startswith("fc") else value for name, value in weights(0).items()}
    assert number(cka(of_states(weights(0), dead)), "cka") == 0.0
    assert number(angular_cka(of_states(weights(0), dead)), "angular_cka") == pytest.approx(pi / 2, abs=1e-5)
    one = of_module(nn.LSTM(2, 2, batch_first=True), {}, (torch.zeros(1, 3, 2), torch.zeros(1)))
    two = replace(one, weights=one.weights * 2, masks=one.masks * 2)
    with pytest.raises(ValueError, match="runs no linear layer or convolution"):
        cka(two)


# -------------------------------------------------------------------------------------- alignment


@pytest.mark.parametrize("by", ["weights", "activations"])
def test_a_network_and_its_own_permutation_have_no_barrier_once_they_are_aligned(by: str) -> None:
    state = fitted()
    ends = of_states(permuted(state, 3), state)
    aligned, plain = aligned_barrier(ends, points=5, by=by), barrier(ends, points=5)  # type: ignore[arg-type]
    assert number(aligned, "aligned_barrier") == 0.0
    assert len(set(column(aligned, "test_error"))) == 1
    assert number(plain, "barrier") > 1
    assert column(plain, "test_error")[0] == column(aligned, "test_error")[0], "a permutation changes no answer"
    assert number(aligned, "moved_units") > 50
    same = aligned_barrier(of_states(state, state), points=3)
    assert (same["aligned_barrier"], same["moved_units"]) == (0.0, 0.0)


def test_masks_move_with_the_units_and_ends_stay_what_they_are() -> None:
    mask = half_mask(0)
    first, second = effective(weights(0), mask), effective(weights(1), mask)
    ends = of_states(first, second, masks=(mask, mask))
    aligned, plain = aligned_barrier(ends, points=3), barrier(ends, points=3)
    assert number(aligned, "moved_units") > 0
    errors, before = column(aligned, "test_error"), column(plain, "test_error")
    assert errors[0] == pytest.approx(before[0], abs=0.6), "rounding may turn an example over"
    assert errors[-1] == before[-1]


def test_networks_whose_units_cannot_be_moved_are_told() -> None:
    for option_of in ("lenet_300_100", "resnet20", "conv2"):
        require_units(build(cells_of(f"model={option_of}")[0].levels[0].ticket.network))
    with pytest.raises(ValueError, match="no units that could be moved"):
        require_units(nn.Sequential(nn.Linear(2, 2)))


# ------------------------------------------------------------------------------------------ noise


def noisy(share: float | None, mask: Mask, sigma: float = 0.5) -> tuple[State, State]:
    state = weights(0)
    return state, perturbed(mask, state, state, rng(0, "treat"), sigma=sigma, share=share)


@pytest.mark.parametrize(("share", "count"), [(1e-9, 1), (0.01, None), (1.0, None)])
def test_noise_on_a_share_is_that_on_all_at_so_many_kept_places(share: float, count: int | None) -> None:
    mask = half_mask(0)
    state, some = noisy(share, mask)
    _, every = noisy(None, mask)
    changed = {name: some[name] != state[name] for name in mask}
    kept = sum(int(ones.sum()) for ones in mask.values())
    assert sum(int(places.sum()) for places in changed.values()) == (count or round(share * kept))
    for name, places in changed.items():
        assert not (places & ~mask[name]).any()
        assert torch.equal(some[name][places], every[name][places])
    with pytest.raises(ValueError, match="give a share above 0"):
        noisy(0.0, mask)


def test_noise_on_all_is_the_noise_that_stored_results_had() -> None:
    mask = half_mask(0)
    state, every = noisy(None, mask)
    generator = rng(0, "treat")
    for name in sorted(mask):
        noise = 0.5 * state[name].std(correction=0) * torch.randn(state[name].shape, generator=generator)
        assert torch.equal(every[name], torch.where(mask[name], state[name] + noise, state[name]))


def test_a_copy_with_noise_on_a_share_has_it_on_the_weights_that_its_level_keeps(tmp_path: Path) -> None:
    words = ("measure=spawn", "measure.perturbed.share=1e-9")
    [cell], [all_] = (cells_of(*given) for given in (words, words[:1]))
    values = Values(Store(tmp_path), Path(), torch.device("cpu"), {})
    for measure, run in zip(cell.measures["barrier_spawn"], cell.levels, strict=True):
        [copy] = copies_of(measure)
        assert (copy.mask, copy.treatment.args) == (run.ticket.mask, {"sigma": 0.1, "share": 1e-9})
    start = cell.levels[0].ticket.weights
    before, after = values.weights(start), values.weights(copies_of(cell.measures["barrier_spawn"][0])[0])
    assert sum(int((after[name] != value).sum()) for name, value in before.items()) == 1
    [whole] = copies_of(all_.measures["barrier_spawn"][1])
    assert (whole.mask, whole.treatment.args) == (full(cell.levels[0].ticket), {"sigma": 0.1}), "as in stored keys"


def copies_of(measure: Measure | None) -> list[Treat]:
    assert measure is not None
    return [node for node in topological([measure]) if isinstance(node, Treat)]


def test_how_many_weights_have_noise_is_said_in_the_plan(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [*SMALL, "measure=spawn", "measure.perturbed.share=1e-9,1e-4", f"paths.output_dir={tmp_path}"]
    assert cli(["plan", *words]) == 0
    out = capsys.readouterr().out
    assert "measure.perturbed.share=1e-09: noise on 1 of 50,200 weights of the dense lenet_300_100" in out
    assert "measure.perturbed.share=0.0001: noise on 5 of 50,200 weights" in out


# ------------------------------------------------------------------------------------------ names


def test_measures_and_copies_are_named_by_what_was_swept_and_no_two_share_a_name() -> None:
    swept = [{"measure.perturbed.step": step, "seed": seed} for step in ("0it", "9it") for seed in ("0", "1")]
    words = [["measure=spawn", *(f"{name}={value}" for name, value in one.items())] for one in swept]
    cells = [replace(cells_of(*own)[0], swept=one) for own, one in zip(words, swept, strict=True)]
    names = level_names(cells)
    works = {node for cell in cells for root in cell.roots for node in topological([root]) if isinstance(node, Train)}
    assert works <= names.keys()
    assert len(set(names.values())) == len(names)
    measure = cells[2].measures["barrier_spawn"][1]
    assert measure is not None
    assert names[measure] == "lenet_300_100 digits seed=0 level 1 barrier_spawn measure.perturbed.step=9it"
    assert not any("measure." in names[run] for run in cells[0].levels), "trainings are the same whatever is measured"


# ------------------------------------------------------------------------------------------ sizes


def test_dead_weights_are_in_no_size_but_in_the_present_ones() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    mask = {
        "0.weight": torch.tensor([[True, True, True, True], [True, False, False, False], [False] * 4]),
        "2.weight": torch.tensor([[False, True, False], [False, True, True]]),
    }
    x = torch.rand(2, 4, generator=rng(0, "x"))
    ends = of_module(module, mask, (x, torch.zeros(2)))
    ends = replace(ends, weights=(effective(ends.weights[0], mask),), examples=lambda p: iter([(x, x)]))
    table, plain = live_size(ends), size(ends)
    assert {name: table[name] for name in plain if name != "size"} == {n: v for n, v in plain.items() if n != "size"}
    assert column(table, "kept_parameters") == [8 + 5, 5, 3]
    assert column(table, "live_parameters") == [3 + 5, 1, 2], "unit 0 leads nowhere, and nothing leads to unit 2"
    assert column(table, "live_operations") == [3, 1, 2]
    assert column(table, "live_csr_bytes")[1:] == [8 * 1 + 4 * 4, 8 * 2 + 4 * 3]
    share = 100 * column(table, "live_bytes")[0] / column(table, "bytes")[0]
    assert number(table, "live_size") == pytest.approx(share, abs=1e-3)
    live = number(live_density(ends), "live_density")
    assert live == pytest.approx(100 * sum(column(table, "live_parameters")[1:]) / 18, abs=1e-3)
    normed = of_module(nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)), {}, (x, torch.zeros(2)))
    with pytest.raises(ValueError, match="live_density"):
        live_size(replace(normed, masks=({"0.weight": torch.ones(3, 4, dtype=torch.bool)},), examples=ends.examples))


# ------------------------------------------------------------------------------------------- axes


def drawn(column_: str, metric: str = "accuracy") -> str:
    point = Point(1, 50.0, {0: 90.0}, {}, {}, None, {column_: {0: 1.0}})
    labels = {"model": "m", "dataset": "d", "control": "none"}
    return measured(column_, [Curve(labels, (point,), False, frozenset(), metric=METRICS[metric])]).title


def test_each_measure_says_what_its_number_is_and_in_which_unit() -> None:
    for name, entry in catalogue("measure").items():
        assert entry.quantity, name
        assert entry.unit, name
        assert "(" not in entry.quantity.replace("sqrt(", ""), "the unit is in brackets"


def test_titles_of_all_options_name_their_unit_once_and_fit_beside_a_figure() -> None:
    for name in options("measure")["measure"]:
        for other, what in chosen(option(name)):
            title = drawn(what.name + COMPARED[other])
            unit = catalogue("measure")[what.name].unit
            assert title.endswith(f"({unit})")
            assert title.count(unit) == 1, title
            assert len(title) <= 66, title
    assert {*AGAINST} == {*COMPARED}


def test_barriers_are_in_points_or_in_the_metric() -> None:
    assert drawn("barrier_spawn") == "Error barrier to the perturbed copy (points)"
    assert drawn("aligned_barrier") == "Error barrier after alignment to the sibling (points)"
    assert drawn("barrier_parent", "mse") == "Error barrier to the parent (mean squared error)"
    assert drawn("barrier", "f1") == "Error barrier to the sibling (points)"
    assert drawn("somebody_s_own") == "somebody_s_own to the sibling"
