"""Measures of what is inside a ticket, against cases that are known without them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small import NETWORK, examples, half_mask, weights
from test_sweep import SMALL, cells_of
from torch import Tensor, nn
from torchmetrics.classification import MulticlassCalibrationError

from lt_sweeps.main import main
from lt_sweeps.masks import Mask, State, effective
from lt_sweeps.measures.angle import angular_distance
from lt_sweeps.measures.calibration import calibration_error
from lt_sweeps.measures.churn import churn, function_distance
from lt_sweeps.measures.effective import effective_size
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.gradient_flow import gradient_flow
from lt_sweeps.measures.iou import overlap
from lt_sweeps.measures.live import live_density
from lt_sweeps.measures.movement import movement, movement_pruned
from lt_sweeps.measures.per_class import class_accuracy, class_loss
from lt_sweeps.measures.per_group import group_loss
from lt_sweeps.measures.sharpness import sharpness
from lt_sweeps.measures.sign_agreement import sign_agreement
from lt_sweeps.methods.measured import parent
from lt_sweeps.networks.build import build, holding
from lt_sweeps.randomness import rng
from lt_sweeps.registry import part

REGRESSION = part("task", "regression")


def of_masks(*masks: Mask) -> Ends:
    return Ends(tuple({} for _ in masks), masks, 2, lambda state: nn.Identity(), lambda part: iter(()))


def of_states(*states: State, masks: tuple[Mask, ...] | None = None) -> Ends:
    """States of the small network on the embedded digits."""
    module = build(NETWORK)
    return Ends(states, masks or tuple({} for _ in states), 10, lambda one: holding(module, one), examples().chunks)


def of_module(module: nn.Module, mask: Mask, *batches: tuple[Tensor, Tensor], **given: Any) -> Ends:
    return Ends(
        (dict(module.state_dict()),), (mask,), 2, lambda one: holding(module, one), lambda p: iter(batches), **given
    )


def number(table: Table, name: str) -> float:
    value = table[name]
    assert isinstance(value, float)
    return value


def column(table: Table, name: str) -> list[float]:
    value = table[name]
    assert isinstance(value, list)
    return value


def drawn(shape: tuple[int, ...], kept: int, generator: torch.Generator) -> Tensor:
    ones = torch.zeros(torch.Size(shape).numel(), dtype=torch.bool)
    ones[torch.randperm(len(ones), generator=generator)[:kept]] = True
    return ones.view(shape)


# ------------------------------------------------------------------------------------------ masks


@pytest.mark.parametrize("seed", range(5))
def test_random_masks_overlap_as_their_null_says_within_three_deviations(seed: int) -> None:
    generator = rng(seed, "masks")

    def mask() -> Mask:
        return {"a": drawn((40, 50), 1400, generator), "b": drawn((30, 20), 60, generator)}

    tables = [overlap(of_masks(mask(), mask())) for _ in range(100)]
    null, deviation = number(tables[0], "same_layers"), number(tables[0], "deviation")
    overlaps = torch.tensor([number(table, "overlap") for table in tables])
    assert abs(float(overlaps[0]) - null) < 3 * deviation
    assert abs(float(overlaps.mean()) - null) < 3 * deviation / 10
    assert float(overlaps.std()) == pytest.approx(deviation, rel=0.25)
    assert null > number(tables[0], "independent") + 10 * deviation, "equal shares of layers alone raise it"


@pytest.mark.parametrize(("density", "wanted"), [(0.1, 100 * 0.1 / 1.9), (0.2, 100 * 0.2 / 1.8), (1.0, 100.0)])
def test_the_null_of_one_layer_is_d_over_two_minus_d(density: float, wanted: float) -> None:
    mask = {"w": drawn((100, 10), round(1000 * density), rng(0, "masks"))}
    table = overlap(of_masks(mask, mask))
    assert number(table, "overlap") == 100.0
    assert number(table, "independent") == number(table, "same_layers") == pytest.approx(wanted, abs=1e-4)


def test_masks_that_prefer_the_same_inputs_overlap_as_the_null_of_inputs_says() -> None:
    generator = rng(0, "inputs")
    likely = torch.linspace(0.02, 0.6, 300)

    def mask() -> Mask:
        return {"a": torch.rand(500, 300, generator=generator) < likely}

    table = overlap(of_masks(mask(), mask()))
    assert number(table, "overlap") == pytest.approx(number(table, "same_inputs"), abs=3 * number(table, "deviation"))
    assert number(table, "same_inputs") > number(table, "same_layers") + 30 * number(table, "deviation")


def test_the_order_of_masks_changes_no_overlap_and_a_nested_mask_has_that_of_counts() -> None:
    first, second = half_mask(0), half_mask(1)
    assert overlap(of_masks(first, second)) == overlap(of_masks(second, first))
    nested = {name: ones & second[name] for name, ones in first.items()}
    counts = [sum(int(ones.sum()) for ones in mask.values()) for mask in (nested, first)]
    assert number(overlap(of_masks(first, nested)), "overlap") == pytest.approx(100 * counts[0] / counts[1], abs=1e-4)


def test_masks_of_other_networks_are_not_compared() -> None:
    one, other = {"a": torch.ones(2, 3, dtype=torch.bool)}, {"a": torch.ones(3, 3, dtype=torch.bool)}
    for measure in (overlap, sign_agreement, angular_distance):
        with pytest.raises(ValueError, match="a has 2x3 and 3x3 places"):
            measure(of_masks(one, other))
        with pytest.raises(ValueError, match="b has no and 1 places"):
            measure(of_masks(one, {**one, "b": torch.ones(1, dtype=torch.bool)}))


@pytest.mark.parametrize("seed", range(4))
def test_live_weights_are_those_that_a_search_through_the_units_reaches(seed: int) -> None:
    sizes, generator = [12, 9, 7, 5, 4], rng(seed, "paths")
    shapes = [*zip(sizes[1:], sizes[:-1], strict=True)]
    layers = [layer for out, into in shapes for layer in (nn.Linear(into, out), nn.ReLU())]
    module = nn.Sequential(*layers)
    mask = {f"{2 * n}.weight": torch.rand(shape, generator=generator) < 0.25 for n, shape in enumerate(shapes)}
    masks = list(mask.values())
    reached, wanted = [torch.ones(sizes[0], dtype=torch.bool)], [torch.ones(sizes[-1], dtype=torch.bool)]
    for ones in masks:
        reached.append((ones & reached[-1]).any(1))
    for ones in reversed(masks):
        wanted.insert(0, (ones & wanted[0][:, None]).any(0))
    live = [ones & reached[n] & wanted[n + 1][:, None] for n, ones in enumerate(masks)]
    table = live_density(of_module(module, mask, (torch.rand(1, 12), torch.zeros(1))))
    shares = [100 * int(ones.sum()) / ones.numel() for ones in live]
    assert column(table, "tensor_live_density")[1:] == pytest.approx(shares, abs=1e-3)
    assert column(table, "live_units")[1:] == [float(ones.any(1).sum()) for ones in live]
    assert 0 < number(table, "live_density") < column(table, "kept_density")[0]


@pytest.mark.parametrize("option", ["resnet20", "vgg11", "conv2", "lenet_300_100"])
def test_all_units_of_a_dense_network_are_live(option: str) -> None:
    network = cells_of(f"model={option}")[0].levels[0].ticket.network
    module = build(network)
    mask = {name: torch.ones(w.shape, dtype=torch.bool) for name, w in module.named_parameters() if w.dim() > 1}
    table = live_density(of_module(module, mask, (torch.rand(2, *network.shape), torch.zeros(2))))
    assert column(table, "live_units") == column(table, "units")


class Attending(nn.Module):
    """A network whose layer normalisation subtracts what flows."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.norm, self.out = nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.into(x)).relu())


