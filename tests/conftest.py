"""One thread, and where the real data lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lt_sweeps.main import main

torch.set_num_threads(1)
os.environ.setdefault("LT_SWEEPS_PROCESSES", "0")  # most tests look into the process that trains; some say otherwise
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """A folder with MNIST and CIFAR-10. Skips with the reason where there is none, fails where it must be there."""
    for place in (os.environ.get("LT_SWEEPS_DATA"), HERE.parent / "data", HERE.parent.parent / "shared" / "data"):
        if place and (Path(place) / "cifar-10-batches-py").is_dir() and (Path(place) / "MNIST").is_dir():
            return Path(place)
    reason = "needs MNIST and CIFAR-10: set LT_SWEEPS_DATA to a folder that torchvision can read them from"
    if os.environ.get("LT_SWEEPS_REQUIRE_DATA"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    """The one line in which a command is refused, before anything is written or trained."""

    def line(words: list[str]) -> str:
        assert main([*words, f"paths.output_dir={tmp_path}"]) == 2
        (answer,) = capsys.readouterr().err.splitlines()
        assert not list(tmp_path.rglob("*.csv"))
        return str(answer)

    return line
