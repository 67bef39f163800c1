"""Leases: who is computing what, so that processes which share a store do not do the same twice.

A lease saves work, it guards no truth: two that compute one key write the same bytes. It is a file `lease/<key>`, made
exclusively, and written anew through its open descriptor while its holder lives. It is taken over, by renaming it
away, when its holder is dead (a process of this boot that is gone) or was silent for a minute, frozen or out of reach.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from lt_sweeps.store.disk import read

BEAT = 5.0  # seconds between two signs of life
PATIENCE = 60.0  # seconds without one after which a holder counts as gone
SIZE = 512  # bytes of a lease, always: whoever reads while it is written sees one or the other


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, and how far its work is."""

    host: str
    place: str  # the boot and the space of process numbers that `pid` is of
    pid: int
    born: int  # when the process began, in ticks: a number may be given again
    name: str  # what is computed, as a person calls it
    step: int = 0
    steps: int = 0
    seen: float = 0.0  # when it last gave a sign of life, in seconds since the epoch: the file's mtime

    @property
    def alive(self) -> bool:
        """Whether it can still be at work, as far as one look can tell."""
        return not self.dead and time.time() - self.seen < PATIENCE

    @property
    def dead(self) -> bool:
        """Whether it certainly is no more: only a process of this machine can be known to be dead."""
        return self.place == _place() and _born(self.pid) != self.born


class Leases:
    """The leases of a store; those taken here are kept alive until they are released."""

    def __init__(self, root: Path, beat: float = BEAT, patience: float = PATIENCE) -> None:
        self._folder, self._beat, self._patience = root / "lease", beat, patience
        self._held: dict[str, tuple[int, Holder]] = {}
        self._noticed: dict[str, tuple[object, float]] = {}  # another's sign of life, and when we first saw that one
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, key: str, name: str, steps: int = 0) -> bool:
        """Whether the lease is ours now; False while somebody else is at work."""
        me = Holder(platform.node(), _place(), os.getpid(), _born(os.getpid()), name[:200], steps=steps)
        self._folder.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            try:
                descriptor = os.open(self._folder / key, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                if not self._is_gone(key):
                    return False
                continue
            with self._lock:
                self._held[key] = descriptor, me
                try:
                    _write(descriptor, me)
                except OSError as error:
                    raise type(error)(error.errno, error.strerror, str(self._folder / key)) from error
            self._start()
            return True
        return False

    def tell(self, key: str, step: int) -> None:
        """How far the work is."""
        with self._lock, suppress(OSError):
            if key in self._held:
                descriptor, me = self._held[key]
                self._held[key] = descriptor, replace(me, step=step)
                _write(*self._held[key])

    def release(self, key: str) -> None:
        """The work is done, or given up."""
        with self._lock:
            if key not in self._held:
                return
            descriptor, _ = self._held.pop(key)
            path = self._folder / key
            with suppress(OSError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):  # else it was taken over meanwhile
                    path.unlink()
            os.close(descriptor)

    def holders(self) -> dict[str, Holder]:
        """Everybody who holds a lease, by key."""
        names = sorted(path.name for path in self._folder.glob("*") if not path.name.startswith("."))
        holders = {key: _read(self._folder / key) for key in names}
        return {key: holder for key, holder in holders.items() if holder is not None}

    def close(self) -> None:
        """Release everything."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for key in list(self._held):
            self.release(key)

    def __enter__(self) -> Leases:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="leases", daemon=True)
            self._thread.start()

    def _live(self) -> None:
        while not self._stop.wait(self._beat):
            with self._lock:
                for descriptor, me in self._held.values():
                    with suppress(OSError):  # a full disk, a folder out of reach: at worst others do the work too
                        _write(descriptor, me)

    def _is_gone(self, key: str) -> bool:
        """Whether the holder is dead or silent, and its lease was put away."""
        path = self._folder / key
        try:
            status = path.stat()
        except FileNotFoundError:
            return True
        holder, now = _read(path), time.monotonic()
        sign = (status.st_ino, status.st_mtime_ns)
        last, since = self._noticed.get(key, (None, now))
        if last != sign:
            self._noticed[key] = sign, (since := now)
        if not (holder is not None and holder.dead) and now - since < self._patience:
            return False
        aside = self._folder / f".{key}.{uuid4().hex}"
        try:
            path.rename(aside)
            moved = aside.stat()
            if (moved.st_ino, moved.st_mtime_ns) != sign:  # somebody else was faster, this is theirs; or it woke up
                path.hardlink_to(aside)
                return False
        except OSError:
            return False
        finally:
            aside.unlink(missing_ok=True)
        return True


def _write(descriptor: int, holder: Holder) -> None:
    fields: dict[str, Any] = asdict(holder)
    del fields["seen"]
    os.pwrite(descriptor, json.dumps(fields).encode()[: SIZE - 1].ljust(SIZE - 1) + b"\n", 0)


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(read(path, SIZE)), seen=path.stat().st_mtime)
    except (OSError, ValueError, TypeError, RecursionError):  # it is being made, or is gone
        return None


@cache
def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _born(pid: int) -> int:
    """When a process began, in ticks since the boot; -1 where there is none, 0 where the system does not say."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return -1 if state in "ZX" else int(rest[18])
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return -1
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return -1
    except OSError:
        pass
    return 0
