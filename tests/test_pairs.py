"""Every model on every data set, from conf/ itself: a batch, a level of IMP, and a resume to the same bits.

`make sweeps` trains each model on its own data set and each data set with two models; `make pairs` trains all of them.
Where a data set is not here, noise of its declared sizes stands in for it below `arrays.read`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from composed import composed
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor

from lt_sweeps import masks
from lt_sweeps.cell import Cell
from lt_sweeps.config.datafiles import declared
from lt_sweeps.config.methods import PruneConfig
from lt_sweeps.config.schema import CONF, TrainerConfig
from lt_sweeps.datasets import arrays
from lt_sweeps.datasets.loader import loader
from lt_sweeps.errors import Mistake
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution import run as running
from lt_sweeps.execution import worker
from lt_sweeps.execution.reporter import Reporter
from lt_sweeps.networks.build import build, initial
from lt_sweeps.registry import catalogue, needs
from lt_sweeps.store.store import Store
from lt_sweeps.store.tensors import decode_mask
from lt_sweeps.tasks.task import task_of
from lt_sweeps.training import recorder

pytestmark = pytest.mark.sweeps

NARROW, FULL = 0.125, 1.0
HERE = ("digits", "circle", "helix", "relu", "teacher")  # read as they are; what is not here is noise
DOWNLOADED = ("mnist", "cifar10")
TWO = ("lenet_300_100", "resnet20")
TRAIN, TEST = 24, 8  # image files
SMOKE = ("budget=smoke", "budget.batch_size=4", "budget.eval_examples=4", "prune.levels=1")
DATA: dict[str, tuple[str, ...]] = {  # what a data set's files do not say, and what recipes for larger ones need
    "digits": ("recipe.validation=237",),
    "imagenet": (f"dataset.train={TRAIN}", f"dataset.test={TEST}", "recipe.validation=4", "recipe.batch_size=4"),
    "image_folder": (
        *("dataset.args.folder=birds", "dataset.args.resize=48", "dataset.shape=[3,40,48]", "dataset.classes=3"),
        *(f"dataset.train={TRAIN}", f"dataset.test={TEST}", "recipe.validation=4", "recipe.batch_size=4"),
    ),
}


def options(group: str) -> dict[str, Any]:
    """The files of a group of conf/, by their names."""
    return {path.stem: OmegaConf.load(path) for path in sorted((CONF / group).glob("*.yaml"))}


OTHERS = {"tokens", "embedding", "maps"}  # tests/test_tokens.py, tests/test_maps.py


def others(kind: str) -> set[str]:
    """What is not of images with one answer for each."""
    return {"custom"} | {name for name, entry in catalogue(kind).items() if OTHERS & {*entry.needs}}


MODELS = {name: said for name, said in options("model").items() if said.model.name not in others("network")}
DATASETS = {name: said for name, said in options("dataset").items() if said.name not in others("dataset")}
FILES = tuple(name for name, said in DATASETS.items() if "workers" in needs("dataset", said.name))
OWN = {name: said.defaults[0]["override /dataset"] for name, said in MODELS.items()}


def refused(model: str, dataset: str) -> bool:
    return min(DATASETS[dataset].shape[1:]) < MODELS[model].model.get("min_side", 1)


def unplanted(model: str, dataset: str) -> bool:
    """Whether a model holds the answer to another data set: test_planted.py shows that it is refused."""
    return model.startswith("planted") and dataset != OWN[model]


def one_per_shape(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of a model's data sets with images of the same shape, the first."""
    return [*{(model, *DATASETS[data].shape): (model, data) for model, data in reversed(pairs)}.values()]


PAIRS = [(m, data) for data in DATASETS for m in MODELS if not refused(m, data) and not unplanted(m, data)]
REFUSED = [(model, dataset) for dataset in DATASETS for model in MODELS if refused(model, dataset)]


def cases(narrow: Sequence[tuple[str, str]], full: Sequence[tuple[str, str]]) -> list[Any]:
    """All pairs narrow and each model's own at its full width; what is not among those named is slow."""
    wanted = [(*pair, NARROW, pair in narrow) for pair in PAIRS]
    wanted += [(*pair, FULL, pair in full) for pair in OWN.items()]
    wanted.sort(key=lambda case: case[1])  # a data set is read once
    return [
        pytest.param(model, dataset, width, id=f"{model} {dataset} {width:g}", marks=[] if now else pytest.mark.slow)
        for model, dataset, width, now in wanted
    ]


FEW = [*OWN.items(), *one_per_shape([pair for pair in PAIRS if pair[0] in TWO])]
BATCHES = [*one_per_shape([pair for pair in PAIRS if pair[1] not in FILES]), *FEW]


# ------------------------------------------------------------------------------------------ a pair as a user has it


def words(model: str, dataset: str, width: float) -> tuple[str, ...]:
    """The command line: the model's own recipe, but for what these images rule out."""
    own = composed(f"model={model}").config
    chosen = [f"model={model}", f"dataset={dataset}", *DATA.get(dataset, ()), *SMOKE]
    if len(own.recipe.mean) not in (0, DATASETS[dataset].shape[0]):
        chosen += ["recipe.mean=[]", "recipe.std=[]"]
    if OWN[model] in FILES and dataset not in FILES:
        chosen += ["recipe.augment=[flip,crop]"]
    if model.startswith("planted"):
        chosen += ["model.initialiser_args.knots=3"]  # that a narrow network has place for
    if "width" in catalogue("network")[own.model.name].parameters:
        chosen += [f"model.width={width:g}"]
    return tuple(chosen)


