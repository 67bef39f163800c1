"""The masks and the optimizer's step in one pass, in C: torch's bits, and trusted only where they are."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small import OPTIMIZERS, examples, half_mask, run_of, weights
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lt_sweeps.masks import TicketTensors
from lt_sweeps.specs import Part
from lt_sweeps.training import masked_update, step
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.leaving import Left
from lt_sweeps.training.masked_update import MaskedUpdate
from lt_sweeps.training.masking import MaskedOptimizer
from lt_sweeps.training.progress import Progress
from lt_sweeps.training.recorder import Session

SGD, ADAM = "torch.optim.SGD", "torch.optim.Adam"
IN_C = {name: described for name, described in OPTIMIZERS.items() if name not in ("mixing", "grouped")} | {
    "plain": Part(SGD, args={"lr": 0.1}),
    "decay": Part(SGD, args={"lr": 0.1, "weight_decay": 1e-3}),
    "dampened": Part(SGD, args={"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    "lists": Part(ADAM, args={"lr": 1e-3, "betas": [0.8, 0.99]}),
    "decoupled": Part(ADAM, args={"lr": 5e-3, "weight_decay": 0.1, "decoupled_weight_decay": True}),
}
NOT_IN_C = {name: OPTIMIZERS[name] for name in ("mixing", "grouped")} | {
    "amsgrad": Part(ADAM, args={"lr": 5e-3, "amsgrad": True}),
    "uphill": Part(SGD, args={"lr": 0.01, "maximize": True}),
    "foreach": Part(SGD, args={"lr": 0.01, "foreach": True}),
    "rmsprop": Part("torch.optim.RMSprop", args={"lr": 1e-3}),
}


SLOWEST = 1.2  # most time of a step in C, in that of torch: a loop that fills no vectors takes twice as long


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The weights that the C has moved."""
    moved: list[Tensor] = []
    update = MaskedUpdate._update

    def noted(self: MaskedUpdate, weight: Tensor, *args: Any) -> None:
        moved.append(weight)
        update(self, weight, *args)

    monkeypatch.setattr(MaskedUpdate, "_update", noted)
    return moved


@pytest.fixture
def by_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Within it no step is taken in C."""
    with monkeypatch.context() as patched:
        yield lambda: patched.setattr(step, "masked_update", lambda *_: None)


def left(optimizer: Part, precision: str = "32-true", clip_norm: float | None = None, steps: int = 20) -> list[bytes]:
    """Weights and state of a training that is left after `steps` steps, and its history."""
    run = run_of(precision=precision, clip_norm=clip_norm)
    run = replace(run, recipe=replace(run.recipe, optimizer=optimizer))
    saved: list[Progress] = []
    asked = iter(range(steps))
    session = Session(checkpoint=saved.append, leave=lambda: next(asked) == steps - 1)
    with pytest.raises(Left):
        fit(run, TicketTensors(weights(), half_mask()), examples(), Hardware(), session)
    (progress,) = saved
    states = [value for state in progress.optimizer or [] for _, value in sorted(state.items())]
    values = [value for value in (*progress.state.values(), *states) if isinstance(value, Tensor)]
    return [repr(progress.history).encode(), *(value.numpy().tobytes() for value in values)]


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed"])
@pytest.mark.parametrize("optimizer", IN_C)
def test_trainings_have_the_bits_of_torch(optimizer: str, precision: str, taken: list[Tensor], by_torch: Any) -> None:
    own = left(IN_C[optimizer], precision)
    assert taken
    taken.clear()
    by_torch()
    assert left(IN_C[optimizer], precision) == own
    assert not taken


@pytest.mark.parametrize("optimizer", NOT_IN_C)
def test_other_optimizers_take_their_own_steps(optimizer: str, taken: list[Tensor]) -> None:
    left(NOT_IN_C[optimizer])
    assert not taken


@pytest.mark.parametrize("optimizer", IN_C)
def test_steps_are_as_fast_as_torchs(optimizer: str) -> None:
    """Timed in turns, the least of many: other work on the machine slows both."""
    described, size = IN_C[optimizer], 300_000
    network = nn.ParameterDict({"a": nn.Parameter(torch.randn(size))})
    made = getattr(torch.optim, described.name.rpartition(".")[2])(network.parameters(), fused=True, **described.args)
    masked = MaskedOptimizer({"a": torch.rand(size) < 0.5}, None)
    masked.attach(network, made)
    network["a"].grad = torch.randn(size)
    made.step()  # makes the state
    update = masked_update.masked_update(made, masked)
    assert update is not None
    least = {"C": math.inf, "torch": math.inf}
    for _ in range(30):
        for name, step_of in (("C", update), ("torch", made.step)):
            start = time.process_time_ns()
            step_of()
            least[name] = min(least[name], time.process_time_ns() - start)
    print(f"{optimizer}: {least['C'] / least['torch']:.2f} of torch's time")
    assert least["C"] < SLOWEST * least["torch"]


def test_clipped_gradients_are_masked_before(taken: list[Tensor]) -> None:
    left(IN_C["sgd"], clip_norm=0.1)
    assert not taken


class Odd(nn.Module):
    """Its first weight lies in columns, and the second has no gradient in odd steps."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.arange(12.0).view(3, 4).t())
        self.second = nn.Parameter(torch.arange(7.0))
        self.third = nn.Parameter(torch.ones(5))


