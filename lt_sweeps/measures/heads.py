"""What the heads of a transformer attend to."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.networks.transformer import Attention
from lt_sweeps.registry import register


@register("measure", version=1, needs=("attention",), quantity="Largest induction score", unit="share of attention")
def induction(ends: Ends) -> Table:
    """The largest induction score among the heads of the last network, and both scores of each head (0 to 1).

    Induction: the mean attention of a place i to all places j + 1 <= i where an earlier token x_j equals x_i, over the
    places that have one: what prefix matching is in Olsson et al. 2022. Previous token: the mean attention of place i
    to i - 1, over i > 0. Both over all test sequences. Differs: on repeated strings they look at one place a period
    back; other places with the same token count here too. Raises ValueError for a network without our attention, and
    for sequences in which no token occurs twice.

    Where a head attends to i + 1 places equally, each has 1 / (i + 1): of tokens 0 1 0 1 the induction score is the
    mean of 1/3 (place 2 to 1) and 1/4 (place 3 to 2), and the other that of 1/2, 1/3 and 1/4.

    >>> network = Attention(2, 1, bias=False)
    >>> _ = [nn.init.zeros_(weight) for weight in network.parameters()]
    >>> stub = nn.Sequential(nn.Embedding(2, 2), network)
    >>> batch = torch.tensor([[0, 1, 0, 1]])
    >>> table = induction(Ends(({},), ({},), 2, lambda state: stub, lambda part: iter([(batch, batch)])))
    >>> table["induction"], table["head_induction"], table["head_previous"]
    (0.291667, [0.291667], [0.361111])
    """
    network = ends.network(ends.weights[-1]).eval()
    layers = [module for module in network.modules() if isinstance(module, Attention)]
    if not layers:
        raise ValueError("measure of induction: the network has no attention of this project: choose model=transformer")
    sums = [torch.zeros(2, layer.heads, dtype=torch.float64) for layer in layers]
    places = torch.zeros(2, 1, dtype=torch.float64)
    for tokens, patterns in _patterns(network, layers, ends.examples("test")):
        later, earlier = torch.ones(2, *[tokens.shape[1]] * 2, dtype=torch.bool, device=tokens.device).unbind()
        same = (tokens.unsqueeze(2) == tokens.unsqueeze(1)) & earlier.tril(-1)  # (N, i, j): x_j = x_i, j < i
        after = torch.nn.functional.pad(same, (1, 0))[..., :-1] & later.tril()  # (N, i, j + 1)
        before = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device).roll(-1, 1).tril(-1)
        places += torch.stack([after.any(2).sum(), before.sum() * len(tokens)]).cpu()[:, None]
        for total, pattern in zip(sums, patterns, strict=True):
            for row, target in enumerate((after, before.expand_as(after))):
                total[row] += (pattern.double() * target.unsqueeze(1)).sum((0, 2, 3)).cpu()
    if not bool((places > 0).all()):
        raise ValueError("measure of induction: no token occurs twice in a test sequence")
    scores = [(total / places).round(decimals=6) for total in sums]
    heads = [(layer, head) for layer, total in enumerate(sums) for head in range(total.shape[1])]
    table: Table = {
        "induction": max(float(score[0].max()) for score in scores),
        "in_layer": [float(layer) for layer, _ in heads],
        "number": [float(head) for _, head in heads],
    }
    for row, name in enumerate(("head_induction", "head_previous")):
        table[name] = [float(scores[layer][row, head]) for layer, head in heads]
    return table


@torch.no_grad()
def _patterns(
    network: nn.Module, layers: list[Attention], batches: Iterator[tuple[Tensor, Tensor]]
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Yields the tokens (N, T) of each batch, and how much each place attends to each, (N, heads, T, T) by layer."""
    seen: dict[nn.Module, Tensor] = {}
    handles = [layer.register_forward_pre_hook(lambda at, args: seen.update({at: args[0]})) for layer in layers]
    try:
        for tokens, _ in batches:
            network(tokens)
            yield tokens, [layer.pattern(seen[layer]) for layer in layers]
    finally:
        for handle in handles:
            handle.remove()
