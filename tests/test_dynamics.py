"""Trainings that change their mask: every gate and hook resumes to the same bits, and keeps what it promises."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import examples, half_mask, run_of, weights

import lt_sweeps as lt
from lt_sweeps.graph import Train
from lt_sweeps.hooks.moment import Change, Moment
from lt_sweeps.main import main
from lt_sweeps.masks import TicketTensors
from lt_sweeps.registry import catalogue, part
from lt_sweeps.specs import Part
from lt_sweeps.ticket_files.card import BadTicket, read
from lt_sweeps.tickets.load import mask as ticket_mask
from lt_sweeps.tickets.train import train as train_ticket
from lt_sweeps.training import recorder
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

CPU = Hardware("cpu")
DIGITS = examples()
CLOCK = {"every": 10, "begin": 10, "until": 40}
GATES = sorted(catalogue("gate"))
HOOKS = sorted(catalogue("hook"))


def gated(name: str, optimizer: str = "sgd", hooks: tuple[Part, ...] = (), **args: Any) -> Train:
    return replace(run_of(optimizer), gate=part("gate", name, args), hooks=hooks, draw=3)


def hooked(name: str, optimizer: str = "sgd", **args: Any) -> Train:
    return replace(run_of(optimizer), hooks=(part("hook", name, {**CLOCK, **args}),), draw=3)


EVERY = {
    **{name: gated(name) for name in GATES},
    **{name: hooked(name) for name in HOOKS},
    "gem and freeze": gated("gem", hooks=(part("hook", "freeze_scores", {**CLOCK, "keep": 0.3}),)),
    "exponential": gated("edge_popup", keep=0.2, ranking="global", schedule="exponential"),
    "rescaled": gated("bernoulli", rescale=True),
    "restored": gated("sign_in", restore_every=0.1, until=0.7),
}


def train(run: Train, **session: Any) -> Trained:
    return fit(run, TicketTensors(weights(), half_mask()), DIGITS, CPU, Session(**session))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("name", EVERY)
def test_every_gate_and_hook_resumes_from_every_checkpoint_to_the_same_bits(
    name: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LOOK_EVERY", 13)
    run, saved = replace(EVERY[name], recipe=run_of(optimizer).recipe), list[bytes]()

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {}))

    whole = train(run, checkpoint=save, wait=lambda cost: 0.0, snapshots=frozenset({20}), keep=state_of)
    assert whole.state is not None
    assert len(saved) >= 1
    for content in saved:
        resumed = train(run, progress=decode_progress(content)[0], snapshots=frozenset({20}), keep=state_of)
        assert resumed.state is not None
        assert state_digest(resumed.state) == state_digest(whole.state)
        assert state_digest(resumed.mask) == state_digest(whole.mask)
        assert resumed.progress.history == whole.progress.history
        assert resumed.progress.snapshots == whole.progress.snapshots
        assert resumed.progress.masks == whole.progress.masks
        assert (resumed.end, resumed.early_stop) == (whole.end, whole.early_stop)


def state_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_end_of_a_search_is_an_ordinary_ticket_that_evaluates_the_same() -> None:
    for name in GATES:
        run = gated(name)
        if name == "tangent":  # what it trains is no network: tests/test_tangent.py
            continue
        trained = train(run)
        assert trained.state is not None
        again = fit(
            replace(run_of(), recipe=replace(run_of().recipe, steps=0)),
            TicketTensors(trained.state, trained.mask),
            DIGITS,
            CPU,
        )
        assert again.end == trained.end


def test_what_cannot_move_is_refused() -> None:
    filled = replace(hooked("rigl"), ticket=replace(run_of().ticket, fill=run_of().ticket.weights))
    with pytest.raises(ValueError, match="pruned weights must be zero"):
        fit(filled, TicketTensors(weights(), half_mask(), weights(7)), DIGITS, CPU)
    asks_often = replace(hooked("rigl"), recipe=replace(run_of().recipe, optimizer=Part("torch.optim.LBFGS")))
    with pytest.raises(ValueError, match="asks for the loss several times a step"):
        train(asks_often)


SWEEP = ("prune.levels=1", "prune.rate=0.5", "budget=smoke", "recipe.steps=40it", "recipe.eval_every=10it")
HOOKED = ("prune=at_init", "criterion=random", "hook=set", "hook.every=4it", "hook.begin=4it")


def test_a_notebook_and_a_folder_have_the_mask_of_their_step(tmp_path: Path) -> None:
    """A training that changes its mask: what it began with, what it had half way, and what it ended with."""
    words = [*SWEEP, *HOOKED, "budget=paper", "logger=none", "trainer.processes=0", "sweep=s"]
    assert main(["-m", *words, f"paths.output_dir={tmp_path}"]) == 0
    run = lt.open(tmp_path / "s").ticket(level=1)
    began, end = {name: value != 0 for name, value in run.state(0).items()}, run.mask
    assert all(int(began[name].sum()) == int(ones.sum()) for name, ones in end.items())
    assert not all(torch.equal(began[name], ones) for name, ones in end.items())
    half_way, ended = run.state(10), run.state()
    assert any(bool((half_way[name][~ones] != 0).any()) for name, ones in end.items()), "it was kept then"
    assert not any(bool((ended[name][~ones] != 0).any()) for name, ones in end.items())
    assert run.evaluate().accuracy == run.row["test_accuracy"]
    for trained, mask in ((False, began), (True, end)):
        exported = ticket_mask(read(run.export(tmp_path / f"ticket{trained}", trained=trained)))
        assert all(torch.equal(ones, mask[name]) for name, ones in exported.items())
    with pytest.raises(BadTicket, match="set changed its training"):
        train_ticket(tmp_path / "ticketFalse", Path(), tmp_path, "cpu", trust=False)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("prune=learned",), "learns masks through a gate"),
        (("gate=edge_popup",), "for prune=learned"),
        (("gate=sign_in", "hook=set"), "hook=set: gate=sign_in has no weights"),
        (("prune=learned", "gate=edge_popup", "hook=rigl"), "hook=rigl: gate=edge_popup has no weights"),
        (("hook=set", "hook.begin=1000it"), "hook.begin=1000it: is after"),
        (("hook=set", "hook.every=0it"), "at least one iteration"),
        (("hook=set", "hook.args.every=7"), "when a hook is asked is hook.every"),
        (("hook=set", "hook.until=200%"), "write a share of the training"),
        (("hook=rigl", "pruned=freeze"), "pruned weights are zero"),
        (("prune=learned", "gate=bernoulli", "prune.levels=2"), "finds its own density"),
        (("prune=learned", "gate=edge_popup", "gate.args.keep=0.1", "prune.levels=2"), "args.keep is given"),
        (("prune=learned", "gate=edge_popup", "gate.args.keep=0"), "give a share above 0"),
        (("prune=learned", "gate=edge_popup", "gate.args.keep=a"), "gate edge_popup: keep=a: give a number"),
        (("hook=rigl", "hook.args.fraction=1.5"), "give a share of the kept weights"),
        (("hook=early_bird", "hook.args.window=0"), "give 1 or more masks"),
        (("find=early_bird_channels", "prune=one_shot", "prune.unit=channel"), "there is no batch normalisation"),
        (("hook.name=test_dynamics.writes", "hook.every=1it"), "moment.weights"),
    ],
)
def test_what_cannot_be_is_answered_before_anything_trains(
    words: tuple[str, ...], answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", *SWEEP, *words, "sweep=s", f"paths.output_dir={tmp_path}", "trainer.processes=0"]) == 2
    assert answer in capsys.readouterr().err
    assert not (tmp_path / "store").exists() or not list((tmp_path / "store").rglob("*.json"))


def writes(moment: Moment) -> Change:
    """Changes weights under the training's feet."""
    for weight in moment.weights.values():
        weight.mul_(0.5)
    return Change()
