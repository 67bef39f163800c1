"""One server and one undisturbed sweep for all tests of faults."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Calm, Server, tree


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("faults")
    memory = Path("/dev/shm")
    home = memory / f"lt_sweeps_{os.getpid()}_{place.name}" if os.access(memory, os.W_OK) else place
    started = Server.start(home)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="session")
def calm(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    runs = tmp_path_factory.mktemp("calm") / "runs"
    server.clear()
    told = server.sweep({"kind": "none"})
    assert told["code"] == 0, told["errors"]
    shutil.copytree(server.runs, runs)
    return Calm(runs, tree(runs), told)
