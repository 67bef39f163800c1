"""The columns of a sweep's tables. Each has its labels first, and results.csv ends with a column for each measure."""

from __future__ import annotations

LABELS = ("model", "dataset", "prune", "rewind", "survivors", "control")
USUAL = {"prune": "imp", "rewind": "init", "survivors": "rewind", "control": "none"}
BESIDE = {  # groups that have a column where some cell has not the usual option
    "corruption": "none",
    "criterion": "magnitude",
    "allocation": "scores",
    "pruned": "zero",
    "find": "same",
    "train": "same",
}
FIGURES = (
    "seed",
    "level",
    "density",
    "weights_remaining",
    "sparsity",
    "test_accuracy",
    "val_accuracy",
    "early_stop_step",
    "early_stop_test_accuracy",
    "steps",
    "status",
    "key",
)
AT_RANDOM = "at_random"  # percent of the kept weights that the criterion had excluded, where some are
EMPTIED = "emptied"  # the layers that lost all their weights, where some did
LAYER = ("layer", "kept", "total")  # of layers.csv
POINT = ("measure",)  # of measures.csv
TAKEN = frozenset({*LABELS, *FIGURES, AT_RANDOM, EMPTIED, *LAYER, *POINT})  # names that no measure can have