@pytest.mark.parametrize(
    "module", [nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2)), Attending()], ids=["sigmoid", "norm"]
)
def test_networks_through_which_nothing_can_flow_are_refused(module: nn.Module) -> None:
    mask = {name: torch.ones(w.shape, dtype=torch.bool) for name, w in module.named_parameters() if w.dim() > 1}
    with pytest.raises(ValueError, match="shows no paths"):
        live_density(of_module(module, mask, (torch.rand(1, 4), torch.zeros(1))))
    with pytest.raises(ValueError, match="these are tokens"):
        live_density(of_module(module, mask, (torch.zeros(1, 4, dtype=torch.long), torch.zeros(1))))


# ---------------------------------------------------------------------------------------- weights


def test_equal_magnitudes_are_worth_their_number_and_others_less() -> None:
    mask = half_mask()
    ones = {name: torch.where(kept, -1.0, 9.0) for name, kept in mask.items()}
    table = effective_size(of_states(ones, masks=(mask,)))
    assert column(table, "tensor_effective_size") == column(table, "tensor_density")
    table = effective_size(of_states(weights(), masks=(mask,)))
    assert all(
        worth < kept
        for worth, kept in zip(*(column(table, f"tensor_{n}") for n in ("effective_size", "density")), strict=True)
    )


