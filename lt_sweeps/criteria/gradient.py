"""Criteria that use gradients of the task's loss on a few training examples, at the ticket's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lt_sweeps.criteria.probe import Probe, Scores
from lt_sweeps.masks import State
from lt_sweeps.randomness import GENERATORS, seed_torch
from lt_sweeps.registry import register
from lt_sweeps.tasks.task import task_of


@register("criterion", version=1, needs=("data", "seed"))
def snip(probe: Probe, examples: int = 100, training: bool = False) -> Scores:
    """Connection sensitivity: how much the loss depends on a weight, |w dL/dw| (Lee et al. 2019).

    L is the mean loss on one random batch of `examples`, by default in evaluation mode, as in their code. Differs: they
    prune biases too, and train a network that is drawn anew under the mask (`survivors=reinit`).

    >>> from lt_sweeps.criteria.examples import tiny
    >>> snip(tiny(weights=[[0.0], [0.0]]), examples=1)["weight"].tolist()
    [[0.0], [0.0]]
    """
    slopes = _slopes(probe, *_drawn(probe, examples), training)
    return {name: (probe.weights[name] * slopes[name]).abs() for name in slopes}


@register("criterion", version=1, needs=("data", "seed"))
def force(probe: Probe, examples: int = 100, training: bool = True) -> Scores:
    """As `snip`, |w dL/dw|, with gradients of the pruned network, but weights w before pruning (de Jorge et al. 2021).

    So a later round can restore weights that an earlier one pruned: `criterion.rounds`, `criterion.revive`.

    >>> from lt_sweeps.criteria.examples import tiny
    >>> force(tiny(weights=[[0.0], [0.0]]), examples=1)["weight"].tolist()
    [[0.0], [0.0]]
    """
    slopes = _slopes(probe, *_drawn(probe, examples), training)
    return {name: (probe.unmasked[name] * slopes[name]).abs() for name in slopes}


@register("criterion", version=1, needs=("data", "seed"))
def gradient(probe: Probe, examples: int = 100, training: bool = False) -> Scores:
    """The magnitude of the loss gradient, |dL/dw| (a criterion of Zhou et al.'s code; squared, GraSP-It's).

    >>> from lt_sweeps.criteria.examples import tiny
    >>> gradient(tiny(weights=[[0.0], [0.0]]), examples=1)["weight"].tolist()  # softmax is a half each
    [[0.5], [0.5]]
    """
    return {name: slope.abs() for name, slope in _slopes(probe, *_drawn(probe, examples), training).items()}


@register("criterion", version=1, needs=("data", "seed"))
def grasp(probe: Probe, per_class: int = 10, temperature: float = 200.0, training: bool = True) -> Scores:
    """Preservation of the gradient norm, w (H g), with gradient g and Hessian H of the loss (Wang et al. 2020).

    They call -w (H g) the score, and prune the highest. Logits are divided by `temperature`; the batch has `per_class`
    examples of each class. Where an example has several targets, it has `per_class` random examples for each of them,
    of maps for each class in them; outputs that are no logits are not divided. Differs from their code, which draws
    linear layers anew before it scores.

    >>> from lt_sweeps.criteria.examples import tiny
    >>> import math
    >>> p = 1 / (1 + math.e)  # of class 0 at weights 0 and 1: g is (p - 1, 1 - p), H g is 2 p (1 - p) times g
    >>> score = grasp(tiny(weights=[[0.0], [1.0]]), per_class=1, temperature=1.0)["weight"][1].item()
    >>> round(score, 4), round(2 * p * (1 - p) ** 2, 4)
    (0.2875, 0.2875)
    """
    return _grasp(probe, per_class, temperature, training)


@register("criterion", version=1, needs=("data", "seed"))
def grasp_magnitude(probe: Probe, per_class: int = 10, temperature: float = 200.0, training: bool = True) -> Scores:
    """The magnitude of GraSP's score, |w (H g)| (Frankle et al. 2021, *GraSP with absolute values*).

    >>> from lt_sweeps.criteria.examples import tiny
    >>> import math
    >>> p = 1 / (1 + math.e)  # of class 0 at weights 0 and 1: g is (p - 1, 1 - p), H g is 2 p (1 - p) times g
    >>> score = grasp_magnitude(tiny(weights=[[0.0], [1.0]]), per_class=1, temperature=1.0)["weight"][1].item()
    >>> round(score, 4), round(2 * p * (1 - p) ** 2, 4)
    (0.2875, 0.2875)
    """
    return {name: score.abs() for name, score in _grasp(probe, per_class, temperature, training).items()}


def _grasp(probe: Probe, per_class: int, temperature: float, training: bool) -> Scores:
    task = task_of(probe.task)
    if task.of_classes:
        x, y = _each_class(probe, per_class)
    else:
        y = probe.source.classes
        kinds = len(task.counted(y).unique()) if task.targets == "maps" else y[0].numel()
        x, y = _drawn(probe, per_class * kinds)
    with _ready(probe, x, training) as (network, weights):
        outputs = network(x)
        loss = task.loss(outputs / temperature if task.of_logits else outputs, y)
        slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        product = torch.stack([(slope.detach() * slope).sum() for slope in slopes]).sum()
        curved = torch.autograd.grad(product, list(weights.values()))
    return {name: probe.weights[name] * hg.cpu() for name, hg in zip(weights, curved, strict=True)}


def _slopes(probe: Probe, x: Tensor, y: Tensor, training: bool) -> State:
    """Returns dL/dw of the prunable weights, on the CPU."""
    with _ready(probe, x, training) as (network, weights):
        slopes = torch.autograd.grad(task_of(probe.task).loss(network(x), y), list(weights.values()))
    return {name: slope.cpu() for name, slope in zip(weights, slopes, strict=True)}


@contextmanager
def _ready(probe: Probe, x: Tensor, training: bool) -> Iterator[tuple[nn.Module, dict[str, Tensor]]]:
    """Yields the network on the examples' device, and its prunable weights; the probe's generator seeds dropout."""
    network = probe.network.to(x.device).train(training)
    seed = int(torch.randint(2**62, (1,), generator=probe.generator))
    devices = [x.device] if x.device.type == "cuda" else []
    with GENERATORS, torch.random.fork_rng(devices), torch.enable_grad():
        seed_torch(seed)
        yield network, {name: network.get_parameter(name) for name in sorted(probe.mask)}


def _drawn(probe: Probe, examples: int) -> tuple[Tensor, Tensor]:
    """Returns `examples` distinct random examples, or all if there are fewer. Raises ValueError for less than 1."""
    if examples < 1:
        raise ValueError(f"examples={examples}: give 1 at least")
    y = probe.source.classes
    return probe.source.picked(torch.randperm(len(y), generator=probe.generator)[:examples].to(y.device))


def _each_class(probe: Probe, per_class: int) -> tuple[Tensor, Tensor]:
    """Returns `per_class` random examples of each class, or all if it has fewer. Raises ValueError for less than 1."""
    if per_class < 1:
        raise ValueError(f"per_class={per_class}: give 1 at least")
    y = probe.source.classes
    order = torch.randperm(len(y), generator=probe.generator).to(y.device)
    return probe.source.picked(torch.cat([order[y[order] == label][:per_class] for label in y.unique()]))
