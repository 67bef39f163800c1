"""`lt-sweeps check NAME`: the laws, one line each. Nothing here imports torch before it is known what to check."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lt_sweeps.check import kinds
from lt_sweeps.config.datafiles import declared, require, usual_folder
from lt_sweeps.config.schema import DatasetConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.registry import part

if TYPE_CHECKING:
    from lt_sweeps.check.laws import Outcome

COLOURS = {"ok": "32", "warning": "33", "FAILED": "31", "skipped": "2"}
SHAPE, CLASSES = (3, 32, 32), 10  # of a network's images, where nothing is said


def main(arguments: Sequence[str]) -> int:
    """Run a command line; returns the exit code: 0, 1 if a law fails. Raises Mistake."""
    asked = _parse(arguments)
    kind = kinds.find(asked.name, asked.kind)
    return _tell(f"{kind} {asked.name}", _outcomes(kind, asked))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    def refuse(reason: str) -> NoReturn:
        raise Mistake(f"check: {reason}")

    parser = argparse.ArgumentParser("lt-sweeps check", description="Run the laws on a function or class.")
    parser.error = refuse  # type: ignore[method-assign, assignment]
    parser.add_argument("name", help="a registered name, or an import path such as my.pkg.Net")
    which = parser.add_mutually_exclusive_group()
    for kind in kinds.SIGNS:
        which.add_argument(
            f"--{kind}",
            dest="kind",
            action="store_const",
            const=kind,
            help="what it is, where its signature does not say",
        )
    parser.add_argument("--shape", type=int, nargs=3, metavar=("C", "H", "W"), help="of one image (network: 3 32 32)")
    parser.add_argument("--classes", type=int, metavar="N", help="how many there are (network: 10)")
    parser.add_argument("--args", nargs="+", default=[], metavar="KEY=VALUE", help="what it is called with")
    parser.add_argument("--data-dir", type=Path, default=usual_folder(), metavar="DIR", help="where data sets lie")
    asked = parser.parse_args(list(arguments))
    for word in asked.args:
        if "=" not in word:
            raise Mistake(f"check: --args {word}: write key=value")
    if asked.shape and min(asked.shape) < 1:
        raise Mistake(f"check: --shape {' '.join(map(str, asked.shape))}: give channels, height and width, 1 at least")
    if asked.classes is not None and asked.classes < 2:
        raise Mistake(f"check: --classes {asked.classes}: give two at least")
    try:
        asked.args = OmegaConf.to_container(OmegaConf.from_dotlist(asked.args))
    except OmegaConfBaseException as error:
        raise Mistake(f"check: --args: {error}") from None
    return asked


def _outcomes(kind: str, asked: argparse.Namespace) -> Iterator[Outcome]:
    """The laws of a kind, gone through."""
    said = _declared(asked) if kind == "dataset" else {}

    from lt_sweeps.check import datasets, functions
    from lt_sweeps.check.laws import go_through

    if kind in functions.LAWS:
        return functions.outcomes(kind, asked.name, asked.args)
    if kind == "dataset":
        source = part("dataset", asked.name, asked.args)
        return go_through(datasets.STAGES, datasets.Source(source, asked.data_dir.expanduser(), **said))

    from lt_sweeps.check import trainings  # with Lightning, which takes seconds
    from lt_sweeps.check.candidate import candidate

    shape, classes = tuple(asked.shape or SHAPE), asked.classes or CLASSES
    return go_through(trainings.STAGES, candidate(asked.name, asked.args, shape, classes))


def _declared(asked: argparse.Namespace) -> dict[str, Any]:
    """What the flags, or else the yaml of a data set, say that it is. Raises Mistake where its files are missing."""
    known = declared(asked.name)
    require(known or DatasetConfig(name=asked.name), asked.data_dir)
    shape = asked.shape or (known.shape if known else None)
    return {
        "shape": tuple(shape) if shape else None,
        "classes": asked.classes or (known.classes if known else None),
        "train": known.train if known else None,
        "test": known.test if known else None,
    }


def _tell(what: str, outcomes: Iterator[Outcome]) -> int:
    """Print each outcome as it comes, and how many there were of each; returns the exit code."""
    print(what)
    counts = dict.fromkeys(COLOURS, 0)
    for outcome in outcomes:
        counts[outcome.verdict] += 1
        word = f"{outcome.verdict:8}"
        if sys.stdout.isatty():
            word = f"\033[{COLOURS[outcome.verdict]}m{word}\033[0m"
        print(f"  {word}{outcome.law}{': ' if outcome.found else ''}{outcome.found}", flush=True)
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    why = "; skipped are those that rely on a failed one" if counts["skipped"] else ""
    print(f"{sum(counts.values())} laws: {told}{why}")
    return 1 if counts["FAILED"] else 0
