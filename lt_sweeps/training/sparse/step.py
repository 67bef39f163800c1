"""Training and evaluation steps of a network whose weights are trained as one vector."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lt_sweeps.datasets.examples import Chosen, Examples
from lt_sweeps.datasets.loader import Loader
from lt_sweeps.graph import Train
from lt_sweeps.training import optim
from lt_sweeps.training.sparse.index import WORD, Index
from lt_sweeps.training.sparse.kernels import Compiled, Kernel, Stock
from lt_sweeps.training.sparse.native import library
from lt_sweeps.training.sparse.update import update_of
from lt_sweeps.training.step import Batch
from lt_sweeps.training.watch import HostWatch


@dataclass(frozen=True)
class ChainKernel:
    """How a training is computed from a vector of weights, the kept ones or all: what `choose` returns."""

    name: str  # in the fingerprint: results have the same bits with equal names
    index: Index
    compiled: bool
    pixels: bool  # batches are `Chosen`


class ChainStep:
    """Takes steps as `Step` does, on the vector of weights: pruned ones are not in it, or stay 0.

    The recipe's optimizer gets that vector as its only parameter, so it must treat weights one by one. `look` writes
    the vector and its state back to the network and to the `dense` optimizer.
    """

    def __init__(
        self, chained: ChainKernel, run: Train, network: nn.Module, dense: Optimizer, examples: Loader, begun: int
    ) -> None:
        self._index, self._network, self._dense = chained.index, network, dense
        self._clip_norm = run.recipe.clip_norm
        weights = dict(network.named_parameters())
        self.live = nn.Parameter(torch.empty(self._index.size, dtype=next(iter(weights.values())).dtype))
        self.live.grad = torch.zeros_like(self.live)
        self._index.gathered(_values(weights), self.live.data)
        self._kernel = _kernel(chained, self.live, run, examples)
        compiled = library(self.live.dtype, dense=self._index.dense) if chained.compiled else None
        self.optimizer = optim.optimizer(run.recipe.optimizer, _VectorModule(self.live))
        self._update = update_of(self.optimizer, self.live, compiled and compiled.functions)
        self._take_state()
        self._watch = HostWatch(begun)

    def __call__(self, batch: tuple[Tensor, ...]) -> None:
        """Takes one step. Raises Diverged instead if its loss is not finite."""
        self._watch.note(self._kernel.slopes(batch))
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_([self.live], self._clip_norm)
        self._update()
        self._watch.done()

    @property
    def slopes(self) -> Tensor:
        """The gradient of the last step, of the vector."""
        assert self.live.grad is not None
        return self.live.grad

    def look(self) -> float:
        """Writes weights and optimizer state back; returns the last loss."""
        self._index.scattered(self.live.detach(), _values(dict(self._network.named_parameters())))
        self._put_state()
        return self._watch.look()

    def _take_state(self) -> None:
        """Begins with the state of the dense optimizer: that of an earlier session, if it has any."""
        names: dict[Tensor, str] = {parameter: name for name, parameter in self._network.named_parameters()}
        held = {names[parameter]: dict(state) for parameter, state in self._dense.state.items()}
        if not held:
            return
        state = self.optimizer.state[self.live]
        for name, value in next(iter(held.values())).items():
            if isinstance(value, Tensor) and value.dim():
                parts = {parameter: values[name] for parameter, values in held.items()}
                state[name] = self._index.gathered(parts, torch.empty_like(self.live.data, dtype=value.dtype))
            else:
                state[name] = value.clone() if isinstance(value, Tensor) else value

    def _put_state(self) -> None:
        state, weights = self.optimizer.state.get(self.live, {}), dict(self._network.named_parameters())
        for name, value in state.items():
            whole = isinstance(value, Tensor) and value.shape == self.live.shape
            if not whole:
                for weight in weights.values():
                    self._dense.state[weight][name] = value.clone() if isinstance(value, Tensor) else value
                continue
            for weight in weights.values():
                self._dense.state[weight].setdefault(name, torch.zeros_like(weight, dtype=value.dtype))
            self._index.scattered(value, {key: self._dense.state[weight][name] for key, weight in weights.items()})


class _VectorModule(nn.Module):
    """A module whose only parameter is the vector."""

    def __init__(self, live: nn.Parameter) -> None:
        super().__init__()
        self.live = live


def _values(parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in parameters.items()}


def _kernel(chained: ChainKernel, live: Tensor, run: Train, examples: Loader | None) -> Kernel:
    slopes = live.grad if live.grad is not None else torch.zeros_like(live)
    if not chained.compiled:
        return Stock(chained.index, live.detach(), slopes)
    compiled = library(live.dtype, dense=chained.index.dense)
    assert compiled is not None
    pixels = examples if chained.pixels and isinstance(examples, Examples) else None
    return Compiled(compiled, chained.index, live.detach(), slopes, run.recipe.batch_size, pixels)


def batches(chained: ChainKernel, run: Train, examples: Loader, start: int) -> Generator[Batch | Chosen]:
    """Yields the batch of each step from `start` on, as `ChainStep` takes it."""
    if chained.pixels and isinstance(examples, Examples):
        return examples.chosen(start, run.batching)
    return examples.batches(start, run.batching)


def reads_pixels(examples: Loader) -> bool:
    """Whether examples are bytes in memory that are normalised and nothing else, in whole words."""
    if not isinstance(examples, Examples) or examples.moves:
        return False
    x = examples.train[0]
    return x.dtype == torch.uint8 and x[0].numel() % WORD == 0 and x.is_contiguous() and x.numel() // WORD < 2**31


@contextmanager
def evaluated(chained: ChainKernel | None, run: Train, network: nn.Module) -> Iterator[None]:
    """Context manager: calls of the network compute its logits with the sparse kernel, from the weights it has then."""
    if chained is None or chained.index.dense:
        yield
        return
    live = torch.empty(chained.index.size, dtype=next(network.parameters()).dtype)
    kernel = _kernel(chained, live, run, None)

    def forward(x: Tensor) -> Tensor:
        chained.index.gathered(_values(dict(network.named_parameters())), live)
        return kernel.logits(x)

    network.forward = forward
    try:
        yield
    finally:
        del network.forward
