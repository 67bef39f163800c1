"""`lt-sweeps check NAME`: prints the laws, one line each. Imports torch only after the kind of NAME is known."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lt_sweeps.check import kinds
from lt_sweeps.config import usual
from lt_sweeps.config.datafiles import declared, require, usual_folder
from lt_sweeps.config.schema import DatasetConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.parser import Parser
from lt_sweeps.registry import part

if TYPE_CHECKING:
    from lt_sweeps.check.laws import Outcome

COLOURS = {"ok": "32", "warning": "33", "FAILED": "31", "skipped": "2"}
SHAPE, CLASSES = (3, 32, 32), 10  # defaults for a network


def main(arguments: Sequence[str]) -> int:
    """Runs a command line; returns the exit code: 0, or 1 if a law fails. Raises Mistake."""
    options = _parse(arguments)
    kind = kinds.find(options.name, options.kind)
    return _tell(f"{kind} {options.name}", _outcomes(kind, options))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("lt-sweeps check", description="Run the laws on a function or class.")
    parser.add_argument("name", help="a registered name, or an import path such as my.pkg.Net")
    which = parser.add_mutually_exclusive_group()
    for kind in kinds.SIGNS:
        which.add_argument(
            f"--{kind}",
            dest="kind",
            action="store_const",
            const=kind,
            help="the kind of NAME, if its signature does not identify it",
        )
    parser.add_argument(
        "--shape", type=int, nargs="+", metavar="N", help="of an image (network: 3 32 32), or of tokens"
    )
    parser.add_argument("--classes", type=int, metavar="N", help="how many there are (network: 10)")
    parser.add_argument("--task", metavar="NAME", help="what a data set's targets are for (its yaml's; classification)")
    parser.add_argument("--args", nargs="+", default=[], metavar="KEY=VALUE", help="what it is called with")
    parser.add_argument("--data-dir", type=Path, default=usual_folder(), metavar="DIR", help="where data sets lie")
    options = parser.parse_args(list(arguments))
    for word in options.args:
        if "=" not in word:
            raise Mistake(f"check: --args {word}: write key=value")
    if options.shape and (min(options.shape) < 1 or len(options.shape) not in (1, 3)):
        raise Mistake(
            f"check: --shape {' '.join(map(str, options.shape))}: give channels, height and width, 1 at least, "
            "or the length of a sequence of tokens"
        )
    if options.classes is not None and options.classes < 2:
        raise Mistake(f"check: --classes {options.classes}: give two at least")
    try:
        options.args = OmegaConf.to_container(OmegaConf.from_dotlist(options.args))
    except OmegaConfBaseException as error:
        raise Mistake(f"check: --args: {error}") from None
    return options


def _outcomes(kind: str, options: argparse.Namespace) -> Iterator[Outcome]:
    """Yields the outcomes of the laws of a kind."""
    declaration = _declared(options) if kind == "dataset" else {}

    from lt_sweeps.check import datasets, functions
    from lt_sweeps.check.laws import run_laws

    if kind in functions.LAWS:
        return functions.outcomes(kind, options.name, options.args)
    if kind == "dataset":
        source = part("dataset", options.name, options.args)
        return run_laws(datasets.STAGES, datasets.Source(source, options.data_dir.expanduser(), **declaration))

    from lt_sweeps.check import trainings  # with Lightning, which takes seconds
    from lt_sweeps.check.candidate import candidate

    shape, classes = tuple(options.shape or SHAPE), options.classes or CLASSES
    return run_laws(trainings.STAGES, candidate(options.name, options.args, shape, classes))


def _declared(options: argparse.Namespace) -> dict[str, Any]:
    """Returns shape, classes and sizes from the flags or the data set's yaml. Raises Mistake if files are missing."""
    config, task = declared(options.name), options.task or usual.task(options.name)
    require(config or DatasetConfig(name=options.name), options.data_dir)
    shape = options.shape or (config.shape if config else None)
    return {
        "shape": tuple(shape) if shape else None,
        "classes": options.classes or (config.classes if config else None),
        "train": config.train if config else None,
        "test": config.test if config else None,
        "task": None if task == usual.CLASSIFICATION else part("task", task),
    }


def _tell(what: str, outcomes: Iterator[Outcome]) -> int:
    """Prints each outcome as it comes, and the number of each verdict; returns the exit code."""
    print(what)
    counts = dict.fromkeys(COLOURS, 0)
    for outcome in outcomes:
        counts[outcome.verdict] += 1
        word = f"{outcome.verdict:8}"
        if sys.stdout.isatty():
            word = f"\033[{COLOURS[outcome.verdict]}m{word}\033[0m"
        print(f"  {word}{outcome.law}{': ' if outcome.finding else ''}{outcome.finding}", flush=True)
    tally = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    why = "; skipped are those that rely on a failed one" if counts["skipped"] else ""
    print(f"{sum(counts.values())} laws: {tally}{why}")
    return 1 if counts["FAILED"] else 0
