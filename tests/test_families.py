"""Every option of the catalogue of methods, from a command line to its result; masks found otherwise than trained."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from test_sweep import cells_of

import lt_sweeps as lt
from lt_sweeps.catalogue import methods_table
from lt_sweeps.cell import Cell
from lt_sweeps.config.schema import CONF, TrainerConfig
from lt_sweeps.execution import run as running
from lt_sweeps.execution import worker
from lt_sweeps.execution.reporter import Reporter
from lt_sweeps.graph import At, Init, Prune, Train, Treat, end, topological
from lt_sweeps.keys import Node
from lt_sweeps.main import main
from lt_sweeps.realise import Values
from lt_sweeps.registry import catalogue
from lt_sweeps.store.store import Store
from lt_sweeps.training import recorder

SMOKE = ("budget=smoke", "prune.levels=1", "prune.rate=0.5")
GROUPS = [
    "criterion",
    "allocation",
    "survivors",
    "pruned",
    "control",
    "gate",
    "hook",
    "find",
    "train",
    "prune",
    "transfer",
]
OPTIONS = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
BESIDE = {  # what an option cannot do without
    "allocation=smart_ratio": ("model=resnet20", "dataset=digits", "recipe=lenet_digits", "prune.exclude=[]"),
    "survivors=keep": ("rewind=learning_rate",),
}
CHANNELS = ("prune.unit=channel", "prune=one_shot", "+model.args.batchnorm=true")
LEARNS = ("prune=learned", "prune.levels=1")
BESIDE |= {f"gate={name}": LEARNS for name, gate in catalogue("gate").items() if "search" in gate.needs}
BESIDE |= {
    "hook=freeze_scores": (*LEARNS, "gate=gem", "hook.every=1it", "hook.begin=1it"),
    "prune=learned": ("gate=edge_popup",),
    "prune=cyclic": ("rewind=learning_rate",),
    **dict.fromkeys(("hook=gradual", "hook=ac_dc"), (*LEARNS, "hook.every=2it", "hook.begin=1it")),
    **dict.fromkeys(("criterion=batchnorm_scale", "find=early_bird_channels"), CHANNELS),
}
MLP = ("model=mlp", "dataset=digits", "recipe=lenet_digits", "model.args.hidden=[9,9,5]")
BESIDE |= {
    "transfer=elastic": (*MLP, "++find.model.args.hidden=[9,9,9,5]"),
    "transfer=widen": ("model.width=2", "find.model.width=1"),
    "transfer=narrow": ("find.model.width=2",),
    **{
        f"transfer={name}": ("find.seeds.offset=1",)
        for name in ("none", "random_units", "weight_matching", "activation_matching")
    },
}
BESIDE["gate=soft_threshold"] = (*LEARNS, "+gate.args.start=-3")  # its density is an outcome
BESIDE["allocation=smart_ratio_vgg"] = BESIDE["allocation=smart_ratio"]


def levels(*words: str) -> tuple[Train, ...]:
    return cells_of(*SMOKE, *words)[0].levels


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


class Interruption:
    """Somebody presses Ctrl-C at a step."""

    def step(self, _: Any, step: int, __: Any) -> None:
        if step == 6:
            raise KeyboardInterrupt

    def begin(self, *_: Any) -> None: ...

    finish = fail = begin


def execute(cell: Cell, store: Store, *watchers: Any) -> dict[Node, str]:
    hardware = TrainerConfig(accelerator="cpu", workers=0)
    return running.execute([cell], store, Path(), hardware, Reporter({}, io.StringIO()), *watchers)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_done_and_after_an_interruption_done_to_the_same_bits(
    option: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LOOK_EVERY", 2)
    monkeypatch.setattr(worker, "Session", partial(worker.Session, wait=lambda cost: 0.0))
    cell = cells_of(*SMOKE, option, *BESIDE.get(option, ()))[0]
    assert not execute(cell, store)
    shown = cell.levels[-1]
    record = store.get(shown.key)
    assert record["result"]["status"] == "done"
    prunable = record["result"]["total"]
    if option in ("control=dense", "control=dense_rescaled"):
        assert record["result"]["kept"] == prunable, "it is the dense network"
    else:
        assert record["result"]["kept"] == pytest.approx(prunable / 2, abs=0.26 * prunable)
    for node in topological([shown]):  # the mask too is found again
        if isinstance(node, Train | Prune) and node != cell.levels[0]:
            store.discard(node.key)
    if shown.recipe.steps:
        with pytest.raises(KeyboardInterrupt):
            execute(cell, store, Interruption())
    assert not execute(cell, store)
    again = store.get(shown.key)
    assert (again["result"], again["blobs"]) == (record["result"], record["blobs"])


def test_a_mask_is_found_on_corrupted_data_and_its_ticket_trained_on_the_data_as_it_is() -> None:
    dense, *_, ticket = levels("find=random_labels", "prune.levels=2")
    below = [node for node in topological([ticket.ticket.mask]) if isinstance(node, Train)]
    assert [run.data.corruption.name if run.data.corruption else None for run in below] == ["label_uniform"] * 2
    assert dense.data.corruption is None
    assert ticket.data.corruption is None
    assert ticket.ticket.weights == dense.ticket.weights == below[0].ticket.weights


def test_a_mask_found_with_learning_rate_rewinding_is_trained_with_weight_rewinding_and_the_other_way() -> None:
    _, first, second = levels("find=learning_rate", "prune.levels=2")
    assert isinstance(second.ticket.weights, Init)
    (found,) = [n for n in topological([second.ticket.mask]) if isinstance(n, Train) and n.level == 1]
    assert isinstance(found.ticket.weights, At)
    _, first, second = levels("rewind=learning_rate", "find=rewind", "prune.levels=2")
    assert second.ticket.weights == end(first).weights, "weights go on in a chain of their own"
    (found,) = [n for n in topological([second.ticket.mask]) if isinstance(n, Train) and n.level == 1]
    assert isinstance(found.ticket.weights, Init)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("prune=at_init", "survivors=keep"), "prunes before training"),
        (("criterion.rounds=0",), "criterion.rounds=0: must be between 1 and 10000"),
        (("prune=at_init", "allocation=smart_ratio"), "allocation=smart_ratio: no convolution is pruned"),
        (("prune=at_init", "allocation=erk_plus", "prune.exclude=[output.weight]"), "and output.weight is not pruned"),
        (
            ("survivors=sign_flip", "control=sign_flip"),
            "control=sign_flip: with survivors=sign_flip equals the ticket",
        ),
        (("survivors=reinit", "control=reinit_signed"), "the ticket is that already"),
        (("rewind=learning_rate", "survivors=rewind"), "survivors=rewind must be keep"),
        (
            ("prune=one_shot", "find=learning_rate"),
            "prune=one_shot does not train while it finds masks, so find.survivors has no effect",
        ),
        (("prune=at_init", "criterion=random", "find.lr=0.1"), "prune=at_init finds masks without training"),
        (("prune=at_init", "criterion=movement"), "criterion=movement: compares trained weights with initial ones"),
        (("prune=at_init", "criterion=force", "criterion.invert=true"), "would take back what was pruned"),
        (("rewind=finetune", "find=rewind"), "find=rewind: rewind=finetune continues from the end weights"),
        (("rewind=step", "rewind.step=9it", "train.steps=4it"), "iteration 4 of a training that begins at 9"),
        (("mask_from=0123456789", "find=half"), "mask_from= and find=half"),
        (("find.corruption.name=haf",), "there is no corruption 'haf'; did you mean 'half'?"),
        (("train.steps=soon",), "train.steps=soon: write iterations"),
    ],
)
def test_what_cannot_be_is_told_in_a_line_before_anything_trains(
    words: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, f"paths.output_dir={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert not (tmp_path / "store").exists()


def test_found_as_trained_is_one_chain() -> None:
    plain, same = levels("prune.levels=3"), levels("prune.levels=3", "find=rewind")
    assert [run.key for run in plain] == [run.key for run in same]


def test_a_mask_may_be_found_from_another_start_and_in_another_order() -> None:
    words = ("budget=paper", "find.seeds.init=7", "find.seeds.order=8", "find.lr=0.5", "find.steps=40it")
    dense, ticket = levels(*words)
    (found,) = [node for node in topological([ticket.ticket.mask]) if isinstance(node, Train)]
    assert (found.ticket.weights.seed, found.order, found.recipe.steps) == (7, 8, 40)  # type: ignore[union-attr]
    assert found.recipe.optimizer.args["lr"] == 0.5
    assert (ticket.ticket.weights, ticket.order, ticket.recipe) == (dense.ticket.weights, dense.order, dense.recipe)


def test_an_untrained_ticket_is_measured_where_it_begins(store: Store) -> None:
    cell = cells_of(*SMOKE, "prune=one_shot", "train=untrained", "rewind=step", "rewind.step=20it")[0]
    dense, ticket = cell.levels
    assert (dense.recipe.steps, ticket.recipe.steps, ticket.ticket.start) == (8, 3, 3)
    assert not execute(cell, store)
    result = store.get(ticket.key)["result"]
    assert result["steps"] == 3
    assert [row["step"] for row in result["history"]] == [3]
    assert result["early_stop"]["test_accuracy"] == result["end"]["test_accuracy"]


def test_signs_stay_and_sizes_are_drawn_anew(store: Store, tmp_path: Path) -> None:
    """Law 8 and its signed form: the sizes of a fresh draw from the layer's own initialiser."""
    values = Values(store, tmp_path, torch.device("cpu"), {})
    dense, plain = levels("prune=at_init", "survivors=reinit")
    _, signed = levels("prune=at_init", "survivors=reinit_signed")
    assert isinstance(signed.ticket.weights, Treat)
    began, drawn, mixed = (values.weights(run.ticket.weights) for run in (dense, plain, signed))
    for name, ones in values.mask(signed.ticket.mask).items():
        assert torch.equal(mixed[name][ones].sign(), began[name][ones].sign())
        assert torch.equal(mixed[name][ones].abs(), drawn[name][ones].abs())
        assert not torch.equal(mixed[name][ones].sign(), drawn[name][ones].sign())


