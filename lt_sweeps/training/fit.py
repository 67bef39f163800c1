"""Trains one ticket: one Lightning fit from one step of the clock to another."""

from __future__ import annotations

import itertools
import logging
import signal
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]
from torch import nn

from lt_sweeps.datasets.examples import Examples
from lt_sweeps.datasets.loader import Loader
from lt_sweeps.graph import Train
from lt_sweeps.masks import Mask, State, TicketTensors, aliases, effective
from lt_sweeps.measures.accuracy import Evaluation, evaluate
from lt_sweeps.networks.build import build
from lt_sweeps.training import graph_steps
from lt_sweeps.training.dynamics import Dynamics, Ended
from lt_sweeps.training.gpu import Gpu, own_stream
from lt_sweeps.training.graph_steps import STRETCH, Replay
from lt_sweeps.training.leaving import Leaving
from lt_sweeps.training.masking import MaskedOptimizer, check_masked
from lt_sweeps.training.module import TicketModule
from lt_sweeps.training.progress import Progress
from lt_sweeps.training.ranks import ALONE, Ranks
from lt_sweeps.training.recorder import Recorder, Session, copy_state, state_digest
from lt_sweeps.training.sparse.step import ChainKernel, ChainStep, evaluated
from lt_sweeps.training.sparse.step import batches as chain_batches
from lt_sweeps.training.watch import Diverged

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

SAMPLES = 10  # masks drawn for an evaluation, as in Zhou et al. 2019


@dataclass(frozen=True)
class Hardware:
    """Where a training runs: nothing here is part of a key."""

    accelerator: str = "cpu"
    deterministic: bool = True
    ranks: Ranks = ALONE
    kernel: str = "masked"  # eager steps; "graph" of CUDA; "sparse", "dense", "channels_last"; "auto": the fastest here
    say: Callable[[str], None] = lambda line: None  # to the user


@dataclass(frozen=True)
class ChannelsLast:
    """Tensors of images and of convolutions lie channels last: what `channels_last.choose` returns."""

    name: str = "channels last"  # in the fingerprint: results have other bits


Kernel = ChainKernel | ChannelsLast


@dataclass(frozen=True)
class Trained:
    """The result of training a ticket; `state` is None if it diverged."""

    progress: Progress
    state: State | None
    seconds: float
    diverged_at: int | None = None
    end: Evaluation | None = None  # on the test examples
    early_stop: Evaluation | None = None
    mask: Mask = field(default_factory=dict)  # at the end
    sampled: tuple[float, ...] = ()  # of masks drawn at the end, where a gate draws them: the test metric


def fit(
    run: Train,
    ticket: TicketTensors,
    examples: Loader,
    hardware: Hardware,
    session: Session | None = None,
    kernel: Kernel | None = None,
) -> Trained:
    """Trains a ticket, from its start or an earlier session's progress, to the recipe's end or `session.until`.

    A non-finite loss is a result: the step before it is the last one taken. On SIGTERM, or when `session.leave()` is
    true, the session gets a checkpoint after the next step, and Left is raised. Every rank of `hardware` calls this
    with the same values and its own `leave`; only rank 0 makes snapshots, checkpoints and reports. The `kernel`,
    if given, computes steps and evaluations. Raises RuntimeError if the ranks differ, or if a pruned weight has moved.
    """
    session, ranks, recipe = session or Session(), hardware.ranks, run.recipe
    mask, fill = ticket.mask, ticket.fill
    chained = kernel if isinstance(kernel, ChainKernel) else None
    if recipe.batchnorm_groups not in (1, ranks.world):
        raise ValueError(f"recipe.batchnorm_groups={recipe.batchnorm_groups} takes as many devices")
    if ranks.rank:
        session = session.unrecorded()
    network = build(run.ticket.network)
    if recipe.precision == "64-true":
        network.double()  # before weights are loaded, not after: a float32 network would round them
    if isinstance(kernel, ChannelsLast):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    start = effective(ticket.weights, mask, fill, aliases(network))
    dynamics, module = None, network
    if not run.static:
        network.load_state_dict(start)
        dynamics = Dynamics(run, network, mask)
        module = dynamics.network
    begun = session.progress or Progress(run.ticket.start, start if dynamics is None else copy_state(module))
    if ranks.world > 1:
        ranks.agree("the mask", state_digest(mask))
        ranks.agree("the start", f"{begun.step} {state_digest(begun.state)}")
    module.load_state_dict(begun.state)
    if dynamics is not None and begun.mask:
        dynamics.resume(begun)
    recorder = Recorder(run, examples, mask, begun, session, ranks, dynamics)
    last = recipe.steps if session.until is None else session.until
    with Leaving(session.leave) as leaving, own_stream(examples.device), evaluated(chained, run, network):
        try:
            if begun.step < last and begun.ended_by is None:  # or it was left after its last step
                _take_steps(module, run, ticket, recorder, last, hardware, leaving, chained)
            elif not begun.history:  # a ticket that is not to be trained
                recorder.evaluate(module.to(examples.device))
        except Ended as stop:
            begun.ended_by = stop.hook
        except Diverged as stop:
            begun.step = stop.step
            return Trained(begun, None, recorder.seconds, diverged_at=stop.step)
        if dynamics is not None:
            begun.noted = list(dynamics.noted)
        module.to(examples.device)
        if begun.ended_by is not None and (not begun.history or begun.history[-1]["step"] != begun.step):
            recorder.evaluate(module)
        state, ends_with = recorder.kept(module)
        last_state = state if dynamics is None else copy_state(module)
        check_masked(state, ends_with, fill)
        if run.gate is not None:
            _require_frozen(network, start)
        if ranks.world > 1:
            ranks.agree("the trained network", state_digest(state))
        if session.until is not None:
            return Trained(begun, state, recorder.seconds)
        classes_and_task = (examples.data.classes, examples.data.task)
        end = evaluate(module, examples.chunks("test", ranks.share), *classes_and_task)
        early, samples = None, () if dynamics is None else dynamics.sampled(SAMPLES)
        sampled = tuple(
            evaluate(sample, examples.chunks("test", ranks.share), *classes_and_task).value for sample in samples
        )
        if begun.best is not None:
            network.load_state_dict(begun.best_state)
            best = network if dynamics is None else dynamics.as_trained(network)
            early = evaluate(best, examples.chunks("test", ranks.share), *classes_and_task)
        examples.require_unchanged()
        if ranks.any(leaving()):
            recorder.leave(last_state, [])  # no step remains that needs the optimizer's state
        return Trained(begun, state, recorder.seconds, end=end, early_stop=early, mask=dict(ends_with), sampled=sampled)


