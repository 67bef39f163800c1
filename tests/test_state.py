"""What a training has changed of its process is found, whatever later trainings would see of it."""

from __future__ import annotations

import ast
import gc
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lt_sweeps.foreign.reach import parse_source
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


def test_modules_may_be_imported_while_a_snapshot_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the garbage collector does, whenever it runs, if what it ends imports; and other threads."""
    names = iter([f"imported{number}" for number in range(500)])

    class Importing:
        def __init__(self) -> None:
            self.myself = self

        def __del__(self) -> None:
            if (name := next(names, None)) is not None:
                monkeypatch.setitem(sys.modules, name, sys)
                Importing()

    threshold = gc.get_threshold()
    gc.collect()
    Importing()
    gc.set_threshold(1)
    try:
        assert GlobalState().changed() == []
    finally:
        gc.set_threshold(*threshold)
    assert "imported499" in sys.modules


def test_sources_are_parsed_whatever_the_collector_ends_meanwhile() -> None:
    """Python 3.11 loses count of the depth if what the garbage collector ends parses too."""
    rounds, ended = iter(range(100)), 0

    class Parsing:
        def __init__(self) -> None:
            self.myself = self

        def __del__(self) -> None:
            nonlocal ended
            ended += 1
            ast.parse("x = (1, [2, (3, f(4))])")

    source = "def f(x):\n    return [x, (x, {x: x + 1})]\n" * 20
    wanted = ast.dump(ast.parse(source))
    threshold = gc.get_threshold()
    gc.collect()
    gc.set_threshold(1)
    try:
        trees = [parse_source(source) for _ in rounds if Parsing()]
    finally:
        gc.set_threshold(*threshold)
    assert ended > 50
    assert gc.isenabled()
    assert all(ast.dump(tree) == wanted for tree in trees)
