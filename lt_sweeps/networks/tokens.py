"""What networks of tokens have in common, and the plain ones: an MLP and an LSTM on embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lt_sweeps.networks.width import scaled
from lt_sweeps.registry import register


def require_tokens(shape: tuple[int, ...], classes: int, tokens: int | None) -> tuple[int, int]:
    """Returns the length of a sequence, and the number of tokens. Raises ValueError for what is no sequence."""
    if len(shape) != 1:
        raise ValueError(f"it takes sequences of tokens, (T,), not examples of {list(shape)}: choose another dataset=")
    if tokens is not None and tokens < 1:
        raise ValueError(f"model.args.tokens={tokens}: give 1 or more")
    return shape[0], classes if tokens is None else tokens


def embedding(count: int, dim: int) -> nn.Embedding:
    """Returns an embedding whose vectors are drawn from N(0, 1 / dim), of length 1 in expectation."""
    layer = nn.Embedding(count, dim)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(dim))
    return layer


def select(x: Tensor, last: bool) -> Tensor:
    """Returns (N, T, dim), or (N, dim) of the last place."""
    return x[:, -1] if last else x


class EmbeddingMLP(nn.Module):
    """The `embedding` of each token, joined; hidden layers `fc1`, ... with ReLUs; `projection`; a linear `output`."""

    def __init__(self, sizes: tuple[int, int, int], hidden: Sequence[int], dim: int, total: bool, bias: bool) -> None:
        super().__init__()
        length, tokens, classes = sizes
        self.total, self.depth = total, len(hidden)
        self.embedding = nn.Embedding(tokens, dim)
        nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(tokens))
        inputs = dim if total else length * dim
        for number, units in enumerate(hidden, 1):
            self.add_module(f"fc{number}", nn.Linear(inputs, units, bias=bias))
            inputs = units
        self.projection = nn.Linear(inputs, dim, bias=bias)
        self.output = nn.Linear(dim, classes, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, T) -> logits (N, classes)."""
        x = self.embedding(x)
        x = x.sum(1) if self.total else x.flatten(1)
        for number in range(1, self.depth + 1):
            x = torch.relu(getattr(self, f"fc{number}")(x))
        logits: Tensor = self.output(self.projection(x))
        return logits


@register("network", version=1, needs=("tokens",))
def embedding_mlp(
    shape: tuple[int, ...],
    classes: int,
    hidden: Sequence[int] = (48,),
    dim: int = 500,
    join: str = "sum",
    tokens: int | None = None,
    width: float = 1.0,
    bias: bool = False,
) -> nn.Module:
    """softmax(ReLU((E_a + E_b) W_in) W_out W_unemb), of any number of tokens and layers (Minegishi et al. 2023).

    Embeddings of `dim` numbers are added up (`join=sum`: their order is lost) or put one after the other (`concat`),
    and go through layers of `hidden` units, a linear one back to `dim`, and the linear output. Embeddings are drawn
    from N(0, 1 / tokens), which is 1 / fan-in of one-hot tokens; `tokens` as many as classes if not given. `width` is
    a factor of `dim` and of hidden units. Raises ValueError for another `join`, and for no hidden layer.
    """
    length, tokens = require_tokens(shape, classes, tokens)
    if join not in ("sum", "concat"):
        raise ValueError(f"model.args.join={join}: choose one of sum, concat")
    if not hidden:
        raise ValueError("model.args.hidden=[]: give the units of one hidden layer or more")
    units = [scaled(each, width) for each in hidden]
    return EmbeddingMLP((length, tokens, classes), units, scaled(dim, width), join == "sum", bias)


class LSTM(nn.Module):
    """The `embedding` of each token, a `recurrent` LSTM, and a linear `output`."""

    def __init__(self, tokens: int, classes: int, dim: int, layers: int, bias: bool, last: bool) -> None:
        super().__init__()
        self.last = last
        self.embedding = embedding(tokens, dim)
        self.recurrent = nn.LSTM(dim, dim, layers, bias=bias, batch_first=True)
        self.output = nn.Linear(dim, classes, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, T) -> logits (N, T, classes), or (N, classes) of the last place."""
        states = self.recurrent(self.embedding(x))[0]
        logits: Tensor = self.output(select(states, self.last))
        return logits


@register("network", version=1, needs=("tokens",))
def lstm(
    shape: tuple[int, ...],
    classes: int,
    layers: int = 1,
    dim: int = 64,
    last: bool = False,
    tokens: int | None = None,
    width: float = 1.0,
    bias: bool = True,
) -> nn.Module:
    """An LSTM (Hochreiter & Schmidhuber 1997) of `dim` units on embeddings of as many numbers.

    `last`: logits after the last token alone, for one class per sequence. `tokens`: as many as classes if not given.
    `width` is a factor of `dim`. Raises ValueError for less than one layer.
    """
    _, tokens = require_tokens(shape, classes, tokens)
    if layers < 1:
        raise ValueError(f"model.args.layers={layers}: give 1 or more")
    return LSTM(tokens, classes, scaled(dim, width), layers, bias, last)
