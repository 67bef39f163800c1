"""What a trained network answers on the examples that it was trained on, and where its training computed otherwise."""

from __future__ import annotations

from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.predictions import require_classes
from lt_sweeps.registry import register


@register("measure", version=1, needs=("classes",))
def train_accuracy(ends: Ends) -> Table:
    """Accuracy on all training examples, not augmented, by the labels that training has: corrupted ones too.

    With a share p of wrong labels a network that has memorised all has 100, and one that answers what is right 100 - p
    (He et al. 2022 follow it over levels of pruning). Of the last ticket.

    Four examples of one number, of which the network's sign is right about three.

    >>> import torch
    >>> network = torch.nn.Linear(1, 2, bias=False)
    >>> state = {"weight": torch.tensor([[-1.0], [1.0]])}
    >>> def holding(state): network.load_state_dict(state); return network
    >>> batch = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 1, 1, 1])
    >>> train_accuracy(Ends((state,), ({},), 2, holding, lambda part: iter([batch] if part == "train" else [])))
    {'train_accuracy': 75.0}
    """
    return {"train_accuracy": _accuracy(ends, "train", "train_accuracy")}


@register("measure", version=1, needs=("classes",))
def network_accuracy(ends: Ends) -> Table:
    """Test accuracy of the trained weights in the network itself.

    It is the training's own test accuracy, unless the training computed with something else, as `gate=tangent` does
    with the network's expansion around the start: then it is that of the network at w0 + dw. Of the last ticket.

    >>> import torch
    >>> network = torch.nn.Linear(1, 2, bias=False)
    >>> state = {"weight": torch.tensor([[-1.0], [1.0]])}
    >>> def holding(state): network.load_state_dict(state); return network
    >>> batch = torch.tensor([[-2.0], [1.0]]), torch.tensor([1, 1])
    >>> network_accuracy(Ends((state,), ({},), 2, holding, lambda part: iter([batch] if part == "test" else [])))
    {'network_accuracy': 50.0}
    """
    return {"network_accuracy": _accuracy(ends, "test", "network_accuracy")}


def _accuracy(ends: Ends, part: str, what: str) -> float:
    require_classes(ends, what)
    return evaluate(ends.network(ends.weights[-1]), ends.examples(part), ends.classes, ends.task).accuracy
