"""The laws of a gate and of a hook, as functions of tensors and in a short training on noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lt_sweeps import registry
from lt_sweeps.check.candidate import STEPS, Candidate
from lt_sweeps.check.example import NETWORK
from lt_sweeps.check.laws import Broken, Stages, refuse_changes, refuse_global_changes, surroundings
from lt_sweeps.gates.gate import Gate, Now, gate_of
from lt_sweeps.graph import Train
from lt_sweeps.hooks.moment import Change, Moment
from lt_sweeps.masks import Mask, State, TicketTensors, total
from lt_sweeps.randomness import rng
from lt_sweeps.specs import Part
from lt_sweeps.training.dynamics import Hook
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.progress import decode_progress, encode_progress
from lt_sweeps.training.recorder import Session

LONG = 2 * STEPS  # so that a hook is asked after the first checkpoint too
EVERY = {"every": 5, "begin": 5, "until": LONG}  # when the hook under test is asked


@dataclass(frozen=True)
class Subject:
    """The gate or the hook under test, on a small half-pruned network."""

    part: Part
    kind: str

    @cached_property
    def on(self) -> Candidate:
        """The small network."""
        return Candidate(NETWORK)

    @property
    def weights(self) -> State:
        """Start weights of the prunable tensors: a fresh copy."""
        return {name: self.on.weights[name].clone() for name in sorted(self.on.mask)}

    @property
    def mask(self) -> Mask:
        """The parent mask: a fresh copy."""
        return {name: self.on.mask[name].clone() for name in sorted(self.on.mask)}

    @property
    def gate(self) -> Gate:
        """The gate, made anew."""
        return gate_of(self.part)

    def begun(self, seed: int = 0) -> State:
        """The gate's parameters at the start, with global generators seeded with `seed`."""
        with surroundings(seed):
            return self.gate.begin(self.weights, self.mask, rng(5, "gate"))

    def moment(self) -> Moment:
        """What a hook sees at step 5."""
        weights, generator = self.weights, rng(6, "slopes")
        masked = {name: weight * self.mask[name] for name, weight in weights.items()}
        slopes = {name: torch.randn(weight.shape, generator=generator) for name, weight in weights.items()}
        scales = {"norm.weight": torch.randn(8, generator=generator)}
        return Moment(5, 5, LONG, 5, masked, slopes, self.mask, {}, rng(5, "hook"), scales)

    def change(self, moment: Moment, seed: int = 0) -> Change:
        """What the hook changes, with global generators seeded with `seed`."""
        with surroundings(seed):
            return Hook(self.part, 0)(moment)

    @property
    def run(self) -> Train:
        """A short training with it."""
        run = replace(self.on.run, recipe=replace(self.on.run.recipe, steps=LONG, eval_every=LONG), draw=3)
        return replace(run, gate=self.part) if self.kind == "gate" else replace(run, hooks=(self.part,))

    def trained(self, **session: Any) -> Trained:
        """That training."""
        ticket = TicketTensors(self.on.weights, self.on.mask)
        return fit(self.run, ticket, self.on.examples, Hardware(), Session(**session))


def gate(name: str, args: Mapping[str, Any] | None = None) -> Subject:
    """Returns the gate of a registered name or an import path."""
    return Subject(registry.part("gate", name, args), "gate")


def hook(name: str, args: Mapping[str, Any] | None = None) -> Subject:
    """Returns the hook of a registered name or an import path, asked every fifth step."""
    return Subject(registry.part("hook", name, {**EVERY, **(args or {})}), "hook")


def it_begins_with_parameters_to_train(subject: Subject) -> str:
    """`begin` returns finite floating-point tensors by names."""
    begun = subject.begun()
    if not isinstance(begun, Mapping) or not begun:
        raise Broken("begin returns no parameters: return a dict of tensors to train")
    for name, value in begun.items():
        if not isinstance(value, Tensor) or not value.is_floating_point() or not bool(value.isfinite().all()):
            raise Broken(f"{name} is no finite floating-point tensor at the start")
    return f"{sum(value.numel() for value in begun.values()):,} parameters"


