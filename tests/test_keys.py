"""Equal work has equal keys, different work has different ones, and neither changes unseen."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest

from lt_sweeps.graph import END, At, Init, MaskAt, Ticket, Train, at, end, seen, sources, topological
from lt_sweeps.keys import Spec, canonical, digest
from lt_sweeps.methods.choices import Choices
from lt_sweeps.methods.imp import imp
from lt_sweeps.specs import Data, Network, Part, Recipe

HERE = Path(__file__).parent
NET = Network(Part("lenet_300_100", 1), (1, 8, 8), 10)


def golden() -> ModuleType:
    spec = importlib.util.spec_from_file_location("record", HERE / "golden" / "record.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_keys_are_those_of_every_earlier_version() -> None:
    record = golden()
    assert json.loads(record.GOLDEN.read_text())["keys"] == record.current()["keys"]


def test_code_changes_only_with_its_version() -> None:
    record = golden()
    known, now = json.loads(record.GOLDEN.read_text())["code"], record.current()["code"]
    changed = [name for name in now if name in known and known[name] != now[name]]
    assert not changed, f"{changed}: raise the version, or see that results are the same bits; then make catalogue"
    assert known.keys() == now.keys(), "new or raised versions: make catalogue"


@pytest.mark.parametrize("file", ["training/step.py", "training/dynamics.py", "gates/gate.py", "hooks/moment.py"])
def test_code_of_a_step_is_code_of_a_training(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another line in what takes a step, or in what a gate and a hook make of it, is seen."""
    record = golden()
    before = record.current()["code"]
    here = shutil.copytree(record.HERE, tmp_path / "lt_sweeps", ignore=shutil.ignore_patterns("__pycache__"))
    with (here / file).open("a") as changed:
        changed.write("\nOTHER = 1\n")
    monkeypatch.setattr(record, "HERE", here)
    after = record.current()["code"]
    assert [name for name in before if after[name] != before[name]] == ["Train version 1"]


def test_equal_numbers_are_equal_texts() -> None:
    assert canonical([1, 1.0, 0.1 + 0.2, True, None]) == [1, 1, 0.3, True, None]
    assert digest({"b": 1, "a": 2.0}) == digest({"a": 2, "b": 1.0})
    assert digest(True) != digest(1)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not a finite number"):
            canonical(wrong)
    with pytest.raises(TypeError, match="cannot be part of a key"):
        canonical(object())


def test_a_field_added_with_a_default_leaves_old_keys_alone() -> None:
    @dataclass(frozen=True, eq=False)
    class Old(Spec):
        rate: float

    @dataclass(frozen=True, eq=False)
    class New(Spec):
        rate: float
        extra: int = 3

    assert digest(Old(0.2)) == digest(New(0.2)) == digest(New(0.2, 3)) != digest(New(0.2, 4))


def test_the_start_of_a_run_is_its_start_weights_and_its_last_step_is_its_end() -> None:
    dense = golden().expressions()["dense run"]
    assert isinstance(dense, Train)
    assert at(dense, 0) == dense.ticket.weights
    assert at(dense, dense.recipe.steps) == At(dense, END) == end(dense).weights
    with pytest.raises(ValueError, match="goes from step 0 to 50000, not through 50001"):
        at(dense, 50001)


def test_a_step_of_a_training_with_a_hook_has_a_mask_of_its_own_but_the_first() -> None:
    still = golden().expressions()["dense run"]
    assert isinstance(still, Train)
    moving = replace(still, hooks=(Part("set", 1),))
    for step in (1000, END):
        assert seen(moving, step).mask == MaskAt(At(moving, step))
        assert seen(still, step).mask == still.ticket.mask
    assert seen(moving, 0).mask == still.ticket.mask


def test_every_part_of_the_meaning_is_in_the_key() -> None:
    run = golden().expressions()["ticket run"]
    assert isinstance(run, Train)
    others = [
        replace(run, order=1),
        replace(run, augment=1),
        replace(run, level=2),
        replace(run, ticket=replace(run.ticket, start=501)),
        replace(run, ticket=replace(run.ticket, fill=run.ticket.weights)),
        replace(run, ticket=replace(run.ticket, weights=Init(run.ticket.network, 1))),
        *(replace(run, data=replace(run.data, **change)) for change in DATA_CHANGES),
        *(replace(run, recipe=replace(run.recipe, **change)) for change in RECIPE_CHANGES),
    ]
    assert len({run.key, *(other.key for other in others)}) == 1 + len(others)
    assert replace(run).key == run.key


DATA_CHANGES = [
    {"validation": 4000},
    {"split_seed": 1},
    {"mean": (0.5,), "std": (1.0,)},
    {"augment": ("flip",)},
    {"train_limit": 10},
    {"eval_limit": 10},
    {"source": Part("fashion", 1)},
]
RECIPE_CHANGES = [
    {"steps": 50001},
    {"batch_size": 61},
    {"optimizer": Part("torch.optim.Adam", args={"lr": 1.3e-3})},
    {"schedule": Part("warmup_multistep", 1, {"milestones": [1]})},
    {"clip_norm": 1.0},
    {"precision": "bf16-mixed"},
    {"last_batch": "keep"},
    {"eval_every": 50},
]


def test_specs_are_equal_when_they_mean_the_same() -> None:
    assert Part("a", args={"lr": 1}) == Part("a", args={"lr": 1.0})
    assert hash(Part("a", args={"lr": 1})) == hash(Part("a", args={"lr": 1.0}))
    assert Part("a") != Part("b")


def test_a_chain_of_a_thousand_levels_is_built_and_walked_without_recursion() -> None:
    recipe = Recipe(10, 10, Part("torch.optim.SGD", args={"lr": 0.1}))
    ticket = Ticket(NET, Init(NET, 0), golden().Dense(NET))
    dense = Train(ticket, Data(Part("digits", 1), 10, (1, 8, 8)), recipe)
    choices = Choices(
        dense=dense,
        levels=1000,
        rate=0.01,
        criterion=Part("magnitude", 1),
        rounds=1,
        revive=False,
        invert=False,
        allocation=None,
        groups="global",
        factors={},
        survivors=Part("rewind", 1),
        control=Part("none", 1),
        pruned=Part("zero", 1),
        rewind=0,
        start=0,
        retrain=recipe,
        shown_recipe=recipe,
        shown_seeds=(0, 0),
        keep_batchnorm=False,
        fresh_order=True,
        cycles=None,
        unit=None,
        score_seed=0,
        treat_seed=0,
        ties_seed=0,
    )
    levels = imp(choices, choices)
    nodes = list(topological([levels[-1]]))
    assert sum(isinstance(node, Train) for node in nodes) == 1001
    seen: set[str] = set()
    for node in nodes:
        assert all(child.key in seen for child in node.children)
        seen.add(node.key)
    assert len(seen) == len(nodes)
    assert len(repr(levels[-1])) < 40
    assert set(sources(levels[-1])) <= seen
