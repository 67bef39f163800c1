"""The best average of two tickets."""

from __future__ import annotations

from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.measures.connectivity import between, renew_statistics
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.predictions import require_classes, require_validation
from lt_sweeps.registry import register


@register("measure", version=1, needs=("pair", "validation", "classes"))
def pooled_accuracy(ends: Ends, *, points: int = 11) -> Table:
    """Test accuracy of the best average of two tickets, in percent: of neighbouring levels, a pool of lottery tickets.

    Effective weights are averaged, (1 - alpha) first + alpha second, under the second mask, which of a parent and its
    child is the sparser, at `points` evenly spaced alphas in [0, 1] (Lottery Pools, Yin et al. 2023); the statistics of
    batch normalisation are computed anew at each, as `barrier` does. The best alpha is chosen on the validation
    examples alone, of several the one nearest to the second ticket, and is `best`. `alone` is the test accuracy of the
    second ticket as it is, and `gained` how much better the average is, in points. Differs: they add further levels one
    after the other while that helps; here there are two. Raises ValueError for fewer than two points, without
    validation examples, and without classes.

    x = -1 and 1 are of classes 0 and 1. The first network gets both wrong, the second both right, and halfway all
    weights are zero, so that class 0 is always the answer: alpha 1 is the best.

    >>> import torch
    >>> network = torch.nn.Linear(1, 2, bias=False)
    >>> def holding(state): network.load_state_dict(state); return network
    >>> right = {"weight": torch.tensor([[-1.0], [1.0]])}
    >>> batch = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    >>> ends = Ends(({"weight": -right["weight"]}, right), ({}, {}), 2, holding, lambda part: iter([batch]))
    >>> table = pooled_accuracy(ends, points=3)
    >>> table["alpha"], table["validation_accuracy"]
    ([0.0, 0.5, 1.0], [0.0, 50.0, 100.0])
    >>> table["pooled_accuracy"], table["best"], table["gained"]
    (100.0, 1.0, 0.0)
    """
    require_classes(ends, "pooled_accuracy")
    if not isinstance(points, int) or points < 2:
        raise ValueError(f"pooled_accuracy: points={points}: give 2 or more")
    require_validation(ends, "pooled_accuracy")
    (first, second), mask = ends.weights, ends.masks[-1]
    alphas, tables = [point / (points - 1) for point in range(points)], list[tuple[float, float]]()
    for done, alpha in enumerate(alphas, 1):
        network = ends.network(between(first, second, alpha, mask))
        renew_statistics(network, ends)
        validation, test = (
            evaluate(network, ends.examples(part), ends.classes, ends.task).accuracy for part in ("validation", "test")
        )
        tables.append((validation, test))
        ends.tell(done)
    alone = evaluate(ends.network(second), ends.examples("test"), ends.classes, ends.task).accuracy
    best = max(range(points), key=lambda place: (tables[place][0], place))
    return {
        "pooled_accuracy": tables[best][1],
        "best": round(alphas[best], 6),
        "alone": alone,
        "gained": round(tables[best][1] - alone, 4),
        "alpha": [round(alpha, 6) for alpha in alphas],
        "validation_accuracy": [validation for validation, _ in tables],
        "pooled_test_accuracy": [test for _, test in tables],
    }
