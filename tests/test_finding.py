"""Gates and hooks chosen apart for finding masks and for training tickets; early-bird tickets."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_recipes import composed
from torch import Tensor

import lt_sweeps as lt
from lt_sweeps.cli import main as lt_sweeps
from lt_sweeps.graph import END, At, Prune, Train, at, end, search_of
from lt_sweeps.hooks.moment import example
from lt_sweeps.hooks.narrowing import early_bird
from lt_sweeps.main import main
from lt_sweeps.report import table
from lt_sweeps.report.curves import curves
from lt_sweeps.report.figures import early_stop_figure, result_figure
from lt_sweeps.report.page import render
from lt_sweeps.report.styles import styles

pytestmark = pytest.mark.sweeps

BIRD = "find.hook.name=early_bird"
ONE_SHOT = ("prune=one_shot", "prune.rate=0.5", "prune.levels=2")
EPOCH = (1437 - 237) // 60  # iterations of lenet_digits


def searched(run: Train) -> Train:
    search = search_of(run)
    assert search is not None
    return search


# ------------------------------------------------------------------------------------ expressions


@pytest.mark.parametrize("prune", ["one_shot", "imp"])
def test_a_hook_of_the_search_changes_the_search_alone(prune: str) -> None:
    """Levels are other trainings, for their masks are others; the dense network that is shown is the same one."""
    words = (f"prune={prune}", "prune.rate=0.5", "prune.levels=2")
    plain, bird = composed(*words), composed(*words, BIRD)
    assert plain.levels[0] == bird.levels[0]
    for before, level in zip(plain.levels[1:], bird.levels[1:], strict=True):
        assert before.key != level.key
        assert level.static
        assert [hook.name for hook in searched(level).hooks] == ["early_bird"]
        assert searched(before).static
    first = searched(bird.levels[1])
    assert replace(first, hooks=(), draw=0) == bird.levels[0]


@pytest.mark.parametrize("prune", ["one_shot", "imp"])
def test_each_search_looks_for_the_density_that_its_end_is_pruned_to(prune: str) -> None:
    levels = composed(f"prune={prune}", "prune.rate=0.5", "prune.levels=3", BIRD).levels[1:]
    args = [searched(level).hooks[0].args for level in levels]
    assert [given["keep"] for given in args] == [0.5, 0.25, 0.125]
    assert {given["narrow"] for given in args} == {False}
    own = composed(f"prune={prune}", "prune.levels=2", BIRD, "+find.hook.args.keep=0.3").levels[1:]
    assert [searched(level).hooks[0].args["keep"] for level in own] == [0.3, 0.3]


def test_a_hook_is_asked_when_its_own_file_says_unless_it_is_told() -> None:
    clock = searched(composed(*ONE_SHOT, BIRD).levels[1]).hooks[0].args
    assert (clock["every"], clock["begin"], clock["until"]) == (EPOCH, 0, 800)
    told = searched(composed(*ONE_SHOT, BIRD, "find.hook.every=7it", "find.hook.until=50%").levels[1]).hooks[0].args
    assert (told["every"], told["begin"], told["until"]) == (7, 0, 400)


@pytest.mark.parametrize("prune", ["one_shot", "imp"])
def test_tickets_keep_the_weights_that_their_search_left_or_go_back(prune: str) -> None:
    words = (f"prune={prune}", "prune.levels=2", BIRD)
    for level in composed(*words, "survivors=keep").levels[1:]:
        assert level.ticket.weights == end(searched(level)).weights
    rewound = composed(*words, "rewind=step", "rewind.step=30it").levels
    assert all(level.ticket.weights == at(rewound[0], 30) for level in rewound[1:])
    for level in composed(*words).levels[1:]:
        assert level.ticket.weights == rewound[0].ticket.weights


def test_without_a_hook_of_their_own_tickets_keep_what_their_chain_was_trained_to() -> None:
    """Masks found on other data: the weights that are kept are those of the true data, as before."""
    levels = composed(*ONE_SHOT, "find=half", "survivors=keep").levels
    assert levels[1].ticket.weights == end(levels[0]).weights


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (("find.hook.name=none", "find.gate.name=none", "train.hook.name=none"), ()),
        (("prune=learned", "find.gate.name=edge_popup"), ("prune=learned", "gate=edge_popup")),
        (
            ("prune=learned", "find.gate.name=gem", "find.hook.name=freeze_scores"),
            ("prune=learned", "gate=gem", "hook=freeze_scores"),
        ),
        (("find=early_bird",), (BIRD,)),
    ],
)
def test_two_ways_to_say_the_same_are_the_same_trainings(words: tuple[str, ...], same: tuple[str, ...]) -> None:
    assert composed("prune.levels=2", *words).levels == composed("prune.levels=2", *same).levels


def test_learned_masks_have_a_gate_for_the_search_and_one_for_the_tickets() -> None:
    words = ("prune=learned", "prune.levels=1", "find.gate.name=edge_popup", "gate=sign_in")
    level = composed(*words).levels[1]
    assert level.gate is not None
    assert level.gate.name == "sign_in"
    search = searched(level)
    assert search.gate is not None
    assert search.gate.name == "edge_popup"


def test_a_hook_of_what_is_shown_leaves_the_chain_as_it_was() -> None:
    plain, shown = (composed("prune.levels=2", *words) for words in ((), ("train.hook.name=set",)))
    assert plain.levels[0] == shown.levels[0]
    for before, level in zip(plain.levels[1:], shown.levels[1:], strict=True):
        assert [hook.name for hook in level.hooks] == ["set"]
        assert replace(level, hooks=(), draw=0) == before
        assert level.ticket.mask == before.ticket.mask


def test_a_chain_may_be_found_through_a_gate_and_trained_without() -> None:
    level = composed("prune.levels=2", "find.gate.name=powerpropagation").levels[2]
    assert level.static
    search = searched(level)
    assert search.gate is not None
    mask = search.ticket.mask
    assert isinstance(mask, Prune)
    weights = mask.scores.at.weights
    assert isinstance(weights, At)
    assert weights.step == END
    assert weights.run.gate == search.gate


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("prune=at_init", "criterion=random", BIRD), "trains nothing to find its masks"),
        (("prune=at_init", "criterion=random", "find.gate=sign_in"), "trains nothing to find its masks"),
        (("find.gate=edge_popup",), "find.gate=edge_popup: learns a mask on frozen weights"),
        (("find.gate=sign_in", "find.hook=set"), "find.hook=set: find.gate=sign_in has no weights"),
        (("prune=learned", "find.gate=sign_in"), "prune=learned needs a gate that learns it"),
        (("find.hook=early_bird", "pruned=freeze"), "pruned weights are zero"),
        (("find.hook.every=1ep",), "find.hook.every=1ep: choose the hook too, with find.hook.name"),
        (("train.hook.until=50%",), "train.hook.until=50%: choose the hook too, with train.hook.name"),
        (("find.hook=early_birt",), "did you mean 'early_bird'?"),
        (("find.hook=early_bird", "find.hook.begin=900it"), "find.hook.begin=900it: is after find.hook.until"),
        (("find.hook=early_bird", "find.hook.args.windows=3"), "did you mean 'window'?"),
        (("train=untrained", "train.hook=set"), "nothing is trained"),
        (("find.gate.name=test_finding.freezing",), "freezes the weights that are to be trained"),
    ],
)
def test_what_means_nothing_is_answered_in_one_line(
    words: tuple[str, ...], answer: str, refusal: Callable[[list[str]], str]
) -> None:
    assert answer in refusal(["-m", "prune.levels=1", *words, "sweep=s"])


def freezing() -> object:
    from test_gates import freezing as frozen

    return frozen()


# ------------------------------------------------------------------------------------- early-bird


def settled_at(masks: list[Tensor], tolerance: float, window: int = 5) -> int | None:
    """You et al. 2020: a queue of masks; the newest lies within `tolerance` of each of the four before it."""
    for newest in range(window - 1, len(masks)):
        older = range(newest - window + 1, newest)
        if all(float((masks[newest] != masks[n]).double().mean()) <= tolerance for n in older):
            return newest
    return None


@pytest.mark.parametrize("seed", range(20))
def test_it_ends_where_the_last_five_masks_agree(seed: int) -> None:
    """Weights that move ever less, until their largest half stays: masks are compared one by one."""
    generator = torch.Generator().manual_seed(seed)
    weights, masks, memory = torch.randn(40, generator=generator), list[Tensor](), None
    for epoch in range(40):
        moment = example(weights=weights.tolist(), mask=[1] * 40, memory=memory)
        mask = torch.zeros(40, dtype=torch.bool)
        mask[weights.abs().topk(20).indices] = True
        masks.append(mask)
        change = early_bird(moment)
        assert change.end is (settled_at(masks, 0.1) == epoch)
        if change.end:
            assert epoch >= 4, "the fifth mask is the first that has four before it"
            assert change.mask is not None
            assert torch.equal(change.mask["w"], mask)
            assert early_bird(moment, narrow=False).mask is None
            return
        memory = change.memory
        weights = weights + 2 * 0.8**epoch * torch.randn(40, generator=generator)
    pytest.fail("it never ended")


SMALL = (
    "recipe.steps=200it",
    "recipe.eval_every=50it",
    "prune.rate=0.5",
    "prune.factors={output.weight:1}",
    "find.hook.every=5it",
    "find.hook.args.window=3",
    "logger=none",
    "trainer.processes=0",
    "sweep=s",
)


@pytest.mark.parametrize("prune", ["one_shot", "imp"])
def test_early_bird_tickets_end_to_end(prune: str, tmp_path: Path) -> None:
    """The search ends before its recipe does; dense and tickets do not, and the table says where and by what."""
    words = [*SMALL, f"prune={prune}", "prune.levels=2", "find.hook=early_bird", "survivors=keep"]
    words.append("trainer.kernel=masked")  # as the search, whose bits are compared below
    assert main(["-m", *words, f"paths.output_dir={tmp_path}"]) == 0
    dense, *tickets = table.read(tmp_path / "s")
    assert dense["search_steps"] is None
    assert dense["search_ended_by"] is None
    for row in (dense, *tickets):
        assert (row["status"], row["steps"]) == ("done", 200)
        assert "ended_by" not in row, "no training that is shown has ended early"
        assert row["find.hook.name"] == "early_bird"
    assert [round(row["density"], 2) for row in tickets] == [0.5, 0.25]
    for row in tickets:
        assert row["search_ended_by"] == "early_bird"
        assert row["search_steps"] in range(10, 200, 5)
    sweep = lt.open(tmp_path / "s")
    first = sweep.ticket(level=1)
    assert first.evaluate().accuracy == tickets[0]["test_accuracy"]
    assert tickets[0]["search_steps"] == 10, "a step that every training keeps"
    begun, whole = first.state(0), sweep.ticket(level=0).state(10)
    for name, ones in first.mask.items():
        assert torch.equal(begun[name], whole[name] * ones), "the dense network on the way, pruned"


def test_dense_networks_are_never_called_untrained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Level 0 is trained, whatever `train=` says of tickets; what is not trained learns at no speed."""
    words = ["prune=one_shot", "prune.levels=2", "train=untrained,same", "budget=smoke", "sweep=s"]
    assert main(["-m", *words, "trainer.processes=0", f"paths.output_dir={tmp_path}"]) == 0
    rows = table.read(tmp_path / "s")
    assert [row["train"] for row in rows] == ["same", "untrained", "untrained", "same", "same"], "one dense network"
    layers = [(row["train"], row["level"]) for row in table.read_layers(tmp_path / "s")]
    assert len(layers) == 3 * len(rows), "nor are its layers counted twice"
    for row in rows:
        untrained = row["train"] == "untrained"
        assert (row["steps"] == 0) is untrained
        assert (row["early_stop_step"] is None) is untrained
        assert row["early_stop_test_accuracy"] is not None
    asleep, awake = curves(rows)
    assert (asleep.labels["train"], awake.labels["train"]) == ("untrained", "same")
    assert (asleep.apart, awake.apart) == (True, False)
    assert asleep.dense == awake.dense, "they are compared with one dense network"
    look = styles([asleep, awake])
    drawn = {line["name"]: line["x"] for line in result_figure([asleep, awake], look)["data"] if "marker" in line}
    assert [len(x) for x in drawn.values()] == [2, 3], "it is no point of the line of what is not trained"
    steps = early_stop_figure([asleep, awake], look)
    assert steps is not None
    assert not any("untrained" in line["name"] for line in steps["data"])
    assert early_stop_figure([asleep], look[:1]) is None
    assert "these tickets are not trained" in render(
        [row for row in rows if row["level"] == 0 or row["train"] == "untrained"],
        title="",
        sweep="s",
        budgets=[],
        command=None,
    )
    sweep = lt.open(tmp_path / "s")
    assert list(sweep.curve(train="untrained").level) == [0, 1, 2]
    assert list(sweep.curve(train="same").level) == [0, 1, 2]
    capsys.readouterr()
    assert lt_sweeps(["compare", str(tmp_path / "s"), "train=same"]) == 0
    assert len(re.findall(r"^\| untrained ", capsys.readouterr().out, re.MULTILINE)) == 2


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (
            ("prune=learned", "gate=edge_popup", "train=untrained,same", "seed=0,1"),
            [
                f"lenet_300_100 digits seed={seed} prune=learned gate=edge_popup search for the mask of level {level}"
                for seed in (0, 1)
                for level in (1, 2)
            ],
        ),
        (
            ("prune=one_shot", "find.hook=early_bird"),
            [
                "lenet_300_100 digits seed=0 prune=one_shot find.hook.name=early_bird search for the mask of level 1",
                "lenet_300_100 digits seed=0 prune=one_shot find.hook.name=early_bird search for the mask of level 2",
            ],
        ),
        (("control=reinit",), ["lenet_300_100 digits seed=0 on the way to level 2"]),
    ],
)
def test_progress_names_what_is_searched(
    words: tuple[str, ...], names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["prune.levels=2", "budget=smoke", "sweep=s", "trainer.processes=0", f"paths.output_dir={tmp_path}"]
    assert main(["-m", *words, *here]) == 0
    lines = re.findall(r"^\[ *\d+/\d+\] (.*?)  ", capsys.readouterr().out, re.MULTILINE)
    assert sorted(line for line in lines if "search" in line or "on the way" in line) == sorted(names)


def test_the_experiment_of_early_birds_draws_them_beside_tickets_of_the_whole_training(tmp_path: Path) -> None:
    words = ["experiment=early_bird", "model=lenet_digits", "budget=smoke", "prune.rate=0.5", "seed=0", "sweep=s"]
    assert main(["-m", *words, "trainer.processes=0", f"paths.output_dir={tmp_path}"]) == 0
    rows = table.read(tmp_path / "s")
    tickets = [row for row in rows if row["level"]]
    assert {(row["find.hook.name"], row["survivors"]) for row in tickets} == {
        (hook, word) for hook in ("none", "early_bird") for word in ("keep", "rewind")
    }
    for row in tickets:
        bird = row["find.hook.name"] == "early_bird"
        assert (row["search_ended_by"], row["search_steps"]) == (("early_bird", 4) if bird else (None, 8)), (
            "the fifth of its masks is the first that has four before it"
        )
    assert len({row["key"] for row in rows if not row["level"]}) == 1
