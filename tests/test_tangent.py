"""The tangent space: a training of the network's expansion is linear, begins as the network does, and is told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small import run_of, trained_state
from test_dynamics import CPU, DIGITS, SWEEP, gated, train
from torch import Tensor, nn
from torch.func import functional_call, jacrev

import lt_sweeps as lt
from lt_sweeps.check.example import half
from lt_sweeps.errors import Mistake
from lt_sweeps.main import main
from lt_sweeps.masks import State, TicketTensors, dense
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.measures.ends import Ends
from lt_sweeps.measures.solved import tangent_solution
from lt_sweeps.networks.build import build, initial
from lt_sweeps.registry import load, part
from lt_sweeps.specs import Network
from lt_sweeps.training.dynamics import Gated
from lt_sweeps.training.fit import fit


def tiny() -> tuple[nn.Module, Gated, dict[str, Tensor]]:
    """A network in doubles, behind the gate, and its start."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2)).double()
    parent = {"0.weight": torch.rand(5, 3) < 0.7, "3.weight": torch.ones(2, 5, dtype=torch.bool)}
    with torch.no_grad():
        network[0].weight.mul_(parent["0.weight"])
        network[1].running_mean.normal_()
    start = {name: value.detach().clone() for name, value in network.named_parameters()}
    gate = load("gate", "tangent")()
    begun = gate.begin({name: start[name] for name in parent}, parent, torch.Generator())
    return network, Gated(network, gate, parent, begun), start


def moved(behind: Gated, by: State) -> None:
    """Adds to the weights, and to the biases, that are trained."""
    inside = {name.replace("network.", ""): value for name, value in behind.named_parameters()}
    with torch.no_grad():
        for name, value in {**inside, **behind.parameters_of_gate}.items():
            if name in by:
                value.add_(by[name])


def test_outputs_are_those_of_the_jacobian_at_the_start() -> None:
    network, behind, start = tiny()
    x = torch.randn(4, 3, dtype=torch.float64)
    network.eval()
    at_start = network(x).detach().clone()
    jacobian = jacrev(lambda at: functional_call(network, at, (x,)))(start)
    behind.train()
    assert torch.allclose(behind(x), at_start), "it begins as the network, with the statistics of the start"
    by = {name: torch.randn_like(value) for name, value in start.items()}
    by["0.weight"] *= start["0.weight"] != 0
    moved(behind, by)
    slope = sum(torch.einsum("no...,...->no", jacobian[name], by[name]) for name in start)
    assert torch.allclose(behind(x), at_start + slope)
    once = behind(x) - at_start
    moved(behind, by)
    assert torch.allclose(behind(x) - at_start, 2 * once), "twice as far is twice the change"
    network.load_state_dict(behind.kept()[0])
    assert not torch.allclose(network.eval()(x), behind(x)), "the network itself is not linear"


LENET = Network(part("network", "lenet_300_100"), (1, 8, 8), 10)


@pytest.mark.parametrize("steps", [1, 12])
def test_the_first_step_is_that_of_the_network(steps: int) -> None:
    """At the start the gradients are the same, those of biases too; later they are not."""
    plain = run_of(network=LENET, steps=steps)
    begun, whole = initial(LENET, 0), dense(build(LENET))[0]
    mask = half(whole)
    one, other = (
        trained_state(fit(run, TicketTensors(begun, mask), DIGITS, CPU))
        for run in (plain, replace(plain, gate=gated("tangent").gate))
    )
    alike = [torch.allclose(one[name], other[name], atol=1e-6) for name in one]
    assert all(alike) if steps == 1 else not any(alike)


def test_results_are_of_the_expansion_and_best_weights_too() -> None:
    """The end of least validation loss is the end here: both evaluations are of the expansion, not of the network."""
    trained = train(replace(gated("tangent"), recipe=replace(run_of().recipe, eval_every=50)))
    assert trained.early_stop == trained.end
    network = build(run_of().ticket.network)
    network.load_state_dict(trained_state(trained))
    assert evaluate(network, DIGITS.chunks("test"), 10) != trained.end


