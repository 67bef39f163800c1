"""Trainings that change their mask: every gate and hook resumes to the same bits, and keeps what it promises."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from small import examples, half_mask, run_of, weights

from lt_sweeps.graph import Train
from lt_sweeps.masks import TicketTensors
from lt_sweeps.registry import catalogue, part
from lt_sweeps.specs import Part
from lt_sweeps.training import recorder
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

CPU = Hardware("cpu")
DIGITS = examples()
CLOCK = {"every": 10, "begin": 10, "until": 40}
GATES = sorted(catalogue("gate"))
HOOKS = sorted(catalogue("hook"))
COUNTED = ("edge_popup", "biprop")  # gates whose density is declared


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
}


def train(run: Train, **session: Any) -> Trained:
    return fit(run, TicketTensors(weights(), half_mask()), DIGITS, CPU, Session(**session))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("name", EVERY)
def test_every_gate_and_hook_resumes_from_every_checkpoint_to_the_same_bits(
    name: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LOOK_EVERY", 7)
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