def noise(dataset: str) -> arrays.Arrays:
    """As many examples as are declared in the memory of one: an image begins one pixel after the one before."""
    told, draws = declared(dataset), torch.Generator().manual_seed(0)
    assert told is not None
    channels, height, width = told.shape

    def part(count: int) -> tuple[Tensor, Tensor]:
        pixels = torch.randint(256, (count + channels * height * width,), dtype=torch.uint8, generator=draws)
        images = pixels.as_strided((count, channels, height, width), (1, height * width, width, 1))
        return images, torch.randint(told.classes, (count,), generator=draws)

    return arrays.Arrays(*part(told.train), *part(told.test))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image files of three classes, in the folders of both data sets that are read from files."""
    folder, draws = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name, part, count in [(n, *p) for n in ("imagenet", "birds") for p in (("train", TRAIN), ("val", TEST))]:
        for n in range(count):
            path = folder / name / part / f"n{n % 3}" / f"{n:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draws.integers(0, 256, (50, 60, 3), dtype=np.uint8)).save(path)
    return folder


@pytest.fixture
def folder(dataset: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the data lies; nowhere, where it is noise."""
    if dataset in FILES or dataset in DOWNLOADED:
        found: Path = request.getfixturevalue("tree" if dataset in FILES else "data_dir")
        return found
    if dataset not in HERE:
        monkeypatch.setattr(arrays, "load", lambda _, name: lambda data_dir: noise(name))
    return Path("nowhere")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One for all pairs."""
    return Store(tmp_path_factory.mktemp("pairs") / "store")


# --------------------------------------------------------------------------------------------------------- the pairs


@pytest.mark.parametrize(("model", "dataset"), one_per_shape(REFUSED))
def test_images_that_are_too_small_are_refused_in_one_line(model: str, dataset: str) -> None:
    side, (_, height, width) = MODELS[model].model.min_side, DATASETS[dataset].shape
    told = f"needs images of {side}x{side} or more, dataset={dataset} has {height}x{width}"
    with pytest.raises(Mistake, match=rf"^model={MODELS[model].model.name} {told}$"):
        composed(*words(model, dataset, NARROW))


@pytest.mark.parametrize(("model", "dataset", "width"), cases(BATCHES, list(OWN.items())))
def test_a_batch_goes_forward_and_backward(model: str, dataset: str, width: float, folder: Path) -> None:
    cell = composed(*words(model, dataset, width))
    run = cell.levels[0]
    network = build(run.ticket.network)
    network.load_state_dict(initial(run.ticket.network, 0))
    examples = loader(run.data, folder, torch.device("cpu"))
    with closing(examples.batches(0, replace(run, order=0, augment=0, level=0).batching)) as batches:
        x, y = next(batches)
    assert tuple(x.shape) == (4, *run.data.shape)
    logits = network(x)
    assert logits.shape == (4, cell.config.dataset.classes)
    loss = task_of(run.data.task).loss(logits, y)
    assert bool(loss.isfinite())
    loss.backward()
    weights = dict(network.named_parameters())
    for name in masks.dense(network, tuple(cell.config.prune.exclude))[0]:
        gradient = weights[name].grad
        assert gradient is not None, name
        assert bool(gradient.isfinite().all()), name
        assert bool(gradient.any()), name


def left(prune: PruneConfig, sizes: dict[str, int]) -> int:
    """How many weights one level leaves: each layer, or all as one, loses its rate, rounded."""
    if prune.groups == "global" and not prune.factors:
        return sum(sizes.values()) - round(prune.rate * sum(sizes.values()))
    assert prune.groups == "layerwise"
    rates = {n: [f for pattern, f in prune.factors.items() if fnmatch(n, pattern)] or [1.0] for n in sizes}
    return sum(n - round(prune.rate * rates[name][0] * n) for name, n in sizes.items())


class Interruption:
    """Somebody presses Ctrl-C at a step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, _: Any, step: int, __: Any) -> None:
        if step == self.at:
            raise KeyboardInterrupt

    def begin(self, *_: Any) -> None: ...

    finish = fail = begin


def execute(cell: Cell, store: Store, folder: Path, *watchers: Any) -> str:
    """Train what is missing; what was told on the way."""
    out = io.StringIO()
    hardware = TrainerConfig(accelerator="cpu", workers=0)
    assert not running.execute([cell], store, folder, hardware, Reporter({}, out), *watchers)
    assert not planning.make([cell], store).jobs
    return out.getvalue()


@pytest.mark.parametrize(("model", "dataset", "width"), cases(FEW, []))
def test_a_level_is_pruned_exactly_and_resumes_to_the_same_bits(
    model: str, dataset: str, width: float, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LOOK_EVERY", 2)
    monkeypatch.setattr(worker, "Session", partial(worker.Session, wait=lambda cost: 0.0))
    cell = composed(*words(model, dataset, width))
    dense, level = cell.levels
    execute(cell, store, folder)
    before, whole = store.get(dense.key)["result"], store.get(level.key)
    pruned = whole["result"]
    assert (before["status"], pruned["status"], pruned["steps"]) == ("done", "done", 8)
    ones = masks.dense(build(level.ticket.network), tuple(cell.config.prune.exclude))[0]
    kept = left(cell.config.prune, {name: mask.numel() for name, mask in ones.items()})
    assert (before["kept"], pruned["total"], pruned["kept"]) == (masks.total(ones), masks.total(ones), kept)
    assert masks.kept(decode_mask(store.content(whole["blobs"]["mask"]))) == kept

    store.discard(level.key)
    with pytest.raises(KeyboardInterrupt):
        execute(cell, store, folder, Interruption(at=6))
    assert level.key not in store
    assert "continues at step 4" in execute(cell, store, folder)
    again = store.get(level.key)
    assert again["result"] == pruned
    assert again["blobs"] == whole["blobs"]
