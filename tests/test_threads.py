"""Trainings on the threads of one process: each has the bits that it has alone."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import examples, half_mask, run_of, weights
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.utils.checkpoint import checkpoint

from lt_sweeps.datasets import arrays
from lt_sweeps.foreign import watch
from lt_sweeps.masks import TicketTensors
from lt_sweeps.networks import build as building
from lt_sweeps.registry import part
from lt_sweeps.specs import Network, Part
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.recorder import state_digest
from lt_sweeps.training.sparse.chain import chain
from lt_sweeps.transfers.units import units


def test_trainings_on_threads_have_the_bits_that_they_have_alone() -> None:
    """With dropout, and random weights, drawn from the generators of the process."""
    runs = [run_of(start=0, steps=40), *(replace(run_of(steps=40), augment=seed) for seed in range(1, 6))]
    data = examples()

    def trained(number: int) -> str:
        made = fit(runs[number], TicketTensors(weights(number), half_mask(number)), data, Hardware())
        assert made.state is not None
        return f"{state_digest(made.state)} {made.progress.history}"

    alone = [trained(number) for number in range(len(runs))]
    with ThreadPoolExecutor(len(runs)) as threads:
        assert list(threads.map(trained, range(len(runs)))) == alone


class Recomputing(nn.Module):
    """Draws its dropout again as it computes gradients."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        hidden = checkpoint(lambda x: dropout(self.first(x).relu()), x.flatten(1), use_reentrant=False)
        logits: Tensor = self.last(hidden)
        return logits


def test_networks_of_packages_that_draw_for_their_gradients_too(monkeypatch: pytest.MonkeyPatch) -> None:
    load = building.load
    monkeypatch.setattr(building, "load", lambda kind, name: Recomputing if kind == "network" else load(kind, name))
    network = Network(Part("package.Recomputing", "1.0"), (1, 8, 8), 10)
    runs = [replace(run_of(steps=40, network=network), augment=seed) for seed in range(4)]
    data = examples()

    def trained(number: int) -> str:
        made = fit(runs[number], TicketTensors(building.initial(network, number), {}), data, Hardware())
        assert made.state is not None
        return f"{state_digest(made.state)} {made.progress.history}"

    alone = [trained(number) for number in range(len(runs))]
    with ThreadPoolExecutor(len(runs)) as threads:
        assert list(threads.map(trained, range(len(runs)))) == alone


def test_what_a_data_set_was_read_from_is_known_whoever_reads_beside(tmp_path: Path) -> None:
    found: list[Any] = []
    names = [tmp_path / f"{number}" for number in range(8)]
    for name in names:
        name.write_text("x")

    def read(name: Path) -> None:
        with watch.reading() as files:
            for _ in range(50):
                name.read_text()
        found.append((name, files))

    threads = [watch.Hand(target=read, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(names)
    assert all(files == {str(name)} for name, files in found)


def test_a_data_set_is_read_once_by_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    load = arrays.load

    def slowly(*words: Any) -> Any:
        reads.append(1)
        time.sleep(0.2)
        return load(*words)

    monkeypatch.setattr(arrays, "load", slowly)
    arrays._read.cache_clear()
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: arrays.read(part("dataset", "digits"), Path()), range(4)))
    assert len(reads) == 1
    assert all(each is made[0] for each in made)


def test_operations_are_listed_beside_threads_that_use_their_networks() -> None:
    """torch.fx replaces what calls a module, for all threads."""
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)) for _ in range(4)]
    call, expected, spaces = nn.Module.__call__, chain(networks[0]), units(networks[0]).of

    def use(network: nn.Module) -> None:
        for _ in range(20):
            assert network(torch.ones(2, 4)).shape == (2, 3)
            assert chain(network) == expected
            assert units(network).of == spaces

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(use, networks))
    finally:
        sys.setswitchinterval(interval)
    assert nn.Module.__call__ is call
