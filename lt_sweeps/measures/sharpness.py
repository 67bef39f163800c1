"""The curvature of the loss in the weights that a mask keeps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import six_digits
from lt_sweeps.randomness import rng, seeded
from lt_sweeps.registry import register
from lt_sweeps.tasks.task import as_input, task_of

FEW = 32  # kept weights up to which the whole Hessian is computed


@register("measure", version=1, quantity="Largest Hessian eigenvalue", unit="loss / weight²")
def sharpness(ends: Ends, examples: int = 1000, probes: int = 10) -> Table:
    """The largest eigenvalue of the Hessian of the training loss in the weights that the last mask keeps.

    The loss is the mean of the task's over the first `examples` training examples, not augmented, in evaluation mode;
    weights that are pruned, and those that no mask covers, stay as they are. The eigenvalue is found by Lanczos
    iteration to a relative 0.001. `trace` is Hutchinson's estimate with `probes` vectors of random signs, of which
    `trace_deviation` is the standard error; for up to 32 weights both are exact. The least eigenvalue is not shown.
    Raises ValueError where there are no kept weights, fewer than 1 example or fewer than 2 probes.

    Two weights predict y = w x of inputs (1, 0) and (0, 2), in a regression: the mean of squared errors has the
    curvatures 1 and 4.

    >>> from lt_sweeps.registry import part
    >>> network = torch.nn.Linear(2, 1, bias=False)
    >>> def holding(state): network.load_state_dict(state); return network
    >>> state, mask = {"weight": torch.zeros(1, 2)}, {"weight": torch.tensor([[True, True]])}
    >>> batch = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> ends = Ends((state,), (mask,), 1, holding, lambda p: iter([batch]), task=part("task", "regression"))
    >>> sharpness(ends)
    {'sharpness': 4.0, 'trace': 5.0, 'trace_deviation': 0.0}
    """
    if examples < 1 or probes < 2:
        raise ValueError(f"sharpness: examples={examples} probes={probes}: give 1 or more, and 2 or more")
    with seeded(0):
        product, size = _product(ends, examples)
        if not size:
            raise ValueError("sharpness: the mask keeps no weight")
        if size <= FEW:
            matrix = torch.stack([product(row) for row in torch.eye(size, dtype=torch.float64)])
            top, trace, error = torch.linalg.eigvalsh((matrix + matrix.T) / 2)[-1], matrix.trace(), 0.0
        else:
            draw = rng(0, "hutchinson")
            signs = (2.0 * torch.randint(2, (probes, size), generator=draw) - 1).double()
            traces = torch.stack([sign @ product(sign) for sign in signs])
            top, trace, error = _largest(product, size), traces.mean(), float(traces.std()) / probes**0.5
    return {"sharpness": six_digits(top), "trace": six_digits(trace), "trace_deviation": six_digits(error)}


def _product(ends: Ends, examples: int) -> tuple[Callable[[Tensor], Tensor], int]:
    """Returns the product of the Hessian with a vector of the kept weights, and their number."""
    network, task = ends.network(ends.weights[-1]).eval(), task_of(ends.task)
    named = dict(network.named_parameters())
    weights = [named[name] for name in ends.masks[-1]]
    for weight in named.values():
        weight.requires_grad_(any(weight is other for other in weights))
    masks = [ones.to(weight.device) for ones, weight in zip(ends.masks[-1].values(), weights, strict=True)]
    sizes = [int(ones.sum()) for ones in masks]
    x, y = _first(ends, examples)
    x = as_input(x, weights[0].dtype)

    def product(vector: Tensor) -> Tensor:
        directions = [torch.zeros_like(weight) for weight in weights]
        for direction, ones, part in zip(directions, masks, vector.split(sizes), strict=True):
            direction[ones] = part.to(direction)
        with torch.enable_grad():
            loss = task.loss(network(x), y)
            slopes = torch.autograd.grad(loss, weights, create_graph=True)
            along = sum((s * d).sum() for s, d in zip(slopes, directions, strict=True))
            assert isinstance(along, Tensor)
            curved = torch.autograd.grad(along, weights, materialize_grads=True)
        return torch.cat([values[ones] for values, ones in zip(curved, masks, strict=True)]).cpu().double()

    return product, sum(sizes)


def _first(ends: Ends, count: int) -> tuple[Tensor, Tensor]:
    """The first `count` training examples."""
    xs, ys, have = list[Tensor](), list[Tensor](), 0
    for x, y in ends.examples("train"):
        xs.append(x[: count - have])
        ys.append(y[: count - have])
        have += len(xs[-1])
        if have >= count:
            break
    return torch.cat(xs), torch.cat(ys)


def _largest(product: Callable[[Tensor], Tensor], size: int) -> float:
    from scipy.sparse.linalg import LinearOperator, eigsh

    def matvec(vector: np.ndarray) -> np.ndarray:
        return product(torch.from_numpy(np.asarray(vector).ravel().copy())).numpy()

    begin = torch.randn(size, generator=rng(0, "lanczos"), dtype=torch.float64).numpy()
    operator = LinearOperator((size, size), matvec=matvec, dtype=np.float64)
    return float(eigsh(operator, k=1, which="LA", v0=begin, tol=1e-3, return_eigenvectors=False)[0])