def test_a_network_agrees_in_all_signs_with_itself_and_in_half_with_another_draw() -> None:
    masks = half_mask(0), half_mask(1)
    first, second = weights(0), weights(1)
    assert number(sign_agreement(of_states(first, first, masks=masks)), "sign_agreement") == 100.0
    negated = {name: -value for name, value in first.items()}
    assert number(sign_agreement(of_states(first, negated, masks=masks)), "sign_agreement") == 0.0
    table = sign_agreement(of_states(first, second, masks=masks))
    count = column(table, "compared")[0]
    assert abs(number(table, "sign_agreement") - 50) < 3 * 50 / count**0.5


def test_angles_of_the_same_the_opposite_and_another_draw() -> None:
    masks, first, second = (half_mask(0), half_mask(1)), weights(0), weights(1)
    angles = [
        number(angular_distance(of_states(first, other, masks=masks)), "angular_distance")
        for other in (first, {n: -w for n, w in first.items()}, {n: 3 * w for n, w in first.items()}, second)
    ]
    assert angles[:3] == pytest.approx([0.0, 2.0, 0.0], abs=1e-6)
    assert angles[3] == pytest.approx(1.0, abs=0.2)


def test_survivors_and_pruned_weights_are_moved_by_what_was_added_to_them() -> None:
    draw, had = weights(0), half_mask(0)
    left = {name: ones & half_mask(1)[name] for name, ones in had.items()}
    whole = {name: torch.ones_like(ones) for name, ones in had.items()}
    deviations = {name: float(draw[name].double().std(correction=0)) for name in had}
    ended = {
        name: draw[name].double() + torch.where(left[name], 3.0, -0.5) * deviations[name] * draw[name].double().sign()
        for name in had
    }
    ends = of_states(draw, draw, ended, ended, masks=(whole, had, had, left))
    survivors, pruned = movement(ends), movement_pruned(ends)
    assert number(survivors, "movement") == pytest.approx(3.0, rel=1e-5)
    assert number(pruned, "movement_pruned") == pytest.approx(0.5, rel=1e-5)
    assert column(survivors, "distance")[1:] == pytest.approx([3 * d for d in deviations.values()], rel=1e-4)
    assert column(survivors, "outward") == [100.0] * 4
    assert max(column(pruned, "pruned_outward")) < 50, "they move towards zero, and few beyond"
    with pytest.raises(ValueError, match=r"those of \w+\.weight are all the same"):
        movement(replace(ends, weights=({n: torch.ones_like(w) for n, w in draw.items()}, draw, ended, ended)))


# ---------------------------------------------------------------------------------------- answers


