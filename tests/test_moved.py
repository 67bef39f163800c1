"""Law 4: a training is refused if its network moves pruned weights, or what its gate freezes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small import Net, examples, half_mask, run_of, weights

from lt_sweeps.graph import Train
from lt_sweeps.masks import TicketTensors
from lt_sweeps.registry import part
from lt_sweeps.specs import Network, Part
from lt_sweeps.training.fit import Hardware, fit


class Drifting(Net):
    """Adds to a parameter in its forward pass."""

    def __init__(self, shape: tuple[int, ...], classes: int, moves: str) -> None:
        super().__init__(shape, classes)
        self.moves = moves

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            with torch.no_grad():
                self.get_parameter(self.moves).add_(1e-3)
        return super().forward(x)


def train(run: Train) -> None:
    fit(run, TicketTensors(weights(), half_mask()), examples(), Hardware())


def run_with(moves: str) -> Train:
    return run_of(network=Network(Part("test_moved.Drifting", args={"moves": moves}), (1, 8, 8), 10), steps=3)


def test_a_training_whose_network_moves_pruned_weights_is_refused() -> None:
    pruned = int((~half_mask()["fc.weight"]).sum())
    with pytest.raises(RuntimeError, match=rf"^{pruned} pruned weights of fc\.weight moved .* the result is refused$"):
        train(run_with("fc.weight"))


def test_a_training_whose_network_moves_what_its_gate_freezes_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"^fc\.bias moved behind a gate: the result is refused$"):
        train(replace(run_with("fc.bias"), gate=part("gate", "edge_popup")))


def test_a_network_that_moves_what_is_trained_and_kept_is_trained() -> None:
    train(run_with("fc.bias"))
