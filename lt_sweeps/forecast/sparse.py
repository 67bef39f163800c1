"""Which trainings of a plan will be computed from their kept weights alone, on a CPU, and how many these are."""

from __future__ import annotations

from functools import lru_cache

from lt_sweeps.forecast.layers import skeleton
from lt_sweeps.forecast.sizes import Sizes
from lt_sweeps.graph import Train, end
from lt_sweeps.specs import Network
from lt_sweeps.training.sparse import choose as choosing
from lt_sweeps.training.sparse.chain import Unfit, chain
from lt_sweeps.training.sparse.native import library


class Sparse:
    """The kept share of a training that will be sparse, else None: as `trainer.kernel` chooses, but for its check."""

    def __init__(self, sizes: Sizes, kernel: str, device: str, devices: int) -> None:
        self._sizes, self._kernel, self._device, self._devices = sizes, kernel, device, devices
        self._weights = lru_cache(maxsize=None)(_weights)

    def __call__(self, run: Train) -> float | None:
        """The share of the network's weights that its ticket keeps."""
        if self._kernel not in ("auto", "sparse"):
            return None
        try:
            choosing.require_fitting(run, self._device, self._devices)
        except Unfit:
            return None
        every = self._weights(run.ticket.network)
        if every is None:
            return None
        kept = self._sizes.kept(end(run).mask)
        share = sum(kept.get(name, n) for name, n in every.items()) / sum(every.values())
        if self._kernel == "sparse":
            return share
        if share > choosing.PAYS:
            return None  # with or without a compiler, which need not run
        compiled = library(choosing.DTYPES[run.recipe.precision]) is not None
        return share if choosing.pays(run, share, compiled=compiled) else None


def _weights(network: Network) -> dict[str, int] | None:
    """The number of weights of each layer of a chain, None of any other network."""
    module = skeleton(network)
    try:
        return {layer.weight: module.get_parameter(layer.weight).numel() for layer in chain(module)}
    except Unfit:
        return None
