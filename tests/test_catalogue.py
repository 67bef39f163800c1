"""Law 7, and what a user meets: every choosable function is documented, exemplified, configured and runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from test_sweep import cells_of

from lt_sweeps.catalogue import options_page
from lt_sweeps.check import datasets, functions, trainings
from lt_sweeps.check.candidate import candidate
from lt_sweeps.check.functions import LAWS
from lt_sweeps.check.laws import Outcome, run_laws
from lt_sweeps.columns import COLUMNS
from lt_sweeps.config import usual
from lt_sweeps.graph import Prune
from lt_sweeps.main import CONF
from lt_sweeps.registry import FOLDERS, Entry, catalogue, load, part

ALL = [(kind, entry) for kind in FOLDERS for entry in catalogue(kind).values()]
NAMES = [f"{kind} {entry.name}" for kind, entry in ALL]
EXEMPLIFIED = (
    "criterion",
    "allocation",
    "survivors",
    "control",
    "pruned",
    "gate",
    "hook",
    "transfer",
    "augmentation",
    "corruption",
    "schedule",
    "measure",
    "task",
)


@pytest.mark.parametrize(("kind", "entry"), ALL, ids=NAMES)
def test_what_is_registered_says_what_it_is(kind: str, entry: Entry) -> None:
    function = load(kind, entry.name)
    doc = inspect.getdoc(function) or ""
    assert doc.partition("\n")[0].rstrip().endswith((".", ":")) or len(doc.splitlines()) > 1
    if kind in EXEMPLIFIED:
        examples = doctest.DocTestFinder(recurse=False).find(function, entry.name)
        assert examples[0].examples, f"{entry.name} has no hand-computed example in its docstring"


@pytest.mark.parametrize(("kind", "entry"), ALL, ids=NAMES)
def test_the_table_read_from_the_source_is_what_python_sees(kind: str, entry: Entry) -> None:
    module = importlib.import_module(entry.module)
    assert callable(getattr(module, entry.name))
    assert entry.version >= 1


def kept(outcomes: Iterator[Outcome]) -> bool:
    """Whether every law holds, of those that `lt-sweeps check` runs."""
    found = list(outcomes)
    assert [outcome for outcome in found if outcome.verdict in ("FAILED", "skipped")] == []
    return bool(found)


BUILT = {"graph", "files"}  # words that build expressions, windows of image files: no functions of tensors
OF_CHANNELS = ("batchnorm_scale",)  # scores scales, which no mask of weights alone covers: tests/test_units.py
OF_HEADS = ("induction",)  # measures attention, which the network of the laws has not: tests/test_tokens.py
FUNCTIONS = [
    (kind, entry.name)
    for kind, entry in ALL
    if kind in LAWS and not BUILT & {*entry.needs} and entry.name not in (*OF_CHANNELS, *OF_HEADS)
]


@pytest.mark.parametrize(("kind", "name"), FUNCTIONS, ids=[" ".join(one) for one in FUNCTIONS])
def test_every_function_keeps_the_laws_of_its_kind(kind: str, name: str) -> None:
    assert kept(functions.outcomes(kind, name))


@pytest.mark.parametrize("name", (n for n, e in catalogue("network").items() if "transformers" not in e.needs))
def test_every_network_keeps_the_laws(name: str) -> None:
    """As its models have it, on the smallest images it takes, from 4x4 on, and narrow where it has a width."""
    models = [OmegaConf.load(path).model for path in (CONF / "model").glob("*.yaml")]
    declared = [model for model in models if model.name == name]
    side = max(4, *(model.get("min_side", 1) for model in declared))
    args: Any = OmegaConf.to_container(OmegaConf.merge(*(model.get("args", {}) for model in declared)))
    narrow = {"width": 0.1} if "width" in catalogue("network")[name].parameters else {}
    shape = (6,) if "tokens" in catalogue("network")[name].needs else (1, side, side)
    assert kept(run_laws(trainings.STAGES, candidate(name, args | narrow, shape, 10)))


TOKENS = [name for name, entry in catalogue("dataset").items() if "embedding" in entry.needs]


@pytest.mark.parametrize(
    "name", ["digits", "circle", "helix", "relu", "teacher", "shapes", *TOKENS, "mnist", "cifar10"]
)
def test_every_data_set_that_is_here_keeps_the_laws(name: str, request: pytest.FixtureRequest) -> None:
    """What the others are read from is written in `test_published`."""
    declared = next(d for path in (CONF / "dataset").glob("*.yaml") if (d := OmegaConf.load(path)).name == name)
    declared = OmegaConf.create({"dataset": declared}).dataset  # as its interpolations name it
    folder = request.getfixturevalue("data_dir") if declared.get("files") else Path("nowhere")
    sizes = {"classes": declared.classes, "train": declared.train, "test": declared.test}
    asked = usual.task(name)
    task = None if asked == usual.CLASSIFICATION else part("task", asked)
    source = datasets.Source(part("dataset", name), folder, tuple(declared.shape), **sizes, task=task)
    assert kept(run_laws(datasets.STAGES, source))


GROUPS = sorted({path.parent.name for path in CONF.glob("*/*.yaml")})


@pytest.mark.parametrize("option", sorted(f"{p.parent.name}={p.stem}" for p in CONF.glob("*/*.yaml")))
def test_every_option_composes_to_a_checked_experiment(option: str) -> None:
    words = [option] if option != "model=custom" else [option, "model._target_=small.Net"]
    if option.startswith("experiment="):
        words += ["sweep=s", "recipe.steps=100000it", "prune.levels=1", "prune.shown=[]"]  # beyond every rewind point
    if option == "experiment=early_bird_channels":
        words.append("find.hook.name=early_bird")  # which it sweeps over
    if option.startswith("transfer=") and option != "transfer=none":
        source = {"elastic": "mlp2", "widen": "mlp3", "narrow": "mlp3"}.get(option.removeprefix("transfer="))
        width = {"transfer=widen": 0.5, "transfer=narrow": 2}.get(option)
        words += ["find.seeds.offset=1"] if source is None else ["model=mlp3", f"find.model.name={source}"]
        words += [] if width is None else [f"find.model.width={width}"]
    if option == "prune=learned" or (option.startswith("gate=") and option != "gate=none"):
        learns = "search" in catalogue("gate").get(option.removeprefix("gate="), catalogue("gate")["gem"]).needs
        words += ["prune=learned", "prune.levels=1"] if learns else []
        words += ["gate=edge_popup"] if option == "prune=learned" else []
    if option == "prune=cyclic":
        words.append("rewind=learning_rate")
    if option.startswith("hook=") and option != "hook=none":
        words += ["hook.every=1it", "hook.begin=1it"]  # a small training has no five epochs
    if option == "measure=induction":
        words.append("model=attention_only")
    if option == "measure=planted":
        words.append("model=planted")
    if option in ("prune=one_shot", "budget=smoke"):
        words.append("recipe.steps=50it")
    if option.startswith("dataset=") and option.removeprefix("dataset=") in TOKENS:
        words.append("model=transformer")
    if option in ("dataset=shapes", "task=dense_prediction"):
        words += ["model=unet", "recipe.steps=50it"]
    # a recipe belongs to a data set with as many channels
    if option.startswith("recipe="):
        words = [f"dataset={data}" for data in ("mnist", "cifar10", "imagenet") if f"_{data}" in option] + words
    if option == "dataset=custom":
        words += ["dataset._target_=lt_sweeps.datasets.digits.digits"]
    if option == "dataset=image_folder":
        words += ["dataset.args.folder=f", "dataset.classes=2", "dataset.train=900", "dataset.test=9"]
    if option in ("rewind=step", "recipe=vgg16_cifar10"):
        words.append("recipe.steps=600it")
    assert cells_of(*words)[0].levels


def test_every_choosable_name_has_an_option() -> None:
    groups = {kind: kind for kind in ("criterion", "allocation", "dataset", "corruption")}
    groups |= {"method": "prune", "network": "model"}
    for kind, group in groups.items():
        named = {
            m[1]
            for p in (CONF / group).glob("*.yaml")
            for m in [re.search(r"^\s*name: (\w+)", p.read_text(), re.M)]
            if m
        }
        assert set(catalogue(kind)) <= named, kind


def test_the_model_chooses_its_papers_data_and_recipe_and_the_command_line_wins() -> None:
    chosen = cells_of("model=resnet20", "budget=paper", "recipe.eval_every=1ep", "recipe.steps=30000it")[0].config
    assert (chosen.dataset.name, chosen.recipe.name, chosen.prune.groups) == ("cifar10", "resnet20_cifar10", "global")
    other = cells_of("model=conv2", "dataset=mnist", "recipe=lenet_mnist", "prune.groups=global")[0].config
    assert (other.dataset.name, other.recipe.name, other.prune.groups) == ("mnist", "lenet_mnist", "global")


def test_the_papers_recipes_reach_the_graph() -> None:
    """Frankle & Carbin 2019, Figure 2 and appendix I; the whole table of recipes is for its own test."""
    lenet = cells_of("model=lenet_300_100", "recipe.steps=50000it", "recipe.eval_every=100it")[0].levels[1]
    assert (lenet.recipe.steps, lenet.recipe.batch_size, lenet.data.validation) == (50000, 60, 5000)
    assert lenet.recipe.optimizer.args == {"lr": 1.2e-3}
    assert isinstance(lenet.ticket.mask, Prune)
    assert (lenet.ticket.mask.groups, dict(lenet.ticket.mask.factors)) == ("layerwise", {"output.weight": 0.5})
    resnet = cells_of("model=resnet20", "recipe.steps=30000it", "recipe.eval_every=1ep")[0].levels[1]
    assert resnet.recipe.schedule is not None
    assert resnet.recipe.schedule.args["milestones"] == [20000, 25000]
    assert resnet.recipe.eval_every == 45000 // 128


def test_a_budget_scales_everything_on_the_clock_together() -> None:
    words = ("model=resnet20", "recipe.steps=30000it", "rewind=step", "rewind.step=500it", "budget=quick")
    quick = cells_of(*words)[0]
    run = quick.levels[1]
    assert (run.recipe.steps, run.ticket.start) == (3000, 50)
    assert run.recipe.schedule is not None
    assert run.recipe.schedule.args["milestones"] == [2000, 2500]
    assert quick.budget.startswith("budget=quick: 3,000 iterations")
    smoke = cells_of("model=vgg16", "budget=smoke", "recipe.steps=160ep")[0].levels[0]
    assert (smoke.recipe.steps, smoke.data.train_limit, smoke.recipe.batch_size) == (8, 256, 16)


def test_the_page_of_options_is_as_make_catalogue_writes_it() -> None:
    page = options_page.PAGE.read_text()
    assert options_page.text(page) == page
    for group in GROUPS:
        [cell] = re.findall(rf"^\| `{group}` \| ([^|]+) \| .", page, re.M)
        assert set(re.findall(r"`([^`]+)`", cell)) == {path.stem for path in (CONF / group).glob("*.yaml")}, group
    [columns] = re.findall(r"\| column \| meaning \|\n((?:\|.*\n)+)", page)
    assert re.findall(r"^\| `(\w+)` \|", columns, re.M) == list(COLUMNS)
