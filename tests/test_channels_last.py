"""Steps with tensors that lie channels last come to the weights of usual steps, and to the same bits when resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import OPTIMIZERS

from lt_sweeps.datasets.examples import Examples
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.masks import Mask, TicketTensors, dense
from lt_sweeps.networks.build import build, initial
from lt_sweeps.registry import part
from lt_sweeps.specs import Data, Network, Part, Recipe
from lt_sweeps.training.channels_last import choose
from lt_sweeps.training.fit import ChannelsLast, Hardware, Kernel, Trained, fit
from lt_sweeps.training.leaving import Left
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

DIGITS = Data(part("dataset", "digits"), 10, (1, 8, 8), mean=(0.3,), std=(0.4,), validation=100, eval_limit=100)
RESNET = Network(part("network", "resnet20"), (1, 8, 8), 10)
FORCED = Hardware(kernel="channels_last")


@pytest.fixture(scope="module")
def examples() -> Examples:
    return Examples(DIGITS, Path(), torch.device("cpu"))


def run_of(network: Network = RESNET, optimizer: str = "sgd", **recipe: Any) -> Train:
    settings = {"steps": 8, "batch_size": 16, "eval_every": 4, **recipe}
    described = Recipe(optimizer=OPTIMIZERS[optimizer], **settings)
    return Train(Ticket(network, Init(network, 0), Dense(network)), DIGITS, described)


def ticket_of(run: Train) -> TicketTensors:
    draw = torch.Generator().manual_seed(0)
    full: Mask = dense(build(run.ticket.network))[0]
    mask = {name: torch.rand(ones.shape, generator=draw) < 0.5 for name, ones in full.items()}
    return TicketTensors(initial(run.ticket.network, 0), mask)


def trained(run: Train, on: Examples, kernel: Kernel | None, session: Session | None = None) -> Trained:
    return fit(run, ticket_of(run), on, FORCED, session, kernel)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "mixing"])
def test_a_training_left_after_any_step_ends_in_the_same_bits(optimizer: str, examples: Examples) -> None:
    run = run_of(optimizer=optimizer)
    kernel = choose(run, ticket_of(run), examples, FORCED)
    assert kernel == ChannelsLast()
    whole = trained(run, examples, kernel)
    progress: Progress | None = None
    saved: list[bytes] = []

    def save(now: Progress) -> None:
        saved.append(encode_progress(now, {}))

    for _ in range(run.recipe.steps):
        with pytest.raises(Left):
            trained(run, examples, kernel, Session(progress, checkpoint=save, leave=lambda: True))
        progress, _ = decode_progress(saved[-1])
    last = trained(run, examples, kernel, Session(progress))
    assert whole.state is not None
    assert last.state is not None
    assert state_digest(last.state) == state_digest(whole.state)
    assert last.progress.history == whole.progress.history
    assert (last.end, last.early_stop) == (whole.end, whole.early_stop)


def test_they_come_to_the_weights_of_usual_steps(examples: Examples) -> None:
    run = run_of(steps=4, clip_norm=0.5)
    usual, last = trained(run, examples, None), trained(run, examples, ChannelsLast())
    assert usual.state is not None
    assert last.state is not None
    for name, value in usual.state.items():
        torch.testing.assert_close(last.state[name], value, rtol=2e-3, atol=2e-3, msg=name)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"network": Network(part("network", "lenet_300_100"), (1, 8, 8), 10)}, "no convolutions"),
        ({"precision": "bf16-mixed"}, "recipe.precision=bf16-mixed"),
        ({"network": Network(part("network", "resnet20", {"width": 0.25}), (1, 8, 8), 10)}, "fewer than 16 channels"),
        ({"gate": part("gate", "edge_popup")}, "a gate or a hook"),
        ({"network": Network(Part("torch.nn.Identity", args={}), (1, 8, 8), 10)}, "a user's own network"),
    ],
)
def test_what_does_not_fit_is_told_once_asked_for(changed: dict[str, Any], why: str, examples: Examples) -> None:
    gate = changed.pop("gate", None)
    run = replace(run_of(**changed), gate=gate)
    lines: list[str] = []
    ticket = TicketTensors({}, {})
    assert choose(run, ticket, examples, replace(FORCED, say=lines.append)) is None
    assert len(lines) == 1
    assert why in lines[0]


def test_nobody_else_takes_it(examples: Examples) -> None:
    """oneDNN has errors in these convolutions: `auto` leaves them."""
    run = run_of(steps=500)
    for kernel in ("auto", "masked", "sparse", "graph"):
        assert choose(run, ticket_of(run), examples, Hardware(kernel=kernel)) is None


def test_steps_that_differ_are_not_trusted(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout draws for places in memory: other places drop out when tensors lie differently."""
    run = run_of(Network(part("network", "wrn_22_2", {"dropout": 0.5}), (1, 8, 8), 10))
    lines: list[str] = []
    assert choose(run, ticket_of(run), examples, replace(FORCED, say=lines.append)) is None
    assert "differs from a usual one" in lines[0]
