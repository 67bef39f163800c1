"""Sizes of a plan, from networks on the meta device: the tensors of each, and the weights that each mask keeps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn

from lt_sweeps.allocation import allotted, counts
from lt_sweeps.forecast.disk import WIDTH, Layout
from lt_sweeps.forecast.layers import skeleton
from lt_sweeps.graph import Dense, Fit, Given, Mask, MaskAt, Planted, Prune, Shuffle, Train, full, topological, whole
from lt_sweeps.masks import dense, prunable
from lt_sweeps.registry import needs
from lt_sweeps.specs import Network, Part
from lt_sweeps.training import optim
from lt_sweeps.training.progress import optimizer_state

TYPES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.bool: "BOOL",
}
Counts = Mapping[str, int]
Parent = tuple[tuple[str, int], ...]  # Counts, as a hashable key


class Sizes:
    """Layouts and kept weights, each computed once; `given` are those of masks from files, by the file's SHA-256."""

    def __init__(self, given: Mapping[str, Counts]) -> None:
        self._given = given
        self.at_most = False  # whether some mask was counted as if its gate or hooks pruned nothing
        self._kept: dict[Mask, Counts] = {}
        self._layouts: dict[tuple[int, ...], tuple[Train, Layout]] = {}
        self._layout = lru_cache(maxsize=None)(_layout)
        self._over = lru_cache(maxsize=None)(_over)
        self._pruned = lru_cache(maxsize=None)(_pruned)  # seeds differ in their masks, never in their counts
        self._allotted = lru_cache(maxsize=None)(_allotted)
        self._whole = lru_cache(maxsize=None)(_whole)

    def layout(self, run: Train | Prune) -> Layout:
        """The tensors of a training's network and of its optimizer, or of the network that a mask is pruned from."""
        if isinstance(run, Prune):
            return self._over(full(run).network)
        near = id(run.ticket.network), id(run.recipe)  # as the trainings of a cell share them
        if near not in self._layouts:
            double = run.recipe.precision == "64-true"
            self._layouts[near] = run, self._layout(run.ticket.network, run.recipe.optimizer, double)
        return self._layouts[near][1]

    def kept(self, mask: Mask) -> Counts:
        """Number of weights that a mask keeps of each tensor; a global group is split in proportion to its tensors."""
        for node in topological([mask], stop=lambda node: node in self._kept or not isinstance(node, Mask)):
            if isinstance(node, Mask) and node not in self._kept:
                self._kept[node] = self._count(node)
        return self._kept[mask]

    def _count(self, mask: Mask) -> Counts:
        match mask:
            case Dense():
                return self._whole(mask)
            case Planted(whole=dense):
                return self._whole(dense)  # at most
            case Shuffle(mask=other):
                return self._kept[other]
            case MaskAt():
                counts, _ = self.learned(mask)
                self.at_most |= counts is None
                return self.kept(mask.before) if counts is None else counts
            case Given(content=content):
                return self._given[content]
            case Fit():
                return self._fitted(mask)
            case Prune(parent=parent, fraction=fraction, times=times, allocation=Part() as allocation):
                return self._allotted(full(parent), self._before(parent), fraction, times, allocation)
            case Prune(parent=parent, fraction=fraction, groups=groups, factors=factors, times=times):
                return self._pruned(self._before(parent), fraction, groups, tuple(factors.items()), times)

    def _fitted(self, fit: Fit) -> Counts:
        """Counts of a mask found elsewhere, of layers that are as large there; what others keep is known afterwards."""
        every, before, source = self._kept[fit.to], self._kept[fit.mask], whole(fit.mask)
        totals = before if source is None else self._kept[source]
        if fit.by is not None and totals != every:
            self.at_most = True
            return every
        is_redrawn = {name: fit.classes is not None and totals.get(name, n) != n for name, n in every.items()}
        return {name: n if is_redrawn[name] else before.get(name, n) for name, n in every.items()}

    def learned(self, mask: Mask) -> tuple[Counts | None, bool]:
        """What a gate keeps of each tensor, and whether it promises each count, or else their sum alone.

        None where only the training will tell. A gate that trains weights keeps them all.
        """
        if not isinstance(mask, MaskAt):
            return None, False
        run, before = mask.weights.run, self.kept(mask.before)
        if run.gate is None or run.hooks or not run.gate.is_registered:
            return None, False
        if "search" not in needs("gate", run.gate.name):
            return before, True
        keep, by_layer = run.gate.args.get("keep"), run.gate.args.get("ranking", "layer") == "layer"
        if not isinstance(keep, int | float) or not 0 < keep <= 1:  # none, or none that the gate will take
            return None, False
        return _top(self.kept(full(run.ticket)), before, keep, by_layer), by_layer

    def _before(self, parent: Mask) -> Parent:
        return tuple(sorted(self._kept[parent].items()))


