"""How strongly the loss pulls at the weights that a mask keeps."""

from __future__ import annotations

import torch

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import by_tensor, six_digits
from lt_sweeps.randomness import seeded
from lt_sweeps.registry import register
from lt_sweeps.tasks.task import as_input, task_of


@register("measure", version=1, quantity="Squared gradient norm", unit="loss² / weight²")
def gradient_flow(ends: Ends) -> Table:
    """The squared norm of the gradient of the training loss at the weights that the last mask keeps.

    sum over kept weights of (dL / dw)^2, L the mean of the task's loss over all training examples, not augmented: what
    GraSP wants to preserve (Wang et al. 2020), who estimate it on a batch. The network is in training mode, as a
    training begins: batch normalisation uses the statistics of each chunk of examples, and dropout draws, the same each
    time. Of all tensors together (tensor 0) and of each. Biases and other weights that no mask covers do not count.

    One weight w = 1 is kept and one pruned; outputs are (w x, 0), and x = 0 or 1 are of class 1. The slope is the
    probability of class 0 times x, of which the mean is e / (1 + e) / 2.

    >>> network = torch.nn.Linear(1, 2, bias=False)
    >>> def holding(state): network.load_state_dict(state); return network
    >>> state, mask = {"weight": torch.tensor([[1.0], [0.0]])}, {"weight": torch.tensor([[True], [False]])}
    >>> batch = torch.tensor([[0.0], [1.0]]), torch.tensor([1, 1])
    >>> gradient_flow(Ends((state,), (mask,), 2, holding, lambda part: iter([batch])))["gradient_flow"]
    0.133612
    """
    network, mask, task = ends.network(ends.weights[-1]).train(), ends.masks[-1], task_of(ends.task)
    parameters = dict(network.named_parameters())
    kept = [parameters[name] for name in mask]
    slopes, count = [torch.zeros_like(weight) for weight in kept], 0
    before = {name: parameter.requires_grad for name, parameter in parameters.items()}
    network.requires_grad_(True)
    weight = next(network.parameters())
    with torch.enable_grad(), torch.autocast(weight.device.type, enabled=False), seeded(0):
        for x, y in ends.examples("train"):
            outputs = network(as_input(x, weight.dtype))
            loss = task.loss(outputs, y, reduction="sum")
            for total, slope in zip(slopes, torch.autograd.grad(loss, kept), strict=True):
                total += slope
            count += len(y)
    for name, parameter in parameters.items():
        parameter.requires_grad_(before[name])
    squares = [
        float((slope.cpu().double() / count)[ones].square().sum())  # not every GPU has doubles
        for slope, ones in zip(slopes, mask.values(), strict=True)
    ]
    flows = [six_digits(value) for value in (sum(squares), *squares)]
    return {"gradient_flow": flows[0], **by_tensor(len(flows), tensor_gradient_flow=flows)}
