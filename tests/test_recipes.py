"""Each field of each recipe against a table of the sources, written from them, not from `conf/`; and experiments."""

from __future__ import annotations

import ast
import csv
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from composed import composed

from lt_sweeps.allocation import counts
from lt_sweeps.catalogue.listing import entry_of, options
from lt_sweeps.cell import Cell
from lt_sweeps.cli import main as command
from lt_sweeps.config.schema import CONF, Config
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Dense, Init, Prune, Train
from lt_sweeps.masks import dense
from lt_sweeps.networks.build import build
from lt_sweeps.registry import load
from lt_sweeps.specs import Part
from lt_sweeps.training import optim


def learns(experiment: Path) -> bool:
    """Whether the masks of an experiment are learned, by its own file or one that it is made from."""
    text = experiment.read_text()
    bases = [experiment.with_stem(name) for name in re.findall(r"^  - (\w+)$", text, re.MULTILINE) if name != "_self_"]
    return "override /prune: learned" in text or any(learns(base) for base in bases)


TABLE = Path(__file__).parent / "golden" / "recipes.csv"
NO_PAPERS = ("lenet_digits", "planted", "grokking", "induction", "transformer_text", "lstm_dyck", "unet_shapes")
RECIPES = sorted(path.stem for path in (CONF / "recipe").glob("*.yaml") if path.stem not in NO_PAPERS)
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
LEARNED = {path.stem for path in (CONF / "experiment").glob("*.yaml") if learns(path)}  # tests/test_learned.py
MODELS = {
    "lenet_300_100": "lenet_mnist",
    "conv2": "conv2_cifar10",
    "conv4": "conv4_cifar10",
    "conv6": "conv6_cifar10",
    "resnet20": "resnet20_cifar10",
    "resnet56": "open_lth_resnet_cifar10",
    "vgg16": "vgg16_cifar10",
    "vgg19": "vgg19_cifar10",
    "wrn_22_2": "wrn_22_2_cifar10",
    "resnet18": "resnet18_cifar10",
    "resnet50": "resnet50_imagenet",
}
ALWAYS = {"schedule", "validation", "last_batch", "mean", "std", "augment"}  # these matter when they are silent, too
Row = dict[str, str]


