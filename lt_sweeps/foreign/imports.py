"""Imports foreign modules, and records what they change in their process."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from lt_sweeps.foreign.state import GlobalState
from lt_sweeps.foreign.watch import watch

Changes = dict[str, list[str]]  # module -> what it has changed in this process
changed_by: Changes = {}  # by its import: so in any process that imports it
changed_late: Changes = {}  # by trial calls of its functions: only in this process


def import_foreign(name: str) -> ModuleType:
    """Returns the module of this name; imports it if needed, and records its changes."""
    if name not in sys.modules:
        watch()
        with recording_changes(name, changed_by):
            importlib.import_module(name)
    return sys.modules[name]


@contextmanager
def recording_changes(name: str, into: Changes = changed_late) -> Iterator[None]:
    """Context manager: adds to `into` what the module's code changes in the process meanwhile."""
    before = GlobalState()
    try:
        yield
    finally:
        if changed := before.changed():
            into.setdefault(name, []).extend(changed)
