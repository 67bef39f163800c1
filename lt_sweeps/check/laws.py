"""Runs laws: a law is a function that returns its finding in a few words, or raises `Broken`."""

from __future__ import annotations

import random
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Subject = TypeVar("Subject")
Stages = Sequence[Sequence[Callable[[Subject], str]]]
OURS = Path(__file__).parent.parent


class Broken(Exception):
    """A law that does not hold; the message says what, where, and how to fix it."""


class Doubt(str):
    """A finding that breaks no law but is a warning."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one law: its name, the verdict `ok`, `warning`, `FAILED` or `skipped`, and the finding."""

    law: str
    verdict: str
    finding: str = ""


def run_laws(stages: Stages[Subject], subject: Subject) -> Iterator[Outcome]:
    """Yields the outcome of every law; after a failed law, the laws of later stages, which rely on it, are skipped."""
    failed = False
    for stage in stages:
        outcomes = [Outcome(_name(law), "skipped") if failed else _outcome(law, subject) for law in stage]
        yield from outcomes
        failed = failed or any(outcome.verdict == "FAILED" for outcome in outcomes)


def _name(law: Callable[..., str]) -> str:
    return law.__name__.replace("_", " ")


def _outcome(law: Callable[[Subject], str], subject: Subject) -> Outcome:
    try:
        finding = law(subject)
    except Broken as broken:
        return Outcome(_name(law), "FAILED", str(broken))
    except Exception as error:  # any error of a user's code is a finding
        return Outcome(_name(law), "FAILED", describe(error))
    return Outcome(_name(law), "warning" if isinstance(finding, Doubt) else "ok", finding)


def describe(error: Exception) -> str:
    """Returns an error in one line, with the innermost line of user code."""
    frames = traceback.extract_tb(error.__traceback__)
    installed = Path(sysconfig.get_paths()["purelib"])
    theirs = [f for f in frames if not any(Path(f.filename).is_relative_to(place) for place in (OURS, installed))]
    where = f" ({Path(theirs[-1].filename).name}:{theirs[-1].lineno})" if theirs else ""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"it raised {type(error).__name__}{': ' if first else ''}{first}{where}"


@contextmanager
def surroundings(seed: int) -> Iterator[None]:
    """Context manager: seeds all global generators with `seed`, and restores global state at exit."""
    torch_state, grad, dtype = torch.get_rng_state(), torch.is_grad_enabled(), torch.get_default_dtype()
    numpy_state, python_state, threads = np.random.get_state(), random.getstate(), torch.get_num_threads()
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def refuse_global_changes(call: Callable[[], object]) -> None:
    """Raises Broken if a call draws from a global generator, or leaves another global setting changed."""
    with surroundings(3):
        before = _global_state()
        call()
        changed = [what for what, value in _global_state().items() if value != before[what]]
    if changed:
        raise Broken(
            f"it changes {' and '.join(changed)}: draw from the generator it is given, and undo what it sets "
            "(`with torch.no_grad():` does)"
        )


def _global_state() -> dict[str, Any]:
    return {
        "torch's global generator": torch.get_rng_state().tolist(),
        "numpy's global generator": repr(np.random.get_state()),
        "python's global generator": random.getstate(),
        "whether torch records gradients": torch.is_grad_enabled(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's number of threads": torch.get_num_threads(),
    }


def refuse_changes(what: str, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    """Raises Broken for the first tensor of `before` that is changed in `after`, or has a gradient there."""
    for name in before:
        if name not in after or not torch.equal(before[name], after[name]):
            raise Broken(f"it changes {what}[{name!r}], which others read too: work on a clone")
        if after[name].requires_grad != before[name].requires_grad or after[name].grad is not None:
            raise Broken(f"it leaves a gradient on {what}[{name!r}]: work on `.detach().clone()`")
