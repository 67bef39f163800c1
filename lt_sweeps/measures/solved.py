"""The minimum in the tangent space of a ticket's start, found by solving instead of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp

from lt_sweeps.masks import Mask, State
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import percent, six_digits
from lt_sweeps.measures.predictions import first_examples, require_classes, require_validation
from lt_sweeps.registry import register
from lt_sweeps.tasks.task import as_input

Batches = Sequence[tuple[Tensor, Tensor]]


@register(
    "measure",
    version=1,
    needs=("pair", "validation", "classes"),
    quantity="Tangent-space accuracy",
    unit="%",
)
def tangent_solution(
    ends: Ends,
    ridges: Sequence[float] = (1e-4, 1e-3, 1e-2),
    examples: int = 1000,
    iterations: int = 200,
    tolerance: float = 1e-3,
) -> Table:
    """Test accuracy of the network's expansion around its start, at the minimum of the squared error with a ridge.

    Of a ticket as its training begins, w0, only: the dw that minimises mean ||f(x; w0) + J dw - y||^2 / 2 + ridge
    ||dw||^2 / 2, where y is one-hot and dw is zero where the mask prunes; biases and normalisation are solved for too.
    It is found by conjugate gradients on the kernel, (J J^T + n ridge) a = y - f(x; w0) with dw = J^T a, on the first
    `examples` training examples, until the residual is `tolerance` of what it was or after `iterations`. `gate=tangent`
    comes to such a minimum by the recipe's optimizer (Wentworth 2021; Kosoy). The ridge is the one with the best
    accuracy on the validation examples. Lists are of each ridge: the accuracies of the expansion on the examples solved
    for (`solved_train`), on validation and test examples; `solved_network`, test accuracy of the network itself at
    w0 + dw; `solved_distance`, ||dw||; what is left of the residual, and the iterations. Batch normalisation is as
    evaluated. Raises ValueError for tasks without classes, and without validation examples.

    Time grows with ridges x iterations x `examples`: each iteration is a backward and a forward-mode pass through them,
    about five evaluations: by default at most 3 x 200 x 1000 x 5, three million evaluations of an example, for each
    level. Smaller ridges need more iterations. No Jacobian or kernel is held: memory is that of a few copies of the
    weights, of a backward pass of one chunk of examples, and of all solved, validation and test examples at once.

    One example, x = 1 of class 0, and a linear network that begins at 0: dw = (1 / (1 + ridge), 0).

    >>> network, state = nn.Linear(1, 2, bias=False), {"weight": torch.zeros(2, 1)}
    >>> def holding(state): network.load_state_dict(state); return network
    >>> batch = torch.ones(1, 1), torch.tensor([0])
    >>> ends = Ends((state, state), ({}, {}), 2, holding, lambda part: iter([batch]))
    >>> table = tangent_solution(ends, ridges=(0.25, 1.0))
    >>> table["tangent_solution"], table["solved_distance"], table["iterations"]
    (100.0, [0.8, 0.5], [1.0, 1.0])
    """
    require_classes(ends, "tangent_solution")
    numbers = {"ridges": min(ridges, default=0), "examples": examples, "iterations": iterations, "tolerance": tolerance}
    if wrong := [f"{name}={number}" for name, number in numbers.items() if not number > 0]:
        raise ValueError(f"tangent_solution: {wrong[0]}: must be positive")
    require_validation(ends, "tangent_solution")
    space = _Space(ends.network(ends.weights[0]).eval(), ends.masks[-1])
    train = [(as_input(x, space.dtype), y) for x, y in first_examples(ends, examples)]
    count = sum(len(y) for _, y in train)
    targets = torch.cat([nn.functional.one_hot(y, ends.classes).double() for _, y in train])
    errors = targets - torch.cat([space.at(space.start, x).double() for x, _ in train])
    parts = train, *_held_out(ends, space)
    rows = list[tuple[float, ...]]()
    for ridge in ridges:
        solution, done, residual = _solve(partial(space.kernel, train, count * ridge), errors, iterations, tolerance)
        step = space.back(train, solution)
        distance = sum(float(value.double().square().sum()) for value in step.values()) ** 0.5
        accuracies = [_accuracy(partial(space.expansion, step), part) for part in parts]
        network = _accuracy(partial(space.at, {name: w + step[name] for name, w in space.start.items()}), parts[-1])
        rows.append((ridge, *accuracies, network, six_digits(distance), six_digits(residual), float(done)))
    names = ("ridge", "solved_train", "solved_validation", "solved_test", "solved_network", "solved_distance")
    columns = dict(zip((*names, "residual", "iterations"), map(list, zip(*rows, strict=True)), strict=True))
    best = max(range(len(rows)), key=lambda i: columns["solved_validation"][i])
    return {"tangent_solution": columns["solved_test"][best], **columns}


class _Space:
    """The functions f(x; w0) + J dw of a network, whose dw is zero where a mask prunes."""

    def __init__(self, network: nn.Module, mask: Mask) -> None:
        self._network = network
        self.start: State = {name: p.detach() for name, p in network.named_parameters()}
        self._mask = {name: ones.to(self.start[name].device) for name, ones in mask.items()}
        self.dtype = next(iter(self.start.values())).dtype

    def at(self, weights: State, x: Tensor) -> Tensor:
        outputs: Tensor = functional_call(self._network, weights, (x,))
        return outputs

    def expansion(self, step: State, x: Tensor) -> Tensor:
        """f(x; w0) + J dw."""
        value, slope = jvp(lambda weights: self.at(weights, x), (self.start,), (step,))[:2]
        outputs: Tensor = value + slope
        return outputs

    def back(self, batches: Batches, a: Tensor) -> State:
        """J^T a, zero where the mask prunes; `a` [examples, classes]."""
        total = {name: torch.zeros_like(value) for name, value in self.start.items()}
        parts = a.to(self.dtype).split([len(y) for _, y in batches])
        for (x, _), part in zip(batches, parts, strict=True):
            pull = vjp(lambda weights, x=x: self.at(weights, x), self.start)[1]
            for name, slope in pull(part)[0].items():
                total[name] += slope
        return {name: value * self._mask[name] if name in self._mask else value for name, value in total.items()}

    @torch.no_grad()
    def kernel(self, batches: Batches, shift: float, a: Tensor) -> Tensor:
        """(J J^T + shift) a."""
        step = self.back(batches, a)
        slopes = [jvp(lambda w, x=x: self.at(w, x), (self.start,), (step,))[1].double() for x, _ in batches]
        return torch.cat(slopes) + shift * a


def _held_out(ends: Ends, space: _Space) -> tuple[Batches, Batches]:
    """Validation and test examples."""
    validation, test = ([(as_input(x, space.dtype), y) for x, y in ends.examples(p)] for p in ("validation", "test"))
    return validation, test


def _solve(
    product: Callable[[Tensor], Tensor], target: Tensor, iterations: int, tolerance: float
) -> tuple[Tensor, int, float]:
    """Conjugate gradients for a symmetric positive matrix: the solution, the iterations, and what is left of 1."""
    solution, left = torch.zeros_like(target), target.clone()
    direction, square = left.clone(), left.square().sum()
    whole = square
    for done in range(iterations):
        if square <= tolerance**2 * whole:
            return solution, done, float((square / whole).sqrt()) if whole else 0.0
        image = product(direction)
        length = square / (direction * image).sum()
        solution += length * direction
        left -= length * image
        before, square = square, left.square().sum()
        direction = left + square / before * direction
    return solution, iterations, float((square / whole).sqrt()) if whole else 0.0


@torch.no_grad()
def _accuracy(outputs: Callable[[Tensor], Tensor], batches: Batches) -> float:
    right = sum(int((outputs(x).argmax(1) == y).sum()) for x, y in batches)
    return percent(right, sum(len(y) for _, y in batches))