@cache
def table() -> dict[str, dict[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in csv.DictReader(TABLE.read_text().splitlines()):
        assert row["field"] not in found.setdefault(row["recipe"], {}), row
        found[row["recipe"]][row["field"]] = row
    return found


@cache
def trained(recipe: str) -> Cell:
    data = next(word for word in recipe.split("_") if word in ("mnist", "cifar10", "imagenet"))
    return composed(f"recipe={recipe}", f"dataset={data}")


def fields(config: Config) -> dict[str, Any]:
    """Everything a recipe sets, by the table's names."""
    recipe, silent = config.recipe, Config().recipe
    found: dict[str, Any] = {"optimizer": recipe.optimizer._target_, "schedule": None}
    found |= {f"optimizer.{name}": value for name, value in recipe.optimizer.args.items()}
    if recipe.schedule is not None and recipe.schedule._target_ is not None:
        found["schedule"] = recipe.schedule._target_
        found |= {f"schedule.{name}": value for name, value in recipe.schedule.args.items()}
    for name, value in vars(recipe).items():
        told = name in ("name", "source", "open", "differs", "optimizer", "schedule")
        if not told and (name in ALWAYS or value != getattr(silent, name)):
            found[name] = value
    return found


def said(value: Any) -> str:
    """A value as the table writes it."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(said, value)) or "none"
    if isinstance(value, Part):
        value = {"name": value.name, "args": value.args}
    if isinstance(value, Mapping):
        return f"{value['name']}({'; '.join(f'{name} {said(given)}' for name, given in value['args'].items())})"
    return "none" if value is None else str(value)


def in_the_graph(run: Train) -> dict[str, Any]:
    """What will be trained, by the table's names; times are iterations."""
    recipe, data = run.recipe, run.data
    found: dict[str, Any] = {
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optimizer.name,
        "schedule": recipe.schedule.name if recipe.schedule else None,
        "precision": recipe.precision,
        "last_batch": recipe.last_batch,
        "eval_every": recipe.eval_every,
        "validation": data.validation,
        "mean": data.mean,
        "std": data.std,
        "augment": data.augment,
    }
    found |= {f"optimizer.{name}": value for name, value in recipe.optimizer.args.items()}
    found |= {f"schedule.{name}": value for name, value in (recipe.schedule.args if recipe.schedule else {}).items()}
    return found


def test_the_table_and_the_folder_have_the_same_recipes() -> None:
    assert set(table()) == set(RECIPES)
    marks = {row["mark"] for rows in table().values() for row in rows.values()}
    assert marks == {"published", "code", "open", "differs"}
    for rows in table().values():
        assert all(row["source"] for row in rows.values() if row["mark"] in ("published", "code"))


@pytest.mark.parametrize("name", RECIPES)
def test_each_field_of_a_recipe_is_what_its_source_says(name: str) -> None:
    config = trained(name).config
    assert config.recipe.name == name
    assert config.recipe.source
    given, rows = {field: said(value) for field, value in fields(config).items()}, table()[name]
    assert given == {field: row["value"] for field, row in rows.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_itself_what_is_open_and_what_differs(name: str) -> None:
    recipe, rows = trained(name).config.recipe, table()[name]
    for mark, notes in (("open", recipe.open), ("differs", recipe.differs)):
        # the mean speaks for the deviation
        assert set(notes) == {field for field, row in rows.items() if row["mark"] == mark} - {"std"}, mark
        assert all(notes.values())
    assert rows["mean"]["mark"] == rows["std"]["mark"]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_reaches_the_graph(name: str) -> None:
    run, rows = trained(name).levels[0], table()[name]
    there = {field: said(value) for field, value in in_the_graph(run).items()}
    for field, row in rows.items():
        assert there[field] == (row["iterations"] or row["value"]), field


def rates_of(recipe: str, steps: Collection[int]) -> dict[int, float]:
    """The learning rates that these steps of a recipe train at."""
    described, found = trained(recipe).levels[0].recipe, {}
    sgd = torch.optim.SGD([torch.zeros(1)], lr=described.optimizer.args["lr"])
    assert described.schedule is not None
    schedule = optim.schedule(described.schedule, sgd, 0)
    sgd.step()  # or torch warns
    for step in range(max(steps) + 1):
        if step in steps:
            found[step] = float(sgd.param_groups[0]["lr"])
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("recipe", "rates"),
    {
        "resnet20_cifar10": {0: 0.1, 19999: 0.1, 20000: 0.01, 24999: 0.01, 25000: 0.001},
        "resnet20_cifar10_low": {0: 0.01, 20000: 0.001, 25000: 0.0001},
        "resnet20_cifar10_warmup": {0: 0, 10000: 0.015, 19999: 0.0299985, 20000: 0.003, 25000: 0.0003},
        "vgg19_cifar10_warmup": {0: 0, 5000: 0.05, 10000: 0.1, 56239: 0.1, 56240: 0.01, 84360: 0.001},
        "resnet50_imagenet": {0: 0, 3130: 0.2, 6260: 0.4, 37559: 0.4, 37560: 0.04, 112679: 0.0004},
        "renda_resnet_cifar10": {0: 0.1, 35546: 0.1, 35547: 0.01, 53126: 0.001},
        "wrn_22_2_cifar10": {30000: 0.1, 30001: 0.02, 60001: 0.004, 90001: 0.0008},
        "resnet18_cifar10": {0: 0.04, 1455: 0.12, 2910: 0.2, 8730: 0.1, 14550: 0},
    }.items(),
)
def test_the_learning_rate_is_the_papers_at_the_steps_that_matter(recipe: str, rates: Mapping[int, float]) -> None:
    assert rates_of(recipe, rates.keys()) == pytest.approx(rates, rel=1e-9)


SCRIPTS = "".join(path.read_text() for path in (Path(__file__).parent.parent / "multirun").glob("*.sh"))


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if not re.search(rf"experiment={name}\b", SCRIPTS)])
def test_every_experiment_that_no_script_runs_is_planned(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["plan", f"experiment={name}", "seed=0", f"paths.output_dir={tmp_path}"]) == 0
    assert re.search(r"\d+ cells?: \d+ trainings asked", capsys.readouterr().out)


