"""`python -m benchmarks [--rounds N] [--only NAME] [--out FILE] [--open-lth DIR]`: every comparison, as one table."""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks import (
    data_path,
    deploying,
    lenet_step,
    mask_cost,
    open_lth,
    peers,
    planning,
    sparse,
    starting,
    sweeping,
)
from benchmarks.table import Row, machine, markdown, record

COMPARISONS: dict[str, Callable[[int], list[Row]]] = {
    "lenet_step": lenet_step.rows,
    "sparse": sparse.rows,
    "deploying": deploying.rows,
    "mask_cost": mask_cost.rows,
    "data_path": data_path.rows,
    "peers": peers.rows,
    "open_lth": open_lth.rows,
    "starting": starting.rows,
    "planning": planning.rows,
    "sweeping": sweeping.rows,
}


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds per comparison")
    parser.add_argument("--only", choices=sorted(COMPARISONS), action="append", help="this comparison (repeatable)")
    parser.add_argument("--out", type=Path, help="write the rows and the machine as JSON")
    parser.add_argument("--open-lth", type=Path, metavar="DIR", help="a clone of open_lth, to measure it too")
    given = parser.parse_args()
    torch.set_num_threads(1)  # as the workers of a sweep have
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # Lightning's advice to the peers
    if given.open_lth:
        COMPARISONS["open_lth"] = partial(open_lth.rows, folder=given.open_lth.absolute())
    rows: list[Row] = []
    for name in given.only or COMPARISONS:
        rows += COMPARISONS[name](given.rounds)
        if given.out:  # all so far: the whole takes half an hour
            given.out.write_text(json.dumps(record(rows, given.rounds), indent=1) + "\n")
    told = ", ".join(f"{name} {value}" for name, value in machine().items())
    print(f"{markdown(rows)}\n\n{given.rounds} interleaved rounds, one thread; {told}")


if __name__ == "__main__":
    main()
