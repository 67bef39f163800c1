"""Lottery ticket experiments; in a notebook `import lt_sweeps as lt`, then `lt.sweep("experiment=demo")`.

`lt.open("runs/demo")` opens a sweep that was trained before; `lt.load_ticket(folder)` loads an exported ticket. What is
refused raises `lt.Mistake`. Importing the package does not import torch; what it offers is imported on first access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lt_sweeps.errors import Mistake
    from lt_sweeps.starting import sweep
    from lt_sweeps.sweeps.notebook import Run, Sweep, open
    from lt_sweeps.tickets.load import load_ticket

__all__ = ["Mistake", "Run", "Sweep", "__version__", "load_ticket", "open", "sweep"]
PLACES = {
    "Mistake": "lt_sweeps.errors",
    "Run": "lt_sweeps.sweeps.notebook",
    "Sweep": "lt_sweeps.sweeps.notebook",
    "load_ticket": "lt_sweeps.tickets.load",
    "open": "lt_sweeps.sweeps.notebook",
    "sweep": "lt_sweeps.starting",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("lt_sweeps")
    if name not in PLACES:
        raise AttributeError(f"module 'lt_sweeps' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
