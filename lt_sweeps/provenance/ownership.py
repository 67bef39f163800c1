"""Whose code a job runs: a process that has imported foreign code does only jobs with the very same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache

from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Work
from lt_sweeps.provenance.made_from import own_parts
from lt_sweeps.registry import provenance
from lt_sweeps.specs import Part

_known: set[str] = set()  # functions and versions whose code is that of the version, and imported here
Owner = tuple[str, ...]  # the import paths of foreign functions, and which code is behind each


@cache
def owner(run: Work) -> Owner:
    """The foreign code that a job may import; empty where all of it is ours or of installed packages."""
    return tuple(sorted(f"{part.name} {part.version}" for part in own_parts(run)))


def import_own(run: Work) -> None:
    """Import the foreign code of a job, so far as it can be: what an import does is done once in each process."""
    from lt_sweeps.foreign.imports import imported

    for entry in owner(run):
        with suppress(Exception):  # the job itself will say
            imported(entry.partition(" ")[0].rpartition(".")[0])


def require_one(runs: Iterable[Work]) -> None:
    """Raise Mistake where jobs that are to share a process run different foreign code.

    Code that only some of them have beside the others' is let pass, as a criterion of one's own is: it is held against
    what it changes. Two networks of one's own are not: they may share a module, whose variables nobody watches.
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
    """That the foreign code of a job changes something of its process, in words."""
    names = ", ".join(entry.partition(" ")[0] for entry in owner(run))
    several = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{names} changes {changed[0]}{several}"


def require_current(parts: Iterable[Part]) -> None:
    """Raise Mistake where the code behind a foreign function is not that of its version."""
    for part in parts:
        if part.is_foreign and f"{part.name} {part.version}" not in _known:
            try:
                now = provenance.__wrapped__(part.name, part.name)
            except ValueError:
                now = None
            if now != part.version:
                raise Mistake(f"{part.name}: its code has changed since: the same command plans with the code of now")
            _known.add(f"{part.name} {part.version}")  # and imported from now on: what changes later is not seen here
