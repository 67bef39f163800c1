"""What masks keep of a byte transformer's output, by row, one row per byte: `output_rows.py FOLDER DATA > FILE`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import torch

import lt_sweeps as lt
from lt_sweeps.datasets.loader import loader


def main(folder: str, data: str) -> None:
    """Writes a line per ticket; percent, and rows of bytes that occur in the training text."""
    tickets = [run for run in lt.open(folder).runs(control="none") if run.row["level"] > 0]
    examples = loader(tickets[0].expression.data, Path(data), torch.device("cpu"))
    counts = torch.bincount(examples.train[0].flatten().long(), minlength=256)
    occurs, share = counts > 0, counts / counts.sum()
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["level", "seed", "kept", "of_bytes_that_never_occur", "empty_rows", "text_of_empty_rows"])
    for run in tickets:
        rows = run.mask["output.weight"].sum(1)
        empty = (rows == 0) & occurs
        never, lost = 100 * rows[~occurs].sum() / rows.sum(), 100 * share[empty].sum()
        place = run.row["level"], run.row["seed"]
        table.writerow([*place, int(rows.sum()), f"{never:.1f}", int(empty.sum()), f"{lost:.1f}"])


if __name__ == "__main__":
    main(*sys.argv[1:])
