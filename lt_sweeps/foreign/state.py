"""Global state of a process that foreign code can change, and that later trainings would see."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch.optim.optimizer import __file__ as OPTIMIZER

OURS = ("CUBLAS_", "PL_", "KMP_", "OMP_", "MKL_", "TORCH", "NCCL_", "CUDA_", "PYTORCH_")  # set by torch and Lightning
# Packages whose functions, classes and methods a training uses.
PACKAGES = ("torch", "lt_sweeps", "pytorch_lightning", "lightning_fabric", "torchmetrics", "random", "numpy.random")
COMPILER = ("torch._dynamo", "torch._inductor", "torch._refs", "torch._decomp", "torch.fx", "torch.onnx")
WRAPPERS = (OPTIMIZER, str(Path("lightning_fabric", "wrappers.py")))
CODE = (FunctionType, classmethod, staticmethod, property)  # members of a class that are compared; counters are not
BACKENDS: tuple[Callable[[], Any], ...] = (
    lambda: torch.backends.mkldnn.enabled,
    lambda: torch.backends.cudnn.enabled,
    lambda: torch.backends.cudnn.allow_tf32,
    torch.backends.cuda.flash_sdp_enabled,
    torch.backends.cuda.mem_efficient_sdp_enabled,
    torch.backends.cuda.math_sdp_enabled,
)
READ: dict[str, Callable[[], Any]] = {
    "torch's default dtype": torch.get_default_dtype,
    "torch's default device": torch.get_default_device,
    "torch's threads": torch.get_num_threads,
    "torch's gradient mode": torch.is_grad_enabled,
    "torch's precision of matrix products": torch.get_float32_matmul_precision,
    "torch's autocast on the CPU": lambda: (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
    "torch's backends": lambda: tuple(read() for read in BACKENDS),
    "how torch treats denormal numbers": lambda: bool((torch.tensor([1e-310], dtype=torch.float64) * 1).item()),
    "the current folder": os.getcwd,
    "sys.path": lambda: tuple(sys.path),
    "the environment": lambda: {n: v for n, v in os.environ.items() if not n.startswith(OURS)},
}


class GlobalState:
    """A snapshot of the process, without variables in users' own modules."""

    def __init__(self) -> None:
        self._values = {name: read() for name, read in READ.items()}
        loaded = sys.modules.copy()  # in one step: others import meanwhile, in threads and in what the collector ends
        self._modules = {name: dict(vars(module)) for name, module in loaded.items() if module and _is_watched(name)}
        self._classes = {
            f"{name}.{word}": (value, dict(vars(value)))
            for name, space in self._modules.items()
            for word, value in space.items()
            if callable(value) and isinstance(value, type) and value.__module__ == name
        }

    def changed(self) -> list[str]:
        """Returns the names of settings, functions, classes and methods that have changed since the snapshot."""
        changes = [name for name, read in READ.items() if read() != self._values[name]]
        for name, before in self._modules.items():
            now = vars(module) if (module := sys.modules.get(name)) is not None else {}
            changes += [f"{name}.{word}" for word, value in _replaced(before, now) if callable(value)]
        for name, (kind, before) in self._classes.items():
            changes += [f"{name}.{word}" for word, value in _replaced(before, vars(kind)) if isinstance(value, CODE)]
        return changes


def _replaced(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields what a module or a class held before and holds no longer."""
    for word, value in before.items():
        if (other := now.get(word)) is not value and _unwrapped(other) is not _unwrapped(value):
            yield word, value


def _is_watched(name: str) -> bool:
    return _is_within(name, PACKAGES) and not _is_within(name, COMPILER)


def _is_within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _unwrapped(value: Any) -> Any:
    """Returns a function without the wrappers that come with time and change nothing.

    torch wraps an optimizer's step when it first creates one, and Lightning torch.compile when it is imported.
    """
    while isinstance(value, FunctionType) and hasattr(value, "__wrapped__"):
        if not value.__code__.co_filename.endswith(WRAPPERS):
            break
        value = value.__wrapped__
    return value
