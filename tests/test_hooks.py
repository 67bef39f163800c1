"""Hooks: what they drop, grow, remember and end, beside plain loops."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from small import half_mask, run_of
from test_dynamics import CLOCK, CPU, DIGITS, hooked, train
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lt_sweeps import masks
from lt_sweeps.check.example import half
from lt_sweeps.hooks.moment import Change, Moment
from lt_sweeps.masks import TicketTensors
from lt_sweeps.networks.build import build, initial
from lt_sweeps.randomness import rng
from lt_sweeps.registry import part
from lt_sweeps.specs import Network, Part
from lt_sweeps.training.fit import fit


class Plain(nn.Module):
    """One hidden layer, for a training that is done again by hand."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 12), nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x.flatten(1)).relu())


PLAIN = Network(Part("test_hooks.Plain"), (1, 8, 8), 10)


@pytest.mark.parametrize("name", ["rigl", "set"])
def test_a_training_with_a_hook_is_what_a_plain_loop_does(name: str) -> None:
    """Drop, grow and momentum step by step, in plain torch; draws come from the generators that the hook is given."""
    run = replace(hooked(name), ticket=replace(run_of().ticket, network=PLAIN))
    start, mask = initial(PLAIN, 0), half(masks.dense(build(PLAIN))[0], 1)
    ours = fit(run, TicketTensors(start, mask), DIGITS, CPU)
    theirs, ones = build(PLAIN), {name: value.clone() for name, value in sorted(mask.items())}
    theirs.load_state_dict(masks.effective(start, mask))
    weight, momentum = dict(theirs.named_parameters()), dict[str, Tensor]()
    batches = DIGITS.batches(0, run.batching)
    for step in range(run.recipe.steps):
        due = step in (10, 20, 30, 40)
        draws = rng(3, "hook", 0, 0, step)
        if due and name == "set":
            for tensor, kept in ones.items():
                drop_and_draw(weight[tensor].detach(), kept, momentum[tensor], draws)
        x, y = next(batches)
        slopes = dict(zip(weight, torch.autograd.grad(cross_entropy(theirs(x), y), list(weight.values())), strict=True))
        if due and name == "rigl":
            share = 0.15 * (1 + math.cos(math.pi * (step - 10) / 30))
            for tensor, kept in ones.items():
                drop_and_grow(
                    weight[tensor].detach(), kept, momentum[tensor], slopes[tensor], int(share * int(kept.sum())), draws
                )
            continue
        with torch.no_grad():
            for tensor, slope in slopes.items():
                slope = slope * ones[tensor] if tensor in ones else slope
                slope = slope + 5e-3 * weight[tensor]
                momentum[tensor] = 0.9 * momentum[tensor] + slope if tensor in momentum else slope.clone()
                weight[tensor] -= 0.05 * momentum[tensor]
    assert ours.state is not None
    for tensor, kept in ones.items():
        assert torch.equal(ours.mask[tensor], kept), tensor
        assert int(kept.sum()) == int(mask[tensor].sum())
    for tensor, value in weight.items():
        assert torch.allclose(ours.state[tensor], value, atol=1e-6), tensor


def drop_and_grow(w: Tensor, kept: Tensor, momentum: Tensor, slope: Tensor, count: int, draws: torch.Generator) -> None:
    """RigL on one tensor, one weight after another; changes all but the slope in place."""
    noise = 1e-5 * torch.randn(w.numel(), generator=draws)
    places = sorted(
        (n for n in range(w.numel()) if kept.view(-1)[n]), key=lambda n: -float(w.abs().view(-1)[n] + noise[n])
    )
    retained = set(places[: len(places) - count])
    others = sorted((n for n in range(w.numel()) if n not in retained), key=lambda n: -float(slope.abs().view(-1)[n]))
    now = retained | set(others[:count])
    change(w, kept, momentum, now)


def drop_and_draw(w: Tensor, kept: Tensor, momentum: Tensor, draws: torch.Generator) -> None:
    """SET on one tensor."""
    alive = [n for n in range(w.numel()) if kept.view(-1)[n]]
    dropped: set[int] = set()
    for side in ([n for n in alive if w.view(-1)[n] >= 0], [n for n in alive if w.view(-1)[n] < 0]):
        dropped |= set(sorted(side, key=lambda n: float(w.view(-1)[n].abs()))[: int(0.3 * len(side))])
    retained = set(alive) - dropped
    free = [n for n in range(w.numel()) if n not in retained]
    grown = [free[i] for i in torch.randperm(len(free), generator=draws)[: len(dropped)].tolist()]
    change(w, kept, momentum, retained | set(grown))


@torch.no_grad()
def change(w: Tensor, kept: Tensor, momentum: Tensor, now: set[int]) -> None:
    """Weights that go become zero; those that come begin at zero; momentum of both is zero."""
    for n in range(w.numel()):
        if n not in now or not kept.view(-1)[n]:
            w.view(-1)[n] = 0
            momentum.view(-1)[n] = 0
        kept.view(-1)[n] = n in now


def test_hooks_say_how_much_they_have_explored() -> None:
    still, moved = train(run_of()), train(hooked("set"))
    assert "explored" not in still.progress.history[-1]
    shares = [row["explored"] for row in moved.progress.history]
    begun = 100 * masks.kept(half_mask()) / masks.total(half_mask())
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(begun, abs=1e-3)
    assert shares[-1] > begun + 5


def test_a_hook_that_ends_a_training_keeps_the_mask_that_has_settled() -> None:
    run = replace(run_of(), hooks=(part("hook", "early_bird", {**CLOCK, "every": 2, "keep": 0.25, "window": 3}),))
    ended = train(run)
    assert ended.progress.ended_by == "early_bird"
    assert ended.progress.step < run.recipe.steps
    assert ended.progress.history[-1]["step"] == ended.progress.step
    assert masks.kept(ended.mask) == round(0.25 * masks.total(ended.mask))


def test_a_loss_that_is_not_finite_is_no_mask_that_has_settled() -> None:
    """Without steps the weights stay, and with them the mask; the training has diverged all the same."""
    bird = part("hook", "early_bird", {"every": 1, "begin": 0, "until": 50, "window": 4, "tolerance": 1.0})
    run = replace(run_of(), hooks=(bird,))
    run = replace(run, recipe=replace(run.recipe, optimizer=Part("torch.optim.SGD", args={"lr": 1e30})))
    assert train(run).diverged_at == 1


def test_what_a_hook_remembers_is_what_was() -> None:
    seen: list[tuple[float, float]] = []

    def remembering(moment: Moment) -> Change:
        now, before = moment.weights["fc.weight"], moment.memory.get("fc.weight")
        seen.append((float(now.norm()), float("nan") if before is None else float(before.norm())))
        return Change(None, dict(moment.weights))

    globals()["remembering"] = remembering
    train(replace(run_of(), hooks=(Part("test_hooks.remembering", args={"every": 10, "begin": 0, "until": 50}),)))
    assert [before for _, before in seen[1:]] == [now for now, _ in seen[:-1]]
    assert len({now for now, _ in seen}) == 5
