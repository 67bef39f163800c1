"""Lottery ticket experiments; in a notebook `import lt_sweeps as lt`, then `lt.open("runs/demo")`.

Importing the package does not import torch; `open` and `load_ticket` are imported on first access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lt_sweeps.sweeps.notebook import open
    from lt_sweeps.tickets.load import load_ticket

__all__ = ["__version__", "load_ticket", "open"]
PLACES = {"open": "lt_sweeps.sweeps.notebook", "load_ticket": "lt_sweeps.tickets.load"}


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