def _masks(subject: Subject, generator: torch.Generator | None, seed: int = 0) -> State:
    parameters, parent = subject.begun(), subject.mask
    with surroundings(seed):
        mask = subject.gate.mask(parameters, parent, Now(generator, 1.0))
    for name, ones in parent.items():
        if name not in mask or mask[name].shape != ones.shape:
            raise Broken(f"its mask has no tensor {name} of shape {list(ones.shape)}")
    return mask


def the_mask_that_is_kept_is_of_zeros_and_ones(subject: Subject) -> str:
    """Without a generator the mask has a tensor for each of `parent`, of zeros and ones."""
    mask = _masks(subject, None)
    for name, ones in mask.items():
        if not bool(((ones == 0) | (ones == 1)).all()):
            raise Broken(f"{name}: its mask is not of zeros and ones where no generator is given: round it")
    kept = sum(int((mask[name] * ones).sum()) for name, ones in subject.mask.items())
    return f"{kept:,} of {total(subject.mask):,} weights at the start"


def the_same_generator_gives_the_same_mask(subject: Subject) -> str:
    """Neither its parameters nor its mask depend on global generators."""
    for name, value in subject.begun(1).items():
        if not torch.equal(value, subject.begun(2)[name]):
            raise Broken(f"{name} begins with other values in a second call: draw with the generator it is given")
    first, second = (_masks(subject, rng(7, "draw"), seed) for seed in (1, 2))
    for name, ones in first.items():
        if not torch.equal(ones, second[name]):
            raise Broken(f"{name}: its mask differs in a second call: draw with the generator it is given")
    return ""


def what_a_gate_is_given_stays_as_it_was(subject: Subject) -> str:
    """It changes neither weights nor the parent mask, and no global state."""
    weights, parent = subject.weights, subject.mask
    parameters = subject.gate.begin(weights, parent, rng(5, "gate"))
    refuse_changes("weights", subject.weights, weights)
    mask = subject.gate.mask(parameters, parent, Now(None, 1.0))
    subject.gate.effective(parameters, weights, mask)
    refuse_changes("weights", subject.weights, weights)
    refuse_changes("parent", subject.mask, parent)
    refuse_global_changes(lambda: subject.gate.mask(parameters, parent, Now(rng(7, "draw"), 0.5)))
    return ""


def pruned_places_are_zero_and_gradients_reach_the_parameters(subject: Subject) -> str:
    """What the network computes with is finite, zero where the mask is, and depends on the gate's parameters."""
    parameters = {name: value.requires_grad_() for name, value in subject.begun().items()}
    gate, parent = subject.gate, subject.mask
    soft = gate.mask(parameters, parent, Now(rng(7, "draw"), 0.5))
    mask = {name: soft[name] * ones for name, ones in parent.items()}
    effective = gate.effective(parameters, subject.weights, mask)
    for name, ones in mask.items():
        if name not in effective or effective[name].shape != ones.shape:
            raise Broken(f"effective returns no {name} of shape {list(ones.shape)}")
        if not bool(effective[name].isfinite().all()):
            raise Broken(f"{name} is not finite as the network sees it")
        if bool((effective[name][ones == 0] != 0).any()):
            raise Broken(f"{name} is not zero where its mask is: multiply by the mask")
    total_square = torch.stack([value.pow(2).sum() for value in effective.values()]).sum()
    if not total_square.requires_grad:
        raise Broken("no gradient reaches its parameters: use straight_through where it rounds")
    total_square.backward()
    reached = sum(int((value.grad != 0).sum()) for value in parameters.values() if value.grad is not None)
    if not reached:
        raise Broken("no gradient reaches its parameters: use straight_through where it rounds")
    return f"{reached:,} of {sum(value.numel() for value in parameters.values()):,} parameters get a gradient"


def an_expansion_is_around_what_it_begins_with(subject: Subject) -> str:
    """What the network of a linear gate computes with at the start are the start weights, under the parent mask."""
    gate, parent, weights = subject.gate, subject.mask, subject.weights
    if not gate.linear:
        return "not linear"
    parameters, now = subject.begun(), Now(None, 0.0)
    mask = {name: ones * parent[name] for name, ones in gate.mask(parameters, parent, now).items()}
    for name, value in gate.effective(parameters, weights, mask).items():
        if not torch.allclose(value, weights[name] * parent[name]):
            raise Broken(f"{name} begins elsewhere than at the start weights, around which a linear gate expands")
    return ""


