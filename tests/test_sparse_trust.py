"""What must not be taken for a kernel that computes as the masked network: it is looked for before one is trusted."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_sparse import DIGITS, examples, mask_of, mlp, run_of, spoil_slopes
from torch import nn

from lt_sweeps.masks import TicketTensors, dense
from lt_sweeps.networks.build import build, initial
from lt_sweeps.specs import Part
from lt_sweeps.training.fit import Hardware
from lt_sweeps.training.sparse import native
from lt_sweeps.training.sparse.chain import Linear
from lt_sweeps.training.sparse.choose import KINDS, MOST, _clear, choose
from lt_sweeps.training.sparse.index import Index
from lt_sweeps.training.sparse.kernels import Compiled

__all__ = ["examples"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_slope_that_is_not_finite_is_not_trusted(
    value: float, kind: str, monkeypatch: pytest.MonkeyPatch, examples: Any
) -> None:
    network, lines = mlp(), list[str]()
    run, mask, on = run_of("sgd", network), mask_of(network), examples(DIGITS)
    spoil_slopes(monkeypatch, lambda slopes: slopes[7].fill_(value))
    ticket = TicketTensors(initial(network, 0), mask)
    assert choose(run, ticket, on, Hardware(kernel=kind, say=lines.append)) is None
    assert "step 0 differs from a masked one by inf" in lines[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_that_is_finite_where_the_masked_one_is_not_is_not_trusted(
    kind: str, monkeypatch: pytest.MonkeyPatch, examples: Any
) -> None:
    network, lines = mlp(), list[str]()
    run = run_of("plain", network)
    run = replace(run, recipe=replace(run.recipe, optimizer=Part("torch.optim.SGD", args={"lr": 1e38})))
    right = Compiled.slopes

    def wrong(self: Compiled, batch: Any) -> float:
        loss = right(self, batch)
        return loss if math.isfinite(loss) else 1.0

    monkeypatch.setattr(Compiled, "slopes", wrong)
    ticket = TicketTensors(initial(network, 0), mask_of(network, 0.5))
    assert choose(run, ticket, examples(DIGITS), Hardware(kernel=kind, say=lines.append)) is None
    assert "is finite, but that of a masked one is not" in lines[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_of_exactly_zero_is_compared(kind: str, examples: Any) -> None:
    """As that of a trained network, of an example that it is sure of."""
    network, on = mlp(hidden=()), examples(DIGITS)
    _, bias = (name for name, _ in build(network).named_parameters())
    start = {name: torch.zeros_like(value) for name, value in initial(network, 0).items()}
    run = run_of("sgd", network, batch_size=1)
    _, classes = next(on.batches(0, run.batching))
    start[bias][classes] = 200.0
    ticket = TicketTensors(start, dense(build(network))[0])
    assert choose(run, ticket, on, Hardware(kernel=kind)) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_that_the_stack_does_not_hold_is_masked(kind: str, examples: Any) -> None:
    network, lines = mlp(), list[str]()
    ticket = TicketTensors(initial(network, 0), mask_of(network))
    for size, taken in ((MOST, True), (MOST + 1, False), (1 << 24, False)):
        run = run_of("sgd", network, batch_size=size)
        made = choose(run, ticket, examples(DIGITS), Hardware(kernel=kind, say=lines.append))
        assert (made is not None) is taken
    assert f"steps are masked: recipe.batch_size={MOST + 1}: at most {MOST}" in lines[1]


def test_what_fills_a_batch_up_reaches_no_slope() -> None:
    """Pixels of example 0 do, and its logits overflow."""
    library = native.library(torch.float32, dense=True)
    assert library is not None
    layers, ones = (Linear("weight", "bias"),), (torch.ones((3, 8), dtype=torch.bool),)
    index = Index(layers, ones, words=True, dense=True)
    network = nn.Linear(8, 3)
    with torch.no_grad():
        network.weight[:, 0] = 1e38
    x, classes = torch.zeros((40, 1, 1, 8), dtype=torch.uint8), torch.zeros(40, dtype=torch.int64)
    x[0], x[1:, :, :, 1] = 255, torch.arange(39, dtype=torch.uint8)[:, None, None]
    pixels: Any = SimpleNamespace(train=(x, classes), normalisation=(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)))
    live, slopes = torch.empty(index.size), torch.empty(index.size)
    index.gathered({name: value.detach() for name, value in network.named_parameters()}, live)
    kernel = Compiled(library, index, live, slopes, 37, pixels)
    for count in (1, 16, 20, 37):
        network.zero_grad()
        chosen = torch.arange(1, 1 + count)
        loss = nn.functional.cross_entropy(network(x[chosen].flatten(1).float()), classes[chosen])
        loss.backward()
        assert kernel.slopes((chosen,)) == pytest.approx(loss.item(), rel=1e-5)
        assert network.weight.grad is not None
        assert network.bias.grad is not None
        written = {name: torch.full_like(value, 7) for name, value in network.named_parameters()}
        index.scattered(slopes, written)
        expected = {name: value.grad for name, value in network.named_parameters()}
        torch.testing.assert_close(written, expected, rtol=1e-4, atol=1e-5)


def test_an_example_whose_unit_is_zero_but_for_rounding_is_not_compared() -> None:
    """Of 3 examples: one sum cancels, one is far from 0, and one has no terms at all, which is exact."""
    network = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2))
    layers = (Linear("0.weight", "0.bias"), Linear("2.weight", "2.bias"))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -1.0]]))  # type: ignore[operator]
        network[0].bias.zero_()  # type: ignore[operator]
    x = torch.tensor([[0.1, 0.1], [0.1, 0.2], [0.0, 0.0]])
    assert _clear(network, layers, x).tolist() == [False, True, True]
    assert _clear(network, layers, x + 0.5 * x.new_tensor([[0], [-0.1], [1]])).tolist() == [False, True, False]
    assert _clear(network, layers, x[:1]).tolist() == [True], "else there is nothing to compare"
