"""What of a process any code can change, and every later training in it would see."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

OURS = ("CUBLAS_", "PL_", "KMP_", "OMP_", "MKL_", "TORCH", "NCCL_", "CUDA_", "PYTORCH_")  # set by torch and Lightning
PATCHED: tuple[Any, ...] = (torch, torch.nn, nn.functional, nn.init, torch.optim, torch.Tensor, nn.Module)
READ: dict[str, Callable[[], Any]] = {
    "torch's default dtype": torch.get_default_dtype,
    "torch's default device": torch.get_default_device,
    "torch's threads": torch.get_num_threads,
    "torch's gradient mode": torch.is_grad_enabled,
    "the current folder": os.getcwd,
    "sys.path": lambda: tuple(sys.path),
    "the environment": lambda: {n: v for n, v in os.environ.items() if not n.startswith(OURS)},
}


class GlobalState:
    """A process as it is now."""

    def __init__(self) -> None:
        self._values = {name: read() for name, read in READ.items()}
        self._functions = [{name: value for name, value in vars(place).items() if callable(value)} for place in PATCHED]

    def changed(self) -> list[str]:
        """What is other than it was, in words; of torch each function that is not the one it was."""
        found = [name for name, read in READ.items() if read() != self._values[name]]
        for place, functions in zip(PATCHED, self._functions, strict=True):
            now = vars(place)
            found += [f"{place.__name__}.{name}" for name, value in functions.items() if now.get(name) is not value]
        return found
