"""Linear mode connectivity: the error along the line between two trained networks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lt_sweeps.masks import Mask, State
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.registry import register
from lt_sweeps.tasks.task import as_input


@register("measure", version=1, needs=("pair",), quantity="Error barrier", unit="points")
def barrier(ends: Ends, *, points: int = 30, batchnorm: str = "average") -> Table:
    """Error along the line between two tickets, and its rise above the mean of the ends, in percentage points.

    barrier = max over alpha of error((1 - alpha) a + alpha b) - (error(a) + error(b)) / 2, on the test examples, at
    `points` evenly spaced alphas in [0, 1] (Frankle et al. 2020, who call two trainings stable where it is below 2).
    It is at least half the difference of the ends. "midpoint" is the error at alpha 0.5, also if that is no alpha.
    Effective weights are interpolated, under the second mask: for a parent and its child that is the sparser one (Paul
    et al. 2023), and alpha 0 is the parent under the child's mask. Parameters and running statistics of batch
    normalisation are interpolated too, as in the papers' code; with batchnorm="recompute" the statistics are computed
    anew at each point from the training examples, because averaged statistics are not those of the averaged network
    (Jordan et al. 2023).

    Raises ValueError for fewer than two points, or another value of `batchnorm`.

    Example: two networks compute x -> (x, -x) with opposite signs. Halfway between them all weights are zero, so all
    logits are equal, the first class is predicted, and one of the two examples is wrong.

    >>> one = {"0.weight": torch.ones(1, 1), "1.weight": torch.tensor([[1.0], [-1.0]])}
    >>> other = {name: -weight for name, weight in one.items()}
    >>> network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 2, bias=False))
    >>> def holding(state): network.load_state_dict(state); return network
    >>> examples = [(torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1]))]
    >>> table = barrier(Ends((one, other), ({}, {}), 2, holding, lambda part: iter(examples)), points=3)
    >>> table["alpha"], table["test_error"], table["barrier"], table["midpoint"]
    ([0.0, 0.5, 1.0], [0.0, 50.0, 0.0], 50.0, 50.0)
    """
    if points < 2 or batchnorm not in ("average", "recompute"):
        raise ValueError(f"barrier: {points} points, batchnorm={batchnorm}: give 2 or more, average or recompute")
    (first, second), (_, mask) = ends.weights, ends.masks

    def error(alpha: float) -> float:
        network = ends.network(between(first, second, alpha, mask))
        if batchnorm == "recompute":
            renew_statistics(network, ends)
        return ends.error(network)

    alphas, errors = [point / (points - 1) for point in range(points)], list[float]()
    for done, alpha in enumerate(alphas, 1):
        errors.append(error(alpha))
        ends.tell(done)
    halfway = errors[points // 2] if points % 2 else error(0.5)
    return {
        "alpha": [round(alpha, 6) for alpha in alphas],
        "test_error": errors,
        "midpoint": halfway,
        "barrier": round(max(errors) - (errors[0] + errors[-1]) / 2, 4),
    }


def between(first: State, second: State, alpha: float, mask: Mask) -> State:
    """Returns (1 - alpha) first + alpha second, exact at the ends; pruned places and counters are those of `second`.

    >>> one, other = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 0.0])}
    >>> between(one, other, 0.25, {"w": torch.tensor([True, False])})["w"].tolist()
    [1.5, 0.0]
    """
    state = {}
    for name, value in second.items():
        point = torch.lerp(first[name], value, alpha) if value.is_floating_point() else value
        state[name] = torch.where(mask[name], point, value) if name in mask else point
    return state


@torch.no_grad()
def renew_statistics(network: nn.Module, ends: Ends) -> None:
    """Recomputes running means and variances in place: plain averages over evaluation batches of training examples."""
    network.eval()
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not layers:
        return
    weight = next(network.parameters())
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain average over batches
        layer.train()
    for x, _ in ends.examples("train"):
        network(as_input(x, weight.dtype))
    network.eval()
