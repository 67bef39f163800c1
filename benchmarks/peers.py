"""The same LeNet step by the ways it is usually done with Lightning."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import ModelPruning
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.lenet_step import GOALS, STEPS, plain, step_rows
from benchmarks.rounds import Contender, race
from benchmarks.stand_in import BATCH, LENET, Ours, mnist
from benchmarks.table import Row
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.networks.build import build


class Module(pl.LightningModule):
    """What a tutorial would write."""

    def __init__(self, logged: bool) -> None:
        super().__init__()
        self.network, self._logged = build(LENET), logged

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        loss = nn.functional.cross_entropy(self.network(batch[0]), batch[1])
        if self._logged:
            self.log("train/loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class InMemory:
    """Normalised floats by whole batches, of known number."""

    def __init__(self, x: Tensor, y: Tensor, steps: int) -> None:
        self._x, self._y, self._steps = x, y, steps

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        left = self._steps
        while left:
            for chosen in torch.randperm(len(self._x)).split(BATCH)[: min(left, len(self._x) // BATCH)]:
                left -= 1
                yield self._x.index_select(0, chosen), self._y[chosen]


class Images(Dataset[tuple[Tensor, Tensor]]):
    """As torchvision's MNIST: one image at a time, through PIL and its transforms."""

    def __init__(self, examples: Examples) -> None:
        self._x, self._y = examples.train
        self._transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize(examples.data.mean, examples.data.std)]
        )

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        return self._transform(Image.fromarray(self._x[index, 0].numpy())), int(self._y[index])


class PruneAtOnce(pl.Callback):
    """Brings Lightning's callback to the state that it is in from its second epoch on."""

    def __init__(self, pruning: ModelPruning) -> None:
        self._pruning = pruning

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._pruning.apply_pruning(0.5)


def _lean(batches: InMemory, *callbacks: pl.Callback) -> None:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(logged=False), batches)


def rows(rounds: int) -> list[Row]:
    """Ratios to the plain loop with SGD."""
    examples = mnist()
    images = Images(examples)
    x, y = examples.seen(examples.train[0]), examples.train[1]

    def lean(steps: int) -> None:
        _lean(InMemory(x, y, steps))

    def model_pruning(steps: int) -> None:
        pruning = ModelPruning("l1_unstructured", parameter_names=["weight"], amount=0.5, apply_pruning=False)
        _lean(InMemory(x, y, steps), pruning, PruneAtOnce(pruning))

    def naive(steps: int) -> None:
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):  # the bar is drawn, but not seen
            trainer = pl.Trainer(accelerator="cpu", max_steps=steps, default_root_dir=folder)
            trainer.fit(Module(logged=True), DataLoader(images, BATCH, shuffle=True))

    timings = race(
        Contender("plain loop", plain(examples, torch.optim.SGD, lr=0.1), *STEPS["LeNet"]),
        [
            Contender("lt_sweeps", Ours(LENET, examples, "SGD", lr=0.1), *STEPS["LeNet"]),
            Contender("lean Lightning in memory, no masks", lean, *STEPS["LeNet"]),
            Contender("lean Lightning in memory, ModelPruning", model_pruning, *STEPS["LeNet"]),
            Contender("Lightning defaults, torchvision, self.log", naive, 20, 120),
        ],
        rounds,
    )
    return step_rows("LeNet step by peers, SGD", timings, GOALS["LeNet"])
