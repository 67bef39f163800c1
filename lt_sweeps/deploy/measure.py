"""Times forms of a network in turns, beside the best dense form; and finds the density from which on a form pays."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor, nn

from lt_sweeps.deploy import onnx
from lt_sweeps.deploy.form import Form, size
from lt_sweeps.training.sparse.chain import Unfit

ROUNDS = 9
TURN = 4.0  # milliseconds that a form runs for, at least, in a round
DENSITIES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Context manager: torch computes by this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def dense(network: nn.Module, x: Tensor) -> tuple[list[Form], list[str]]:
    """The dense forms of a network, pruned weights stored as zeros; and a line for each that cannot be measured."""
    forms, missing = [_dense("torch dense", network, network)], list[str]()
    for name, make in {"torch dense, oneDNN": _by_onednn, "ONNX Runtime dense": _by_onnxruntime}.items():
        try:
            run = make(network, x)
            run(x)
            forms.append(_dense(name, network, run))
        except Unfit as reason:
            missing.append(f"{name}: not measured, {reason}")
        except Exception as error:  # torch and onnxruntime say in many ways that they have no such operation
            missing.append(f"{name}: not measured, it does not run this network ({type(error).__name__})")
    return forms, missing


def _by_onednn(network: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about how torch itself builds these modules
        from torch.utils import mkldnn

        blocked = mkldnn.to_mkldnn(copy.deepcopy(network))
    return lambda x: blocked(x.to_mkldnn()).to_dense()


def _by_onnxruntime(network: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    if not onnx.is_here():
        raise Unfit("onnx and onnxruntime are not installed (pip install 'lt_sweeps[onnx]')")
    if not isinstance(network, nn.Sequential):
        raise Unfit("the network is no plain sequence of layers")
    return onnx.running(onnx.model(network, x))


def _dense(name: str, network: nn.Module, run: Callable[[Tensor], Tensor]) -> Form:
    return Form(name, run, size(network), dict)


@torch.inference_mode()
def times(forms: Sequence[Form], x: Tensor, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Milliseconds that each form takes for a batch, round by round; the forms take turns, in changing order.

    A turn is some calls, of which the median counts: a call that another process interrupts does not.
    """
    calls = {form.name: max(1, math.ceil(TURN / min(_turn(form, x, 1) for _ in range(3)))) for form in forms}
    taken: dict[str, list[float]] = {form.name: [] for form in forms}
    for turn in range(rounds):
        for place in range(len(forms)):
            form = forms[(turn + place) % len(forms)]
            taken[form.name].append(_turn(form, x, calls[form.name]))
    return taken


def _turn(form: Form, x: Tensor, calls: int) -> float:
    durations = []
    for _ in range(calls):
        begin = time.perf_counter()
        form.run(x)
        durations.append(1e3 * (time.perf_counter() - begin))
    return median(durations)


def break_even(
    layer: nn.Linear | nn.Conv2d, x: Tensor, make: Callable[[nn.Sequential, Tensor], Form], *, units: bool
) -> float | None:
    """The density of a layer below which a form of it is faster than the best dense form of the whole layer.

    The layer is thinned to each of `DENSITIES`, by removing random weights or, with `units`, whole units, and timed;
    between two densities the ratio of times is taken as a power of the density. Returns 0 if the form is slower at all
    of them, and None if it is faster at all of them.
    """
    whole = nn.Sequential(layer)
    contenders, _ = dense(whole, x)
    thinned = []
    for density in DENSITIES:
        form = make(nn.Sequential(thin(layer, density, units=units)), x)
        thinned.append(Form(f"{density}", form.run, form.size, dict))
    taken = {name: median(turns) for name, turns in times([*contenders, *thinned], x, 5).items()}
    best = min(taken[form.name] for form in contenders)
    return crossing(DENSITIES, [taken[form.name] / best for form in thinned])


def crossing(densities: Sequence[float], ratios: Sequence[float]) -> float | None:
    """The density at which the ratio first reaches one; 0 if it is never below, None if it is always.

    >>> crossing([0.1, 0.4], [0.5, 2.0]), crossing([0.1, 0.4], [1.5, 2.0]), crossing([0.1, 0.4], [0.2, 0.3])
    (0.2, 0.0, None)
    """
    if ratios[0] >= 1:
        return 0.0
    for (low, below), (high, above) in pairwise(zip(densities, ratios, strict=True)):
        if above >= 1:
            share = math.log(1 / below) / math.log(above / below)
            return round(low * (high / low) ** share, 4)
    return None


@torch.no_grad()
def thin(layer: nn.Linear | nn.Conv2d, density: float, *, units: bool) -> nn.Module:
    """A layer with this share of its weights: random ones or, with `units`, those of its first units."""
    thinned = copy.deepcopy(layer)
    if units:
        kept = max(1, round(density * len(layer.weight)))
        thinned.weight.data = layer.weight[:kept].clone()
        if layer.bias is not None and thinned.bias is not None:
            thinned.bias.data = layer.bias[:kept].clone()
        return thinned
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(layer.weight.shape, generator=draw)
    thinned.weight.data = values * (torch.rand(layer.weight.shape, generator=draw) < density)
    return thinned
