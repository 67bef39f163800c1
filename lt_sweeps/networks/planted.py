"""Planted tickets: draws of a network that contain a sparse network with a known function (Fischer & Burkholz 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from lt_sweeps.masks import Mask
from lt_sweeps.networks import targets
from lt_sweeps.networks.build import draw_network
from lt_sweeps.networks.mlp import MLP
from lt_sweeps.randomness import seeded
from lt_sweeps.registry import register
from lt_sweeps.specs import Network

NUMBERS = ("helix", "relu")  # targets of regression: a factor of their outputs is an error


@register("initialiser", version=1, needs=("planted",))
def planted(network: nn.Module, target: str = "circle", knots: int = 10, spread: bool = True) -> None:
    """A He draw that contains a sparse network of known function, which has the name of its data set.

    Weights are drawn from N(0, 2 / fan_in) and the biases of layer l from N(0, product over k <= l of 2 / fan_in_k);
    then `plant` replaces the entries of the target's neurons. `knots` is that of `targets.circle` and of
    `targets.helix`. The module gets the attribute `planted`, the mask of the weights that make up the target; biases
    are in no mask.

    Raises ValueError for a network other than an MLP, and for one that the target does not fit.

    Differs: logits are the target's up to one factor for all classes, where the paper rescales each output. Numbers are
    the target's own, by a factor that all layers share, so that planted weights are larger than usual; `spread=false`
    leaves it to the last layer, as in the paper, where planted weights are hundreds of times the usual size. A neuron
    is chosen by the least distance of all its entries, where the paper's code also asks for equal signs.
    """
    if not isinstance(network, MLP):
        raise ValueError(f"model.initialiser=planted plants in model=mlp alone, not in {type(network).__name__}")
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    he_with_biases([*layers.values()])
    inputs, classes = next(iter(layers.values())).in_features, network.output.out_features
    answer = targets.deepened(_target(target, inputs, classes, knots), len(layers))
    support = plant([*layers.values()], answer, exact=target in NUMBERS, spread=spread)
    vars(network)["planted"] = {f"{name}.weight": mask for name, mask in zip(layers, support, strict=True)}


def support(network: Network, seed: int) -> Mask:
    """Returns the mask of the ticket that is planted in a draw of a network. Raises ValueError if none is."""
    with seeded(seed):
        mask: Mask | None = vars(draw_network(network)).get("planted")
    if mask is None:
        raise ValueError(f"no ticket is planted in {network.build.name}: choose model=planted")
    return mask


def _target(name: str, inputs: int, classes: int, knots: int) -> targets.Target:
    if name == "teacher":
        return targets.teacher(inputs, classes)
    match name:
        case "circle":
            target = targets.circle(knots)
        case "helix":
            target = targets.helix(knots)
        case "relu":
            target = targets.relu()
        case _:
            raise ValueError(f"model.initialiser_args.target={name}: choose one of circle, helix, relu, teacher")
    own = target[0].weight.shape[1], len(target[-1].bias)
    if (inputs, classes) != own:
        here = f"the network {inputs} and {classes}"
        raise ValueError(f"target={name} has {_called(*own, name)}, {here}: choose dataset={name}")
    return target


def _called(inputs: int, outputs: int, name: str) -> str:
    """How many inputs and outputs a target has, in words."""
    several = "outputs" if name in NUMBERS else "classes"
    return f"{inputs} input{'s' * (inputs > 1)} and {outputs} {several if outputs > 1 else 'output'}"


@torch.no_grad()
def he_with_biases(layers: Sequence[nn.Linear]) -> None:
    """Draws weights from N(0, 2 / fan_in), and biases with the product of these variances up to their layer."""
    variances = [2 / layer.in_features for layer in layers]
    for layer, weights, biases in zip(layers, variances, accumulate(variances, lambda a, b: a * b), strict=True):
        layer.weight.normal_(0, math.sqrt(weights))
        layer.bias.normal_(0, math.sqrt(biases))


@torch.no_grad()
def plant(
    layers: Sequence[nn.Linear], target: targets.Target, exact: bool = False, spread: bool = True
) -> list[Tensor]:
    """Replaces entries of `layers` in place so that they contain `target`; returns the support, a mask per layer.

    A target neuron has the entries theta = (b, w * the factors of its sources), without the zeros of w. It takes the
    place of the free neuron whose entries m at these places are nearest up to a factor lambda > 0: the least
    ||theta - lambda m|| with lambda = theta.m / ||m||^2 is the largest cosine. The entries become theta / lambda, so
    that the neuron computes its target divided by lambda, which is the factor of the next layer. In the last layer
    neurons are outputs and stay in place, and one lambda keeps the norm of all that is replaced: outputs are the
    target's, divided by it. `exact`, it is for weights of the usual norm, and given back: `spread`, in equal shares to
    all layers, else to the last.

    Raises ValueError where a layer has too few neurons.

    >>> layer, output = nn.Linear(1, 2), nn.Linear(2, 1)
    >>> for one, weight, bias in ((layer, [[1.0], [-2.0]], [0.5, 0.0]), (output, [[3.0, 4.0]], [0.0])):
    ...     one.weight.data, one.bias.data = torch.tensor(weight), torch.tensor(bias)
    >>> minus = targets.Layer(torch.tensor([[-1.0]]).double(), torch.zeros(1).double())
    >>> plus = targets.Layer(torch.tensor([[1.0]]).double(), torch.zeros(1).double())
    >>> [mask.tolist() for mask in plant([layer, output], [minus, plus])]  # relu(-x): nearest is the second, at 1/2
    [[[False], [True]], [[False, True]]]
    >>> layer.weight.tolist(), output.weight.tolist()
    ([[1.0], [-2.0]], [[3.0, 4.0]])
    """
    sources = torch.arange(layers[0].in_features)
    factors = torch.ones(len(sources), dtype=torch.float64)
    support, planted = [], []
    for layer, target_layer in zip(layers, target, strict=True):
        is_last = layer is layers[-1]
        rows = [row.nonzero().flatten() for row in target_layer.weight]
        thetas = [
            torch.cat([bias[None], row[at] * factors[at]])
            for row, bias, at in zip(target_layer.weight, target_layer.bias, rows, strict=True)
        ]
        entries = [_entries(layer, sources[at]) for at in rows]
        if is_last:
            neurons = list(range(len(rows)))
            replaced = float(torch.cat([m[neuron] for neuron, m in enumerate(entries)]).norm())
            usual = math.sqrt(2 / layer.in_features * sum(map(len, rows)))  # a few weights may be small by chance
            scales = [float(torch.cat(thetas).norm()) / (usual if exact else replaced)] * len(rows)
        else:
            neurons, scales = _matched(thetas, entries)
        mask = torch.zeros_like(layer.weight, dtype=torch.bool)
        for neuron, scale, theta, at in zip(neurons, scales, thetas, rows, strict=True):
            layer.bias[neuron] = theta[0] / scale
            layer.weight[neuron, sources[at]] = (theta[1:] / scale).to(layer.weight.dtype)
            mask[neuron, sources[at]] = True
        support.append(mask)
        sources, factors = torch.tensor(neurons), torch.tensor(scales, dtype=torch.float64)
        planted.append(sources)
    if exact and not spread:
        layers[-1].weight[support[-1]] *= float(factors[0])
        layers[-1].bias.mul_(float(factors[0]))
        return support
    share = float(factors[0]) ** (1 / len(layers)) if exact else 1.0
    for number, (layer, mask, neurons_of) in enumerate(zip(layers, support, planted, strict=True), 1):
        layer.weight[mask] *= share
        layer.bias[neurons_of] *= share**number
    return support


def _entries(layer: nn.Linear, sources: Tensor) -> Tensor:
    """The bias and the weights from `sources` of every neuron, (out, 1 + sources), in float64."""
    return torch.cat([layer.bias[:, None], layer.weight[:, sources]], 1).double()


def _matched(thetas: Sequence[Tensor], entries: Sequence[Tensor]) -> tuple[list[int], list[float]]:
    """The neuron that each target neuron takes, no two the same, and the factor lambda of each."""
    neurons, scales = list[int](), list[float]()
    for theta, m in zip(thetas, entries, strict=True):
        cosines = (m @ theta) / m.norm(dim=1)
        cosines[neurons] = -1.0
        best = int(cosines.argmax())
        if cosines[best] <= 0:
            raise ValueError(f"a layer of {len(m)} units has no place for {len(thetas)} planted ones: give it more")
        neurons.append(best)
        scales.append(float((m[best] @ theta) / m[best].square().sum()))
    return neurons, scales