def its_mask_has_the_shapes_it_was_given(subject: Subject) -> str:
    """A mask that it returns is a bool tensor for each of `moment.mask`; memory is of tensors."""
    change, moment = subject.change(subject.moment()), subject.moment()
    if not isinstance(change.memory, Mapping) or not all(isinstance(value, Tensor) for value in change.memory.values()):
        raise Broken("its memory is not of tensors: only tensors are kept in a checkpoint")
    if change.mask is None:
        return "no change of the mask"
    for name, ones in moment.mask.items():
        new = change.mask.get(name)
        if not isinstance(new, Tensor) or new.shape != ones.shape or new.dtype != torch.bool:
            raise Broken(f"its mask has no bool tensor {name} of shape {list(ones.shape)}")
    kept = sum(int(ones.sum()) for ones in change.mask.values())
    return f"{kept:,} weights kept, {sum(int(ones.sum()) for ones in moment.mask.values()):,} before"


def the_same_moment_gives_the_same_change(subject: Subject) -> str:
    """It depends on no global generator, changes no global state, and leaves what it is given as it was."""
    first, second = (subject.change(subject.moment(), seed) for seed in (1, 2))
    if (first.skip, first.end) != (second.skip, second.end):
        raise Broken("it skips or ends in one call and not in a second: draw with the moment's generator")
    for what, values, repeated in (("mask", first.mask, second.mask), ("memory", first.memory, second.memory)):
        for name, value in (values or {}).items():
            if repeated is None or not torch.equal(value, repeated[name]):
                raise Broken(f"its {what} of {name} differs in a second call: draw with the moment's generator")
    moment, before = subject.moment(), subject.moment()
    subject.change(moment)
    for what in ("weights", "slopes", "mask"):
        refuse_changes(f"moment.{what}", getattr(before, what), getattr(moment, what))
    refuse_global_changes(lambda: subject.change(subject.moment()))
    return ""


def an_interrupted_training_ends_in_the_same_bits(subject: Subject) -> str:
    """A training goes on from its checkpoint to the same weights and the same mask; pruned places are zero."""
    saved: list[bytes] = []
    with surroundings(0):
        whole = subject.trained(
            checkpoint=lambda progress: saved.append(encode_progress(progress, {})), wait=lambda cost: 0.0
        )
    if whole.state is None:
        raise Broken(f"the loss is not finite at step {whole.diverged_at} of SGD at a learning rate of 0.01")
    if not saved:
        return f"it ends at step {whole.progress.step}, before there is a checkpoint"
    with surroundings(1):
        resumed = subject.trained(progress=decode_progress(saved[0])[0])
    assert resumed.state is not None
    for name, value in whole.state.items():
        if not torch.equal(value, resumed.state[name]):
            raise Broken(f"{name} is another after an interruption: it keeps state outside of parameters and memory")
    for name, ones in whole.mask.items():
        if not torch.equal(ones, resumed.mask[name]):
            raise Broken(f"the mask of {name} is another after an interruption: keep what it remembers in memory")
    kept = sum(int(ones.sum()) for ones in whole.mask.values())
    return f"{kept:,} of {total(whole.mask):,} weights kept after {whole.progress.step} steps"


GATE: Stages[Subject] = (
    (it_begins_with_parameters_to_train,),
    (the_mask_that_is_kept_is_of_zeros_and_ones, the_same_generator_gives_the_same_mask),
    (what_a_gate_is_given_stays_as_it_was, pruned_places_are_zero_and_gradients_reach_the_parameters),
    (an_expansion_is_around_what_it_begins_with,),
    (an_interrupted_training_ends_in_the_same_bits,),
)
HOOK: Stages[Subject] = (
    (its_mask_has_the_shapes_it_was_given,),
    (the_same_moment_gives_the_same_change,),
    (an_interrupted_training_ends_in_the_same_bits,),
)
