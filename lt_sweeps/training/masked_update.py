"""The masks and the step of SGD, Adam and AdamW in one pass over memory, in C, with the bits of torch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from lt_sweeps.training.masking import MaskedOptimizer
from lt_sweeps.training.sparse.native import REALS, compiled
from lt_sweeps.training.sparse.update import usual

SOURCE = Path(__file__).parent / "update.c"
LANES = (8, 16, 4, 2)  # of vectors, that torch may use
SIZES = (4099, 4099, 1000, 1000, 61, 29, 13, 7)  # of the vectors that are compared, every other one masked
COMPARED = 4  # steps that must be torch's, bit for bit, before the C is trusted, and as many after a schedule's change
SCHEDULED: dict[str, dict[str, Any]] = {  # settings after that change: those that lead to other operations
    "SGD": {"lr": 0.03, "momentum": 0.7, "weight_decay": 0.02},
    "Adam": {"lr": 0.003, "betas": (0.3, 0.8), "weight_decay": 0.02},
}


class MaskedUpdate:
    """Does what `masked.mask_gradients` and a fused optimizer's step do, on a CPU.

    Gradients themselves are left as they are. State is that of the torch optimizer, which takes the first step to make
    it. Settings are read at each step, and steps that the C does not know are torch's.
    """

    def __init__(self, optimizer: Optimizer, masked: MaskedOptimizer, functions: ctypes.CDLL, lanes: int) -> None:
        (self._group,) = optimizer.param_groups
        self._optimizer, self._masked, self._lanes = optimizer, masked, lanes
        kept = {weight: keep.to(torch.uint8).contiguous() for weight, keep in masked.kept}
        self._held = [(weight, kept.get(weight)) for weight in self._group["params"]]
        self._names = ("momentum_buffer",) if type(optimizer) is SGD else ("exp_avg", "exp_avg_sq")
        self._sgd, self._adam = functions.masked_sgd, functions.masked_adam
        self._dtype = self._group["params"][0].dtype

    def __call__(self) -> None:
        """Takes a step by the gradients that the weights have."""
        moved = [(weight, weight.grad, keep) for weight, keep in self._held if weight.grad is not None]
        if _usual(self._optimizer) and all(self._can(weight, grad) for weight, grad, _ in moved):
            for weight, grad, keep in moved:
                self._update(weight, grad, keep)
        else:
            self._masked.mask_gradients()
            self._optimizer.step()

    def _can(self, weight: Tensor, grad: Tensor) -> bool:
        """Whether memory holds the values of all tensors, of the type compiled for, in one order, and state exists."""
        if grad.is_neg() or grad._is_zerotensor() or not (self._plain(weight) and self._plain(grad)):
            return False
        if type(self._optimizer) is SGD and not self._group["momentum"]:
            return True
        state = self._optimizer.state.get(weight, {})
        return all(isinstance(held := state.get(name), Tensor) and self._plain(held) for name in self._names)

    def _plain(self, values: Tensor) -> bool:
        return values.is_contiguous() and values.dtype == self._dtype

    def _update(self, weight: Tensor, grad: Tensor, keep: Tensor | None) -> None:
        group, state = self._group, self._optimizer.state.get(weight, {})  # [weight] would begin a state
        at = (weight.data_ptr(), grad.data_ptr(), None if keep is None else keep.data_ptr())
        if type(self._optimizer) is SGD:
            moment = state["momentum_buffer"].data_ptr() if group["momentum"] else None
            settings = (group["lr"], group["weight_decay"], group["momentum"], group["dampening"], group["nesterov"])
            self._sgd(*at, moment, weight.numel(), self._lanes, *settings)
            return
        moments = (state["exp_avg"].data_ptr(), state["exp_avg_sq"].data_ptr())
        decoupled = type(self._optimizer) is AdamW or bool(group.get("decoupled_weight_decay"))
        settings = (group["lr"], *group["betas"], group["eps"], group["weight_decay"], decoupled)
        self._adam(*at, *moments, weight.numel(), self._lanes, *settings, state["step"].add_(1).item())


def masked_update(optimizer: Optimizer, masked: MaskedOptimizer) -> Callable[[], None] | None:
    """Returns the update of an optimizer whose masks do not change; None if it is not known to have torch's bits."""
    (group, *others) = optimizer.param_groups
    weights = group["params"]
    like = {(weight.dtype, weight.device.type) for weight in weights}
    if others or type(optimizer) not in (SGD, Adam, AdamW) or not group.get("fused"):
        return None
    if torch.get_num_threads() > 1:  # torch shares the vectors out to them
        return None
    if len(like) != 1 or (dtype := weights[0].dtype) not in REALS or weights[0].device.type != "cpu":
        return None
    settings = {name: value for name, value in group.items() if name != "params"}
    if isinstance(settings["lr"], Tensor) or not _usual(optimizer):
        return None
    if (functions := library(dtype)) is None:
        return None
    named = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in settings.items())
    lanes = _lanes(type(optimizer).__name__, dtype, named)
    return None if lanes is None else MaskedUpdate(optimizer, masked, functions, lanes)


def _usual(optimizer: Optimizer) -> bool:
    return usual(optimizer) and not optimizer.param_groups[0].get("foreach")


@cache
def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """Returns the functions of update.c; None without a C compiler that makes what runs here."""
    if (built := compiled(SOURCE, REALS[dtype], "-ffp-contract=off")) is None:
        return None
    at, count, double, integer = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double, ctypes.c_int
    built.functions.masked_sgd.argtypes = [*[at] * 4, count, count, *[double] * 4, integer]
    built.functions.masked_adam.argtypes = [*[at] * 5, count, count, *[double] * 5, integer, double]
    return built.functions


Settings = tuple[tuple[str, Hashable], ...]


@cache
def _lanes(kind: str, dtype: torch.dtype, settings: Settings) -> int | None:
    """Returns how long torch's vectors are here: that with which steps end in its bits. None if no length does."""
    expected = _ends(kind, dtype, settings, None)
    for lanes in LANES:
        if _ends(kind, dtype, settings, lanes) == expected:
            return lanes
    return None


def _ends(kind: str, dtype: torch.dtype, settings: Settings, lanes: int | None) -> list[bytes]:
    """Returns weights and state after each step on random vectors, some masked: in C with this length, or by torch."""
    draw = torch.Generator().manual_seed(0)
    start = [torch.randn(size, generator=draw, dtype=dtype) for size in SIZES]
    twin = nn.ParameterDict({str(number): nn.Parameter(value) for number, value in enumerate(start)})
    mask = {str(number): torch.rand(size, generator=draw) < 0.5 for number, size in enumerate(SIZES) if number % 2}
    optimizer: Optimizer = getattr(torch.optim, kind)(twin.parameters())
    optimizer.param_groups[0].update(dict(settings))
    masked = MaskedOptimizer(mask, None)
    masked.attach(twin, optimizer)
    functions = library(dtype)
    update = None if lanes is None or functions is None else MaskedUpdate(optimizer, masked, functions, lanes)
    ends = list[bytes]()
    for number in range(2 * COMPARED):
        if number == COMPARED:
            optimizer.param_groups[0].update(SCHEDULED[kind.removesuffix("W")])
        for weight in twin.parameters():
            weight.grad = torch.randn(weight.shape, generator=draw, dtype=dtype)
        if update is not None:
            update()
        else:
            masked.mask_gradients()
            optimizer.step()
        states = [value for weight in twin.parameters() for value in optimizer.state[weight].values()]
        held = [*twin.parameters(), *(value for value in states if isinstance(value, Tensor))]
        ends += [value.detach().numpy().tobytes() for value in held]
    return ends
