"""Which of the weights that a mask keeps lie on a path from an input to an output."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lt_sweeps.masks import Mask
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import by_tensor, percent
from lt_sweeps.measures.size import size
from lt_sweeps.randomness import rng, seeded
from lt_sweeps.registry import register

DRAWS = 32  # of inputs: a path through maximum pooling is seen where its input is the largest of some draw


@register("measure", version=1, quantity="Live weights", unit="% of prunable weights")
def live_density(ends: Ends) -> Table:
    """The percentage of weights that the last mask keeps and that lie on a path from an input to an output.

    A kept weight is dead where its unit has no path of kept weights to an output, or none to an input. Paths are found
    as flow: all kept weights are positive, biases 0 and batch normalisations pass on what they are given; a weight is
    live where the sum of the outputs depends on it, for one of 32 positive inputs. `kept_density` counts kept weights,
    `units` are the outputs of each tensor and `live_units` those with a live weight. Tensors are those of two or more
    dimensions; lists are of all together (tensor 0) and of each. The bias of a unit without inputs is no path.
    Raises ValueError where flow shows no paths: with layer or group normalisation, attention, recurrent layers,
    activations that are not 0 at 0, and inputs that are no numbers.

    Two inputs, two hidden units, one output. The first hidden unit has an input and no output, the second is whole.

    >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> mask = {"0.weight": torch.tensor([[True, False], [True, False]]), "2.weight": torch.tensor([[False, True]])}
    >>> batch = torch.rand(1, 2), torch.zeros(1)
    >>> table = live_density(Ends(({},), (mask,), 2, lambda state: network, lambda part: iter([batch])))
    >>> table["live_density"], table["kept_density"]  # two of six, three of six
    (33.3333, [50.0, 50.0, 50.0])
    >>> table["tensor_live_density"], table["units"], table["live_units"]
    ([33.3333, 25.0, 50.0], [3.0, 2.0, 1.0], [2.0, 1.0, 1.0])
    """
    mask, live = ends.masks[-1], _live_mask(ends)
    counts = [
        (int(ones.sum()), int(mask[name].sum()), ones.numel(), len(ones), int(ones.flatten(1).any(1).sum()))
        for name, ones in live.items()
    ]
    rows = [tuple(map(sum, zip(*counts, strict=True))), *counts]
    shares = [percent(alive, size) for alive, _, size, _, _ in rows]
    return {
        "live_density": shares[0],
        **by_tensor(
            len(rows),
            tensor_live_density=shares,
            kept_density=[percent(kept, size) for _, kept, size, _, _ in rows],
            units=[float(units) for *_, units, _ in rows],
            live_units=[float(units) for *_, units in rows],
        ),
    }


@register("measure", version=1, quantity="Bytes without dead paths", unit="% of dense")
def live_size(ends: Ends) -> Table:
    """The bytes of the last ticket after its dead weights are removed, in percent of the dense network's.

    As `size` counts them, of what `live_density` finds live: a weight that lies on no path from an input to an output
    is pruned too, and takes no index. Each list is beside that of `size`: `live_parameters`, `live_operations`,
    `live_csr_bytes` and `live_bytes` (the smaller form of each tensor, `size`'s `least_bytes`), of the whole network
    (tensor 0) and of each tensor. Biases and normalisation are all counted, those of dead units too, as there. Raises
    ValueError where either does.

    Two inputs, two hidden units, one output. The first hidden unit has an input and no output: of three weights that
    are kept two are live. Dense matrices are the smaller form, with 16 and 8 bytes.

    >>> network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    >>> mask = {"0.weight": torch.tensor([[True, False], [True, False]]), "2.weight": torch.tensor([[False, True]])}
    >>> state = {name: 1.0 * ones for name, ones in mask.items()}
    >>> def holding(state): network.load_state_dict(state); return network
    >>> batch = torch.rand(1, 2), torch.zeros(1)
    >>> table = live_size(Ends((state,), (mask,), 2, holding, lambda part: iter([batch])))
    >>> table["kept_parameters"], table["live_parameters"], table["live_operations"]
    ([3.0, 2.0, 1.0], [2.0, 1.0, 1.0], [2.0, 1.0, 1.0])
    >>> table["live_size"], table["csr_bytes"], table["live_csr_bytes"]
    (100.0, [44.0, 28.0, 16.0], [36.0, 20.0, 16.0])
    """
    state, live = ends.weights[-1], ends.masks[-1] | _live_mask(ends)
    left = {name: value * live[name].to(value) if name in live else value for name, value in state.items()}
    kept, alive = size(ends), size(replace(ends, weights=(left,), masks=(live,)))
    columns = {f"live_{name}": alive[f"kept_{name}"] for name in ("parameters", "operations")}
    columns |= {"live_csr_bytes": alive["csr_bytes"], "live_bytes": alive["least_bytes"]}
    beside = {name: values for name, values in kept.items() if name != "size"}
    return {"live_size": alive["size"], **beside, **columns}


def _live_mask(ends: Ends) -> Mask:
    """The live weights of the last mask. Raises ValueError where flow shows no paths."""
    mask = ends.masks[-1]
    network = copy.deepcopy(ends.network(ends.weights[-1])).cpu().double().eval()
    x = _inputs(ends)
    for name, ones in _live(network, {name: torch.ones_like(ones) for name, ones in mask.items()}, x).items():
        if not bool(ones.flatten(1).any(1).all()):
            raise ValueError(f"live_density: flow shows no paths through this network, not even in the dense {name}")
    return _live(network, mask, x)


def _inputs(ends: Ends) -> Tensor:
    """Positive inputs of the network's shape. Raises ValueError."""
    x = next(iter(ends.examples("test")))[0]
    if not x.is_floating_point():
        raise ValueError("live_density: flow needs inputs that are numbers, and these are tokens")
    return 0.5 + torch.rand(DRAWS, *x.shape[1:], generator=rng(0, "flow"), dtype=torch.float64)


def _live(network: nn.Module, mask: Mask, x: Tensor) -> Mask:
    """Which weights of each tensor of two or more dimensions the outputs depend on. Raises ValueError."""
    draw = rng(0, "weights")
    with torch.no_grad():
        for name, weight in network.named_parameters():
            kept = mask.get(name, torch.ones(weight.shape, dtype=torch.bool)).double()
            if weight.dim() > 1:  # of each unit a mean: what flows neither grows nor fades with depth
                kept *= 0.5 + torch.rand(weight.shape, generator=draw, dtype=torch.float64)
                kept /= kept.flatten(1).sum(1).clamp(min=1e-3).view(-1, *[1] * (weight.dim() - 1))
            weight.copy_(torch.zeros(()) if name.rpartition(".")[2].startswith("bias") else kept)
        for module in network.modules():
            if isinstance(module, _BatchNorm) and module.track_running_stats:
                module.reset_running_stats()
    network.requires_grad_(True)
    parameters = dict(network.named_parameters())
    names = [name for name in mask if parameters[name].dim() > 1]
    with torch.enable_grad(), seeded(0):
        if bool(network(torch.zeros_like(x[:1])).count_nonzero()):
            raise ValueError("live_density: this network is not 0 at an input of 0, and so shows no paths")
        flow = network(x).sum()
        slopes = torch.autograd.grad(flow, [parameters[name] for name in names], allow_unused=True)
    if not bool(flow.isfinite()) or bool(flow < 0):
        raise ValueError("live_density: what flows through this network is not positive, and so shows no paths")
    none = {name: torch.zeros_like(parameters[name]) for name in names}
    return {
        name: (none[name] if slope is None else slope).gt(0) & mask[name]
        for name, slope in zip(names, slopes, strict=True)
    }
