"""What a training has changed of its process is found, whatever later trainings would see of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lt_sweeps.foreign.state import GlobalState


def attention(on: bool) -> None:
    torch.backends.cuda.enable_flash_sdp(on)


@pytest.mark.parametrize(
    ("what", "change", "undo"),
    [
        ("torch's gradient mode", lambda: torch.set_grad_enabled(False), lambda: torch.set_grad_enabled(True)),
        (
            "torch's default dtype",
            lambda: torch.set_default_dtype(torch.float64),
            lambda: torch.set_default_dtype(torch.float32),
        ),
        ("torch's backends", lambda: one_dnn(False), lambda: one_dnn(True)),
        ("torch's backends", lambda: attention(False), lambda: attention(True)),
        ("the environment", lambda: os.environ.update(WIDTH="3"), lambda: os.environ.pop("WIDTH")),
    ],
)
def test_a_change_is_found_and_named(what: str, change: Callable[[], Any], undo: Callable[[], Any]) -> None:
    before = GlobalState()
    assert before.changed() == []
    change()
    try:
        assert before.changed()[0] == what  # and, of the default dtype, torch.Storage
    finally:
        undo()
    assert before.changed() == []


def one_dnn(on: bool) -> None:
    """oneDNN on or off, on which the last bits of a convolution on the CPU depend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.backends.mkldnn.enabled = on  # type: ignore[assignment]
