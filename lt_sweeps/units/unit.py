"""Prunes by units: scores of weights become scores of units, and masks of units become masks of weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from lt_sweeps.masks import Mask
from lt_sweeps.registry import load, needs
from lt_sweeps.specs import Part


class Units:
    """The units of a network's prunable tensors.

    `beside` are tensors of one value per unit of another, such as the bias of a layer, by their names: they have no
    units of their own, and are kept where the unit is.

    >>> layer = {"w": torch.ones(2, 2).bool(), "b": torch.ones(2).bool()}
    >>> units = Units(Part("channel", 1), layer, {"b": "w"})
    >>> scores = {"w": torch.tensor([[1.0, 2.0], [5.0, 1.0]]), "b": torch.tensor([9.0, 1.0])}
    >>> units.scores(scores, layer)["w"].tolist()
    [inf, 7.0]
    >>> mask = units.mask({"w": torch.tensor([True, False])}, layer)
    >>> mask["w"].int().tolist(), mask["b"].int().tolist()
    ([[1, 1], [0, 0]], [1, 0])
    """

    def __init__(self, unit: Part, shapes: Mapping[str, Tensor], beside: Mapping[str, str]) -> None:
        number, kinds = load("unit", unit.name), needs("unit", unit.name)
        self._beside = {name: owner for name, owner in beside.items() if name in shapes}
        self._index = {
            name: number(tuple(ones.shape), **unit.args).flatten()
            for name, ones in shapes.items()
            if name not in self._beside
        }
        self._least = int(unit.args.get("least", "outputs" in kinds))
        self._most = int(unit.args.get("n", 2)) if "within" in kinds else None

    def alive(self, mask: Mask) -> Mask:
        """The units of which a mask keeps any weight, by tensor: bool, (units,)."""
        if self._most is not None:
            return {name: mask[name].flatten() for name in self._index}
        kept = {name: mask[name].flatten().double() for name in self._index}
        return {name: self._summed(name, value) > 0 for name, value in kept.items()}

    def scores(self, scores: Mapping[str, Tensor], mask: Mask) -> dict[str, Tensor]:
        """The sum of the scores of each unit's kept weights, by tensor: (units,). The best `least` have infinity.

        Of units within which weights compete, the scores of the weights themselves; -inf for those that cannot be kept.
        """
        own = {name: value.detach().cpu().flatten().double() for name, value in scores.items()}
        own = {name: value.masked_fill(~mask[name].flatten(), 0.0) for name, value in own.items() if name in mask}
        if self._most is not None:
            return {name: self._best_within(name, own[name], mask[name].flatten(), self._most) for name in self._index}
        summed = {name: self._summed(name, own[name]) for name in self._index}
        for name, owner in self._beside.items():
            summed[owner] += own[name]
        alive = self.alive(mask)
        for name, value in summed.items():
            if bool(value.isnan().any()):
                raise ValueError("a criterion gave a score that is not a number")
            best = value.masked_fill(~alive[name], -torch.inf).argsort(descending=True, stable=True)[: self._least]
            value[best] = torch.inf
        return summed

    def require(self, scores: Mapping[str, Tensor], alive: Mask, target: Iterable[tuple[tuple[str, ...], int]]) -> None:
        """Raises ValueError where weights that compete within runs cannot be so many without breaking the pattern."""
        for names, keep in target if self._most is not None else ():
            most = sum(int((scores[name][alive[name]] > -torch.inf).sum()) for name in names)
            if keep > most:
                raise ValueError(f"{keep:,} weights of {', '.join(names)} to keep, and the pattern allows {most:,}")

    def mask(self, units: Mask, parent: Mask) -> Mask:
        """The mask that keeps these units, of the weights that `parent` keeps."""
        flat = {name: units[name] if self._most else units[name][index] for name, index in self._index.items()}
        flat |= {name: units[owner] for name, owner in self._beside.items()}
        return {name: flat[name].view(ones.shape) & ones for name, ones in parent.items()}

    def _summed(self, name: str, values: Tensor) -> Tensor:
        index = self._index[name]
        return torch.zeros(int(index.max()) + 1, dtype=torch.float64).index_add_(0, index, values)

    def _best_within(self, name: str, values: Tensor, ones: Tensor, most: int) -> Tensor:
        """The values, but -inf where a weight is not among the best of its run."""
        index, order = self._index[name], values.masked_fill(~ones, -torch.inf).argsort(descending=True, stable=True)
        order = order[index[order].argsort(stable=True)]  # run by run, the best first
        runs = index[order]
        place = torch.arange(len(runs)) - torch.searchsorted(runs, runs)
        return values.clone().index_fill_(0, order[place >= most], -torch.inf)
