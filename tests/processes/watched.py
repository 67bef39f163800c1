"""What a sweep in other processes is watched by: it leaves traces outside the store, and dies in many ways."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Counted(torch.optim.SGD):
    """An optimizer that writes a line to a file at the third step of each training: two are tried before any begins."""

    def __init__(self, params: Any, lr: float, file: str) -> None:
        super().__init__(params, lr=lr, momentum=0.9)
        self._file, self._steps = file, 0

    def step(self, closure: Any = None) -> Any:
        self._steps += 1
        if self._steps == 3:
            with Path(self._file).open("a") as lines:
                lines.write(f"{os.getpid()}\n")
        return super().step(closure)


class Mortal(nn.Module):
    """A network whose process dies in its third step, or that raises, or lives."""

    def __init__(self, shape: tuple[int, ...], classes: int, how: str = "") -> None:
        super().__init__()
        self.fc1 = nn.Linear(shape[0] * shape[1] * shape[2], 20)
        self.fc2 = nn.Linear(20, classes)
        self._how, self._steps = how, 0

    def forward(self, x: Tensor) -> Tensor:
        self._steps += self.training and torch.is_grad_enabled()  # not what is tried before a sweep
        if self._steps == 3:
            die(self._how)
        return self.fc2(self.fc1(x.flatten(1)).relu())


def die(how: str) -> None:
    """End this process, or its work, in the way named."""
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "os._exit":
            os._exit(9)
        case "sys.exit":
            sys.exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            raise MemoryError("no more of it")
        case "raise":
            raise RuntimeError("no more of this")