def test_pruned_weights_of_a_chain_stay_what_they_became(store: Store, tmp_path: Path) -> None:
    """Zhou et al.'s rules look at how training moved a weight; once pruned it does not move."""
    values = Values(store, tmp_path, torch.device("cpu"), {})
    for rule in ("zero_if_shrunk", "zero_if_grown"):
        cell = cells_of(*SMOKE, "prune.levels=2", f"pruned={rule}")[0]
        assert not execute(cell, store)
        _, one, two = cell.levels
        first, second = values.fill(one.ticket), values.fill(two.ticket)
        assert first is not None
        assert second is not None
        zeros = 0
        for name, ones in values.mask(one.ticket.mask).items():
            assert torch.equal(first[name][~ones], second[name][~ones]), rule
            zeros += int((first[name][~ones] == 0).sum())
        assert zeros > 0


def test_the_page_of_methods_is_made_from_the_code() -> None:
    page = (CONF.parent / "METHODS.md").read_text()
    assert page == methods_table.text(), "make catalogue writes it"


@pytest.mark.parametrize("control", ["mask_shuffle", "random"])
def test_a_shuffled_mask_gets_what_its_ticket_gets(control: str, tmp_path: Path) -> None:
    """The treatment and the fill are made for the shuffled mask: one thing differs from the ticket."""
    words = ("survivors=constant_signed", "pruned=zero_at_random", f"control={control}", "prune.levels=1")
    assert main([*words, "budget=smoke", "sweep=s", f"paths.output_dir={tmp_path}"]) == 0
    run = lt.open(tmp_path / "s").ticket(level=1)
    weights, ones = run.state(0)["fc1.weight"], run.mask["fc1.weight"]
    assert len(weights[ones].abs().unique()) == 1
    assert len(weights[~ones].unique()) > 1000  # what was pruned is frozen at its own initial value, or zero
    assert 0 < int((weights[~ones] == 0).sum()) < int((~ones).sum())


def test_words_that_change_nothing_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prune=at_init", "criterion=magnitude,random", "prune.groups=global,layerwise", "budget=smoke"]
    assert main(["-m", *words, "hydra.launcher.only_plan=true", f"paths.output_dir={tmp_path}"]) == 0
    assert "note: prune.groups: has no effect in some cells" in capsys.readouterr().out
