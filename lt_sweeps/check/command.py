"""`lt-sweeps check NAME`: the laws, one line each. Nothing here imports torch before it is known what to check."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lt_sweeps.check import kinds
from lt_sweeps.config import Config, DatasetConfig, Mistake, PathsConfig
from lt_sweeps.datafiles import require
from lt_sweeps.graph import Network
from lt_sweeps.output import Unbreakable
from lt_sweeps.registry import part

if TYPE_CHECKING:
    from lt_sweeps.check.laws import Outcome

COLOURS = {"ok": "32", "warning": "33", "FAILED": "31", "skipped": "2"}
SHAPE, CLASSES = (3, 32, 32), 10  # of a network's images, where nothing is said


def main(arguments: Sequence[str], conf: Path) -> int:
    """Run a command line; returns the exit code: 0, 1 if a law fails, 2 for a mistake."""
    try:
        asked = _parse(arguments)
        kind = kinds.find(asked.name, asked.kind)
        with contextlib.redirect_stdout(Unbreakable(sys.stdout)):  # type: ignore[type-var]
            return _tell(f"{kind} {asked.name}", _outcomes(kind, asked, conf))
    except Mistake as mistake:
        print(f"lt_sweeps: {mistake}", file=sys.stderr)
        return 2


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    def refuse(reason: str) -> NoReturn:
        raise Mistake(f"check: {reason}")

    parser = argparse.ArgumentParser("lt-sweeps check", description="Run the laws on a function or class.")
    parser.error = refuse  # type: ignore[method-assign, assignment]
    parser.add_argument("name", help="a registered name, or an import path such as my.pkg.Net")
    which = parser.add_mutually_exclusive_group()
    for kind in kinds.SIGNS:
        which.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind, help=f"it is a {kind}")
    parser.add_argument("--shape", type=int, nargs="+", metavar="N", help="of one image, C H W (network: 3 32 32)")
    parser.add_argument("--classes", type=int, metavar="N", help="how many there are (network: 10)")
    parser.add_argument("--args", nargs="+", default=[], metavar="KEY=VALUE", help="what it is called with")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("LT_SWEEPS_DATA", "data")), metavar="DIR")
    asked = parser.parse_args(list(arguments))
    for word in asked.args:
        if "=" not in word:
            raise Mistake(f"check: --args {word}: write key=value")
    if asked.shape and (len(asked.shape) != 3 or min(asked.shape) < 1):
        raise Mistake(f"check: --shape {' '.join(map(str, asked.shape))}: give three, channels, height and width")
    if asked.classes is not None and asked.classes < 2:
        raise Mistake(f"check: --classes {asked.classes}: give two at least")
    try:
        asked.args = OmegaConf.to_container(OmegaConf.from_dotlist(asked.args))
    except OmegaConfBaseException as error:
        raise Mistake(f"check: --args: {error}") from None
    return asked


def _outcomes(kind: str, asked: argparse.Namespace, conf: Path) -> Iterator[Outcome]:
    """The laws of a kind, gone through."""
    from lt_sweeps.check import augmentations, criteria, treatments
    from lt_sweeps.check.laws import go_through

    match kind:
        case "criterion":
            return go_through(criteria.STAGES, criteria.criterion(asked.name, asked.args))
        case "treatment":
            return go_through(treatments.STAGES, treatments.treatment(asked.name, asked.args))
        case "augmentation":
            return go_through(augmentations.STAGES, augmentations.augmentation(asked.name, asked.args))
        case "dataset":
            return _dataset(asked, conf)
    return _network(asked)


def _network(asked: argparse.Namespace) -> Iterator[Outcome]:
    from lt_sweeps.check import trainings
    from lt_sweeps.check.laws import go_through

    built = part("network", asked.name, asked.args)
    network = Network(built, tuple(asked.shape or SHAPE), asked.classes or CLASSES)
    return go_through(trainings.STAGES, trainings.Trainee(network))


def _dataset(asked: argparse.Namespace, conf: Path) -> Iterator[Outcome]:
    declared = _declared(asked.name, conf)
    if declared:
        dataset = DatasetConfig(name=asked.name, files=declared.get("files", []), host=declared.get("host"))
        require(Config(dataset=dataset, paths=PathsConfig(data_dir=str(asked.data_dir))))

    from lt_sweeps.check import datasets
    from lt_sweeps.check.laws import go_through

    shape = asked.shape or declared.get("shape")
    source = datasets.Source(
        part("dataset", asked.name, asked.args),
        asked.data_dir.expanduser(),
        shape=tuple(shape) if shape else None,
        classes=asked.classes or declared.get("classes"),
        train=declared.get("train"),
        test=declared.get("test"),
    )
    return go_through(datasets.STAGES, source)


def _declared(name: str, conf: Path) -> Mapping[str, Any]:
    """The yaml of a data set, if it has one."""
    for path in sorted((conf / "dataset").glob("*.yaml")):
        found: Any = OmegaConf.to_container(OmegaConf.load(path))
        if found.get("name") == name:
            return dict(found)
    return {}


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
    print(
        f"{sum(counts.values())} laws: {told}{'; skipped are those that rely on a failed one' * bool(counts['skipped'])}"
    )
    return 1 if counts["FAILED"] else 0
