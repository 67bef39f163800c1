"""The columns of results.csv: one table with names, types and meanings. `make catalogue` puts it into docs/options.md.

Overrides in which cells differ are text columns between labels and figures; measures are number columns after the key.
An absent value is an empty field.
"""

from __future__ import annotations

from dataclasses import dataclass

from lt_sweeps.metrics import ACCURACY, METRICS, OTHERS

SHARES = {"density": 1.0, "sparsity": 1.0, "weights_remaining": 100.0}  # from 0 to this


@dataclass(frozen=True)
class Column:
    """A column that has the same name in every sweep."""

    name: str
    type: type[str] | type[int] | type[float]
    meaning: str

    def value(self, text: str) -> str | int | float | None:
        """Returns the value of a field of this column, None if it is empty. Raises ValueError for an invalid field.

        >>> Column("steps", int, "").value("3.0"), Column("steps", int, "").value("")
        (3, None)
        >>> Column("test_accuracy", float, "").value("nan")
        Traceback (most recent call last):
        ValueError: test_accuracy: nan is not between 0 and 100
        """
        if not text:
            return None
        if self.type is str:
            return text
        whole = float(text)  # a spreadsheet writes 3.0
        high = 100.0 if "accuracy" in self.name else SHARES.get(self.name)
        if high is not None and not 0 <= whole <= high:
            raise ValueError(f"{self.name}: {text} is not between 0 and {high:g}")
        if self.type is float:
            return whole
        if not whole.is_integer():
            raise ValueError(f"{self.name}: {text} is no whole number")
        return int(whole)


