"""Cuts dead units out of any network; Torch-Pruning follows which layers share them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from lt_sweeps.errors import Mistake
from lt_sweeps.masks import LAYERS

ACROSS = (nn.LayerNorm, nn.GroupNorm)  # their statistics are over units
DRAWS = 24  # of other values in the place of all that are not zero
TOLERANCE = 1e-5  # of outputs, in parts of the largest
Group = Any  # of Torch-Pruning, which has no types


@dataclass
class Cut:
    """A smaller network; `left` are layers that still have units without weights, and why."""

    network: nn.Module
    left: dict[str, str] = field(default_factory=dict)


def relative_difference(outputs: Tensor, reference: Tensor) -> float:
    """Returns the largest difference from a reference, as a share of the largest value of the reference.

    >>> relative_difference(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 4.0]))
    0.25
    """
    return float((outputs - reference).abs().max() / reference.abs().max().clamp(min=1e-30))


def is_here() -> bool:
    """Whether Torch-Pruning is installed."""
    return find_spec("torch_pruning") is not None


def cut(network: nn.Module, x: Tensor) -> Cut:
    """Returns a network without its dead units, which computes the same; x is a batch of examples.

    A unit is dead if nothing reads it, or if it is zero whatever the values of all weights that are not zero: all these
    are drawn `DRAWS` times, and it is zero at all its readers for all of x. Units that are added or multiplied are one
    unit of several layers. Each layer keeps one unit at least. After each cut the outputs on x are compared;
    a cut that changes them, or breaks the forward pass, is taken back. Raises Mistake without Torch-Pruning.
    """
    if not is_here():
        raise Mistake("removing dead units needs Torch-Pruning: pip install 'lt_sweeps[compact]'")
    cutting = _Cutting(copy.deepcopy(network).eval(), x)
    while cutting.once():
        pass
    return Cut(cutting.network, cutting.left())


class _Cutting:
    """A network that is being cut."""

    def __init__(self, network: nn.Module, x: Tensor) -> None:
        self.network, self._x = network, x
        self._names = {module: name for name, module in network.named_modules()}
        self._refused: dict[str, str] = {}  # name of a layer -> why its units cannot be cut
        self._others: dict[str, str] = {}  # name of a layer -> layers that write to the same units
        with torch.no_grad():
            self._reference: Tensor = network(x)
        self._arriving = self._probed()  # layer -> which of its inputs are not always zero
        self._graph = self._traced()

    def once(self) -> bool:
        """Cuts each group of layers once, the last first; returns whether any was cut."""
        changed = False
        for name, group in reversed([(self._names[g[0].dep.target.module], g) for g in self._groups()]):
            if name not in self._refused and (dead := self._dead(group)):
                done = self._take(name, group, dead)
                changed |= done
                if not done:
                    return True  # the graph is a new one
        return changed

    def left(self) -> dict[str, str]:
        """Layers that have units without weights still, and why."""
        why = {}
        for layer, name in self._names.items():
            if isinstance(layer, LAYERS):
                empty = ~layer.weight.flatten(1).any(dim=1)
                if layer.bias is not None:
                    empty &= layer.bias == 0
                if count := int(empty.sum()):
                    reason = self._refused.get(name) or self._others.get(name) or "they are read, and not zero there"
                    why[name] = f"{count} of {len(empty)} units without weights: {reason}"
        return why

    def _traced(self) -> Any:
        import torch_pruning

        with _trainable(self.network):
            return torch_pruning.DependencyGraph().build_dependency(self.network, example_inputs=self._x[:1])

    def _groups(self) -> list[Group]:
        return list(self._graph.get_all_groups(root_module_types=list(LAYERS)))

    def _dead(self, group: Group) -> list[int]:
        """The indices of the root's units that are dead."""
        units = len(group[0].idxs)
        zero, unread, readers, writers = torch.ones(units, dtype=torch.bool), torch.ones(units, dtype=torch.bool), 0, []
        for item in group:
            layer = item.dep.target.module
            if isinstance(layer, ACROSS):
                self._others[self._names[group[0].dep.target.module]] = "a normalisation runs over them"
                return []
            if not isinstance(layer, LAYERS):
                continue
            if item.dep.handler.__name__ == "prune_in_channels":
                readers += 1
                roots, places = torch.tensor(item.root_idxs), torch.tensor(item.idxs)
                read = layer.weight.detach().transpose(0, 1).flatten(1).any(dim=1).cpu()
                for state, own in ((zero, self._arriving.get(layer, torch.ones(len(read)).bool())), (unread, read)):
                    state[roots[own[places]]] = False
            else:
                writers.append(self._names[layer])
        for name in writers:
            if others := [other for other in writers if other != name]:
                self._others[name] = f"they share places with units of {', '.join(others[:3])}"
        dead = zero | unread
        if dead.all():
            dead[0] = False
        return dead.nonzero().flatten().tolist() if readers else []

    @torch.no_grad()
    def _take(self, name: str, group: Group, dead: list[int]) -> bool:
        """Cuts these units; returns False, with the network as it was, if its outputs change."""
        root = group[0].dep
        group = self._graph.get_pruning_group(root.target.module, root.handler, idxs=dead)
        modules = {item.dep.target.module for item in group}
        before = [(m, dict(vars(m)), dict(m._parameters), dict(m._buffers)) for m in modules]
        try:
            group.prune()
            by = relative_difference(self.network(self._x), self._reference)
            why = "" if by <= TOLERANCE else f"the outputs would differ by {by:.0e} of the largest"
        except Exception as error:  # a network may do anything with the sizes of its layers
            why = f"the network takes no other number of them ({' '.join(str(error).split())[:80]})"
        if not why:
            for item in group:
                layer = item.dep.target.module
                if item.dep.handler.__name__ == "prune_in_channels" and layer in self._arriving:
                    gone = torch.zeros(len(self._arriving[layer]), dtype=torch.bool)
                    gone[torch.tensor(item.idxs)] = True
                    self._arriving[layer] = self._arriving[layer][~gone]
            return True
        for module, own, parameters, buffers in before:
            vars(module).update(own)
            vars(module).update(_parameters=parameters, _buffers=buffers)
        self._refused[name] = why
        self._graph = self._traced()
        return False

    @torch.no_grad()
    def _probed(self) -> dict[nn.Module, Tensor]:
        """Which inputs of each layer are not always zero, whatever the values of weights that are not zero."""
        alive: dict[nn.Module, Tensor] = {}

        def look(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            x = args[0] if isinstance(layer, nn.Linear) else args[0].movedim(1, -1)
            seen = (x != 0).flatten(0, -2).any(dim=0).cpu()
            alive[layer] = alive[layer] | seen if layer in alive else seen

        own = {name: value.clone() for name, value in self.network.state_dict().items()}
        layers = [layer for layer in self.network.modules() if isinstance(layer, LAYERS)]
        handles = [layer.register_forward_pre_hook(look) for layer in layers]
        draw = torch.Generator().manual_seed(0)
        try:
            for _ in range(DRAWS):
                self.network.load_state_dict({name: _others(name, value, draw) for name, value in own.items()})
                self.network(torch.randn(self._x[:8].shape, generator=draw).to(self._x))
        finally:
            for handle in handles:
                handle.remove()
            self.network.load_state_dict(own)
        return alive


def _others(name: str, value: Tensor, draw: torch.Generator) -> Tensor:
    """Other values of a tensor, zero where it is zero; of variances positive ones."""
    if not value.is_floating_point():
        return value
    drawn = torch.randn(value.shape, generator=draw).to(value)
    if name.endswith("running_var"):
        return 0.5 + drawn.abs()
    return drawn * (value != 0) / max(1, value[0].numel() if value.dim() > 1 else 1) ** 0.5


@contextmanager
def _trainable(network: nn.Module) -> Iterator[None]:
    """Context manager: gradients are kept, by which operations are found."""
    before = {parameter: parameter.requires_grad for parameter in network.parameters()}
    try:
        with torch.enable_grad():
            yield network.requires_grad_(True)  # type: ignore[misc]
    finally:
        for parameter, requires_grad in before.items():
            parameter.requires_grad_(requires_grad)
