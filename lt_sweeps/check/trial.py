"""Trial steps of each network and optimizer before a sweep starts, to find errors that every training would have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lt_sweeps import masks
from lt_sweeps.check import faithful, functions
from lt_sweeps.check.laws import Broken
from lt_sweeps.criteria.probe import HeldExamples, Probe, Scores, require_scores
from lt_sweeps.errors import Mistake
from lt_sweeps.forecast.layers import takes
from lt_sweeps.foreign.imports import recording_changes
from lt_sweeps.foreign.reach import one_line
from lt_sweeps.gates.gate import gate_of
from lt_sweeps.graph import Dense, Fill, Measure, Prune, Score, Train, Treat, full, topological
from lt_sweeps.measures.aligned import require_units
from lt_sweeps.measures.first_layer import on_the_image
from lt_sweeps.methods.measured import parent
from lt_sweeps.networks.build import build, initial
from lt_sweeps.randomness import seeded
from lt_sweeps.registry import load, needs
from lt_sweeps.specs import Network, Part, Recipe
from lt_sweeps.tasks.task import Task, task_of
from lt_sweeps.training import optim
from lt_sweeps.training.dynamics import Dynamics, Expansion, Start
from lt_sweeps.training.masking import MaskedOptimizer
from lt_sweeps.training.progress import Progress, encode_progress, optimizer_state
from lt_sweeps.training.step import Batch, Step
from lt_sweeps.training.watch import Diverged, watching

PLAIN = frozenset({"torch.optim.SGD", "torch.optim.Adam", "torch.optim.AdamW"})  # known to train our networks
EXAMPLES, SCORED = 4, 64


def require_trainable(runs: Iterable[Train]) -> None:
    """Takes steps with each distinct network, optimizer, schedule and precision. Raises Mistake if one fails.

    For our own networks with a plain optimizer and plain classification a linear layer stands in: these steps are known
    to work.
    """
    runs = list(runs)
    _require_planted({full(run.ticket).network for run in runs})
    for on, recipe, task_part in dict.fromkeys((full(run.ticket), run.recipe, run.data.task) for run in runs):
        network, name = on.network, on.network.build.name
        is_plain = network.build.is_registered and recipe.optimizer.name in PLAIN and task_part is None
        try:
            with recording_changes(name.rpartition(".")[0]) if network.build.is_foreign else nullcontext():
                if not network.build.is_registered:
                    faithful.require(on)
                module, shape = (nn.Linear(1, 2), (1,)) if is_plain else (build(network), network.shape)
                _step(module, shape, recipe, task_of(task_part))
        except (Exception, SystemExit) as error:
            optimizer = recipe.optimizer.name.rpartition(".")[2]
            hint = (
                "; recipe.optimizer._target_=by_pattern gives it to some weights alone" if optimizer == "Muon" else ""
            )
            raise Mistake(f"a first step of {name} with {optimizer} fails: {one_line(error)}{hint}") from None


def _require_planted(networks: Iterable[Network]) -> None:
    """Draws each network in which a ticket is planted. Raises Mistake where it does not fit."""
    for network in networks:
        initialiser = network.initialiser
        if initialiser is not None and "planted" in needs("initialiser", initialiser.name):
            try:
                initial(network, 0)
            except ValueError as error:
                raise Mistake(str(error)) from None


def require_lawful(runs: Iterable[Train], shown: Iterable[Train] = ()) -> None:
    """Calls each foreign criterion, treatment, fill and augmentation twice, on the networks and shapes of `runs`.

    Foreign units number the weights of small tensors. Gates and hooks, the project's own too, are called with their
    arguments on a small network. The gates of the `shown` trainings, and of those whose end their masks were pruned
    from, must train weights. A linear gate is also called on the networks of `runs`. Raises Mistake if a function
    fails, returns wrong shapes, or does not repeat its result.
    """
    runs = list(runs)
    for kind, part, on, task_part in dict.fromkeys(_foreign(runs)):
        try:
            with recording_changes(part.name.rpartition(".")[0]) if part.is_foreign else nullcontext():
                _score(part, on, task_part) if isinstance(on, Dense) and kind == "criterion" else _check(kind, part, on)
        except (Exception, SystemExit) as error:
            where = f" on {on.network.build.name}" if isinstance(on, Dense) else ""
            if isinstance(error, Broken) or (isinstance(error, ValueError) and not part.is_foreign):
                raise Mistake(f"{kind}={part.name}{where}: {error}") from None
            raise Mistake(f"{kind} {part.name} fails{where}: {one_line(error)}") from None
    training = [run for level in shown for run in (level, parent(level)) if run is not None]
    for gate in dict.fromkeys(run.gate for run in training if run.gate is not None):
        if gate_of(gate).frozen:
            raise Mistake(f"gate {gate.name} freezes the weights that are to be trained: it is for prune=learned")
    trainings = [node for node in topological(runs) if isinstance(node, Train)]
    _require_expansions(trainings)
    _require_moments(trainings)


def require_measurable(measures: Iterable[Measure]) -> None:
    """Raises Mistake for a measure of classes under a task that has none, of units that cannot be permuted, and of a
    first layer that is not on pixels.
    """
    for what, on, task_part in dict.fromkeys((m.what, full(m.of[0]), m.data.task) for m in measures):
        requirements = needs("measure", what.name)
        if {"classes", "probabilities"} & {*requirements} and not task_of(task_part).of_classes:
            assert task_part is not None
            raise Mistake(f"measure of {what.name}: needs one class per example, and task={task_part.name} has none")
        try:
            if "units" in requirements:
                require_units(build(on.network))
            if "first_layer" in requirements:
                module = build(on.network)
                on_the_image(module, masks.dense(module, on.exclude, on.include)[0], torch.rand(1, *on.network.shape))
        except ValueError as error:
            raise Mistake(f"measure of {what.name}: model={on.network.build.name}: {error}") from None


def _require_expansions(trainings: Iterable[Train]) -> None:
    """Takes gradients of the expansion of each network that a linear gate trains. Raises Mistake if one has none."""
    for gate, network, task_part in dict.fromkeys((run.gate, run.ticket.network, run.data.task) for run in trainings):
        if gate is None or not gate_of(gate).linear:
            continue
        module, task = build(network), task_of(task_part)
        try:
            with seeded(0):
                x, outputs = takes(module.eval(), torch.rand(EXAMPLES, *network.shape))
                task.loss(Expansion(module.train(), Start(module))(x), task.example(outputs)).backward()
        except RuntimeError as error:
            where = f"gate={gate.name} on {network.build.name}"
            raise Mistake(f"{where}: no forward derivative: {one_line(error)}") from None


def _require_moments(trainings: Iterable[Train]) -> None:
    """Calls the hooks of each network as at their first moments. Raises Mistake if one fails."""
    for run in {(run.hooks, run.gate, full(run.ticket)): run for run in trainings if run.hooks}.values():
        on = full(run.ticket)
        module = build(on.network)
        try:
            Dynamics(run, module, masks.dense(module, on.exclude, on.include)[0]).rehearse()
        except ValueError as error:
            hooks = ", ".join(part.name for part in run.hooks)
            raise Mistake(f"hook={hooks} on {on.network.build.name}: {error}") from None


def _foreign(runs: Iterable[Train]) -> Iterator[tuple[str, Part, Dense | tuple[int, ...], Part | None]]:
    """Yields each foreign function, and each gate and hook: kind, part, the full mask or image size to try on, task."""
    for node in topological(runs):
        match node:
            case Score(criterion=Part(is_foreign=True) as part, data=data):
                yield "criterion", part, full(node.at), None if data is None else data.task
            case Prune(unit=Part(is_foreign=True) as part):
                yield "unit", part, (), None
            case Treat(treatment=Part(is_foreign=True) as part, mask=mask):
                yield "survivors", part, full(mask), None
            case Fill(fill=Part(is_foreign=True) as part, mask=mask):
                yield "pruned", part, full(mask), None
            case Train(data=data, gate=gate, hooks=hooks):
                if gate is not None:
                    yield "gate", gate, (), None
                yield from (("hook", hook, (), None) for hook in hooks)
                for entry in data.augment:
                    if isinstance(entry, Part) and entry.is_foreign:
                        yield "augmentation", entry, data.shape[-2:], None


def _check(kind: str, part: Part, on: Dense | tuple[int, ...]) -> None:
    """Checks shapes and repeatability, by the first two stages of laws. Raises Broken, and errors of the function.

    A user's own gates and hooks, which may keep state from step to step, are held to all stages, with a short training.
    """
    stages, make_subject = functions.LAWS[kind]
    is_dynamic = kind in ("gate", "hook")
    subject = replace(make_subject(part.name, part.args), on=on) if on else make_subject(part.name, part.args)
    for stage in stages if is_dynamic and part.is_foreign else stages[:2]:
        for law in stage:
            law(subject)


def _score(criterion: Part, on: Dense, task_part: Part | None) -> None:
    network, mask = on.network, masks.dense(build(on.network), on.exclude, on.include)[0]
    weights = initial(network, 0)
    with seeded(0), torch.no_grad():
        x, outputs = takes(build(network), torch.rand(SCORED, *network.shape))
    task = task_of(task_part)
    y = torch.arange(SCORED) % network.classes if task.of_classes else task.example(outputs)
    draws: list[Scores] = []
    for _ in range(2):
        probe = Probe(
            weights=weights,
            unmasked=weights,
            mask=mask,
            ref=initial(network, 1),
            generator=torch.Generator().manual_seed(0),
            make_network=lambda: build(network),
            make_source=lambda: HeldExamples(x, y),
            shape=network.shape,
            task=task_part,
        )
        with seeded(0):
            draws.append(load("criterion", criterion.name)(probe, **criterion.args))
        require_scores(draws[-1], mask, criterion.name)
    for name in mask:
        if not torch.equal(draws[0][name], draws[1][name]):
            raise ValueError(f"{name} gets other scores in a second call with the same seed")


def _step(module: nn.Module, shape: tuple[int, ...], recipe: Recipe, task: Task) -> None:
    double = recipe.precision == "64-true"
    module = module.double() if double else module
    optimizer = optim.optimizer(recipe.optimizer, module)
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    rates = optim.Rates(recipe.optimizer, recipe.schedule, 0, [{"val_loss": 1.0}], names)
    masked = MaskedOptimizer({}, None)
    masked.attach(module, optimizer)

    def loss(batch: Batch) -> tuple[Tensor, Tensor]:
        x, y = batch
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16-mixed"):
            mean = task.loss(module(x), y)
        return mean, mean.detach()

    step = Step(module, optimizer, masked, recipe.clip_norm, loss, watching(module))
    with seeded(0):
        with torch.no_grad():
            x, outputs = takes(module.eval(), torch.rand(EXAMPLES, *shape, dtype=torch.float64 if double else None))
        module.train()
        batch = x, task.example(outputs)
        with suppress(Diverged):  # a result, not an error
            for _ in range(2):  # the first step creates the optimizer's state
                optim.apply(rates.next(), optimizer)
                step(batch)
    _require_saved(optimizer)
    if recipe.schedule is not None and "total_steps" in recipe.schedule.args:
        for _ in range(recipe.steps - 2):  # the schedule may end before the training does
            rates.next()


def _require_saved(optimizer: Optimizer) -> None:
    """Raises ValueError for an optimizer whose state a checkpoint cannot hold."""
    try:
        encode_progress(Progress(0, optimizer=optimizer_state(optimizer)), {})
    except TypeError:
        raise ValueError("its state holds more than tensors and numbers, which no checkpoint could hold") from None
