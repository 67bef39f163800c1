"""Draws the three figures of "Inside tickets": `figures.py FOLDER OUT.png`, of a finished multirun/inside_lenet.sh."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#b35900", "#007a5a", "#767676"


def line(axes: Axes, table: pd.DataFrame, column: str, label: str, color: str, style: str) -> None:
    """Mean and standard deviation, over seeds or their pairs, at each share of weights."""
    grouped = table.dropna(subset=[column]).groupby("level")
    density, mean, deviation = grouped["weights_remaining"].mean(), grouped[column].mean(), grouped[column].std()
    axes.errorbar(density, mean, deviation, fmt=style, color=color, label=label, markersize=3, linewidth=1, capsize=2)


def main(folder: str, out: str) -> None:
    """One row of three panels."""
    rows, measures = (pd.read_csv(Path(folder) / f"{name}.csv") for name in ("results", "measures"))
    pairs = pd.read_csv(Path(folder) / "overlap_between_seed.csv").drop_duplicates(["level", "first", "second"])
    plt.rcParams.update({"font.size": 7, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
    figure, (shared, moved, classes) = plt.subplots(1, 3, figsize=(6.75, 2.3), layout="constrained")

    pairs = pairs[pairs["level"] > 0]
    for column in ("overlap", "same_inputs"):
        pairs[f"{column}_ratio"] = pairs[column] / pairs["same_layers"]
    line(shared, pairs, "overlap_ratio", "masks of two seeds", BLUE, "o-")
    line(shared, pairs, "same_inputs_ratio", "as many of each input", ORANGE, "s--")
    shared.axhline(1, color=GREY, linewidth=1, linestyle=":", label="as many of each layer")
    shared.set(ylabel="Overlap / random within layers", title="What seeds share")

    line(moved, rows, "movement_before", "survive", BLUE, "o-")
    line(moved, rows, "movement_pruned_before", "are pruned", ORANGE, "s--")
    moved.set(ylabel="Way from the start (deviations)", yscale="log", title="How far weights move that ...")

    lost = measures[measures["measure"] == "class_loss_dense"].merge(rows[["seed", "level", "weights_remaining"]])
    digit = lost["class"].astype(int)
    line(classes, lost[digit.isin([0, 1])], "lost", "0 and 1", BLUE, "o-")
    line(classes, lost[digit.isin([4, 6, 7])], "lost", "4, 6 and 7", GREEN, "^:")
    line(classes, lost[digit.isin([2, 3, 5, 8, 9])], "lost", "2, 3, 5, 8 and 9", ORANGE, "s--")
    classes.set(ylabel="Accuracy lost to dense (points)", title="Which classes suffer")

    for axes in (shared, moved, classes):
        axes.set(xscale="log", xlabel="Weights remaining (%)")
        axes.set_xticks([50, 12.5, 3.1, 0.8], ["50", "12.5", "3.1", "0.8"], minor=False)
        axes.minorticks_off()
        axes.invert_xaxis()
        axes.legend(loc="upper left")
    moved.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    shared.set_ylim(0.95, 1.55)
    figure.savefig(out, dpi=200)


if __name__ == "__main__":
    main(*sys.argv[1:])