def _require_frozen(network: nn.Module, start: State) -> None:
    """Raise RuntimeError unless a network behind a gate has the parameters that it began with."""
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad and not torch.equal(parameter.detach().cpu(), start[name].to(parameter.dtype)):
            raise RuntimeError(f"{name} moved behind a gate: the result is refused")


def _take_steps(
    network: nn.Module,
    run: Train,
    ticket: TicketTensors,
    recorder: Recorder,
    last: int,
    hardware: Hardware,
    leaving: Leaving,
    chained: ChainKernel | None,
) -> None:
    """Takes the steps from the recorder's progress to `last`. Raises Diverged, Ended, or Left if it is to leave."""
    recipe, ranks, begun, dynamics = run.recipe, hardware.ranks, recorder.progress, recorder.dynamics
    masked = MaskedOptimizer(ticket.mask, ticket.fill) if dynamics is None else dynamics.optimizer()
    replay, examples = _replay(run, recorder.examples, hardware, last - begun.step), recorder.examples
    module = TicketModule(
        network,
        run,
        begun.step,
        begun.optimizer,
        masked,
        recorder.on_step,
        ranks,
        leaving,
        replay,
        begun.history,
        dynamics,
        None if chained is None else lambda net, dense: ChainStep(chained, run, net, dense, examples, begun.step),
    )
    if chained is not None:
        batches: Generator[Any] = chain_batches(chained, run, examples, begun.step)
    elif replay is not None:
        batches = replay.examples.chosen(begun.step, run.batching, ranks.share)
    else:
        batches = examples.batches(begun.step, run.batching, ranks.share)
    trainer = _trainer(recipe.precision, hardware, [masked, leaving])
    try:
        with warnings.catch_warnings(), closing(batches):  # `batches` may hold data workers
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")  # Lightning's own
            trainer.fit(
                module,
                train_dataloaders=_Stretches(batches, last - begun.step),
            )
        module.look()
    except SystemExit as left:
        if isinstance(left.__context__, KeyboardInterrupt):  # Lightning converts it, and then ignores SIGINT
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
        raise
    finally:
        module.release()


def _trainer(precision: str, hardware: Hardware, callbacks: list[pl.Callback]) -> pl.Trainer:
    """A minimal Lightning trainer: steps and communication between ranks are our own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about hardware and loggers that a user of this project cannot act on
        return pl.Trainer(
            accelerator=Gpu() if hardware.accelerator == "gpu" else hardware.accelerator,
            devices=[torch.cuda.current_device()] if hardware.accelerator == "gpu" else 1,
            plugins=[LightningEnvironment()],  # whatever started this process: SLURM, or torch.distributed.run
            max_epochs=1,
            precision=precision,  # type: ignore[arg-type]
            deterministic="warn" if hardware.deterministic else None,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=0,
            use_distributed_sampler=False,
        )


class _Stretches:
    """Groups `count` batches into stretches: an iterable of known length, as Lightning requires."""

    def __init__(self, batches: Iterator[Any], count: int) -> None:
        self._batches, self._count = batches, count

    def __len__(self) -> int:
        return -(-self._count // STRETCH)

    def __iter__(self) -> Iterator[Iterator[Any]]:
        for done in range(0, self._count, STRETCH):
            yield itertools.islice(self._batches, min(STRETCH, self._count - done))


def _replay(run: Train, examples: Loader, hardware: Hardware, steps: int) -> Replay | None:
    """Returns what replaying a CUDA graph needs, or None; tells the user why a wanted graph is impossible."""
    if hardware.kernel not in ("auto", "graph") or (hardware.kernel == "auto" and examples.device.type != "cuda"):
        return None
    if examples.device.type != "cuda":
        why = "it takes a CUDA GPU"
    elif not run.static:
        why = "a gate or a hook changes the mask"
    elif hardware.ranks.world > 1:
        why = "several devices train together"
    elif not isinstance(examples, Examples):
        why = "examples are decoded from files"
    elif not run.ticket.network.build.is_registered:
        why = "a user's own network may behave differently at each step"
    elif steps < graph_steps.WORTH:
        why = f"{steps} steps are too few for it to pay"
    else:
        return Replay(examples, hardware.say)
    hardware.say(f"{run.ticket.network.build.name}: no CUDA graph, steps are slower: {why}")
    return None