WEIGHTS = [name for name in EXPERIMENTS if name not in (*LEARNED, "early_bird_channels")]  # units: tests/test_units.py


@pytest.mark.parametrize("name", WEIGHTS)
def test_what_an_experiment_prunes_and_spares_is_there(name: str) -> None:
    ticket = composed(f"experiment={name}", "prune.shown=[]").levels[1].ticket
    assert isinstance(ticket.mask, Prune)
    assert isinstance(ticket.mask.parent, Dense)
    mask, _ = dense(build(ticket.network), ticket.mask.parent.exclude)
    kept = sum(keep for _, keep in counts(mask, ticket.mask.fraction, ticket.mask.groups, ticket.mask.factors))
    assert 1 - ticket.mask.fraction - 1e-3 < kept / sum(ones.numel() for ones in mask.values()) < 1


def test_what_the_experiments_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Per seed a chain of 16; each control trains 15 more; three ways to retrain share the dense network."""
    for words, distinct in {
        ("experiment=frankle2019", "seed=0,1"): 2 * (16 + 15),
        ("experiment=lmc_resnet20",): 16 + 2 * 15,
        ("experiment=renda_resnet20", "seed=0"): 16 + 2 * 15,
    }.items():
        assert command(["plan", *words, f"paths.output_dir={tmp_path}"]) == 0
        assert f" {distinct} distinct" in capsys.readouterr().out


def test_an_experiment_chooses_over_its_model_and_the_command_line_over_both() -> None:
    plain, ours = composed("model=resnet20").config, composed("experiment=open_lth_resnet20").config
    assert (plain.recipe.name, ours.recipe.name) == ("resnet20_cifar10", "open_lth_resnet_cifar10")
    assert (plain.prune.exclude, ours.prune.exclude) == (["*.shortcut.*", "output.weight"], [])
    typed = composed("experiment=open_lth_resnet20", "recipe=renda_resnet_cifar10", "prune.exclude=[x]").config
    assert (typed.recipe.name, typed.prune.exclude) == ("renda_resnet_cifar10", ["x"])
    other = composed("experiment=frankle2019", "model=conv2").config
    assert (other.model.name, other.dataset.name, other.recipe.name) == ("conv2", "cifar10", "conv2_cifar10")


def test_the_set_ups_of_the_papers_reach_the_graph() -> None:
    def ticket(*words: str) -> tuple[Cell, Train]:
        found = composed(*words)
        return found, found.levels[1]

    _, lmc = ticket("experiment=lmc_resnet20")
    assert (lmc.ticket.start, lmc.recipe.steps) == (500, 63000)
    assert lmc.ticket.network.initialiser == Part("kaiming_normal", 1, {"batchnorm": "uniform"})
    _, low = ticket("experiment=stabilizing_resnet20", "recipe=resnet20_cifar10_low", "rewind.step=0it")
    assert isinstance(low.ticket.weights, Init)
    assert low.ticket.network.initialiser == Part("glorot_normal", 1)
    cell, vgg = ticket("experiment=renda_vgg16", "rewind=learning_rate")
    assert (vgg.ticket.start, cell.config.survivors.name) == (4701, "keep")
    assert vgg.ticket.network.initialiser == Part("kaiming_normal", 1, {"batchnorm": "ones"})
    _, tuned = ticket("experiment=renda_resnet20", "rewind=finetune")
    assert (tuned.recipe.steps, tuned.recipe.schedule) == (71108, None)
    assert tuned.recipe.optimizer.args["lr"] == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("words", "rate"),
    [
        (("recipe.steps=25001it",), 0.001),
        (("recipe.steps=25000it",), 0.01),
        (("recipe.steps=20000it",), 0.1),
        (("recipe.steps=22000it", "budget=smoke"), 0.01),
        (
            (
                "recipe.steps=22000it",
                "recipe.schedule._target_=warmup_multistep",
                "++recipe.schedule.args.warmup=9000it",
            ),
            0.01,
        ),
    ],
)
def test_fine_tuning_is_at_the_rate_of_the_last_step(words: tuple[str, ...], rate: float) -> None:
    tuned = composed("model=resnet20", "rewind=finetune", *words).levels[1]
    assert tuned.recipe.optimizer.args["lr"] == pytest.approx(rate)


def test_a_last_rate_within_the_warm_up_is_asked_for() -> None:
    with pytest.raises(Mistake, match=r"rewind\.finetune_lr: set it"):
        composed("model=resnet20", "recipe=resnet20_cifar10_warmup", "recipe.steps=20000it", "rewind=finetune")


@pytest.mark.parametrize(("model", "recipe"), MODELS.items())
def test_a_model_chooses_its_papers_recipe(model: str, recipe: str) -> None:
    assert composed(f"model={model}").config.recipe.name == recipe


def test_rewinding_to_init_and_to_a_step_at_once_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="choose rewind=step"):
        composed("experiment=lmc_resnet20", "rewind=init")


def test_the_list_names_every_option_within_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    there = {(path.relative_to(CONF).parent.as_posix(), path.stem) for path in CONF.glob("*/**/*.yaml")}
    for words in ([], ["recipe"], ["recipe", "renda_vgg16_cifar10"]):
        assert command(["list", *words]) == 0
        told = capsys.readouterr().out
        assert max(map(len, told.splitlines())) <= 100
    assert command(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {(group, name) for group, named in found.items() for name in named} == there
    assert all(option["about"] for named in found.values() for option in named.values())


@pytest.mark.parametrize("group", ["criterion", "gate", "hook", "allocation", "corruption"])
def test_the_list_names_arguments_with_the_defaults_that_python_sees(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, option in options(group)[group].items():
        path = CONF / group / f"{name}.yaml"
        if (entry := entry_of(path)) is None:
            continue
        taken = inspect.signature(load(group, entry.name)).parameters
        mine = {argument: taken[argument] for argument in entry.parameters if argument in taken}
        assert list(option["arguments"]) == list(mine)
        assert command(["list", group, name]) == 0
        told = capsys.readouterr().out
        for argument, parameter in mine.items():
            (line,) = re.findall(rf"^  {argument} +(.*)$", told, re.MULTILINE)
            _, _, default = line.partition(" = ")
            if parameter.default is not inspect.Parameter.empty:
                assert ast.literal_eval(default) == parameter.default, (name, argument)
        doc = (inspect.getdoc(load(group, entry.name)) or "").split(">>>")[0]
        assert all(" ".join(paragraph.split()) in " ".join(told.split()) for paragraph in doc.split("\n\n")), name
        assert path.read_text() in told


@pytest.mark.parametrize("name", RECIPES)
def test_the_list_reads_a_recipe_as_hydra_composes_it(name: str) -> None:
    listed, config = options("recipe", name)["recipe"][name], trained(name).config
    assert (listed["source"], listed["open"], listed["differs"]) == (
        config.recipe.source,
        config.recipe.open,
        config.recipe.differs,
    )
    assert {field: listed["fields"][field] for field in fields(config)} == fields(config)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["recip"], "there is no group 'recip'; did you mean 'recipe'?"),
        (["recipe", "lenet_mnis"], "there is no recipe 'lenet_mnis'; did you mean 'lenet_mnist'?"),
        (["--jason"], "list: write lt-sweeps list [GROUP [OPTION]] [--json]"),
    ],
)
def test_a_mistake_in_what_to_list_is_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["list", *words]) == 2
    assert capsys.readouterr().err == f"lt_sweeps: {told}\n"


def test_the_list_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["list", "--help"]) == 0
    assert capsys.readouterr().out == "usage: lt-sweeps list [GROUP [OPTION]] [--json]\n"


@pytest.mark.parametrize(
    "verb", ["plan", "run", "status", "report", "best", "compare", "list", "ticket", "store", "check"]
)
def test_every_command_has_help_also_as_a_module(verb: str) -> None:
    command = [sys.executable, "-m", "lt_sweeps.cli", verb, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "lt_sweeps" in done.stdout or f"lt-sweeps {verb}" in done.stdout
