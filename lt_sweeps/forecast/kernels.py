"""Which trainings of a plan will be computed by a kernel of a chain, on a CPU, and how many weights they keep."""

from __future__ import annotations

from functools import lru_cache

from lt_sweeps.execution.rates import By
from lt_sweeps.forecast.layers import skeleton
from lt_sweeps.forecast.sizes import Sizes
from lt_sweeps.graph import Train, end
from lt_sweeps.specs import Network
from lt_sweeps.training.sparse import choose as choosing
from lt_sweeps.training.sparse.chain import Unfit, chain


class Kernels:
    """The kernel of a training and the kept share, else None: as `trainer.kernel` chooses, but for its check."""

    def __init__(self, sizes: Sizes, kernel: str, device: str, devices: int) -> None:
        self._sizes, self._kernel, self._device, self._devices = sizes, kernel, device, devices
        self._weights = lru_cache(maxsize=None)(_weights)

    def __call__(self, run: Train) -> By | None:
        """The share is of the network's weights."""
        if self._kernel not in ("auto", *choosing.KINDS):
            return None
        try:
            choosing.require_fitting(run, self._device, self._devices)
            every = self._weights(run.ticket.network)
            if every is None:
                return None
            kept = self._sizes.kept(end(run).mask)
            weights = sum(every.values())
            share = sum(kept.get(name, n) for name, n in every.items()) / weights
            kind = choosing.kind_of(run, self._kernel, weights, share)
        except Unfit:
            return None
        return None if kind is None else By(kind, share)


def _weights(network: Network) -> dict[str, int] | None:
    """The number of weights of each layer of a chain, None of any other network."""
    module = skeleton(network)
    try:
        return {layer.weight: module.get_parameter(layer.weight).numel() for layer in chain(module)}
    except Unfit:
        return None
