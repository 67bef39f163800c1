"""The laws of a network without training: it can be drawn, masked, saved and evaluated."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from lt_sweeps.check.candidate import Candidate
from lt_sweeps.check.laws import Broken, Doubt, describe, surroundings
from lt_sweeps.masks import LAYERS, dense, prunable
from lt_sweeps.networks.build import build, initial
from lt_sweeps.specs import Network
from lt_sweeps.tasks.task import task_of

SHOWN = 6  # layers that are listed
LARGEST = 256  # largest side of a tried image
CLOSE = 1e-4  # of the largest logit: sums of floats in another order differ by less


def logits(candidate: Candidate, module: nn.Module, images: Tensor, seed: int = 0) -> Tensor:
    """Returns the logits of images (N, C, H, W), or of tokens (N, T).

    Raises Broken unless they are finite and (N, classes); of tokens also (N, T, classes), of images (N, classes, H, W).
    """
    with surroundings(seed):
        output = module(images)
    mode = "training" if module.training else "evaluation"
    if not isinstance(output, Tensor):
        raise Broken(f"in {mode} it returns a {type(output).__name__}: return the logits alone")
    expected = candidate.answers(images)
    if [*output.shape] != expected:
        raise Broken(f"in {mode} it makes {list(output.shape)} of {list(images.shape)}: return logits, {expected}")
    if not bool(output.isfinite().all()):
        raise Broken(f"in {mode} its logits are not finite: mend the initial weights or the normalisation")
    return output


def it_can_be_built_and_pruned(candidate: Candidate) -> str:
    """It can be constructed, and has linear or convolution layers, none of them lazy."""
    try:
        module = candidate.module()
    except TypeError as error:
        raise Broken(f"{describe(error)}: give what it needs by --args key=value, in a sweep model.args") from error
    layers = [name for name, layer in module.named_modules() if isinstance(layer, nn.modules.lazy.LazyModuleMixin)]
    if layers:
        raise Broken(f"{layers[0]} is a lazy layer, whose weights are not there before it has seen data: give its size")
    try:
        mask, _ = dense(module)
    except ValueError:
        raise Broken("it has no nn.Linear or nn.Conv layer: there is nothing to prune") from None
    layers = [f"{name} {'x'.join(str(side) for side in ones.shape)}" for name, ones in mask.items()]
    if len(layers) > SHOWN:
        layers[SHOWN - 1 : -1] = [f"... ({len(layers) - SHOWN} more)"]
    return f"{sum(ones.numel() for ones in mask.values()):,} prunable weights: {', '.join(layers)}"


def every_layer_can_be_pruned(candidate: Candidate) -> str:
    """Warns of a layer whose weight is shared by several names, or computed by a parametrization: it is not pruned."""
    module = candidate.module()
    pruned, layers = prunable(module), dict(module.named_modules())
    left = [f"{name}.weight" for name, layer in layers.items() if isinstance(layer, LAYERS)]
    left = [name for name in left if name not in pruned]
    if not left:
        return ""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    why = "shared with another name" if left[0] in parameters else "made of others by a parametrization"
    return Doubt(f"{', '.join(left)}: never pruned, because it is {why}")


def no_prunable_memory_is_shared(candidate: Candidate) -> str:
    """No prunable tensor shares memory with another parameter, as views do: their masks would undo each other."""
    module, by_address = candidate.module(), dict[int, list[str]]()
    for name, weight in module.named_parameters():
        by_address.setdefault(weight.untyped_storage().data_ptr(), []).append(name)
    pruned = prunable(module)
    for names in by_address.values():
        if len(names) > 1 and not pruned.keys().isdisjoint(names):
            raise Broken(f"{' and '.join(names)} lie in one memory, which two masks cannot share: give each its own")
    return ""


def it_gives_a_logit_for_each_class(candidate: Candidate) -> str:
    """It maps (N, C, H, W) to finite logits (N, classes), or (N, classes, H, W), in training and in evaluation mode."""
    module = candidate.module()
    try:
        for mode in (True, False):
            logits(candidate, module.train(mode), candidate.images(2))
    except Broken:
        raise
    except Exception as error:
        least = _least_side(candidate.network, start=max(candidate.network.shape[1:]) + 1)
        mend = f"; it takes {least}x{least}" if least else ""
        raise Broken(f"on images of {_sides(candidate.network)} {describe(error)}{mend}") from error
    least = _least_side(candidate.network, start=1)
    return f"takes images from {least}x{least} on: model.min_side={least}" if least else ""


def _sides(network: Network) -> str:
    return "x".join(str(side) for side in network.shape)


def _least_side(network: Network, start: int) -> int | None:
    """Returns the least side, from `start` on, of a square image that can be evaluated; None for none up to LARGEST."""
    if len(network.shape) != 3:
        return None
    high = start
    while not _takes(network, high):
        low, high = high, 2 * high
        if low >= LARGEST:
            return None
    low = max(start, high // 2)
    while low < high:  # a network that accepts a size accepts larger ones
        middle = (low + high) // 2
        low, high = (low, middle) if _takes(network, middle) else (middle + 1, high)
    return high


def _takes(network: Network, side: int) -> bool:
    shape = (network.shape[0], side, side)
    try:
        with surroundings(0), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # layers without weights, at a side that will be refused
            module = build(Network(network.build, shape, network.classes)).eval()
            return module(torch.zeros(1, *shape)).shape in ((1, network.classes), (1, network.classes, side, side))
    except Exception:  # a user's network may refuse an image by any error
        return False


def a_draw_is_a_function_of_the_seed(candidate: Candidate) -> str:
    """Equal seeds give equal weights, whatever was drawn before; different seeds give different weights."""
    draws = []
    for before, seed in ((1, 0), (2, 0), (1, 1)):
        with surroundings(before):
            draws.append(initial(candidate.network, seed))
    first, again, other = draws
    for name in first:
        if not torch.equal(first[name], again[name]):
            raise Broken(f"{name} differs for the same seed: draw from torch's, numpy's or Python's global generator")
    if all(torch.equal(first[name], other[name]) for name in candidate.mask):
        raise Broken(
            "prunable weights are the same for every seed, so no re-initialisation differs: "
            "do not seed or load weights where it is built"
        )
    return ""


def the_state_dict_is_all_there_is(candidate: Candidate) -> str:
    """Its state dict, loaded into another instance, gives the same logits."""
    first, second = candidate.module(seed=1), candidate.module(seed=2)
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        same = torch.equal(*(logits(candidate, module.eval(), candidate.images(4)) for module in (first, second)))
    if not same:
        raise Broken(
            "its logits change when its state dict is loaded into another: "
            "make every tensor that forward uses a parameter or a persistent buffer"
        )
    return f"{len(first.state_dict())} tensors"


def every_prunable_weight_gets_a_gradient(candidate: Candidate) -> str:
    """Every prunable weight has a finite gradient; a layer without one is unused or frozen, and distorts the counts."""
    module, count = candidate.loaded().train(), 8
    task, output = task_of(candidate.task), logits(candidate, module, candidate.images(count))
    classes = torch.arange(count) % candidate.network.classes
    task.loss(output, classes if task.of_classes else task.example(output)).backward()
    gradients = {name: dict(module.named_parameters())[name].grad for name in candidate.mask}
    if unused := [name for name, gradient in gradients.items() if gradient is None]:
        raise Broken(
            f"{', '.join(unused)}: the loss does not depend on it, or it does not require a gradient: "
            "take the layer out, or name it in prune.exclude"
        )
    for name, gradient in gradients.items():
        if gradient is not None and not bool(gradient.isfinite().all()):
            raise Broken(f"{name} has a gradient that is not finite: mend the initial weights or the normalisation")
    dead = [name for name, gradient in gradients.items() if gradient is not None and not bool(gradient.any())]
    return Doubt(f"{', '.join(dead)}: the gradient is all zero at the start") if dead else ""


def an_evaluation_sees_one_example_at_a_time(candidate: Candidate) -> str:
    """Logits in evaluation mode are equal when repeated, and nearly equal in a batch of one."""
    module, images = candidate.loaded().eval(), candidate.images(8)
    with torch.no_grad():
        together, again = (logits(candidate, module, images, seed) for seed in (1, 2))
        if not torch.equal(together, again):
            raise Broken("its logits change when evaluation is repeated: is dropout on, or a counter counting?")
        alone = torch.cat([logits(candidate, module, image[None], 1) for image in images])
    difference = float((together - alone).abs().max() / together.abs().max().clamp(min=1e-12))
    if difference > CLOSE:
        raise Broken(
            f"its logits change by {difference:.2g} of the largest in a batch of one: "
            "in evaluation use running statistics, not the batch's"
        )
    return ""
