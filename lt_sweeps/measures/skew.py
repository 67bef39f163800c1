"""How uneven degrees of units scale their gradients: as expected of a mask, and as measured."""

from __future__ import annotations

from math import acos, degrees, exp
from typing import NamedTuple

import torch
from torch import Tensor

from lt_sweeps.masks import State
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import by_tensor, same_layers, six_digits
from lt_sweeps.measures.predictions import first_examples
from lt_sweeps.randomness import seeded
from lt_sweeps.registry import register
from lt_sweeps.tasks.task import as_input, task_of


@register("measure", version=1, quantity="Turn of gradients", unit="degrees of angle")
def degree_skew(ends: Ends) -> Table:
    """How far uneven degrees of units would turn the gradient under the last mask, in degrees of angle.

    Normalisation multiplies the gradient of a unit that has lost the share s of its incoming weights by 1 / sqrt(1 - s)
    (Adnan et al. 2026). Between a gradient that is equally large everywhere and the same with these factors the angle
    is acos(sum sqrt(k) / sqrt(K L)), in a tensor of L units with k > 0 incoming weights each and K in all: 0 where
    units lose equal shares. `factor` is the mean of 1 / sqrt(1 - s) over these units. Of all tensors of two or more
    dimensions together (tensor 0), the factors of each divided by that of its mean share, as their correction has them;
    and of each, 0 for other tensors. It is of the mask alone, whether or not the network normalises: `gradient_skew`
    looks at gradients. Raises ValueError where no unit has incoming weights.

    Units with one and four of four inputs: cos = (1 + 2) / sqrt(5 * 2), and factors of 2 and 1.

    >>> mask = {"w": torch.tensor([[True, False, False, False], [True, True, True, True]])}
    >>> degree_skew(Ends(({},), (mask,), 2, lambda state: None, lambda part: iter(())))
    {'degree_skew': 18.4349, 'tensor': [0.0, 1.0], 'tensor_degree_skew': [18.4349, 18.4349], 'factor': [1.5, 1.5]}
    """
    each = [_factors(ones) for ones in ends.masks[-1].values()]
    whole = _Factors(*map(sum, zip(*each, strict=True)))
    if not whole.units:
        raise ValueError("degree_skew: no unit of this mask has incoming weights")
    angles = [six_digits(row.angle) for row in (whole, *each)]
    factors = [six_digits(row.total / row.units) if row.units else 0.0 for row in (whole, *each)]
    return {"degree_skew": angles[0], **by_tensor(len(angles), tensor_degree_skew=angles, factor=factors)}


class _Factors(NamedTuple):
    """Sums over the live units of a tensor, with k of n incoming weights: 1, sqrt(n / k), k, and sqrt(k * mean k)."""

    units: int = 0
    total: float = 0.0
    kept: float = 0.0
    along: float = 0.0

    @property
    def angle(self) -> float:
        """The angle in degrees that the factors turn a constant gradient by."""
        return degrees(acos(min(1.0, self.along / self.kept))) if self.kept else 0.0


def _factors(ones: Tensor) -> _Factors:
    if ones.dim() < 2:
        return _Factors()
    kept = ones.flatten(1).sum(1).double()
    kept, inputs = kept[kept > 0], ones[0].numel()
    along = (kept * kept.mean()).sqrt().sum() if len(kept) else 0.0
    return _Factors(len(kept), float((inputs / kept).sqrt().sum()), float(kept.sum()), float(along))