@pytest.mark.parametrize("optimizer", ["plain", "sgd", "adam"])
def test_memory_in_another_order_and_weights_without_a_gradient(optimizer: str) -> None:
    ends = []
    for in_c in (True, False):
        network = Odd()
        made = getattr(torch.optim, IN_C[optimizer].name.rpartition(".")[2])(
            network.parameters(), fused=True, **IN_C[optimizer].args
        )
        masked = MaskedOptimizer({"first": torch.arange(12).view(4, 3) % 2 == 0}, None)
        masked.attach(network, made)
        update = masked_update.masked_update(made, masked)
        assert update is not None
        for number in range(6):
            made.zero_grad()
            loss = (network.first @ torch.tensor([1.0, -2.0, 3.0])).square().sum() + network.third.sum()
            (loss if number % 2 else loss + network.second.sin().sum()).backward()
            if in_c:
                update()
            else:
                masked.mask_gradients()
                made.step()
        states = [value for p in network.parameters() for value in made.state[p].values() if isinstance(value, Tensor)]
        ends.append([value.detach().clone() for value in (*network.parameters(), *states)])
    assert all(map(torch.equal, *ends))


class Turned(nn.Module):
    """One weight lies in columns, and the other has one value."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(1.0, 13.0).view(3, 4).t())
        self.one = nn.Parameter(torch.ones(1))


def halve_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for weight in optimizer.param_groups[0]["params"]:
        if weight.grad is not None:
            weight.grad.mul_(0.5)


CHANGES: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "turned": (torch.optim.SGD, {}, lambda *_: None),
    "uphill": (torch.optim.SGD, {"momentum": 0.9}, lambda made, _: made.param_groups[0].update(maximize=True)),
    "decoupled": (
        torch.optim.Adam,
        {"weight_decay": 0.1},
        lambda made, _: made.param_groups[0].update(decoupled_weight_decay=True),
    ),
    "hooked": (torch.optim.SGD, {}, lambda made, _: made.register_step_pre_hook(halve_gradients)),
    "doubled": (torch.optim.SGD, {}, lambda _, network: network.double()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_in_a_training_is_left_to_torch(change: str) -> None:
    kind, settings, happen = CHANGES[change]
    ends = []
    for in_c in (True, False):
        network = Turned()
        if change != "turned":
            network.weight.data = network.weight.data.contiguous()
        made = kind(network.parameters(), lr=0.1, fused=True, **settings)
        masked = MaskedOptimizer({"weight": torch.arange(12).view(4, 3) % 3 == 0}, None)
        masked.attach(network, made)
        network.weight.data = network.weight.data.contiguous()
        update = masked_update.masked_update(made, masked)
        assert update is not None
        for number in range(6):
            if number == 3:
                happen(made, network)
            made.zero_grad()
            (network.weight.square().sum() + network.one.square().sum()).backward()
            if in_c:
                update()
            else:
                masked.mask_gradients()
                made.step()
        ends.append([weight.detach().numpy().tobytes() for weight in network.parameters()])
    assert ends[0] == ends[1]


def test_hooks_of_all_optimizers_are_called(taken: list[Tensor]) -> None:
    hook = register_optimizer_step_pre_hook(halve_gradients)
    try:
        left(IN_C["sgd"])
        assert not taken
    finally:
        hook.remove()


class Nothing(torch.autograd.Function):
    """Its gradient has no memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sum()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return torch._efficientzerotensor((1,))


