"""A gate draws only while it trains; a hook is asked at the steps of its clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small import NETWORK, run_of
from test_dynamics import DIGITS, gated, train

from lt_sweeps.hooks.moment import Change, Moment
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.networks.build import build
from lt_sweeps.registry import part
from lt_sweeps.specs import Part


def test_a_training_that_a_hook_ends_is_evaluated_without_a_draw_of_its_gate() -> None:
    """It ends inside a step, for which the gate has a generator."""
    bird = part("hook", "early_bird", {"every": 1, "begin": 5, "until": 50, "window": 2, "tolerance": 1.0})
    trained = train(gated("bernoulli", hooks=(bird,)))
    assert (trained.progress.ended_by, trained.progress.step) == ("early_bird", 6)
    assert trained.state is not None
    network = build(NETWORK)
    network.load_state_dict(trained.state)
    assert trained.end == evaluate(network, DIGITS.chunks("test"), 10)
    row = trained.progress.history[-1]
    found = evaluate(network, DIGITS.chunks("validation"), 10)
    assert (row["val_loss"], {"accuracy": row["val_accuracy"]}) == (found.loss, found.metrics)


def test_a_hook_is_asked_at_its_first_step_and_every_so_many_up_to_its_last(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    def asked(moment: Moment) -> Change:
        steps.append(moment.step)
        return Change()

    monkeypatch.setitem(globals(), "asked", asked)
    clock = {"begin": 3, "every": 10, "until": 33}
    train(replace(run_of(steps=35), hooks=(Part("test_dynamics_laws.asked", args=clock),)))
    assert steps == [3, 13, 23, 33]
