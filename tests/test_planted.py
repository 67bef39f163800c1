"""Planted tickets: the answer is in the draw and solves the data set; what masks keep of it is counted exactly."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from test_sweep import cells_of
from torch import Tensor, nn

import lt_sweeps as lt
from lt_sweeps.datasets import planted as data
from lt_sweeps.graph import Dense, Init, Planted, Ticket
from lt_sweeps.main import main
from lt_sweeps.masks import Mask, dense, effective, kept, shuffled, total
from lt_sweeps.measures.ends import Ends
from lt_sweeps.measures.overlap import recall
from lt_sweeps.networks import targets
from lt_sweeps.networks.build import build, draw_network, holding, initial
from lt_sweeps.networks.planted import he_with_biases, support
from lt_sweeps.randomness import rng, seeded
from lt_sweeps.realise import Values
from lt_sweeps.registry import part
from lt_sweeps.specs import Network
from lt_sweeps.store.store import Store

SHAPES = {"circle": (1, 1, 2), "teacher": (1, 1, 20)}
TARGETS = {"circle": targets.circle(), "teacher": targets.teacher(20, 4)}
NUMBERS = {"relu": targets.relu(), "helix": targets.helix(30)}
KNOTS = {"circle": 10, "relu": 1, "helix": 30}
MODEL = ["-m", "model=planted", "recipe.steps=30it", "recipe.eval_every=10it", "sweep=s", "measure=planted"]
Rows = list[dict[str, str]]


def network(target: str = "circle", depth: int = 5, units: int = 100, **args: Any) -> Network:
    """An MLP with a planted target."""
    initialiser = part("initialiser", "planted", {"target": target, **args})
    hidden = {"hidden": [units] * (depth - 1)}
    if target in NUMBERS:
        return Network(part("network", "mlp", hidden), (1, 1, 1), len(NUMBERS[target][-1].bias), initialiser)
    return Network(part("network", "mlp", hidden), SHAPES[target], 4, initialiser)


def examples(target: str, count: int = 20_000) -> tuple[Tensor, Tensor]:
    """Points and their classes."""
    arrays = getattr(data, target)(Path(), train=count, test=1)
    return arrays.train_x, arrays.train_y


def accuracy(logits: Tensor, classes: Tensor) -> float:
    return float((logits.argmax(1) == classes).double().mean())


def sweep(folder: Path, *words: str) -> Rows:
    assert main([*MODEL, *words, f"paths.output_dir={folder}"]) == 0
    return list(csv.DictReader((folder / "s" / "results.csv").read_text().splitlines()))


def points(folder: Path) -> Rows:
    return list(csv.DictReader((folder / "s" / "measures.csv").read_text().splitlines()))


def overlap(first: Mask, second: Mask) -> Any:
    return recall(Ends(({}, {}), (first, second), 4, lambda state: nn.Identity(), lambda name: iter(())))


# ------------------------------------------------------------------------------------------- the answer and its data


def test_the_circle_s_classes_are_rings_and_its_target_solves_them() -> None:
    x, y = examples("circle", 100_000)
    radius = x.flatten(1).square().sum(1)
    assert float(x.abs().max()) <= 1
    for number, (low, high) in enumerate(zip((0.0, *targets.BOUNDS), (*targets.BOUNDS, 2.0), strict=True)):
        assert torch.equal(y == number, (low <= radius) & (radius <= high))
    errors = [1 - accuracy(targets.outputs(targets.circle(knots), x.flatten(1)), y) for knots in (5, 10, 20)]
    assert errors[1] < 0.005
    assert errors[0] > 2 * errors[1] > 4 * errors[2], "of order 1 / knots^2"


@pytest.mark.parametrize("target", SHAPES)
def test_a_deeper_target_computes_the_same(target: str) -> None:
    x = examples(target)[0].flatten(1)
    deep = targets.deepened(TARGETS[target], 9)
    assert len(deep) == 9
    assert torch.equal(targets.outputs(deep, x), targets.outputs(TARGETS[target], x))


def test_a_teacher_labels_its_data_and_uses_every_class() -> None:
    x, y = examples("teacher")
    assert accuracy(targets.outputs(TARGETS["teacher"], x.flatten(1)), y) == 1.0
    assert y.bincount(minlength=4).min() > 0.05 * len(y)


@pytest.mark.parametrize("name", SHAPES)
def test_data_are_drawn_once_whatever_was_drawn_before_and_each_part_apart(name: str) -> None:
    few, again = getattr(data, name)(Path(), train=50, test=20), getattr(data, name)(Path(), train=50, test=30)
    assert torch.equal(few.train_x, again.train_x)
    assert torch.equal(few.train_y, again.train_y)
    assert (len(few.test_x), len(again.test_x)) == (20, 30)
    assert not torch.equal(few.train_x[:20], few.test_x)
    assert tuple(few.train_x.shape[1:]) == SHAPES[name]


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_drawn_once_and_are_what_the_target_computes(name: str) -> None:
    few, again = getattr(data, name)(Path(), train=50, test=20), getattr(data, name)(Path(), train=50, test=30)
    assert torch.equal(few.train_x, again.train_x)
    assert torch.equal(few.train_y, again.train_y)
    assert not torch.equal(few.train_x[:20], few.test_x)
    x, y = examples(name)
    assert -1 <= float(x.min()) < -0.99 < 0.99 < float(x.max()) <= 1
    error = float((targets.outputs(NUMBERS[name], x.flatten(1)) - y).square().mean())
    assert error < {"relu": 1e-15, "helix": 2e-4}[name]


def test_the_error_of_a_helix_is_that_of_its_knots() -> None:
    """A chord of a curve f over h differs from it by s (1 - s) h^2 f'' / 2: squared, (h^2 f'')^2 / 120 on average."""
    x = torch.linspace(-1, 1, 20_001, dtype=torch.float64)[:, None]
    t = math.pi * (5 + 3 * x)
    bends = [9 * math.pi / 8 * bend for bend in (-2 * t.sin() - t * t.cos(), 2 * t.cos() - t * t.sin())]
    bend = float(sum(second.square().mean() for second in bends)) / 3
    errors = []
    for knots in (15, 30, 60):
        error = float((targets.outputs(targets.helix(knots), x) - targets.on_helix(x)).square().mean())
        assert error == pytest.approx((2 / knots) ** 4 * bend / 120, rel=0.1)
        errors.append(error)
    assert errors[1] == pytest.approx(1.89e-4, rel=0.01)
    line = targets.outputs(targets.helix(30), x)[:, 2] - targets.on_helix(x)[:, 2]
    assert float(line.abs().max()) < 1e-12


# ------------------------------------------------------------------------------------------------ what a draw contains


@pytest.mark.parametrize("depth", [5, 7])
@pytest.mark.parametrize("target", SHAPES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_under_the_planted_mask_the_untrained_network_is_the_target(target: str, depth: int, seed: int) -> None:
    """Up to one factor of all logits, within single precision; so it has the target's accuracy."""
    planted, (x, y) = network(target, depth), examples(target)
    module = holding(build(planted), effective(initial(planted, seed), support(planted, seed)))
    wanted, logits = targets.outputs(TARGETS[target], x.flatten(1)), module(x).detach().double()
    factor = float((logits * wanted).sum() / wanted.square().sum())
    assert factor > 0
    assert float((logits / factor - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
    assert abs(accuracy(logits, y) - accuracy(wanted, y)) < 0.001
    assert accuracy(logits, y) > 0.995


@pytest.mark.parametrize("depth", [5, 7])
@pytest.mark.parametrize("target", NUMBERS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_under_the_planted_mask_outputs_are_the_target_s_numbers(target: str, depth: int, seed: int) -> None:
    """Not up to a factor: the planted network solves the regression without training, and the whole one does not."""
    planted, (x, y) = network(target, depth, knots=KNOTS[target]), examples(target)
    state, mask = initial(planted, seed), support(planted, seed)
    module, whole = holding(build(planted), effective(state, mask)), holding(build(planted), state)
    wanted = targets.outputs(NUMBERS[target], x.flatten(1))
    with torch.no_grad():
        outputs, others = module(x), whole(x)
    assert float((outputs - wanted).abs().max()) < 1e-5
    assert float((outputs - y).square().mean()) < {"relu": 1e-12, "helix": 2e-4}[target]
    assert float((others - y).square().mean()) > 0.05
    counts = [int(ones.sum()) for ones in mask.values()]
    passed = [counts[-1]] * (depth - 5)
    assert counts == {"relu": [1] * depth, "helix": [30, 61, 3, *passed, 3, 3]}[target]


@pytest.mark.parametrize("target", NUMBERS)
def test_planted_numbers_are_spread_over_the_layers(target: str) -> None:
    """A factor that all layers share: in the last one it would be hundreds of times the usual size of a weight."""
    planted = network(target, knots=KNOTS[target])
    for seed in range(3):
        state, mask = initial(planted, seed), support(planted, seed)
        sizes = [float(state[name][ones].square().mean().sqrt()) for name, ones in mask.items()]
        usual = [math.sqrt(2 / state[name].shape[1]) for name in mask]
        assert all(0.5 < size / of < 25 for size, of in zip(sizes, usual, strict=True))


def test_the_planted_network_is_not_solved_before_training() -> None:
    """All its other weights are in the way: otherwise no mask would have to be found."""
    planted, (x, y) = network(), examples("circle")
    assert accuracy(holding(build(planted), initial(planted, 0))(x), y) < 0.7


@pytest.mark.parametrize("target", SHAPES)
def test_all_that_is_not_planted_is_the_he_draw_bit_for_bit(target: str) -> None:
    planted, seed = network(target), 3
    state, mask = initial(planted, seed), support(planted, seed)
    with seeded(seed):
        module = draw_network(Network(planted.build, planted.shape, 4))
        layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        he_with_biases(layers)
    bias_variance = 1.0
    for (name, ones), layer, wanted in zip(mask.items(), layers, targets.deepened(TARGETS[target], 5), strict=True):
        free = ~ones
        assert int(ones.sum()) == int(wanted.weight.count_nonzero())
        assert torch.equal(state[name][free], layer.weight[free])
        assert not torch.equal(state[name], layer.weight)
        neurons = state[name.replace("weight", "bias")] != layer.bias
        assert int(neurons.sum()) <= len(wanted.bias), "biases of planted neurons alone"
        variance, n = 2 / layer.in_features, int(free.sum())
        assert abs(float(state[name][free].double().square().mean()) / variance - 1) < 5 * math.sqrt(2 / n)
        bias_variance *= variance
        held = layer.bias.detach().double()
        assert abs(float(held.square().mean()) / bias_variance - 1) < 5 * math.sqrt(2 / len(held))


def test_a_planted_neuron_is_about_as_large_as_the_one_it_replaces() -> None:
    """theta / lambda has the norm of m, divided by their cosine."""
    planted = network()
    state, mask = initial(planted, 0), support(planted, 0)
    assert 0.2 < float(state["fc3.weight"][mask["fc3.weight"]].abs().mean()) / math.sqrt(2 / 100) < 20


def test_the_support_is_a_function_of_network_and_seed_and_no_tensor_of_the_module() -> None:
    planted = network()
    first, again, other = support(planted, 3), support(planted, 3), support(planted, 4)
    states = initial(planted, 3), initial(planted, 3)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert first.keys() == dense(build(planted))[0].keys()
    assert kept(first) == kept(other) == 11 + 4 * 10
    assert total(first) == 30_600
    with seeded(3):
        module = draw_network(planted)
    assert module.state_dict().keys() == build(planted).state_dict().keys()
    assert not list(module.buffers())


def test_no_two_planted_neurons_share_a_place() -> None:
    mask = support(network(), 0)
    for name, wanted in zip(mask, TARGETS["circle"], strict=True):
        assert sorted(mask[name].sum(1)[mask[name].any(1)].tolist()) == sorted(
            row for row in wanted.weight.count_nonzero(1).tolist() if row
        )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dataset=digits",), "target=circle has 2 inputs and 4 classes, the network 64 and 10: choose dataset=circle"),
        (("dataset=teacher",), "target=circle has 2 inputs and 4 classes, the network 20 and 4"),
        (("model.initialiser_args.target=helx",), "target=helx: choose one of circle, helix, relu, teacher"),
        (("model.initialiser_args.target=helix",), "target=helix has 1 input and 3 outputs, the network 2 and 4"),
        (("dataset=helix",), "target=circle has 2 inputs and 4 classes, the network 1 and 3: choose dataset=circle"),
        (("model.initialiser_args.knots=0",), "knots=0: give one or more"),
        (("+model.initialiser_args.knot=3",), "planted takes no argument 'knot'"),
        (("model.args.hidden=[100]",), "the target has 5 layers, the network 2"),
        (("model.width=0.1",), "a layer of 10 units has no place for 20 planted ones"),
        (("model=lenet_digits",), "no ticket is planted in the network: choose model=planted"),
        (("model=mlp", "dataset=circle", "recipe=planted"), "no ticket is planted in the network"),
        (("find.seeds.init=7",), "a mask was not found on the draw in which it is planted"),
        (("measure.planted.name=recal",), "there is no measure 'recal'; did you mean 'recall'?"),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*MODEL, "prune.levels=1", "recipe.validation=100", *words, f"paths.output_dir={tmp_path}"]) != 0
    printed = capsys.readouterr()
    assert said in printed.err + printed.out
    assert not list((tmp_path / "store").glob("record/*/*"))


def test_what_is_no_mlp_is_refused() -> None:
    other = Network(part("network", "conv2"), (3, 32, 32), 10, part("initialiser", "planted"))
    with pytest.raises(ValueError, match="plants in model=mlp alone, not in "):
        initial(other, 0)
    with pytest.raises(ValueError, match="no ticket is planted in mlp: choose model=planted"):
        support(Network(part("network", "mlp"), (1, 1, 2), 4), 0)


# --------------------------------------------------------------------------------------------------------- the measure


def test_recall_of_a_path_by_hand() -> None:
    """A mask that keeps the first layer whole and nothing else has one of the five planted weights among its 100."""
    mask = support(network("relu", knots=1), 0)
    first = {name: torch.full_like(ones, name == "fc1.weight") for name, ones in mask.items()}
    table = overlap(mask, first)
    assert (table["recall"], table["precision"][0]) == (20.0, 1.0)
    assert table["tensor_recall"] == [20.0, 100.0, 0.0, 0.0, 0.0, 0.0]
    assert table["random_recall"][0] == pytest.approx(100 * 100 / 30_200, abs=1e-4)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_sweep_measures_recall_and_squared_error(name: str, tmp_path: Path) -> None:
    words = (f"model=planted_{name}", "prune.rate=0.9", "prune.levels=1", "recipe.optimizer.lr=0.003")
    _, level = sweep(tmp_path, *words)
    assert (level["task"], level["status"], level["test_accuracy"]) == ("regression", "done", "")
    assert float(level["test_mse"]) > 0
    mask = lt.open(tmp_path / "s").ticket(level=1).mask
    planted = support(network(name, knots=KNOTS[name]), 0)
    table = overlap(planted, {name: torch.as_tensor(ones) for name, ones in mask.items()})
    assert float(level["recall_planted"]) == pytest.approx(table["recall"], abs=1e-4)


def test_a_planted_mask_recovers_itself_and_a_random_one_its_share() -> None:
    mask = support(network(), 0)
    itself = overlap(mask, mask)
    assert (itself["recall"], set(itself["precision"]), set(itself["tensor_recall"])) == (100.0, {100.0}, {100.0})
    whole = overlap(mask, {name: torch.ones_like(ones) for name, ones in mask.items()})
    assert whole["recall"] == 100.0
    assert whole["precision"] == whole["random_precision"]
    none = overlap(mask, {name: torch.zeros_like(ones) for name, ones in mask.items()})
    assert (none["recall"], none["precision"][0], none["random_recall"][0]) == (0.0, 0.0, 0.0)
    half = {name: torch.rand(ones.shape, generator=rng(0, name)) < 0.5 for name, ones in mask.items()}
    draws = [overlap(mask, shuffled(half, "global", rng(seed)))["recall"] for seed in range(100)]
    expected = overlap(mask, half)["random_recall"][0]
    deviation = 100 * math.sqrt(0.25 / kept(mask))  # at most: the hypergeometric law's is smaller
    assert abs(sum(draws) / len(draws) - expected) < 5 * deviation / math.sqrt(len(draws))


def test_the_whole_is_the_sum_of_the_tensors() -> None:
    mask = support(network(), 0)
    other = {name: torch.rand(ones.shape, generator=rng(1, name)) < 0.3 for name, ones in mask.items()}
    table, sizes = overlap(mask, other), [int(ones.sum()) for ones in mask.values()]
    hits = [share * n for share, n in zip(table["tensor_recall"][1:], sizes, strict=True)]
    assert table["tensor_recall"][0] == table["recall"] == pytest.approx(sum(hits) / sum(sizes), abs=1e-3)
    assert table["tensor"] == [float(number) for number in range(len(mask) + 1)]
    found = int(sum((mask[name] & other[name]).sum() for name in mask))
    assert table["precision"][0] == pytest.approx(100 * found / kept(other), abs=1e-4)


def test_a_sweep_measures_each_pruned_level_of_a_ticket_and_of_its_control(tmp_path: Path) -> None:
    rows = sweep(tmp_path, "prune=imp", "prune.rate=0.8", "prune.levels=2", "control=none,random", "seed=3")
    assert [row["recall_planted"] == "" for row in rows] == [True, False, False] * 2
    opened = lt.open(tmp_path / "s")
    planted = support(network(), 3)
    for row in rows:
        if row["level"] != "0":
            mask = opened.ticket(level=int(row["level"]), seed=3, control=row["control"]).mask
            table = overlap(planted, {name: torch.as_tensor(ones) for name, ones in mask.items()})
            assert float(row["recall_planted"]) == pytest.approx(table["recall"], abs=1e-4)
            where = [p for p in points(tmp_path) if (p["level"], p["control"]) == (row["level"], row["control"])]
            assert [float(p["precision"]) for p in where] == pytest.approx(table["precision"], abs=1e-4)
            assert [p["layer"] for p in where] == ["all", *mask], "layers have their names"
            assert float(where[0]["random_recall"]) == pytest.approx(100 * float(row["density"]), abs=1e-3)
    report = (tmp_path / "s" / "report.html").read_text()
    assert "Recall of the planted ticket (%)" in report
    plain = cells_of("model=planted", "prune.levels=2")[0]
    measured = cells_of("model=planted", "prune.levels=2", "measure=planted")[0]
    assert plain.levels == measured.levels, "what is measured changes no training"


def test_an_emptied_layer_is_measured_too(tmp_path: Path) -> None:
    words = ("prune=at_init", "criterion=magnitude", "prune.rate=0.9999", "prune.levels=1")
    dense_row, level = sweep(tmp_path, *words)
    assert (dense_row["status"], level["status"]) == ("done", "collapsed")
    assert level["recall_planted"] != ""


def test_of_a_hook_it_is_the_mask_at_the_end(tmp_path: Path) -> None:
    """SET grows at random, so that its last mask is another one than its first."""
    chosen = ("prune=at_init", "criterion=random", "prune.rate=0.5", "prune.levels=1")
    [still] = cells_of("model=planted", "measure=planted", *chosen)
    [moving] = cells_of("model=planted", "measure=planted", "hook=set", "hook.every=10it", "hook.begin=10it", *chosen)
    for cell, is_ticket in ((still, True), (moving, False)):
        measure = cell.measures["recall_planted"][1]
        assert measure is not None
        assert (measure.of[1] == cell.levels[1].ticket) == is_ticket
    rows = sweep(tmp_path, "hook=set", "hook.every=10it", "hook.begin=10it", *chosen)
    ended = lt.open(tmp_path / "s").ticket(level=1).mask
    table = overlap(support(network(), 0), {name: torch.as_tensor(ones) for name, ones in ended.items()})
    assert float(rows[1]["recall_planted"]) == pytest.approx(table["recall"], abs=1e-4)


def test_a_learned_mask_is_measured_without_training_its_weights(tmp_path: Path) -> None:
    words = ("prune=learned", "gate=edge_popup", "train=untrained", "prune.rate=0.9", "prune.levels=1")
    rows = sweep(tmp_path, *words)
    assert rows[1]["status"] == "done"
    assert rows[1]["recall_planted"] != ""


def test_the_planted_mask_is_an_expression_over_the_prunable_tensors(tmp_path: Path) -> None:
    values = Values(Store(tmp_path / "store"), Path(), torch.device("cpu"), {})
    planted = network()
    node = Planted(Init(planted, 3), Dense(planted, exclude=("output.weight",)))
    mask = values.mask(node)
    assert list(mask) == ["fc1.weight", "fc2.weight", "fc3.weight", "fc4.weight"]
    assert all(torch.equal(mask[name], support(planted, 3)[name]) for name in mask)
    x, y = examples("circle")
    whole = Ticket(planted, Init(planted, 3), Planted(Init(planted, 3), Dense(planted)))
    module = holding(build(planted), values.effective(whole, values.mask(whole.mask)))
    assert accuracy(module(x), y) > 0.995