@register("measure", version=1, needs=("whole",), quantity="Skew of gradients", unit="exponent")
def gradient_skew(ends: Ends, examples: int = 1000) -> Table:
    """The exponent a by which a mask multiplies the gradients of its units by (1 / sqrt(1 - s))^a, before training.

    s is the share of a unit's incoming weights that the mask prunes. Of a unit whose output is normalised a is 1, so
    that units that lose most learn fastest (Adnan et al. 2026); without normalisation it is 0. Gradients are of the
    mean training loss over the first `examples` examples, in training mode, one tensor masked at a time and the others
    whole: `ratio` of a unit is the root mean square over its kept weights, masked over whole. a is the least-squares
    slope of log ratio over log 1 / sqrt(1 - s) through zero, over all units that have both; of all tensors of two or
    more dimensions together (tensor 0) and of each, 0 where no unit lost a weight. `expected` and `measured` are
    geometric means over units of the factor and of `ratio`. A whole weight that is zero counts as pruned already. The
    gradient of a normalised unit has no component along its weights, so that units of few weights have less; and
    factors near 1, where little is pruned, leave a uncertain. Raises ValueError for fewer than one example, and where
    no unit lost a weight.

    A unit w x without normalisation learns from examples (1, 0) and (0, 1): what one weight is taught, in a regression,
    does not depend on whether the other is there.

    >>> from lt_sweeps.registry import part
    >>> network = torch.nn.Linear(2, 1, bias=False)
    >>> def holding(state): network.load_state_dict(state); return network
    >>> states = {"weight": torch.tensor([[1.0, 1.0]])}, {"weight": torch.tensor([[1.0, 0.0]])}
    >>> masks = {"weight": torch.tensor([[True, True]])}, {"weight": torch.tensor([[True, False]])}
    >>> batch = torch.eye(2), torch.zeros(2, 1)
    >>> ends = Ends(states, masks, 1, holding, lambda p: iter([batch]), task=part("task", "regression"))
    >>> table = gradient_skew(ends)
    >>> table["gradient_skew"], table["expected"], table["measured"]
    (0.0, [1.41421, 1.41421], [1.0, 1.0])
    """
    if not isinstance(examples, int) or examples < 1:
        raise ValueError(f"gradient_skew: examples={examples}: give 1 or more")
    whole, mask = ends.weights[0], ends.masks[-1]
    slopes = _slopes(ends, whole, examples)
    fits = []
    for name in same_layers(ends):
        ones, dense = mask[name], (whole[name] != 0) | mask[name]
        if ones.dim() < 2 or torch.equal(ones, dense):
            fits.append(_Fit())
            continue
        masked = _slopes(ends, {**whole, name: whole[name] * ones}, examples)[name]
        after, before = ((slope.double().square() * ones).flatten(1).sum(1) for slope in (masked, slopes[name]))
        degree, inputs = (part.flatten(1).sum(1).double() for part in (ones, dense))
        both = (after > 0) & (before > 0)
        x, y = (inputs / degree)[both].log() / 2, (after / before)[both].log() / 2
        fits.append(_Fit(len(x), *(float(value) for value in (x.sum(), y.sum(), x @ x, x @ y))))
    every = _Fit(*map(sum, zip(*fits, strict=True)))
    if not every.xx:
        raise ValueError("gradient_skew: no unit of this mask has lost a part of its weights")
    rows = [every, *fits]
    exponents = [six_digits(fit.xy / fit.xx) if fit.xx else 0.0 for fit in rows]
    return {
        "gradient_skew": exponents[0],
        **by_tensor(
            len(rows),
            tensor_gradient_skew=exponents,
            expected=[six_digits(exp(fit.x / max(1, fit.units))) for fit in rows],
            measured=[six_digits(exp(fit.y / max(1, fit.units))) for fit in rows],
        ),
    }


class _Fit(NamedTuple):
    """Sums over units: 1, the logarithms x of the expected and y of the measured factor, and their products."""

    units: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0


def _slopes(ends: Ends, state: State, examples: int) -> State:
    """The gradient of the training loss of the first examples in each masked tensor, summed over them."""
    network, task = ends.network(state).train(), task_of(ends.task)
    network.requires_grad_(True)
    parameters = dict(network.named_parameters())
    names = [*ends.masks[-1]]
    dtype, device = parameters[names[0]].dtype, parameters[names[0]].device
    slopes = {name: torch.zeros_like(parameters[name]) for name in names}
    with torch.enable_grad(), torch.autocast(device.type, enabled=False), seeded(0):
        for x, y in first_examples(ends, examples):
            loss = task.loss(network(as_input(x, dtype)), y, reduction="sum")
            gradients = torch.autograd.grad(loss, [parameters[name] for name in names], materialize_grads=True)
            for name, slope in zip(names, gradients, strict=True):
                slopes[name] += slope
    return {name: slope.cpu() for name, slope in slopes.items()}
