"""Composing every cell at once gives what Hydra gives one cell at a time, mistakes included, and costs little."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lt_sweeps.config.composing import Composer, register_schema
from lt_sweeps.config.mistakes import explain
from lt_sweeps.config.reading import checked, read
from lt_sweeps.config.schema import CONF, Config
from lt_sweeps.errors import Mistake
from lt_sweeps.main import main

pytestmark = pytest.mark.sweeps

# Cells, as words of a command line. One composer sees them all, so what one leaves behind is seen by the next.
CELLS = [
    "",
    # values, and what refers to them
    "prune.rate=0.2",
    "seed=3",
    "seed=3 seeds.init=7",
    "seeds.init=7 seed=3",
    "seeds.order='${seeds.init}' seeds.init=7",
    "budget.levels=4",
    "budget.levels=4 prune.levels=2",
    "prune.rate=1e-2 prune.rate=0.5",
    "prune.rate=0.5 prune.rate=1e-2",
    "paths.output_dir='${oc.env:HOME}/${sweep}' sweep=mine",
    "sweep=null",
    "sweep='a b, c=d'",
    'sweep="it\'s"',
    "sweep=\\${seed}",
    "recipe.clip_norm=null",
    "recipe.clip_norm=1",
    "seed=null",
    "recipe.validation=1.5",
    "trainer.deterministic=no",
    # lists and mappings
    "recipe.augment=[crop]",
    "recipe.augment=[{name:crop,args:{padding:2}}] recipe.augment=[]",
    "recipe.optimizer.args.lr=0.3",
    "recipe.optimizer.args={lr:0.3}",
    "+recipe.optimizer.args.weight_decay=1e-4",
    "+recipe.optimizer.args.weight_decay=1e-4 recipe.optimizer.args.weight_decay=1e-3",
    "recipe.optimizer={args:{lr:0.3}}",
    "~recipe.optimizer.args.lr",
    "~recipe.optimizer.args.lr +recipe.optimizer.args.lr=3",
    "recipe.mean=[0.5] recipe.std=[0.25]",
    "recipe.mean.0=0.5",
    "+prune.factors={output.weight:0.5}",
    "++prune.factors={output.weight:0.5}",
    "prune={rate:0.3,levels:2}",
    # groups, what they choose, and values in what they chose
    "model=conv2",
    "model=conv2 seed=3",
    "prune.rate=0.3 model=conv2",
    "model=conv2 model.width=2 +model.args.batchnorm=true",
    "model=conv2 dataset=cifar100",
    "dataset=cifar100 model=conv2",
    "dataset=mnist recipe=lenet_mnist model=lenet_300_100",
    "model=resnet20 recipe.optimizer.args.lr=0.03 prune.exclude=[]",
    "model=lenet_300_100 prune.factors={output.weight:1}",
    "model=lenet_digits model=conv2",
    "rewind=step rewind.step=100it",
    "rewind=learning_rate",
    "rewind=learning_rate survivors=rewind",
    "corruption=label_flip corruption.args.fraction=0.3",
    "budget=smoke prune.levels=1",
    "prune.levels=1 budget=smoke",
    "control=reinit criterion=random",
    "recipe.schedule=null",
    "logger=wandb logger.tags=[a,b]",
    "experiment=demo",
    "experiment=demo seed=3 prune.rate=0.5",
    "prune.rate=0.5 experiment=demo",
    "experiment=frankle2019 model=conv4",
    "+experiment=demo",
    "hydra.launcher.only_plan=true seed=3",
    "seed=3 hydra/launcher=basic prune.rate=0.5",
    # mistakes
    "nonsense=1",
    "seed=3 prune.nonsense=1 model=conv2",
    "+nonsense=1",
    "++prune.rat=0.3",
    "+prune.rate=0.3",
    "~prune",
    "~prune.nonsense",
    "~model",
    "~seed=4",
    "prune.rate=high",
    "prune.rate=null",
    "prune.rate=0.1,0.2",
    "prune.rate=nan",
    "prune.rate=3",
    "model=conv3 prune.rate=high",
    "model=5",
    "model={name:conv2}",
    "model=[conv2]",
    "model@prune=conv2",
    "foo/bar=1",
    "foo@bar=1",
    "prune.rate='${nonsense}'",
    "prune.rate='${sweep}'",
    "sweep='${hydra.job.name}'",
    "sweep='${nonsense:3}'",
    "sweep='${'",
    "prune.rate=[0.5",
    "prune.rate",
    "prune.rate.deep=3",
    "seed.deep=3",
    "recipe.schedule=null recipe.schedule.args={gamma:0.5}",
    "prune.rate=???",
    "paths=???",
    "dataset=image_folder",
    "hydra.nonsense=1",
    "hydra.launcher.only_plan=perhaps seed=3",
]
# A reference that stands where a mapping may: what is written below it is written where it leads.
LINKED = [
    "model.args='${recipe.optimizer.args}' model.args.lr=0.7",
    "model.args='${recipe.optimizer.args}' seed=3",
    "++model.args='${recipe.optimizer.args}' ++model.args.more=1",
    "model.args='${recipe.optimizer.args}' model.args={lr:0.6}",
    "model.args.again='${recipe.optimizer.args}'",
    "++model.args.again='${recipe.optimizer.args}' ++model.args.again.lr=0.7",
    "prune.factors='${recipe.optimizer.args}' prune.factors.lr=0.9",
    "prune='${recipe}' prune.batch_size=3",
    "seeds='${seeds}' seeds.init=3",
]
HELD = """
# @package _global_
model: {args: "${recipe.optimizer.args}"}
"""
REFUSED = (HydraException, OmegaConfBaseException, ValueError, AssertionError)  # Hydra raises all of them


class Both:
    """Hydra, and ours beside it."""

    def __init__(self, *overrides: str) -> None:
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        self.loader: Any = hydra.config_loader
        self.master = self.loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)
        self.composer = Composer(self.loader, self.master)

    def hydras(self, words: list[str]) -> tuple[str, Config | str]:
        """The values of a cell, in their order and of their types, and its config; or how its mistake is told."""
        try:
            composed = self.loader.load_sweep_config(self.master, words)
            ours = OmegaConf.masked_copy(composed, [name for name in composed if name != "hydra"])
            values = OmegaConf.to_container(ours, resolve=True, throw_on_missing=True)
        except REFUSED as error:
            return "", explain(error)
        try:
            return repr(values), read(composed)
        except Mistake as mistake:
            return repr(values), str(mistake)

    def ours(self, words: list[str]) -> tuple[str, Config | str]:
        """The same, by our way."""
        try:
            values = self.composer.values(words)
        except REFUSED as error:
            return "", explain(error)
        try:
            return repr(values), checked(values)
        except Mistake as mistake:
            return repr(values), str(mistake)


@pytest.fixture
def hydra() -> Iterator[None]:
    register_schema()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def split(command: str) -> list[str]:
    """Words, with the quotes that Hydra reads."""
    return re.findall(r"""(?:"[^"]*"|'[^']*'|[^\s'"])+""", command)


def test_every_cell_is_what_hydra_makes_of_it_whatever_was_composed_before(hydra: None) -> None:
    both = Both()
    expected = {command: both.hydras(split(command)) for command in CELLS}
    mistaken = sum(not isinstance(config, Config) for _, config in expected.values())
    assert mistaken >= 30
    assert len(CELLS) - mistaken >= 50
    again = random.Random(0).sample(CELLS, len(CELLS) // 3)
    for command in [*CELLS, *again]:
        assert both.ours(split(command)) == expected[command], command


def test_words_in_any_combination_and_order_are_what_hydra_makes_of_them(hydra: None) -> None:
    both, draw = Both(), random.Random(1)
    words = [word for command in CELLS[:55] for word in split(command)]
    for _ in range(20):
        cell = draw.sample(words, draw.randint(2, 7))
        assert both.ours(cell) == both.hydras(cell), cell


@pytest.mark.parametrize("held", [False, True], ids=["by the cell", "by a file"])
def test_what_is_written_through_a_reference_is_written_where_hydra_writes_it(
    hydra: None, tmp_path: Path, held: bool
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "held.yaml").write_text(HELD.lstrip())
    both = Both(f"hydra.searchpath=[file://{tmp_path}]")
    cells = [["experiment=held", *split(command)[1:]] if held else split(command) for command in LINKED]
    expected = [both.hydras(cell) for cell in cells]
    assert isinstance(expected[0][1], Config)
    assert expected[0][1].recipe.optimizer.args["lr"] == 0.7
    for cell, told in [*zip(cells, expected, strict=True)] * 2:
        assert both.ours(cell) == told, cell


def test_cells_share_no_list_and_no_mapping(hydra: None) -> None:
    both = Both()
    first = both.composer.values(["seed=1"])
    first["recipe"]["optimizer"]["args"]["lr"] = first["recipe"]["augment"] = None
    second = both.composer.values(["seed=1"])
    assert (repr(second), checked(second)) == both.hydras(["seed=1"])


def test_a_grid_costs_a_fifth_at_most_of_composing_it_cell_by_cell(hydra: None) -> None:
    """Twenty cells of one model; the ratio grows with the cells of a model."""
    models, rates = ("vgg16",), (0.2, 0.3, 0.4, 0.5)
    cells = [[f"model={m}", f"prune.rate={r}", f"seed={s}"] for m in models for r in rates for s in range(5)]
    both, ours, hydras = Both(), 0.0, 0.0
    for cell in cells:  # in turns: other work on the machine slows both
        start = time.process_time()
        expected = read(both.loader.load_sweep_config(both.master, cell))
        middle = time.process_time()
        found = checked(both.composer.values(cell))
        hydras, ours = hydras + middle - start, ours + time.process_time() - middle
        assert found == expected
    print(f"{len(cells)} cells: {hydras:.2f} s by Hydra, {ours:.2f} s together")
    assert 5 * ours < hydras


def test_equal_cells_are_one_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["budget=smoke", "prune.levels=1", f"paths.output_dir={tmp_path}", "hydra.launcher.only_plan=true"]
    assert main(["-m", *words, "prune.rate=0.2,0.20,2e-1,0.3", "seed=0,1,0"]) == 0
    assert "4 cells: 8 trainings asked, 6 distinct" in capsys.readouterr().out
    assert main(["-m", *words, "prune.rate=0.2,0.3", "seed=0,1"]) == 0
    assert "4 cells: 8 trainings asked, 6 distinct" in capsys.readouterr().out


@pytest.mark.parametrize("sweeper", ["lt_sweeps", "basic"])
def test_any_sweeper_makes_the_same_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str], sweeper: str) -> None:
    words = [f"hydra/sweeper={sweeper}", f"paths.output_dir={tmp_path}", "hydra.launcher.only_plan=true"]
    assert main(["-m", *words, "hydra.sweeper.max_batch_size=3", "experiment=demo"]) == 0
    plans = [line for line in capsys.readouterr().out.splitlines() if "trainings asked" in line]
    assert [line.partition(":")[0] for line in plans] == ["3 cells", "3 cells"]


@pytest.mark.parametrize(
    ("words", "plan"),
    [
        ("experiment=demo", "6 cells: 75 trainings asked, 51 distinct"),
        ("-m experiment=demo", "6 cells: 75 trainings asked, 51 distinct"),
        ("experiment=demo seed=7", "2 cells: 25 trainings asked, 17 distinct"),
        ("-m experiment=demo,lenet_mnist_quick", "16 cells: 305 trainings asked, 206 distinct"),
        ("-m seed=7 experiment=demo,lenet_mnist_quick", "4 cells: 71 trainings asked, 48 distinct"),
        ("-m experiment=demo,open_lth_resnet20", "7 cells: "),
    ],
)
def test_an_experiment_brings_its_own_sweep(
    words: str, plan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words.split(), f"paths.output_dir={tmp_path}", "hydra.launcher.only_plan=true"]) == 0
    assert plan in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] in ([".hydra"], [])
