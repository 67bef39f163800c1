"""One ticket trained: one Lightning fit from a step of the clock to another."""

from __future__ import annotations

import itertools
import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from lt_sweeps.datasets.examples import Batch
from lt_sweeps.datasets.loader import Loader
from lt_sweeps.graph import Train
from lt_sweeps.masks import State, effective
from lt_sweeps.measures.accuracy import Evaluation, evaluate
from lt_sweeps.networks.build import build
from lt_sweeps.training.masking import MaskedOptimizer, check_masked
from lt_sweeps.training.module import Diverged, TicketModule
from lt_sweeps.training.progress import Progress
from lt_sweeps.training.recorder import Recorder, Tell, checkpoint_wait, copy_state

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Hardware:
    """Where a training runs: nothing here is part of a key."""

    accelerator: str = "cpu"
    deterministic: bool = True


@dataclass(frozen=True)
class Trained:
    """What became of a ticket; `state` is None if it diverged."""

    progress: Progress
    state: State | None
    seconds: float
    diverged_at: int | None = None
    end: Evaluation | None = None  # on the test examples
    early_stop: Evaluation | None = None


def fit(
    run: Train,
    weights: State,
    mask: Mapping[str, Tensor],
    fill: Mapping[str, Tensor] | None,
    examples: Loader,
    hardware: Hardware,
    *,
    progress: Progress | None = None,
    until: int | None = None,
    snapshots: frozenset[int] = frozenset(),
    keep: Callable[[bytes], str] = lambda content: "",
    checkpoint: Callable[[Progress], None] = lambda progress: None,
    tell: Tell = lambda step, history: None,
    wait: Callable[[float], float] = checkpoint_wait,
) -> Trained:
    """Train a ticket from its start, or from `progress`, to the recipe's end, or to `until`.

    `keep` stores a snapshot and names it; `checkpoint` gets the progress, anywhere in an epoch, as often as `wait` lets
    it, which is told how many seconds the last one took. A non-finite loss is a result: the step before it is the
    last one taken.
    """
    begun = progress or Progress(run.ticket.start, effective(weights, mask, fill))
    network = build(run.ticket.network)
    if run.recipe.precision == "64-true":
        network.double()  # before weights are loaded, not after: a float32 network would round what it is given
    network.load_state_dict(begun.state)
    masked = MaskedOptimizer(mask, fill)
    recorder = Recorder(run, examples, mask, begun, snapshots, keep, checkpoint, tell, wait)
    module = TicketModule(network, run, begun.step, begun.optimizer, masked, recorder.on_step)
    recipe, last = run.recipe, run.recipe.steps if until is None else until
    batches = examples.batches(begun.step, recipe.batch_size, recipe.last_batch, run.order, run.augment, run.level)
    trainer = _trainer(recipe.precision, hardware, masked)
    try:
        with warnings.catch_warnings(), closing(batches):  # which may hold workers
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")  # what it tells itself
            trainer.fit(module, train_dataloaders=_Stretches(batches, last - begun.step))
    except SystemExit as left:
        if isinstance(left.__context__, KeyboardInterrupt):  # Lightning turns one into the other, and deafens itself
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
        if isinstance(left, SIGTERMException):  # which Lightning raises without an exit code: it would be success
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    except Diverged as stop:
        return Trained(begun, None, recorder.seconds, diverged_at=stop.step)
    network.to(examples.device)
    state = copy_state(network)
    check_masked(state, mask, fill)
    if until is not None:
        return Trained(begun, state, recorder.seconds)
    end = evaluate(network, examples.chunks("test"), examples.data.classes)
    early = None
    if begun.best is not None:
        network.load_state_dict(begun.best_state)
        early = evaluate(network, examples.chunks("test"), examples.data.classes)
    return Trained(begun, state, recorder.seconds, end=end, early_stop=early)


def _trainer(precision: str, hardware: Hardware, masked: MaskedOptimizer) -> pl.Trainer:
    """The lean trainer: everything that is done per step is ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about hardware and loggers that a user of this project cannot act on
        return pl.Trainer(
            accelerator=hardware.accelerator,
            devices=1,
            max_epochs=1,
            precision=precision,  # type: ignore[arg-type]
            deterministic="warn" if hardware.deterministic else None,
            callbacks=[masked],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=0,
            use_distributed_sampler=False,
        )


STRETCH = 16  # steps that Lightning is told of at once


class _Stretches:
    """So many batches, in stretches, as the iterable of known length that Lightning asks for."""

    def __init__(self, batches: Iterator[Batch], count: int) -> None:
        self._batches, self._count = batches, count

    def __len__(self) -> int:
        return -(-self._count // STRETCH)

    def __iter__(self) -> Iterator[Iterator[Batch]]:
        for done in range(0, self._count, STRETCH):
            yield itertools.islice(self._batches, min(STRETCH, self._count - done))