def conjugate(weight: Tensor) -> Tensor:
    return (torch.complex(torch.ones(1), weight).conj() * (1 + 2j)).real.sum()


@pytest.mark.parametrize(("loss", "refusal"), [(conjugate, "negation"), (Nothing.apply, "ZeroTensors")])
def test_gradients_that_memory_does_not_hold_are_refused_as_torch_does(loss: Any, refusal: str) -> None:
    network = Turned()
    made = torch.optim.SGD([network.one], lr=0.1, fused=True)
    masked = MaskedOptimizer({}, None)
    masked.attach(network, made)
    update = masked_update.masked_update(made, masked)
    assert update is not None
    loss(network.one).backward()
    with pytest.raises(RuntimeError, match=refusal):
        update()


SPECIAL = [0.0, -0.0, float("inf"), -float("inf"), float("nan"), -float("nan"), 1e-45, -1e-40, 3e38]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("optimizer", "later"),
    [
        (torch.optim.SGD, {"momentum": 0.85}),
        (torch.optim.SGD, {"weight_decay": 0.1}),
        (torch.optim.Adam, {"betas": (0.4, 0.999)}),
        (torch.optim.Adam, {"betas": (0.5, 0.9), "weight_decay": 0.1}),
        (torch.optim.AdamW, {"betas": (0.0, 0.9), "weight_decay": 0.0}),
        (torch.optim.AdamW, {}),
    ],
)
def test_settings_that_a_schedule_changes_and_values_that_are_no_numbers(
    optimizer: Any, later: dict[str, Any], dtype: torch.dtype
) -> None:
    ends = []
    for in_c in (True, False):
        draw = torch.Generator().manual_seed(1)
        network = nn.ParameterList([torch.randn(size, generator=draw, dtype=dtype) for size in (1003, 61, 12, 7, 3, 0)])
        made = optimizer(network.parameters(), lr=0.01, fused=True)
        masked = MaskedOptimizer({"0": torch.rand(1003, generator=draw) < 0.5, "4": torch.arange(3) < 1}, None)
        masked.attach(network, made)
        update = masked_update.masked_update(made, masked)
        assert update is not None
        for number in range(8):
            if number == 3:
                made.param_groups[0].update(later)
            for weight in network:
                weight.grad = torch.randn(weight.shape, generator=draw, dtype=dtype)
                if number == 7:
                    weight.grad[: len(SPECIAL)] = torch.tensor(SPECIAL, dtype=dtype)[: len(weight)]
            if in_c:
                update()
            else:
                masked.mask_gradients()
                made.step()
        states = [value for p in network for value in made.state[p].values() if isinstance(value, Tensor)]
        ends.append([value.detach().numpy().tobytes() for value in (*network, *states)])
    assert ends[0] == ends[1]


def test_wrong_updates_are_not_trusted(monkeypatch: pytest.MonkeyPatch, taken: list[Tensor]) -> None:
    functions = SimpleNamespace(masked_sgd=lambda *_: None, masked_adam=lambda *_: None)  # weights stay where they are
    monkeypatch.setattr(masked_update, "library", lambda dtype: functions)
    masked_update._lanes.cache_clear()
    try:
        left(IN_C["sgd"], steps=2)
        compared = len(taken)
        left(IN_C["sgd"])
        assert len(taken) == compared  # all of them by the comparison, which is made once
    finally:
        masked_update._lanes.cache_clear()


def test_without_a_compiler_torch_takes_the_steps(monkeypatch: pytest.MonkeyPatch, taken: list[Tensor]) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    masked_update.library.cache_clear()
    try:
        left(IN_C["sgd"])
        assert not taken
    finally:
        masked_update.library.cache_clear()