def test_the_classes_of_a_network_are_counted_one_by_one() -> None:
    state, other = weights(0), weights(1)
    batches = list(examples().chunks("test"))
    truth = torch.cat([y for _, y in batches])

    def predicted(one: State) -> Tensor:
        module = holding(build(NETWORK), one).eval()
        with torch.no_grad():
            return torch.cat([module(x).argmax(1) for x, _ in batches])

    first, second = predicted(state), predicted(other)
    by_class = [100 * float((second[truth == c] == c).float().mean()) for c in range(10)]
    before = [100 * float((first[truth == c] == c).float().mean()) for c in range(10)]
    table = class_accuracy(of_states(other))
    assert column(table, "by_class") == pytest.approx(by_class, abs=1e-3)
    assert number(table, "class_accuracy") == min(column(table, "by_class"))
    lost = class_loss(of_states(state, other))
    wanted = [a - b for a, b in zip(before, by_class, strict=True)]
    assert column(lost, "lost") == pytest.approx(wanted, abs=1e-3)
    assert wanted[int(number(lost, "worst"))] == max(wanted)
    assert number(churn(of_states(state, other)), "churn") == pytest.approx(
        100 * float((first != second).float().mean())
    )
    assert churn(of_states(state, state)) == {"churn": 0.0, "least": 0.0, "won": 0.0, "lost": 0.0}
    assert function_distance(of_states(state, state)) == {"function_distance": 0.0}


def test_groups_are_by_the_margin_of_the_first_network_and_lose_what_the_second_gets_wrong() -> None:
    state, other = weights(0), effective(weights(1), half_mask())
    batches = list(examples().chunks("test"))
    truth = torch.cat([y for _, y in batches]).tolist()

    def outputs(one: State) -> list[list[float]]:
        module = holding(build(NETWORK), one).eval()
        with torch.no_grad():
            return torch.cat([module(x) for x, _ in batches]).tolist()  # type: ignore[no-any-return]

    first, second = outputs(state), outputs(other)
    margins = [row[c] - max(row[:c] + row[c + 1 :]) for row, c in zip(first, truth, strict=True)]
    order = sorted(range(len(truth)), key=margins.__getitem__)
    table = group_loss(of_states(state, other), groups=7)
    sizes = [len(truth) // 7 + (group < len(truth) % 7) for group in range(7)]
    lost, before = [], []
    for size in sizes:
        members, order = order[:size], order[size:]
        was = [max(first[n]) == first[n][truth[n]] for n in members]
        still = [max(second[n]) == second[n][truth[n]] for n in members]
        before.append(100 * sum(was) / size)
        lost.append(100 * (sum(was) - sum(still)) / size)
    assert column(table, "lost") == pytest.approx(lost, abs=1e-3)
    assert column(table, "before") == pytest.approx(before, abs=1e-3)
    assert sorted(before) == before, "examples that are classified right have a margin above 0"
    assert number(table, "group_loss") == pytest.approx(max(lost), abs=1e-3)
    assert group_loss(of_states(state, state))["lost"] == [0.0] * 10
    for groups in (1, len(truth) + 1):
        with pytest.raises(ValueError, match=f"groups={groups}: give 2 to {len(truth)}"):
            group_loss(of_states(state, other), groups=groups)


def test_the_calibration_error_is_that_of_torchmetrics() -> None:
    state = {name: 4 * value if value.is_floating_point() else value for name, value in weights(3).items()}
    module, metric = holding(build(NETWORK), state).eval(), MulticlassCalibrationError(10, n_bins=15)
    likelihoods = []
    with torch.no_grad():
        for x, y in examples().chunks("test"):
            metric.update(module(x).softmax(1), y)
            likelihoods.append(nn.functional.cross_entropy(module(x), y, reduction="none"))
    table = calibration_error(of_states(state))
    assert number(table, "calibration_error") == pytest.approx(100 * float(metric.compute()), rel=1e-4)
    assert number(table, "nll") == pytest.approx(float(torch.cat(likelihoods).mean()), rel=1e-4)
    with pytest.raises(ValueError, match="bins=0: give 1 or more"):
        calibration_error(of_states(state), bins=0)


@pytest.mark.parametrize(
    "measure", [class_accuracy, class_loss, group_loss, churn, function_distance, calibration_error]
)
def test_numbers_have_no_classes(measure: Any) -> None:
    with pytest.raises(ValueError, match=r"this task has none|task=regression gives none"):
        measure(replace(of_states(weights(0), weights(1)), task=REGRESSION))


# --------------------------------------------------------------------------------------- the loss


def test_gradient_flow_is_the_squared_norm_of_the_masked_gradient_of_all_examples() -> None:
    mask, still = half_mask(), replace(NETWORK, build=part("network", "small.Net", {"dropout": 0.0}))
    state, module = effective(weights(0), mask), build(still).train()
    module.load_state_dict(state)
    x, y = (torch.cat(values) for values in zip(*examples().chunks("train"), strict=True))
    nn.functional.cross_entropy(module(x), y).backward()
    wanted = [float(module.get_parameter(n).grad[ones].double().square().sum()) for n, ones in mask.items()]  # type: ignore[index]
    whole = build(still)
    batches = lambda part: iter([(x, y)])  # noqa: E731  # batch normalisation of all examples at once
    table = gradient_flow(Ends((state,), (mask,), 10, lambda one: holding(whole, one), batches))
    assert column(table, "tensor_gradient_flow")[1:] == pytest.approx(wanted, rel=1e-3)
    assert number(table, "gradient_flow") == pytest.approx(sum(wanted), rel=1e-3)


@pytest.mark.parametrize("kept", [20, 60])
def test_the_hessian_of_least_squares_is_that_of_its_inputs_at_the_kept_weights(kept: int) -> None:
    x, mask = torch.randn(200, 80, generator=rng(0, "x")), {"weight": drawn((1, 80), kept, rng(0, "mask"))}
    inputs = x[:, mask["weight"][0]].double()
    hessian = 2 * inputs.T @ inputs / len(x)
    module = nn.Linear(80, 1, bias=False)
    table = sharpness(of_module(module, mask, (x, torch.zeros(200, 1)), task=REGRESSION), probes=50)
    assert number(table, "sharpness") == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=2e-3)
    error = number(table, "trace_deviation")
    assert abs(number(table, "trace") - float(hessian.trace())) <= max(3 * error, 1e-3)
    assert (error == 0) == (kept <= 32), "of few weights all is exact"
    with pytest.raises(ValueError, match="give 1 or more, and 2 or more"):
        sharpness(of_module(module, mask), probes=1)


