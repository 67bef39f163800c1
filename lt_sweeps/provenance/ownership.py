"""The foreign code of a job: a process that has imported foreign code runs only jobs with the same code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache

from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Work
from lt_sweeps.provenance.made_from import own_parts
from lt_sweeps.registry import provenance
from lt_sweeps.specs import Part

_known: set[str] = set()  # `name version` of functions whose code was checked and imported here
Owner = tuple[str, ...]  # `import path version` of each foreign function


@cache
def owner(run: Work) -> Owner:
    """Returns the foreign code that a job may import; empty if all is ours or of installed packages."""
    return tuple(sorted(f"{part.name} {part.version}" for part in own_parts(run)))


def import_own(run: Work) -> None:
    """Imports the foreign code of a job, ignoring errors, so that effects of an import happen before the job."""
    from lt_sweeps.foreign.imports import import_foreign

    for entry in owner(run):
        with suppress(Exception):  # the job itself will raise it
            import_foreign(entry.partition(" ")[0].rpartition(".")[0])


def require_one(runs: Iterable[Work]) -> None:
    """Raises Mistake if jobs that share a process run different foreign code.

    Code that only some jobs have in addition, such as a user's criterion, is allowed: what it changes is detected. Two
    networks of a user are refused: they may share a module, whose variables are not watched.
    """
    owners = sorted({owner(run) for run in runs}, key=len)
    for code in owners[:-1]:
        if not set(code) <= set(owners[-1]):
            names = " and ".join(
                ", ".join(entry.partition(" ")[0] for entry in entries) for entries in (code, owners[-1])
            )
            raise Mistake(
                f"{names} could change each other in one process: train them in sweeps of their own, "
                "or leave out trainer.processes=0"
            )


def changes(run: Work, changed: Sequence[str]) -> str:
    """Returns a message that the foreign code of a job changes its process."""
    names = ", ".join(entry.partition(" ")[0] for entry in owner(run))
    several = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{names} changes {changed[0]}{several}"


def require_current(parts: Iterable[Part]) -> None:
    """Raises Mistake if the code of a foreign function is no longer that of its version."""
    for part in parts:
        if part.is_foreign and f"{part.name} {part.version}" not in _known:
            try:
                now = provenance.__wrapped__(part.name, part.name)
            except ValueError:
                now = None
            if now != part.version:
                raise Mistake(
                    f"{part.name}: its code has changed since: run the command again to plan with the current code"
                )
            _known.add(f"{part.name} {part.version}")  # imported from now on: later changes have no effect here
