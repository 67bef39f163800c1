"""What Lightning's stock `ModelPruning` does under the name of the lottery ticket hypothesis, beside ours.

Each statement is tested of both, on the same network, data and optimizer (SGD with momentum): false there, true
here. Where a later Lightning mends one of these, the test of theirs fails and says so.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelPruning
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lt_sweeps.allocation import allocate, counts
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.masks import Mask, State, TicketTensors, dense, effective
from lt_sweeps.networks.build import build, initial
from lt_sweeps.specs import Data, Network, Part, Recipe
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.module import TicketModule

NETWORK = Network(Part("lenet_300_100", 1), (1, 8, 8), 10)
STEPS, BATCH, LEVELS, RATE = 20, 64, 3, 0.2
OPTIMIZER = Part("torch.optim.SGD", 0, {"lr": 0.1, "momentum": 0.9})


@dataclass
class Start:
    """A level as its training begins: weights, masks and momentum by the network's own names."""

    weights: State
    masks: State
    momentum: State

    def is_rewound_to(self, init: State) -> bool:
        """Whether the weights that are kept, and all that cannot be pruned, are the initial ones, bit for bit."""
        everything = {name: torch.ones_like(value, dtype=torch.bool) for name, value in init.items()}
        kept = {**everything, **{name: ones.bool() for name, ones in self.masks.items()}}
        return all(torch.equal(self.weights[name][kept[name]], init[name][kept[name]]) for name in init)


def plain(values: dict[str, Tensor]) -> State:
    """Copies, without the names that `torch.nn.utils.prune` gives."""
    return {name.removesuffix("_orig").removesuffix("_mask"): value.detach().clone() for name, value in values.items()}


@pytest.fixture(scope="module")
def examples() -> Examples:
    return Examples(Data(Part("digits", 1), 10, (1, 8, 8)), Path(), torch.device("cpu"))


@pytest.fixture(scope="module")
def init() -> State:
    return initial(NETWORK, 0)


# ------------------------------------------------------------------------------------ Lightning's


class Lightnings(pl.LightningModule):
    """The network as a user of `ModelPruning` would train it."""

    def __init__(self, init: State) -> None:
        super().__init__()
        self.network = build(NETWORK)
        self.network.load_state_dict(init)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), **OPTIMIZER.args)


class Starts(pl.Callback):
    """Notes the start of every epoch after the first: that is a level, for `ModelPruning`."""

    def __init__(self) -> None:
        self.seen: list[Start] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch:
            network, state = pl_module.network, trainer.optimizers[0].state
            weights = dict(network.named_parameters())
            momentum = {
                name: state[w]["momentum_buffer"] for name, w in weights.items() if "momentum_buffer" in state[w]
            }
            self.seen.append(Start(plain(weights), plain(dict(network.named_buffers())), plain(momentum)))


def model_pruning(**settings: object) -> ModelPruning:
    return ModelPruning("l1_unstructured", amount=RATE, use_lottery_ticket_hypothesis=True, **settings)


