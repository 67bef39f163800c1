"""What would fail in every training of a sweep, tried once before the first: a step of each network and optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from lt_sweeps import masks
from lt_sweeps.check import augmentations, pruned, survivors
from lt_sweeps.config import Mistake
from lt_sweeps.criteria.probe import Held, Probe, Scores, require_scores
from lt_sweeps.foreign.imports import noticed
from lt_sweeps.foreign.reach import one_line
from lt_sweeps.graph import Dense, Fill, Score, Train, Treat, full, topological
from lt_sweeps.layers import takes
from lt_sweeps.networks.build import build, initial
from lt_sweeps.randomness import seeded
from lt_sweeps.registry import load
from lt_sweeps.specs import Network, Part, Recipe
from lt_sweeps.training import optim
from lt_sweeps.training.masking import MaskedOptimizer
from lt_sweeps.training.step import Batch, Step

PLAIN = frozenset({"torch.optim.SGD", "torch.optim.Adam", "torch.optim.AdamW"})  # take any weights of ours
EXAMPLES, SCORED = 4, 64


def require_trainable(runs: Iterable[Train]) -> None:
    """Take a step of each distinct network, optimizer, schedule and precision. Raises Mistake where one cannot be.

    Of a network of ours with a plain optimizer only the optimizer is made: its steps are known to work.
    """
    for network, recipe in dict.fromkeys((run.ticket.network, run.recipe) for run in runs):
        known = network.build.is_registered and recipe.optimizer.name in PLAIN
        name = network.build.name
        try:
            with noticed(name.rpartition(".")[0]) if network.build.is_foreign else nullcontext():
                if network.build.is_foreign:
                    _require_same(network)
                _step(nn.Linear(1, 2) if known else build(network), (1,) if known else network.shape, recipe)
        except (Exception, SystemExit) as error:
            optimizer = recipe.optimizer.name.rpartition(".")[2]
            raise Mistake(f"a first step of {name} with {optimizer} fails: {one_line(error)}") from None


def require_lawful(runs: Iterable[Train]) -> None:
    """Ask each foreign function of criterion, survivors, pruned and augment twice, on the networks and images they get.

    Raises Mistake where one fails, gives what is of another shape, or is no function of what it is given.
    """
    for kind, part, on in dict.fromkeys(_foreign(runs)):
        try:
            with noticed(part.name.rpartition(".")[0]):
                _score(part, on) if isinstance(on, Dense) and kind == "criterion" else _hold(kind, part, on)
        except (Exception, SystemExit) as error:
            where = f" on {on.network.build.name}" if isinstance(on, Dense) else ""
            raise Mistake(f"{kind} {part.name} fails{where}: {one_line(error)}") from None


def _foreign(runs: Iterable[Train]) -> Iterator[tuple[str, Part, Dense | tuple[int, ...]]]:
    """Each function that is not ours: its kind, and what it is to be tried on."""
    for node in topological(runs):
        match node:
            case Score(criterion=Part(is_foreign=True) as part):
                yield "criterion", part, full(node.at.mask)
            case Treat(treatment=Part(is_foreign=True) as part, mask=mask):
                yield "survivors", part, full(mask)
            case Fill(fill=Part(is_foreign=True) as part, mask=mask):
                yield "pruned", part, full(mask)
            case Train(data=data):
                for entry in data.augment:
                    if isinstance(entry, Part) and entry.is_foreign:
                        yield "augmentation", entry, data.shape[-2:]


def _hold(kind: str, part: Part, on: Dense | tuple[int, ...]) -> None:
    """What it gives has the right shape, and is the same when it is asked again. Raises Broken, and what it raises."""
    kinds: dict[str, tuple[Any, Any]] = {
        "survivors": (survivors.Treatment, survivors.STAGES),
        "pruned": (survivors.Treatment, pruned.STAGES),
        "augmentation": (augmentations.Augmentation, augmentations.STAGES),
    }
    make, stages = kinds[kind]
    subject = make(load(kind, part.name), part.args, on)
    for law in (*stages[0], *stages[1]):
        law(subject)


def _score(criterion: Part, on: Dense) -> None:
    network, mask = on.network, masks.dense(build(on.network), on.exclude, on.include)[0]
    weights = initial(network, 0)
    with seeded(0), torch.no_grad():
        x, _ = takes(build(network), torch.rand(SCORED, *network.shape))
    given: list[Scores] = []
    for _ in range(2):
        probe = Probe(
            weights=weights,
            unmasked=weights,
            mask=mask,
            ref=initial(network, 1),
            generator=torch.Generator().manual_seed(0),
            make_network=lambda: build(network),
            make_source=lambda: Held(x, torch.arange(SCORED) % network.classes),
            shape=network.shape,
        )
        with seeded(0):
            given.append(load("criterion", criterion.name)(probe, **criterion.args))
        require_scores(given[-1], mask, criterion.name)
    for name in mask:
        if not torch.equal(given[0][name], given[1][name]):
            raise ValueError(f"{name} is scored otherwise when it is asked again with the same seed")


def _step(module: nn.Module, shape: tuple[int, ...], recipe: Recipe) -> None:
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
            found = nn.functional.cross_entropy(module(x), y)
        return found, found.detach()

    step = Step(module, optimizer, masked, recipe.clip_norm, loss)
    with seeded(0):
        with torch.no_grad():
            x, _ = takes(module.eval(), torch.rand(EXAMPLES, *shape, dtype=torch.float64 if double else None))
        module.train()
        batch = x, torch.arange(EXAMPLES) % 2
        for _ in range(2):  # the first makes an optimizer's state
            optim.apply(rates.next(), optimizer)
            step(batch)


@cache
def _require_same(network: Network) -> None:
    """Raise ValueError for a network whose weights or outputs are not functions of the seed."""
    one, two = initial(network, 0), initial(network, 0)
    for name in one:
        if not torch.equal(one[name], two[name]):
            raise ValueError(
                f"{name} differs each time it is drawn with the same seed, so tickets would not begin where the dense "
                "network did: draw from torch's, numpy's or Python's global generator"
            )
    outputs = []
    for _ in range(2):
        module = build(network)
        module.load_state_dict(one)
        with seeded(1), torch.no_grad():
            outputs.append(takes(module.train(), torch.rand(EXAMPLES, *network.shape))[1])
    if not torch.equal(*outputs):
        raise ValueError(
            "its output in training is another each time with the same weights, input and seed, so no training could "
            "be resumed: draw from torch's, numpy's or Python's global generator"
        )
