"""Experiments of learned masks: their searches have the papers' settings, and they run from search to report."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from test_recipes import LEARNED, composed

from lt_sweeps.graph import MaskAt, Train
from lt_sweeps.main import main
from lt_sweeps.masks import dense
from lt_sweeps.networks.build import build
from lt_sweeps.specs import Part
from lt_sweeps.sweeps.status import status
from lt_sweeps.sweeps.terminal import lines

pytestmark = pytest.mark.sweeps

SGD, ADAM = "torch.optim.SGD", "torch.optim.Adam"
EPOCH = {"mnist": 469, "cifar10": 391}  # batches of 128, the last one short
# experiment -> gate, optimizer and its arguments, batch size, steps of the search; arguments and draw of the network
SEARCHES: dict[str, tuple[str, str, dict[str, float], int, int, dict[str, Any], str]] = {
    # Ramanujan et al. 2020, code: configs/smallscale/fc/fc_usc_unsigned.yml and conv2/conv2_usc_unsigned.yml
    "edge_popup_lenet": (
        "edge_popup",
        SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
        128,
        100 * EPOCH["mnist"],
        {"bias": False},
        "signed_constant",
    ),
    "edge_popup_conv": (
        "edge_popup",
        SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
        128,
        100 * EPOCH["cifar10"],
        {"bias": False},
        "signed_constant",
    ),
    # Diffenderfer & Kailkhura 2021, code: configs/smallscale/conv4/conv4_kn_unsigned.yml, conv2/conv2_BinAct_kn_...
    "biprop_conv": (
        "biprop",
        SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
        128,
        100 * EPOCH["cifar10"],
        {"bias": False},
        "kaiming_normal",
    ),
    "biprop_conv_binary": (
        "biprop",
        ADAM,
        {"lr": 0.1, "weight_decay": 1e-4},
        128,
        100 * EPOCH["cifar10"],
        {"bias": False, "batchnorm": True, "affine": False, "activation": "sign"},
        "kaiming_normal",
    ),
    # Zhou et al. 2019, code: 220 batches of 250 make an epoch of 55,000
    "zhou2019_learned": (
        "bernoulli",
        SGD,
        {"lr": 100, "momentum": 0.9},
        250,
        2000 * 220,
        {},
        "truncated_glorot_normal",
    ),
    # Sreenivasan et al. 2022, code: gm.yml; weight decay is twice their lambda
    "gem_resnet20": (
        "gem",
        SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 2e-4},
        128,
        150 * EPOCH["cifar10"],
        {"bias": False, "affine": False},
        "signed_constant",
    ),
}


def search_of(experiment: str) -> tuple[Train, Train]:
    """The training that learns the mask of level 1, and the training of its ticket."""
    ticket = composed(f"experiment={experiment}").levels[1]
    assert isinstance(ticket.ticket.mask, MaskAt)
    return ticket.ticket.mask.weights.run, ticket


def test_the_table_covers_every_experiment_of_learned_masks() -> None:
    assert set(SEARCHES) == LEARNED


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_a_search_has_the_papers_settings(name: str) -> None:
    gate, optimizer, args, batch, steps, network, draw = SEARCHES[name]
    search, _ = search_of(name)
    assert search.gate is not None
    assert search.gate.name == gate
    assert search.recipe.optimizer == Part(optimizer, 0, args)
    assert (search.recipe.batch_size, search.recipe.steps) == (batch, steps)
    assert (search.ticket.network.build.args, search.ticket.network.initialiser) == (network, Part(draw, 1))
    held = 1 if name == "zhou2019_learned" else search.recipe.steps // (150 if gate == "gem" else 100)
    cosine = Part("cosine", 1, {"total_steps": steps, "hold": held})
    assert search.recipe.schedule == (None if name == "zhou2019_learned" else cosine)


def test_edge_popup_keeps_a_share_of_every_layer_and_what_is_shown_is_not_trained() -> None:
    search, ticket = search_of("edge_popup_lenet")
    assert search.gate == Part("edge_popup", 1, {"keep": 0.5, "scale": False})
    assert ticket.recipe.steps == ticket.ticket.start
    assert composed("experiment=edge_popup_lenet").levels[0].recipe.optimizer.args["lr"] == 0.01


def test_gem_miner_freezes_scores_of_all_layers_every_five_epochs_and_trains_by_another_recipe() -> None:
    search, ticket = search_of("gem_resnet20")
    (freeze,) = search.hooks
    epoch = EPOCH["cifar10"]
    assert freeze.name == "freeze_scores"
    assert {name: freeze.args[name] for name in ("every", "begin", "until")} == {
        "every": 5 * epoch,
        "begin": 5 * epoch,
        "until": 150 * epoch,
    }
    assert freeze.args["keep"] == pytest.approx(0.0059)
    assert ticket.recipe.optimizer.args["lr"] == 0.01
    assert ticket.recipe.schedule == Part(
        "torch.optim.lr_scheduler.MultiStepLR", 0, {"milestones": [80 * epoch, 120 * epoch], "gamma": 0.1}
    )
    assert dense(build(search.ticket.network))[1] == 0


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_an_experiment_runs_from_search_to_report(name: str, tmp_path: Path, data_dir: Path) -> None:
    """A quarter as wide, 8 iterations."""
    words = ["budget=smoke", "seed=0", "model.width=0.25", "trainer.processes=0", f"paths.output_dir={tmp_path}"]
    words += [f"paths.data_dir={data_dir}", "sweep=s"]
    more = {
        "gem_resnet20": ["prune.rate=0.5", "control=reinit,mask_shuffle"],
        "zhou2019_learned": ["find.survivors.name=constant_signed", "gate.args.rescale=true"],
    }.get(name, ["gate.args.keep=0.5"])
    assert main(["-m", f"experiment={name}", *words, *more]) == 0
    rows = list(csv.DictReader((tmp_path / "s" / "results.csv").read_text().splitlines()))
    assert {(row["level"], row["status"]) for row in rows} == {("0", "done"), ("1", "done")}
    densities = [float(row["density"]) for row in rows if row["level"] == "1"]
    assert all(0.3 < density < 0.8 for density in densities)
    assert len(densities) == (2 if name == "gem_resnet20" else 1)
    for row in rows:
        if row["level"] == "1" and name != "gem_resnet20":  # its ticket is evaluated as the search left it
            assert row["found_accuracy"] == row["test_accuracy"]
            assert ("sampled_accuracy" in row) is (name == "zhou2019_learned")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("gate=bernoulli", "gate=bernoulli finds its own density"),
        ("gate=soft_threshold", "gate=soft_threshold finds its own density"),
        ("gate=edge_popup,bernoulli gate.args.keep=0.1", "gate.args.keep is given"),
        ("gate=gem hook=freeze_scores hook.every=1it hook.args.keep=0.1", "hook.args.keep is given"),
        ("gate=edge_popup", None),
        ("gate=gem hook=freeze_scores hook.every=1it", None),
        ("gate=none hook=gradual hook.every=1it", None),
    ],
)
def test_a_rate_that_sets_no_density_is_said(
    words: str, why: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["budget=smoke", "hydra.launcher.only_plan=true", f"paths.output_dir={tmp_path}"]
    chosen = ["-m", "prune=learned", "prune.levels=1", *words.split(), *here]
    assert main([*chosen, "prune.rate=0.9"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: prune.rate")]
    assert said[:1] == ([] if why is None else [f"note: prune.rate: has no effect where {why}"])
    assert main(chosen) == 0
    assert "note: prune.rate" not in capsys.readouterr().out, "it was not given"


# ------------------------------------------------------------------------------------- collapse


GEM = "model=lenet_digits prune=learned gate=gem hook=freeze_scores hook.every=10it hook.begin=10it prune.levels=1"
PENALTY = "find.optimizer._target_=torch.optim.SGD find.optimizer.args={lr:0.1,weight_decay:0.5} recipe.steps=300it"


def test_a_penalty_that_empties_layers_is_a_collapse_that_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All scores of a layer fall below a half: neither its ticket nor that of a control is trained."""
    words = [*GEM.split(), *PENALTY.split(), "prune.rate=0.9", "control=none,reinit,mask_shuffle", "seed=0", "sweep=s"]
    assert main(["-m", *words, f"paths.output_dir={tmp_path}", "trainer.processes=0"]) == 0
    assert "fc1.weight, fc2.weight, output.weight empty" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "s" / "results.csv").read_text().splitlines()))
    for row in rows:
        if row["level"] == "1":
            assert (row["status"], row["test_accuracy"]) == ("collapsed", "")
            assert row["emptied"] == "fc1.weight fc2.weight output.weight"
            assert float(row["density"]) == 0
        else:
            assert row["status"] == "done"
    assert "collapsed (fc1.weight, fc2.weight, output.weight empty)" in (tmp_path / "s" / "report.html").read_text()
    current = status(tmp_path / "s")
    assert set(current.states.values()) == {"done", "collapsed"}, "a search and its tickets, not blocked"
    assert "collapsed: fc1.weight, fc2.weight, output.weight empty" in " ".join(map(str.strip, lines(current)))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("find.optimizer.args={lr:1}", "find.optimizer.args: of which one? Set find.optimizer._target_ too"),
        ("find.batch_size=0", "find.batch_size=0: must be at least 1"),
        ("find.optimizer._target_=torch.optim.SDG", "did you mean 'SGD'?"),
        ("find.schedule._target_=cosin find.schedule.args={total_steps:1ep}", "did you mean 'cosine'?"),
        ("find.schedule._target_=torch.optim.lr_scheduler.ReduceLROnPlateau recipe.validation=0", "validation loss"),
    ],
)
def test_what_a_search_cannot_be_is_answered_in_a_line(
    words: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", *GEM.split(), *words.split(), f"paths.output_dir={tmp_path}", "trainer.processes=0"]) == 2
    answer = capsys.readouterr().err
    assert told in answer
    assert answer.count("\n") == 1