def lightnings_fit(module: Lightnings, examples: Examples, epochs: int, *callbacks: pl.Callback) -> None:
    shown, classes = (part[: STEPS * BATCH] for part in (examples.seen(examples.train[0]), examples.train[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on workers and logging
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, DataLoader(TensorDataset(shown, classes), BATCH))


def lightnings_levels(examples: Examples, init: State, **settings: object) -> list[Start]:
    starts = Starts()
    lightnings_fit(Lightnings(init), examples, LEVELS + 1, model_pruning(**settings), starts)
    return starts.seen


@pytest.fixture(scope="module")
def theirs(examples: Examples, init: State) -> list[Start]:
    return lightnings_levels(examples, init)


# ------------------------------------------------------------------------------------------- ours


def train(examples: Examples, init: State, mask: Mask) -> Trained:
    recipe = Recipe(STEPS, BATCH, OPTIMIZER, eval_every=STEPS)
    run = Train(Ticket(NETWORK, Init(NETWORK, 0), Dense(NETWORK)), examples.data, recipe)
    return fit(run, TicketTensors(init, mask), examples, Hardware())


@pytest.fixture(scope="module")
def ours(examples: Examples, init: State) -> list[Start]:
    """Three levels of iterative magnitude pruning, looked at from inside the first step of each."""
    seen: list[Start] = []
    mask, _ = dense(build(NETWORK))
    step = TicketModule.training_step

    def noted(module: TicketModule, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        if module.step == 0:
            state = module.trainer.optimizers[0].state
            buffers = {name: state[w]["momentum_buffer"] for name, w in module.network.named_parameters() if state[w]}
            seen.append(Start(plain(module.network.state_dict()), plain(mask), plain(buffers)))
        return step(module, batch, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TicketModule, "training_step", noted)
        for _ in range(LEVELS + 1):
            end = train(examples, init, mask).state
            assert end is not None
            scores = {name: end[name].abs() for name in mask}
            mask = allocate(scores, mask, counts(mask, RATE, "global", {}, 1), torch.Generator().manual_seed(0))
    return seen[1:]


# --------------------------------------------------------------------------------- the statements


def test_theirs_rewinds_to_the_initial_weights_once_and_never_again(theirs: list[Start], init: State) -> None:
    """It makes the live weights and its saved copy one tensor, so training overwrites the copy."""
    assert [start.is_rewound_to(init) for start in theirs] == [True, False, False]


def test_ours_rewinds_to_the_initial_weights_bit_for_bit_at_every_level(ours: list[Start], init: State) -> None:
    assert [start.is_rewound_to(init) for start in ours] == [True] * LEVELS
    for start in ours:
        pruned = effective(init, {name: ones.bool() for name, ones in start.masks.items()})
        assert all(torch.equal(start.weights[name], pruned[name]) for name in init)


def test_theirs_carries_the_momentum_of_the_old_weights_over_the_rewind(theirs: list[Start]) -> None:
    assert all(bool(start.momentum[name].any()) for start in theirs for name in start.weights)


def test_ours_starts_every_level_without_momentum(ours: list[Start]) -> None:
    assert [start.momentum for start in ours] == [{}] * LEVELS


def test_theirs_prunes_biases_unless_told_otherwise(theirs: list[Start]) -> None:
    biases = [ones for name, ones in theirs[-1].masks.items() if name.endswith("bias")]
    assert len(biases) == 3
    assert any(not bool(ones.all()) for ones in biases)


def test_ours_prunes_no_biases(ours: list[Start]) -> None:
    assert {name for start in ours for name in start.masks} == {"fc1.weight", "fc2.weight", "output.weight"}


def test_theirs_told_to_prune_weights_only_does_not_rewind_biases(examples: Examples, init: State) -> None:
    starts = lightnings_levels(examples, init, parameter_names=["weight"])
    assert torch.equal(starts[0].weights["fc1.weight"], init["fc1.weight"])
    assert not any(torch.equal(starts[0].weights[name], init[name]) for name in init if name.endswith("bias"))


def test_ours_rewinds_biases(ours: list[Start], init: State) -> None:
    assert all(torch.equal(start.weights[name], init[name]) for start in ours for name in init if name.endswith("bias"))


def test_theirs_hands_back_a_ticket_that_was_never_trained(examples: Examples, init: State) -> None:
    """Its last act is to prune and rewind."""
    module = Lightnings(init)
    lightnings_fit(module, examples, 1, model_pruning())
    for name, value in module.network.state_dict().items():
        assert torch.equal(value, torch.where(value != 0, init[name], 0))


def test_ours_hands_back_the_trained_ticket(examples: Examples, init: State, ours: list[Start]) -> None:
    mask = {name: ones.bool() for name, ones in ours[-1].masks.items()}
    trained = train(examples, init, mask)
    assert trained.state is not None
    assert trained.end is not None
    for name, ones in mask.items():
        assert not bool(trained.state[name][~ones].any())
        assert not torch.equal(trained.state[name][ones], init[name][ones])
    assert trained.end.accuracy > 60  # ten classes, twenty steps


def test_theirs_cannot_be_used_for_a_second_network(examples: Examples, init: State) -> None:
    pruning = model_pruning()
    lightnings_fit(Lightnings(init), examples, 1, pruning)
    with pytest.raises(pl.utilities.exceptions.MisconfigurationException, match="missing modules"):
        lightnings_fit(Lightnings(init), examples, 1, pruning)


def test_theirs_cannot_continue_a_network_it_left_masked(examples: Examples, init: State) -> None:
    pruning, module = model_pruning(make_pruning_permanent=False), Lightnings(init)
    lightnings_fit(module, examples, 1, pruning)
    with pytest.raises(RuntimeError, match="deepcopy"):
        lightnings_fit(module, examples, 1, pruning)


def test_ours_twice_is_the_same_twice(examples: Examples, init: State) -> None:
    draw = torch.Generator().manual_seed(0)
    mask = {name: torch.rand(ones.shape, generator=draw) < 0.5 for name, ones in dense(build(NETWORK))[0].items()}
    first, second = (train(examples, init, mask).state for _ in range(2))
    assert first is not None
    assert second is not None
    assert all(torch.equal(first[name], second[name]) for name in first)
