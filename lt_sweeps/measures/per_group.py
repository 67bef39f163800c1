"""Which examples a ticket loses first: those that the dense network was sure of, or those that it found hard."""

from __future__ import annotations

import torch

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import percent
from lt_sweeps.measures.predictions import answers
from lt_sweeps.registry import register


@register(
    "measure", version=1, needs=("pair", "classes"), quantity="Largest loss of a group of examples", unit="points"
)
def group_loss(ends: Ends, groups: int = 10) -> Table:
    """How many points of test accuracy the group of examples loses that loses most, from the first network to the last.

    Groups have the same number of examples, but for one, by the margin of the first network: the output of the true
    class less the largest other, so that group 0 has the examples that it finds hardest. `lost` has what each group
    loses, negative where the second network is better; `before` the accuracy of the first, in percent; `margin` its
    mean margin; `worst` is the group that loses most, the first of several. After Hooker et al. 2019, who find that
    pruning is paid for by few examples. Differs: they take examples on which many pruned networks disagree with dense
    ones. Raises ValueError for less than two groups and for more groups than examples.

    The first network answers with its inputs, all right but for the second; the second network always with class 0. The
    two hardest examples are of class 1, one wrong and one right; the two others of class 0.

    >>> from torch import nn
    >>> x = torch.tensor([[5.0, 0.0], [2.0, 1.0], [0.0, 1.0], [9.0, 0.0]])
    >>> batch = x, torch.tensor([0, 1, 1, 0])
    >>> network = nn.Linear(2, 2, bias=False)
    >>> def holding(state): network.load_state_dict(state); return network
    >>> states = {"weight": torch.eye(2)}, {"weight": torch.tensor([[1.0, 1.0], [0.0, 0.0]])}
    >>> table = group_loss(Ends(states, ({}, {}), 2, holding, lambda part: iter([batch])), groups=2)
    >>> table["group_loss"], table["worst"], table["group"], table["lost"], table["before"], table["margin"]
    (50.0, 0.0, [0.0, 1.0], [50.0, 0.0], [50.0, 100.0], [0.0, 7.0])
    """
    before, after = (answers(ends, state, "group_loss") for state in (ends.weights[0], ends.weights[-1]))
    if not 2 <= groups <= len(before.classes):
        raise ValueError(f"group_loss: groups={groups}: give 2 to {len(before.classes)}, as there are test examples")
    rows = torch.arange(len(before.classes))
    others = before.outputs.clone()
    others[rows, before.classes] = -torch.inf
    margins = before.outputs[rows, before.classes] - others.max(1).values
    members = margins.argsort(stable=True).tensor_split(groups)
    right = [percent(int(before.right[of].sum()), len(of)) for of in members]
    lost = [percent(int(before.right[of].sum() - after.right[of].sum()), len(of)) for of in members]
    return {
        "group_loss": max(lost),
        "worst": float(lost.index(max(lost))),
        "group": [float(number) for number in range(groups)],
        "lost": lost,
        "before": right,
        "margin": [round(float(margins[of].double().mean()), 6) for of in members],
    }
