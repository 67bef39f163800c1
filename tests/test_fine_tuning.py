"""Tickets of a pre-trained network: a trained one begins again at step 0, as itself, inside a mask, or from a draw."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_sweep import SMALL, Rows, sweep

import lt_sweeps as lt
from lt_sweeps.cli import main as cli
from lt_sweeps.graph import Init, Pretrained
from lt_sweeps.sweeps.notebook import Run

pytestmark = pytest.mark.sweeps


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network, as a ticket to train on."""
    folder = tmp_path_factory.mktemp("pretraining")
    sweep(folder, "prune.levels=0")
    export = ["ticket", "export", str(folder / "s"), "level=0", "--trained", "--start", "0", "--to", str(folder / "t")]
    assert cli(export) == 0
    return folder / "t"


def tuned(folder: Path, *words: str) -> tuple[Rows, Callable[..., Run]]:
    """A sweep that goes on from a ticket, and what finds a training in it."""
    rows = sweep(folder, *words)
    return rows, lt.open(folder / "s").ticket


def test_a_trained_network_begins_again_and_is_rewound_to(pretrained: Path, tmp_path: Path) -> None:
    rows, find = tuned(tmp_path, f"ticket={pretrained}", "control=none,reinit,mask_shuffle", "seed=0,1")
    assert {row["status"] for row in rows} == {"done"}
    network = lt.load_ticket(pretrained).state_dict()
    for seed in (0, 1):
        for control in ("none", "mask_shuffle"):
            run = find(level=2, seed=seed, control=control)
            assert isinstance(run.expression.ticket.weights, Pretrained)
            assert run.expression.ticket.start == 0
            begun, mask = run.state(0), run.mask
            assert all(torch.equal(begun[n], torch.where(mask[n], network[n], 0.0)) for n in mask)
        fresh = find(level=2, seed=seed, control="reinit").expression.ticket.weights
        assert isinstance(fresh, Init)
    one, other = (find(level=0, seed=seed, control="none").state() for seed in (0, 1))
    assert any(not torch.equal(one[name], other[name]) for name in one), "the order of examples is the seed's"


def test_a_trained_network_that_begins_again_promises_nothing(
    pretrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["ticket", "verify", str(pretrained)]) == 0
    out = capsys.readouterr().out
    assert "start weights at step 0, 50,200 of 50,200 kept (100.00 %)" in out
    assert "trained, it promises nothing" in out
    sweep_of_it = pretrained.parent / "s"
    assert cli(["ticket", "export", str(sweep_of_it), "level=0", "--to", str(pretrained)]) == 2
    assert "holds another ticket" in capsys.readouterr().err
    assert (
        cli(["ticket", "export", str(sweep_of_it), "level=0", "--start", "0", "--to", str(pretrained.parent / "u")])
        == 2
    )
    assert "start= is for trained=True" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [("prune=at_init", "criterion=random"), ("prune=one_shot", "criterion=movement")],
    ids=lambda words: words[1],
)
def test_only_what_the_mask_keeps_is_tuned(pretrained: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """A random 1 % of the weights, and the 1 % that a first fine-tuning moved most; all others are as pre-trained."""
    more = ("pruned=freeze", "prune.rate=0.99", "prune.levels=1", "measure=update_sparsity")
    rows, find = tuned(tmp_path, f"ticket={pretrained}", *words, *more)
    network, run = lt.load_ticket(pretrained).state_dict(), find(level=1)
    mask, begun, ended = run.mask, run.state(0), run.state()
    share = sum(int(ones.sum()) for ones in mask.values()) / sum(ones.numel() for ones in mask.values())
    assert share == pytest.approx(float(rows[1]["density"]), abs=1e-6)
    assert 0.009 < share < 0.021, "half the rate for the output, where layers are pruned each by itself"
    assert all(torch.equal(begun[name], network[name]) for name in mask)
    assert all(torch.equal(ended[name][~ones], network[name][~ones]) for name, ones in mask.items())
    assert any(not torch.equal(ended[name], network[name]) for name in mask)
    if "criterion=movement" in words:
        dense = find(level=0).state()
        for name, ones in mask.items():
            moved = (dense[name] - network[name]).abs()
            assert moved[~ones].max() <= moved[ones].min()
    kept = [(ended[n] - network[n]).abs()[ones] for n, ones in mask.items()]
    still = 100 * sum(int((d <= 1e-5).sum()) for d in kept) / sum(len(d) for d in kept)
    assert float(rows[1]["update_sparsity_start"]) == pytest.approx(still, abs=1e-3)


def test_seeds_are_compared_by_what_they_move(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, find = tuned(tmp_path, f"ticket={pretrained}", "seed=0,1", "prune.levels=1", "measure=moved_overlap")
    assert all(0 <= float(row["moved_overlap"]) <= 100 for row in rows)
    capsys.readouterr()
    assert cli(["measure", str(tmp_path / "s"), "moved_overlap", "--between", "seed"]) == 0
    pairs = list(csv.DictReader((tmp_path / "s" / "moved_overlap_between_seed.csv").read_text().splitlines()))
    network = lt.load_ticket(pretrained).state_dict()
    one, other = (find(level=0, seed=seed) for seed in (0, 1))
    sets = [{n: (run.state()[n] - network[n]).abs() > 1e-5 for n in run.mask} for run in (one, other)]
    both, either = (
        sum(int(join(sets[0][n], sets[1][n]).sum()) for n in sets[0]) for join in (torch.logical_and, torch.logical_or)
    )
    assert float(pairs[0]["moved_overlap"]) == pytest.approx(100 * both / either, abs=1e-3)
    assert {"independent", "same_layers", "deviation", "tensor_overlap"} <= pairs[0].keys()


def test_what_is_measured_of_two_trainings_is_refused_of_one(refusal: Callable[[list[str]], str]) -> None:
    line = refusal([*SMALL[:2], "measure.of={start: {moved_overlap: {}}}"])
    assert line.endswith("moved_overlap, start: it compares two trainings: measure.of.sibling, parent or dense")


def test_a_pruned_ticket_keeps_its_mask(
    tmp_path_factory: pytest.TempPathFactory, refusal: Callable[[list[str]], str]
) -> None:
    there = tmp_path_factory.mktemp("pruned")
    _, find = tuned(there, "prune.levels=1")
    folder = find(level=1).export(there / "t", trained=True, start=0)
    line = refusal([*SMALL[:2], f"ticket={folder}", "control=mask_shuffle"])
    assert line.endswith("control=mask_shuffle: ticket= has weights under its own mask only")