def _whole(every: Dense) -> Counts:
    mask, _ = dense(skeleton(every.network), every.exclude, every.include)
    return {name: ones.numel() for name, ones in mask.items()}


def _pruned(before: Parent, fraction: float, groups: str, factors: tuple[tuple[str, float], ...], times: int) -> Counts:
    left = dict(before)
    # `counts` needs only the number of ones of each tensor.
    ones = {name: torch.tensor(n) for name, n in before}
    after: dict[str, int] = {}
    for names, keep in counts(ones, fraction, groups, dict(factors), times):
        together, seen, assigned = sum(left[name] for name in names), 0, 0
        for name in names:
            seen += left[name]
            after[name] = (seen * keep // together if together else 0) - assigned
            assigned += after[name]
    return after


def _top(whole: Counts, before: Counts, share: float, by_layer: bool) -> Counts:
    """How many weights are kept of each tensor, as `gates.gate.top` counts them; of all in proportion, if not by layer.

    >>> whole = {"a": 10, "b": 30}
    >>> _top(whole, whole, 0.25, True), _top(whole, whole, 0.1, False)
    ({'a': 2, 'b': 8}, {'a': 1, 'b': 3})
    """
    if by_layer:
        return {name: min(before[name], max(1, round(share * n))) for name, n in whole.items()}
    alive, kept, seen, assigned = sum(before.values()), dict[str, int](), 0, 0
    together = min(alive, max(1, round(share * sum(whole.values()))))
    for name, n in before.items():
        seen += n
        kept[name] = (seen * together // alive if alive else 0) - assigned
        assigned += kept[name]
    return kept


def _allotted(every: Dense, before: Parent, fraction: float, times: int, allocation: Part) -> Counts:
    left = dict(before)
    ((_, keep),) = counts({name: torch.tensor(n) for name, n in before}, fraction, "global", {}, times)
    shapes = {name: tuple(weight.shape) for name, weight in prunable(skeleton(every.network), every.include).items()}
    return {name: n for (name,), n in allotted(shapes, left, keep, allocation)}


def _tensors(module: nn.Module) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (tuple(value.shape), TYPES[value.dtype]) for name, value in module.state_dict().items()}


def _over(network: Network) -> Layout:
    return Layout(_tensors(skeleton(network)))


def _layout(network: Network, optimizer: Part, double: bool) -> Layout:
    module = skeleton(network)
    if double:
        module = module.double()
    named = optim.groups_by_name(optimizer)
    trained = [(name if named else "", p) for name, p in module.named_parameters() if p.requires_grad]
    return Layout(_tensors(module), sum(_optimizer_bytes(optimizer, name, p.numel(), p.dtype) for name, p in trained))


@lru_cache(maxsize=256)
def _optimizer_bytes(described: Part, name: str, numel: int, dtype: torch.dtype) -> int:
    """Bytes of an optimizer's state for a parameter, measured by a step on a small one."""
    weight = torch.zeros((2, 3), dtype=dtype, requires_grad=True)
    weight.grad = torch.ones_like(weight)
    taking = optim.optimizer_over(described, [(name, weight)])
    taking.step(lambda: 0.0)
    held: list[Tensor] = [value for value in optimizer_state(taking)[0].values() if torch.is_tensor(value)]
    like = sum(WIDTH[TYPES[value.dtype]] for value in held if value.shape == weight.shape)
    other = sum(value.numel() * WIDTH[TYPES[value.dtype]] for value in held if value.shape != weight.shape)
    return like * numel + other
