"""Records of failed jobs, as files in a sweep's folder: no process tries these again before a rerun. No torch here."""

from __future__ import annotations

import json
from pathlib import Path

from lt_sweeps.store import disk
from lt_sweeps.store.store import write

LARGEST = 2**20  # bytes of a note


def record(folder: Path, key: str, reason: str, trace: str = "") -> str:
    """Records that a job failed: no process tries it, or what depends on it, before the command is run again.

    Returns the reason, with the path of the traceback's file if there is one.
    """
    if trace:
        path = folder / "failed" / f"{key[:16]}.txt"
        write(path, trace.encode())
        reason = f"{reason}; traceback: {path}"
    write(folder / "failed" / f"{key}.json", json.dumps({"reason": reason}).encode())
    return reason


def read(folder: Path) -> dict[str, str]:
    """Returns the reason of each failure, by the key of the failed run."""
    reasons = {}
    for path in sorted((folder / "failed").glob("*.json")):
        try:
            reasons[path.stem] = str(json.loads(disk.read(path, LARGEST))["reason"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # cleared meanwhile, or damaged
            continue
    return reasons


def clear(folder: Path) -> None:
    """Removes all failure records, so that a rerun tries everything again."""
    for path in (*(folder / "failed").glob("*.json"), *(folder / "failed").glob("*.txt")):
        if not path.is_dir() or path.is_symlink():  # we write no folders here
            path.unlink(missing_ok=True)
