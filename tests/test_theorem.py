"""Subset sums against all subsets; and a masked random network against the network that it is to be."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from lt_sweeps.cli import main as lt_sweeps
from lt_sweeps.theorem.construction import (
    MaskedRandom,
    draw_matrices,
    rebuild,
    single_sums,
    strong_ticket,
    verify,
    width,
)
from lt_sweeps.theorem.subset_sum import curve, nearest, slope


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_the_nearest_sum_is_the_nearest_of_all(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    values = torch.rand((40, count), generator=generator, dtype=torch.float64) * 2 - 1
    targets = torch.rand(40, generator=generator, dtype=torch.float64) - 0.5
    subsets, errors = nearest(values, targets)
    for row, target, subset, error in zip(
        values.tolist(), targets.tolist(), subsets.tolist(), errors.tolist(), strict=True
    ):
        sums = [sum(chosen) for size in range(count + 1) for chosen in itertools.combinations(row, size)]
        assert abs(error) == pytest.approx(min(abs(total - target) for total in sums), abs=1e-12)
        assert sum(value for value, is_in in zip(row, subset, strict=True) if is_in) - target == pytest.approx(error)


def test_many_targets_are_answered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values, targets = torch.rand(50, 8), torch.rand(50)
    whole = nearest(values, targets)
    monkeypatch.setattr("lt_sweeps.theorem.subset_sum.AT_ONCE", 64)
    for one, other in zip(whole, nearest(values, targets), strict=True):
        assert torch.equal(one, other)


def test_the_error_falls_by_nearly_two_for_each_candidate() -> None:
    """The order of Lueker 1998: sqrt(n) / 2^n; over 6 to 14 candidates sqrt(n) costs 6 % of the factor."""
    for distribution in ("uniform", "product"):
        assert 1.8 < slope(curve([6, 8, 10, 12, 14], distribution, targets=1000)) < 2.0


def test_a_block_computes_what_its_layer_does_with_random_weights_alone() -> None:
    weight = torch.randn((3, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.3
    block, row = rebuild("layer", weight, 14, seed=4)
    again = draw_matrices(5, 3, width(14), row.scale, 4, "layer")
    assert torch.equal(block.first, again[0])
    assert torch.equal(block.second, again[1])
    assert row.kept == int(block.first_mask.sum()) + int(block.second_mask.sum())
    assert int(block.first_mask.sum(dim=1).max()) == 1
    x = torch.rand(20, 5)
    assert torch.allclose(block(x).double(), x.double() @ weight.T, atol=5 * float(row.errors.abs().max()) + 1e-5)
    assert torch.allclose(block(torch.eye(5)).double(), weight.T + row.errors.view(3, 5).T, atol=1e-6)
    assert row.quantile(0.5) < 1e-3
    assert row.within(1.0) == 1.0


def layers() -> dict[str, nn.Linear]:
    torch.manual_seed(0)
    return {"one": nn.Linear(6, 8), "two": nn.Linear(8, 3, bias=False)}


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_a_strong_ticket_is_the_network_with_biases_and_shifted_inputs(shift: float) -> None:
    linear = layers()
    ticket, rows = strong_ticket(linear, 16, 1, shift)
    verify(ticket, rows, 16, 1)
    x = torch.rand(30, 6) - shift
    wanted = linear["two"](linear["one"](x).relu())
    assert float((ticket(x) - wanted).detach().abs().max()) < 0.05
    assert [len(row.errors) for row in rows] == [8 * 7, 3 * 9]


def test_weights_that_are_not_drawn_are_noticed() -> None:
    ticket, rows = strong_ticket(layers(), 6, 1)
    block = ticket.blocks[1]
    assert isinstance(block, MaskedRandom)
    block.second[0, 0] += 1e-3
    with pytest.raises(RuntimeError, match="two are not what their seed draws"):
        verify(ticket, rows, 6, 1)


def test_a_row_shares_its_single_draws() -> None:
    linear = layers()
    network = nn.Sequential()
    network.one, network.two = linear["one"], linear["two"]
    rebuilt, rows = single_sums(network, linear, 12, 0)
    values = {round(value, 9) for value in rebuilt.get_submodule("one").weight[0].tolist()}
    assert len(values) <= 2**12
    assert sum(row.random for row in rows) == 12 * (6 * 8 + 8 * 3)
    assert float((rebuilt.two.weight - linear["two"].weight).detach().abs().max()) < 0.1
    assert not torch.equal(network.one.weight, rebuilt.get_submodule("one").weight)


def test_the_command_rebuilds_a_network_of_the_embedded_digits(capsys: pytest.CaptureFixture[str]) -> None:
    assert lt_sweeps(["theorem", "budget=smoke", "--candidates", "10", "model.width=0.2"]) == 0
    out = capsys.readouterr().out
    assert "every weight is what seed 0 draws" in out
    assert "masked random network" in out
    assert len(re.findall(r"^\| (?:fc1|fc2|output) ", out, re.M)) == 3
    assert lt_sweeps(["theorem", "budget=smoke", "--single", "--candidates", "10", "model.width=0.2"]) == 0
    assert "with each weight a subset sum" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--candidates", "27"], "give 2 to 26"),
        (["recipe.stps=1it"], "recipe.stps"),
        (["model=conv2", "dataset=digits", "recipe=lenet_digits", "budget=smoke"], "is not linear layers"),
    ],
)
def test_what_cannot_be_rebuilt_is_answered_in_a_line(
    words: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lt_sweeps(["theorem", *words]) == 2
    assert answer in capsys.readouterr().err


def test_a_ticket_of_a_folder_is_rebuilt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model.width=0.2", "prune.levels=1", "sweep=s", f"paths.output_dir={tmp_path}", "trainer.processes=0"]
    assert lt_sweeps(["run", *words, "budget=smoke"]) == 0
    folder = tmp_path / "ticket"
    where = [str(tmp_path / "s"), "level=1", "--trained", "--to", str(folder)]
    assert lt_sweeps(["ticket", "export", *where]) == 0
    assert lt_sweeps(["theorem", str(folder), "--candidates", "8"]) == 0
    assert "masked random network" in capsys.readouterr().out
