"""Foreign modules, imported so that what they change of their process as they are imported is known."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from lt_sweeps.foreign.state import GlobalState
from lt_sweeps.foreign.watch import watch

changed_by: dict[str, list[str]] = {}  # what of the process each module, with all that it imports, has changed


def imported(name: str) -> ModuleType:
    """The module of this name, imported if it is not."""
    if name not in sys.modules:
        watch()
        before = GlobalState()
        importlib.import_module(name)
        if changed := before.changed():
            changed_by[name] = changed
    return sys.modules[name]
