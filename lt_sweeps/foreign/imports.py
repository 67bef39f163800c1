"""Foreign modules, imported and tried so that what they change of their process is known."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from lt_sweeps.foreign.state import GlobalState
from lt_sweeps.foreign.watch import watch

Changes = dict[str, list[str]]  # what of this process each module has changed
changed_by: Changes = {}  # when it was imported: as in any process that imports it
changed_late: Changes = {}  # when its functions were tried: only here, and before anything was drawn


def imported(name: str) -> ModuleType:
    """The module of this name, imported if it is not."""
    if name not in sys.modules:
        watch()
        with noticed(name, changed_by):
            importlib.import_module(name)
    return sys.modules[name]


@contextmanager
def noticed(name: str, into: Changes = changed_late) -> Iterator[None]:
    """What code of this module changes of the process meanwhile is known afterwards."""
    before = GlobalState()
    try:
        yield
    finally:
        if changed := before.changed():
            into.setdefault(name, []).extend(changed)
