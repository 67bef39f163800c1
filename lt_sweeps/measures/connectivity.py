"""Whether two trained networks lie in one valley: the error along the line between them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lt_sweeps.masks import Mask, State
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.registry import register


@register("measure", version=1)
def barrier(ends: Ends, *, points: int = 30, batchnorm: str = "average") -> Table:
    """Error along the line between two tickets, and how far it rises above its ends, in points of error.

    barrier = max over alpha of error((1 - alpha) a + alpha b) - (error(a) + error(b)) / 2, on the test examples, at
    `points` evenly spaced alphas in [0, 1] (Frankle et al. 2020, who call two trainings stable where it is below 2).
    It is never less than half of what the ends differ by. "midpoint" is the error at alpha 0.5, among them or not.
    What is interpolated are effective weights, under the second mask: where a child is compared with its parent, that
    is the sparser one (Paul et al. 2023), and alpha 0 is the parent as the child's mask leaves it. Parameters and
    running statistics of batch normalisation are interpolated too, as the papers' code does; with
    batchnorm="recompute" the statistics are taken anew, at each point, from the training examples, because averaged
    ones are not those of the averaged network (Jordan et al. 2023).

    Raises ValueError for less than two points, or another treatment of batch normalisation.

    Two networks that compute the same, x -> (x, -x), by opposite signs: halfway between them all weights are zero, all
    logits equal, the first class is chosen, and one of the two examples is wrong.

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
    """A point on the line, exact at its ends; where `mask` has pruned, the second's values, and its counters.

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
    """Make running means and variances those of the training examples, in batches of evaluation that count alike."""
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
        network(x.to(weight.dtype))
    network.eval()
