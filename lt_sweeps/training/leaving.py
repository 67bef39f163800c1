"""Leaving a training between two steps, on SIGTERM or at the caller's request."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any, Self

import pytorch_lightning as pl

from lt_sweeps.ending import Terminated


class Left(Terminated):
    """A training was left after `step`, where its checkpoint is; uncaught it ends the process as SIGTERM would."""

    def __init__(self, step: int) -> None:
        super().__init__(signal.SIGTERM)
        self.step = step


class Leaving(pl.Callback):
    """Whether to leave: `leave()` is true, or SIGTERM was received, which in this context only sets a flag."""

    def __init__(self, leave: Callable[[], bool]) -> None:
        self._leave, self._signalled = leave, False

    def __call__(self) -> bool:
        """Whether to leave."""
        return self._signalled or self._leave()

    def __enter__(self) -> Self:
        self._before = signal.getsignal(signal.SIGTERM)
        self._listen()
        return self

    def __exit__(self, *_: Any) -> None:
        if _may_listen():
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._before is None else self._before)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Installs our handler again: Lightning's would end the training at some later point, without a checkpoint."""
        self._listen()

    def _listen(self) -> None:
        if _may_listen():
            signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, *_: Any) -> None:
        self._signalled = True


def _may_listen() -> bool:
    """Whether this is the main thread: only there Python handles signals."""
    return threading.current_thread() is threading.main_thread()