# ------------------------------------------------------------------------------------ expressions


def test_what_a_level_is_compared_with_is_made_of_its_own_trainings() -> None:
    words = "measure=[movement,class_accuracy,gradient_flow,overlap]"
    [cell] = cells_of(words)
    dense, first, second = cell.levels
    assert cells_of()[0].levels == cell.levels, "what is measured changes no training"
    before, ticket, lost = (cell.measures[n] for n in ("movement_before", "gradient_flow_ticket", "class_loss_dense"))
    assert before[0] is lost[0] is None
    assert before[2] is not None
    assert lost[2] is not None
    assert ticket[1] is not None
    began, _, ended, level = before[2].of
    assert began == dense.ticket
    assert (ended.weights.run, level.weights.run) == (parent(second), second)  # type: ignore[union-attr]
    assert lost[2].of[0].weights.run == dense  # type: ignore[union-attr]
    assert ticket[1].of == (first.ticket,)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["measure.of={parents: {overlap: {}}}"], "there is sibling, parent, start"),
        (["measure.of={trained: {overlap: {}}}"], "overlap, trained: it compares two networks, and there is one"),
        (["measure.of={before: {overlap: {}}}"], "it compares two networks, and there is a training"),
        (["measure.of={start: {movement: {}}}"], "it is of the training before a level"),
        (["measure.of={parent: {overlop: {}}}"], "there is no measure 'overlop'; did you mean 'overlap'?"),
        (["measure.of={parent: overlap}"], "give measures and their arguments"),
        (["measure=[movement]", "prune=at_init"], "no mask here was pruned from a training"),
        (["measure=[barrier,barriers]"], "both set measure.sibling"),
        (["measure=churn", "train=untrained"], "tickets that are not trained"),
    ],
)
def test_a_measure_that_makes_no_sense_is_refused_in_one_line(
    words: list[str], said: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, *words, f"paths.output_dir={tmp_path}"]) != 0
    assert said in capsys.readouterr().err


def test_a_ticket_that_is_not_trained_can_be_measured_before_training() -> None:
    [cell] = cells_of("train=untrained", "measure=gradient_flow")
    assert all(measure is not None for measure in cell.measures["gradient_flow_ticket"])
