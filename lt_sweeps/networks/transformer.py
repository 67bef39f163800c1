"""A small decoder-only transformer of tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lt_sweeps.networks.tokens import embedding, require_tokens, select
from lt_sweeps.networks.width import scaled
from lt_sweeps.registry import register


class Attention(nn.Module):
    """Causal attention with `heads` heads: linear layers `query`, `key`, `value` and `output`."""

    def __init__(self, dim: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(dim, dim, bias=bias) for _ in range(4))

    def pattern(self, x: Tensor) -> Tensor:
        """Returns how much each place attends to each: (N, T, dim) -> (N, heads, T, T), rows of sum 1."""
        query, key = self._by_head(self.query(x)), self._by_head(self.key(x))
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
        return scores.masked_fill(later, -math.inf).softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, dim) -> (N, T, dim)."""
        mixed = self.pattern(x) @ self._by_head(self.value(x))
        result: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return result

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Feedforward(nn.Module):
    """Two linear layers, `fc1` and `fc2`, with a GELU between them."""

    def __init__(self, dim: int, hidden: int, bias: bool) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden, bias=bias), nn.Linear(hidden, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, dim) -> (N, T, dim)."""
        result: Tensor = self.fc2(nn.functional.gelu(self.fc1(x)))
        return result


class Block(nn.Module):
    """Adds `attention` of its normalised input to it, then, if it has one, `mlp` of the normalised sum."""

    def __init__(self, dim: int, heads: int, hidden: int, bias: bool) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(dim, bias=bias), Attention(dim, heads, bias)
        self.norm2 = nn.LayerNorm(dim, bias=bias) if hidden else None
        self.mlp = Feedforward(dim, hidden, bias) if hidden else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, dim) -> (N, T, dim)."""
        x = x + self.attention(self.norm1(x))
        return x if self.mlp is None or self.norm2 is None else x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    """Embeddings of tokens and places, `blocks`, a last normalisation, and a linear `output`."""

    def __init__(
        self, sizes: tuple[int, int, int], dim: int, blocks: Iterable[Block], bias: bool, tied: bool, last: bool
    ) -> None:
        super().__init__()
        length, tokens, classes = sizes
        self.last = last
        self.embedding, self.positions = embedding(tokens, dim), embedding(length, dim)
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.output = nn.LayerNorm(dim, bias=bias), nn.Linear(dim, classes, bias=False)
        if tied:
            self.output.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, T) -> logits (N, T, classes), or (N, classes) of the last place."""
        x = self.embedding(x) + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.output(self.norm(select(x, self.last)))
        return logits


@register("network", version=1, needs=("tokens", "attention"))
def transformer(
    shape: tuple[int, ...],
    classes: int,
    layers: int = 2,
    heads: int = 4,
    dim: int = 64,
    mlp: float = 4.0,
    tied: bool = False,
    last: bool = False,
    tokens: int | None = None,
    width: float = 1.0,
    bias: bool = True,
) -> nn.Module:
    """A decoder with causal attention, normalised before each layer, and learned positions (Radford et al. 2019).

    `mlp` is the hidden units of a feed-forward layer as a multiple of `dim`; 0 leaves attention alone (Elhage et al.
    2021). `tied`: the output's weights are the embedding's. `last`: logits of the last place alone, for one class per
    sequence. `tokens`: of the input, as many as classes if not given. `width` is a factor of the units of each head.
    Differs from GPT-2: embeddings are drawn from N(0, 1 / dim), linear layers as torch draws them, and nothing is
    dropped out. Raises ValueError for what does not fit together.
    """
    length, tokens = require_tokens(shape, classes, tokens)
    if layers < 1 or heads < 1 or mlp < 0:
        raise ValueError(f"model.args: layers={layers} heads={heads} mlp={mlp}: give 1, 1 and 0 at least")
    if dim < 1 or dim % heads:
        raise ValueError(f"model.args.dim={dim}: must be a multiple of heads={heads}")
    if tied and tokens != classes:
        raise ValueError(f"model.args.tied=true: there are {tokens} tokens and {classes} classes")
    dim = heads * scaled(dim // heads, width)
    blocks = (Block(dim, heads, round(mlp * dim), bias) for _ in range(layers))
    return Decoder((length, tokens, classes), dim, blocks, bias, tied, last)