def test_a_sweep_trains_masks_of_the_network_in_its_tangent_space(tmp_path: Path) -> None:
    words = [*SWEEP, "budget=paper", "model=lenet_digits", "gate=none,tangent", "find.gate.name=none,tangent"]
    here = [f"paths.output_dir={tmp_path}", "trainer.processes=0", "sweep=s", "measure=tangent", "logger=none"]
    assert main(["-m", *words, *here]) == 0
    sweep = lt.open(tmp_path / "s")
    rows = sweep.results.to_dict("records")
    found = {(row["gate"], row["find.gate.name"]): row for row in rows if row["level"] == 1}
    assert len({row["key"] for row in found.values()}) == 4
    for row in rows:
        assert row["l2_distance_start"] > 0
    for (gate, _), row in found.items():
        assert (row["network_accuracy_trained"] == row["test_accuracy"]) is (gate == "none")
    (linear,) = (run for run in sweep.runs() if run.key == found["tangent", "none"]["key"])
    linear.export(tmp_path / "start")
    with pytest.raises(Mistake, match="trains an expansion, which no folder holds"):
        linear.export(tmp_path / "end", trained=True)


def test_a_network_without_a_forward_derivative_is_refused_before_anything_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SWEEP, "model=lstm", "gate=tangent", f"paths.output_dir={tmp_path}", "trainer.processes=0"]
    assert main(["-m", *words]) == 2
    assert "gate=tangent on lstm: no forward derivative" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))


def test_solving_comes_to_the_minimum_of_the_jacobian_s_least_squares() -> None:
    network, _, start = tiny()
    network.eval()
    kept = {"0.weight": start["0.weight"] != 0, "3.weight": torch.ones(2, 5, dtype=torch.bool)}
    x, y = torch.randn(30, 3, dtype=torch.float64), torch.randint(2, (30,))
    test_x = torch.randn(200, 3, dtype=torch.float64)
    state = {**network.state_dict()}
    jacobian = jacrev(lambda at: functional_call(network, at, (torch.cat([x, test_x]),)))(start)
    free = torch.cat([kept.get(name, torch.ones_like(value) > 0).flatten() for name, value in start.items()])
    columns = torch.cat([jacobian[name].flatten(2) for name in start], dim=2)[..., free]
    outputs = functional_call(network, start, (torch.cat([x, test_x]),)).detach()
    rows, wanted = columns[:30].flatten(0, 1), (nn.functional.one_hot(y, 2) - outputs[:30]).flatten()
    step = torch.linalg.solve(rows.T @ rows + 30 * 0.01 * torch.eye(rows.shape[1]).double(), rows.T @ wanted)
    answers = (outputs + columns @ step)[30:].argmax(1)
    parts = {"train": [(x[:20], y[:20]), (x[20:], y[20:])], "test": [(test_x, answers)], "validation": [(x, y)]}
    ends = Ends((state, state), (kept, kept), 2, lambda state: network, lambda part: iter(parts[part]))
    table = tangent_solution(ends, ridges=(0.01,), examples=30, tolerance=1e-10)
    assert table["tangent_solution"] == 100.0, "it answers as the closed form does"
    assert table["solved_distance"] == pytest.approx([float(step.norm())], rel=1e-5)
    assert table["residual"][0] <= 1e-10
    fewer = tangent_solution(ends, ridges=(0.01, 10.0), examples=25, iterations=1)
    assert fewer["iterations"] == [1.0, 1.0]
    assert fewer["residual"][0] > 1e-3
    assert fewer["solved_distance"][1] < fewer["solved_distance"][0]
    with pytest.raises(ValueError, match="ridges=0: must be positive"):
        tangent_solution(ends, ridges=(0, 1.0))
    parts["validation"] = []
    with pytest.raises(ValueError, match="none are held out"):
        tangent_solution(ends)
