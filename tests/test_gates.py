"""Gates: how they see weights and learn masks, to the weight; and gates of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import run_of, weights
from test_dynamics import CPU, DIGITS, EVERY, GATES, SWEEP, gated, train

from lt_sweeps import masks
from lt_sweeps.gates.gate import Gate, Now, straight_through, top
from lt_sweeps.main import main
from lt_sweeps.masks import TicketTensors
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.networks.build import build
from lt_sweeps.randomness import rng
from lt_sweeps.registry import catalogue, load
from lt_sweeps.training.fit import fit

COUNTED = ("edge_popup", "biprop")  # gates whose density is declared


@pytest.mark.parametrize("ranking", ["layer", "global"])
@pytest.mark.parametrize("keep", [0.9, 0.5, 0.03])
@pytest.mark.parametrize("name", COUNTED)
def test_a_learned_mask_keeps_exactly_what_is_asked(name: str, keep: float, ranking: str) -> None:
    run = gated(name, keep=keep, ranking=ranking)
    trained = fit(run, TicketTensors(weights(), masks.dense(build(run.ticket.network))[0]), DIGITS, CPU)
    if ranking == "global":
        assert masks.kept(trained.mask) == round(keep * masks.total(trained.mask))
    else:
        for ones in trained.mask.values():
            assert int(ones.sum()) == round(keep * ones.numel())


# STR trains and shrinks what it keeps.
SEARCHES = [name for name in GATES if "search" in catalogue("gate")[name].needs]


@pytest.mark.parametrize("name", [name for name in SEARCHES if name != "soft_threshold"])
def test_weights_behind_a_search_are_the_drawn_ones_to_the_bit(name: str) -> None:
    """Where the gate leaves their values as they are, the end weights are those of the seed on every kept place."""
    whole = masks.dense(build(run_of().ticket.network))[0]
    args = {"edge_popup": {"scale": False}}.get(name, {})
    trained = fit(gated(name, **args), TicketTensors(weights(), whole), DIGITS, CPU)
    assert trained.state is not None
    drawn = weights()
    for parameter, value in trained.state.items():
        if parameter in whole:
            ones = trained.mask[parameter]
            assert bool((value[~ones] == 0).all())
            if name == "biprop":
                mean = drawn[parameter][ones].abs().sum() / ones.sum()
                assert torch.allclose(value[ones], mean * drawn[parameter][ones].sign())
            else:
                assert torch.equal(value[ones], drawn[parameter][ones])
        elif not parameter.startswith("bn.running") and not parameter.endswith("num_batches_tracked"):
            assert torch.equal(value, drawn[parameter]), parameter


def test_scores_of_edge_popup_move_as_its_paper_says() -> None:
    """One step of SGD on a linear layer: s - lr * dL/dI * Z * w * sign(s), dead edges too."""
    gate: Gate = load("gate", "edge_popup")(0.5, scale=False)
    weight, score = torch.tensor([[1.0, -2.0, 0.5, 3.0]]), torch.tensor([[0.1, -0.8, 0.3, -0.2]], requires_grad=True)
    parent, x, slope = {"w": torch.ones(1, 4, dtype=torch.bool)}, torch.tensor([2.0, 1.0, -1.0, 4.0]), 0.7
    mask = gate.mask({"w": score}, parent, Now(torch.Generator(), 0.0))
    assert mask["w"].tolist() == [[0.0, 1.0, 1.0, 0.0]]
    out = (gate.effective({"w": score}, {"w": weight}, mask)["w"] * x).sum()
    (slope * out).backward()
    assert score.grad is not None
    assert torch.allclose(score.grad, slope * x * weight * score.detach().sign())


def test_sign_in_restores_its_balance_and_leaves_the_products_where_they_are() -> None:
    """m^2 - v^2 = balance after the steps that are due, whatever m and v have become; the product moves by rounding."""
    gate: Gate = load("gate", "sign_in")(0.5, restore_every=0.2, until=0.6)
    rng_ = torch.Generator().manual_seed(0)
    due = []
    for step in range(1, 21):
        sides = {name: torch.randn(1000, generator=rng_) * 3 for name in ("w|m", "w|v")}
        sides["w|v"][0] = 0.0
        before = {name: value.clone() for name, value in sides.items()}
        gate.after_step(sides, Now(None, step / 20, (step - 1) / 20))
        if all(torch.equal(value, before[name]) for name, value in sides.items()):
            continue
        due.append(step)
        product, m, v = before["w|m"].double() * before["w|v"], sides["w|m"].double(), sides["w|v"].double()
        assert torch.allclose(m * v, product, rtol=3e-7, atol=0)
        assert torch.allclose(m**2 - v**2, torch.full_like(m, 0.5), rtol=0, atol=1e-6 * float(m.square().max()))
        assert bool((m > 0).all())
    assert due == [4, 8, 12]
    assert train(EVERY["restored"]).progress.history != train(gated("sign_in")).progress.history
    assert train(gated("sign_in", restore_every=0.0)).progress.history == train(gated("sign_in")).progress.history


@pytest.mark.parametrize("args", [{"restore_every": 0.6}, {"restore_every": -0.1}, {"until": 0.9}, {"balance": 0.0}])
def test_sign_in_refuses_what_would_restore_nothing(args: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"never be restored|shares of the training|number above 0"):
        load("gate", "sign_in")(**args)


def test_powerpropagation_trains_beside_weights_of_exactly_zero() -> None:
    for alpha in (1.0, 1.5, 2.0, 4.0):
        assert train(gated("powerpropagation", alpha=alpha)).diverged_at is None


def test_a_gate_that_draws_is_evaluated_under_ten_masks_drawn_at_its_end() -> None:
    """Without a step the probabilities are those that it begins with: the masks are drawn here once more, by hand."""
    run = gated("bernoulli", bias=0.3)
    run = replace(run, recipe=replace(run.recipe, steps=0))
    network = build(run.ticket.network)
    mask, start = masks.dense(network)[0], {name: w * (not name.endswith("bias")) for name, w in weights().items()}
    trained = fit(run, TicketTensors(start, mask), DIGITS, CPU)
    expected = []
    for number in range(10):
        generator = rng(run.draw, "gate", run.level, "evaluate", number)
        drawn = {
            name: torch.rand(mask[name].shape, generator=generator) < torch.tensor(0.3).sigmoid()
            for name in sorted(mask)
        }
        network.load_state_dict(start | {name: start[name] * ones for name, ones in drawn.items()})
        expected.append(evaluate(network, DIGITS.chunks("test"), 10).accuracy)
    assert list(trained.sampled) == expected
    assert len({*expected}) > 1
    assert fit(gated("edge_popup"), TicketTensors(start, mask), DIGITS, CPU).sampled == ()


def freezing() -> Gate:
    return Gate(
        lambda weights, mask, generator: {n: torch.ones_like(w) for n, w in weights.items()}, kept_where_positive
    )


def kept_where_positive(parameters: Any, parent: Any, now: Now) -> Any:
    return {name: straight_through((parameters[name] > 0).float(), parameters[name]) for name in parent}


def test_a_gate_of_ones_own_that_freezes_weights_is_for_a_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = (
        *SWEEP,
        "gate.name=test_gates.freezing",
        f"paths.output_dir={tmp_path}",
        "trainer.processes=0",
        "sweep=s",
    )
    assert main(["-m", *here]) == 2
    assert "freezes the weights that are to be trained" in capsys.readouterr().err
    assert main(["-m", *here, "prune=learned"]) == 0


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("broken.remembers_outside", "it keeps state outside of parameters and memory"),
        ("broken.no_gradient", "no gradient reaches its parameters"),
        ("broken.gate_in_place", "weights['0.weight']"),
    ],
)
def test_a_gate_of_ones_own_is_held_to_all_laws_before_anything_trains(
    name: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = (*SWEEP, "prune=learned", f"gate.name={name}", f"paths.output_dir={tmp_path}", "trainer.processes=0")
    assert main([*here]) == 2
    (answer,) = capsys.readouterr().err.splitlines()
    assert answer.startswith(f"lt_sweeps: gate={name}: ")
    assert line in answer
    assert not list(tmp_path.rglob("*.json"))


def test_a_layer_that_a_hook_has_emptied_stays_empty() -> None:
    """Hooks rank scores of all layers, and may leave none to a layer whose gate then looks for its highest."""
    scores = {"a": torch.rand(4), "b": torch.rand(4)}
    parent = {"a": torch.zeros(4, dtype=torch.bool), "b": torch.ones(4, dtype=torch.bool)}
    chosen = top(scores, parent, 0.5, "layer")
    assert [int(chosen[name].sum()) for name in "ab"] == [0, 2]
