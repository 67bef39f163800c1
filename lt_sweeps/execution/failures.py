"""What failed in a sweep, as files in its folder: whoever works on the sweep leaves it to a rerun. No torch here."""

from __future__ import annotations

import json
from pathlib import Path

from lt_sweeps.store import disk
from lt_sweeps.store.store import write

LARGEST = 2**20  # bytes of a note


def leave(folder: Path, key: str, reason: str, trace: str = "") -> str:
    """This training failed; nobody tries it again, or what depends on it, before the command is given again.

    Returns the reason, and where the whole traceback lies if there is one.
    """
    if trace:
        path = folder / "failed" / f"{key[:16]}.txt"
        write(path, trace.encode())
        reason = f"{reason}; traceback: {path}"
    write(folder / "failed" / f"{key}.json", json.dumps({"reason": reason}).encode())
    return reason


def read(folder: Path) -> dict[str, str]:
    """What failed so far: key -> reason."""
    reasons = {}
    for path in sorted((folder / "failed").glob("*.json")):
        try:
            reasons[path.stem] = str(json.loads(disk.read(path, LARGEST))["reason"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # cleared meanwhile, or damaged
            continue
    return reasons


def clear(folder: Path) -> None:
    """The command is given again: everything may be tried."""
    for path in (*(folder / "failed").glob("*.json"), *(folder / "failed").glob("*.txt")):
        if not path.is_dir() or path.is_symlink():  # a folder is none of ours
            path.unlink(missing_ok=True)