USUAL = {"prune": "imp", "rewind": "init", "survivors": "rewind", "control": "none"}
BESIDE = {  # group -> usual option; a column only if some cell has another one
    "corruption": "none",
    "criterion": "magnitude",
    "allocation": "scores",
    "pruned": "zero",
    "gate": "none",
    "hook": "none",
    "task": "classification",
    "find": "same",
    "transfer": "none",
    "train": "same",
}
FOUND, SAMPLED = "found", "sampled"  # parts of columns, before the name of a metric
PARTS = ("test", "val", "early_stop_test", FOUND, SAMPLED)  # beginnings of the columns of a metric
AT_RANDOM, EMPTIED = "at_random", "emptied"
DENSITY_BEGUN, EXPLORED, ENDED_BY = "density_begun", "explored", "ended_by"
SEARCH_STEPS, SEARCH_ENDED_BY, DISTANCES = "search_steps", "search_ended_by", "search_distances"
REDRAWN = "redrawn"
COLUMNS = {
    column.name: column
    for column in (
        Column("model", str, "the network that the option builds, or the last word of an import path"),
        Column("dataset", str, "the data set"),
        Column("prune", str, "the method; `given` for a mask from a ticket"),
        Column("rewind", str, "the rewind point"),
        Column("survivors", str, "what kept weights become inside the chain"),
        Column("control", str, "what is trained instead of the ticket; `none` is the ticket itself"),
        Column("seed", int, "the seed of the cell"),
        Column("level", int, "how often the chain was pruned; 0 is dense"),
        Column("density", float, "kept share of prunable weights"),
        Column(
            "weights_remaining",
            float,
            "percent kept, counted as the recipe's paper counts: Frankle & Carbin's ResNet includes 3,200 weights that "
            "are never pruned",
        ),
        Column("sparsity", float, "1 - density"),
        Column("test_accuracy", float, "percent, at the end of training"),
        Column("val_accuracy", float, "percent of the held-out examples, at the last evaluation"),
        Column(
            "early_stop_step",
            int,
            "the step of least validation loss, on the recipe's clock: a ticket rewound to step k begins at k",
        ),
        Column("early_stop_test_accuracy", float, "percent, at that step"),
        Column("steps", int, "the last step, on the same clock"),
        Column(
            "status",
            str,
            "`done`, or a result in its own right: `diverged` (a loss was not finite), `collapsed` (a layer was "
            "emptied, also by the training that learned the mask), `blocked` (the parent diverged or collapsed); "
            "`failed` and `missing` in an unfinished sweep",
        ),
        Column("key", str, "of the training: equal keys are one training"),
        Column(AT_RANDOM, float, "percent of the kept weights that the criterion had excluded, where some were"),
        Column(DENSITY_BEGUN, float, "density at the start of training, where a gate or a hook changed it in some row"),
        Column(EXPLORED, float, "percent of the prunable weights that hooks have kept at some step (Liu et al. 2021)"),
        Column(ENDED_BY, str, "the hook that ended the training early, where one did"),
        Column(
            "found_accuracy",
            float,
            "percent, where a mask was learned: test accuracy at the end of that search, before any ticket is trained",
        ),
        Column(
            "sampled_accuracy",
            float,
            "percent, where such a mask is drawn: mean test accuracy of ten draws at that end",
        ),
        Column(SEARCH_STEPS, int, "the last step of the training that its mask was found from, where a hook ended one"),
        Column(SEARCH_ENDED_BY, str, "the hook that ended that training early, where one did"),
        Column(
            DISTANCES,
            str,
            "how far the mask of that hook was from the farthest of the masks before it, in percent of places, at each "
            "moment it was asked, where it says so",
        ),
        Column(
            REDRAWN,
            str,
            "the layer that is drawn anew and stays dense, because the mask comes from a network of other classes",
        ),
        Column(EMPTIED, str, "the layers that lost all their weights, where some did"),
        *(
            Column(
                f"{part}_{metric.name}", float, f"{'percent, ' * metric.percent}{metric.title}: as `{part}_accuracy`"
            )
            for metric in OTHERS
            for part in PARTS
        ),
    )
}
DRAWN = {  # rare columns with a figure of their own -> its head
    **{f"{FOUND}_{name}": f"Test {metric.title} as found" for name, metric in METRICS.items()},
    **{f"{SAMPLED}_{name}": f"Test {metric.title} of sampled masks" for name, metric in METRICS.items()},
    EXPLORED: "Weights explored",
}
COMPARED = {  # what a level is measured against, or as -> suffix of the column
    "sibling": "",
    "parent": "_parent",
    "start": "_start",
    "init": "_init",
    "planted": "_planted",
    "dense": "_dense",
    "before": "_before",
    "trained": "_trained",
    "ticket": "_ticket",
    "whole": "_whole",
    "spawn": "_spawn",
}
ALONE = ("trained", "ticket")  # those of a level alone
PLACE = ("model", "dataset")
LABELS = (*PLACE, "prune", "rewind", "survivors", "control")
RARE = (  # only where some row has a value
    AT_RANDOM,
    DENSITY_BEGUN,
    EXPLORED,
    ENDED_BY,
    SEARCH_STEPS,
    SEARCH_ENDED_BY,
    DISTANCES,
    f"{FOUND}_{ACCURACY.name}",
    f"{SAMPLED}_{ACCURACY.name}",
    REDRAWN,
    EMPTIED,
    *(f"{part}_{metric.name}" for metric in OTHERS for part in PARTS),
)
FIGURES = tuple(name for name in COLUMNS if name not in (*LABELS, *RARE))
LAYER = ("layer", "kept", "total")  # columns of layers.csv
POINT = ("measure",)  # columns of measures.csv
COST = "iterations_with_search"  # column of costs.csv
TAKEN = frozenset({*COLUMNS, *LAYER, *POINT, COST})  # names that measures must not use


def is_of_training(column: str) -> bool:
    """Whether a column says how shown tickets are trained, which level 0 is not asked.

    >>> is_of_training("train"), is_of_training("train.steps"), is_of_training("trainer.kernel")
    (True, True, False)
    """
    return column.partition(".")[0] == "train"
