"""Random networks in which a mask finds a given one (Malach et al. 2020, Pensia et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lt_sweeps.randomness import rng
from lt_sweeps.theorem.subset_sum import nearest


def width(candidates: int) -> int:
    """Hidden neurons per input: half of them have a positive edge, and those are of use."""
    return 4 * candidates + 8


@dataclass(frozen=True)
class Rebuilt:
    """How well a layer is met, weight by weight."""

    name: str
    scale: float  # of the second random matrix, or of the single draws
    errors: Tensor  # of each weight, bias included, in units of the target: (J * (I + 1),)
    random: int  # weights of the two random matrices, or draws
    kept: int

    def within(self, epsilon: float) -> float:
        """The share of weights that are met to so much."""
        return float((self.errors.abs() <= epsilon).double().mean())

    def quantile(self, share: float) -> float:
        """The error that a share of the weights does not exceed."""
        return float(self.errors.abs().sort().values[min(len(self.errors) - 1, int(share * len(self.errors)))])


class MaskedRandom(nn.Module):
    """Two random matrices and their masks, in the place of one layer: inputs must not be negative.

    The first matrix is (I * h, I), uniform on [-1, 1], h hidden neurons per input; the second (J, I * h), uniform on
    [-scale, scale]. Both are what their seed draws. Of the first at most one weight per hidden neuron is kept, of the
    second those whose products with the first sum up to a weight of the target.
    """

    first: Tensor
    second: Tensor
    first_mask: Tensor
    second_mask: Tensor

    def __init__(self, first: Tensor, second: Tensor, first_mask: Tensor, second_mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("first", first)
        self.register_buffer("second", second)
        self.register_buffer("first_mask", first_mask)
        self.register_buffer("second_mask", second_mask)

    def forward(self, x: Tensor) -> Tensor:
        """Computes (N, I) -> (N, J) with masked random weights alone."""
        hidden = (x @ (self.first * self.first_mask).T).relu()
        return hidden @ (self.second * self.second_mask).T


def verify(ticket: Ticket, rows: Sequence[Rebuilt], candidates: int, seed: int) -> None:
    """Raises RuntimeError unless every weight is what the seed draws."""
    for block, row in zip(ticket.blocks, rows, strict=True):
        assert isinstance(block, MaskedRandom)
        again = draw_matrices(block.first.shape[1], len(block.second), width(candidates), row.scale, seed, row.name)
        if not (torch.equal(again[0], block.first) and torch.equal(again[1], block.second)):
            raise RuntimeError(f"the random weights in the place of {row.name} are not what their seed draws")


def single_sums(
    network: nn.Module, layers: Mapping[str, nn.Linear], candidates: int, seed: int
) -> tuple[nn.Module, list[Rebuilt]]:
    """Replaces each weight by a subset sum of single uniform draws that its row shares (Pensia et al. 2020, Section 4).

    The draws are uniform between the least and the largest weight of the network. Biases stay. No two-layer network is
    built: this is the numerical experiment of the paper, not its theorem.
    """
    network = deepcopy(network)
    weights = torch.cat([layer.weight.detach().flatten() for layer in layers.values()])
    low, high = float(weights.min()), float(weights.max())
    rows = []
    for name in layers:
        layer = network.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        target = layer.weight.detach().double()
        draws = torch.rand((len(target), candidates), generator=rng(seed, "single", name), dtype=torch.float64)
        values = (low + (high - low) * draws)[:, None].expand(*target.shape, candidates).reshape(-1, candidates)
        subset, errors = nearest(values, target.flatten())
        layer.weight.data = (target + errors.view(target.shape)).to(layer.weight.dtype)
        rows.append(Rebuilt(name, high - low, errors, subset.numel(), int(subset.sum())))
    return network, rows


def draw_matrices(inputs: int, outputs: int, hidden: int, scale: float, seed: int, name: str) -> tuple[Tensor, Tensor]:
    """Draws the two random matrices of a layer, in float32."""
    first = torch.rand((inputs * hidden, inputs), generator=rng(seed, "theorem", name, "first")) * 2 - 1
    second = torch.rand((outputs, inputs * hidden), generator=rng(seed, "theorem", name, "second")) * 2 - 1
    return first, second * scale


def rebuild(name: str, weight: Tensor, candidates: int, seed: int) -> tuple[MaskedRandom, Rebuilt]:
    """Masks a random two-layer block so that it computes x -> weight x for x >= 0, as nearly as subsets allow.

    `weight` is (J, I). Of the hidden neurons of each input the first `candidates` with a positive edge are of use.
    """
    outputs, inputs = weight.shape
    hidden, scale = width(candidates), 2 * float(weight.abs().max()) or 1.0
    first, second = draw_matrices(inputs, outputs, hidden, scale, seed, name)
    own = first.view(inputs, hidden, inputs).diagonal(dim1=0, dim2=2).T  # (I, h): the edge from its own input
    places = (own <= 0).long().argsort(dim=1, stable=True)[:, :candidates]  # a negative edge passes nothing on
    edge = own.gather(1, places).clamp(min=0)
    everywhere = places.expand(outputs, -1, -1)
    values = second.view(outputs, inputs, hidden).gather(2, everywhere).double() * edge.double()
    subset, errors = nearest(values.view(-1, candidates), weight.flatten().double())
    chosen = subset.view(outputs, inputs, candidates) & (edge > 0)
    second_mask = torch.zeros(outputs, inputs, hidden, dtype=torch.bool).scatter_(2, everywhere, chosen)
    first_mask = torch.zeros(inputs, hidden, inputs, dtype=torch.bool)
    every = torch.arange(inputs)
    first_mask[every, :, every] = torch.zeros_like(own, dtype=torch.bool).scatter_(1, places, chosen.any(dim=0))
    block = MaskedRandom(first, second, first_mask.view(first.shape), second_mask.view(second.shape))
    kept = int(first_mask.sum()) + int(second_mask.sum())
    return block, Rebuilt(name, scale, errors, first.numel() + second.numel(), kept)


class Ticket(nn.Module):
    """A strong lottery ticket: masked random blocks with ReLU between them; biases are weights of a constant input."""

    def __init__(self, blocks: list[MaskedRandom], shift: float) -> None:
        super().__init__()
        self.blocks, self.shift = nn.ModuleList(blocks), shift

    def forward(self, x: Tensor) -> Tensor:
        """Computes the logits of images (N, C, H, W)."""
        x = x.flatten(1) + self.shift
        for number, block in enumerate(self.blocks):
            x = block(torch.cat([x, x.new_ones(len(x), 1)], dim=1))
            x = x.relu() if number < len(self.blocks) - 1 else x
        return x


def strong_ticket(
    layers: Mapping[str, nn.Linear], candidates: int, seed: int, shift: float = 0.0
) -> tuple[Ticket, list[Rebuilt]]:
    """Rebuilds a ReLU network of linear layers; `shift` is added to its inputs so that none is negative."""
    blocks, rows = list[MaskedRandom](), list[Rebuilt]()
    for number, (name, layer) in enumerate(layers.items()):
        weight = layer.weight.detach().double()
        bias = torch.zeros(len(weight), dtype=torch.float64) if layer.bias is None else layer.bias.detach().double()
        if not number:
            bias = bias - shift * weight.sum(dim=1)
        block, row = rebuild(name, torch.cat([weight, bias[:, None]], dim=1), candidates, seed)
        blocks.append(block)
        rows.append(row)
    return Ticket(blocks, shift), rows
