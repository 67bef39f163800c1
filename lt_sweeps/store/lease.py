"""Leases: which process computes which key, so that processes that share a store do not compute one twice.

Leases only save work: two processes that compute one key write the same bytes. A lease is a file `lease/<key>`, created
exclusively, and rewritten through its open descriptor as a heartbeat. Another process takes it over, by renaming it
away, if its holder is dead (a process of this boot that is gone) or silent for a minute (frozen or out of reach), or if
the file stays empty for a heartbeat: its maker was killed before it could write.
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

from lt_sweeps.store.disk import clock, read

BEAT = 5.0  # seconds between two heartbeats
PATIENCE = 60.0  # seconds without a heartbeat after which a holder counts as gone
SIZE = 512  # bytes of every lease: a reader during a write sees the old or the new content


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease, and how far its work is."""

    host: str
    place: str  # the boot and the PID namespace of `pid`
    pid: int
    born: int  # when the process began, in ticks: a pid may be reused
    name: str  # of what is computed, for people
    step: int = 0
    steps: int = 0
    seen: float = 0.0  # the last heartbeat, in seconds since the epoch, by the clock of this machine

    @property
    def alive(self) -> bool:
        """Whether it may still be at work: it is not known to be dead, and its heartbeat is recent."""
        return not self.dead and time.time() - self.seen < PATIENCE

    @property
    def dead(self) -> bool:
        """Whether its process has certainly ended, which can be known on the same machine only."""
        return self.place == _place() and _start_time(self.pid) != self.born


class Leases:
    """The leases of a store; a thread keeps those taken here alive until they are released."""

    def __init__(self, root: Path, beat: float = BEAT, patience: float = PATIENCE) -> None:
        self._folder, self._beat, self._patience = root / "lease", beat, patience
        self._held: dict[str, tuple[int, Holder]] = {}
        self._noticed: dict[str, tuple[object, float]] = {}  # another's heartbeat, and when we first saw it
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, key: str, name: str, steps: int = 0) -> bool:
        """Takes the lease of a key; returns False while another process holds it."""
        me = Holder(platform.node(), _place(), os.getpid(), _start_time(os.getpid()), name, steps=steps)
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
        """Writes the current step into a lease."""
        with self._lock, suppress(OSError):
            if key in self._held:
                descriptor, me = self._held[key]
                self._held[key] = descriptor, replace(me, step=step)
                _write(*self._held[key])

    def release(self, key: str) -> None:
        """Releases a lease: the work is done, or given up."""
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
        """Returns the holder of each lease, by key.

        Before one counts as silent, the clock of the disk is asked: it may be behind the one of this machine.
        """
        names = sorted(path.name for path in self._folder.glob("*") if not path.name.startswith("."))
        holders = {key: _read(self._folder / key) for key in names}
        known = {key: holder for key, holder in holders.items() if holder is not None}
        if any(not holder.alive and not holder.dead for holder in known.values()):
            ahead = time.time() - clock(self._folder)
            known = {key: replace(holder, seen=holder.seen + ahead) for key, holder in known.items()}
        return known

    def close(self) -> None:
        """Releases all leases taken here."""
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
            thread = threading.Thread(target=self._live, name="leases", daemon=True)
            thread.start()
            self._thread = thread

    def _live(self) -> None:
        while not self._stop.wait(self._beat):
            with self._lock:
                for descriptor, me in self._held.values():
                    with suppress(OSError):  # a full disk, a folder out of reach: at worst others do the work too
                        _write(descriptor, me)

    def _is_gone(self, key: str) -> bool:
        """Removes the lease of a dead or silent holder; returns whether the key is free now."""
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
        patience = self._patience if status.st_size else self._beat
        if not (holder is not None and holder.dead) and now - since < patience:
            return False
        aside = self._folder / f".{key}.{uuid4().hex}"
        try:
            path.rename(aside)
            moved = aside.stat()
            if (moved.st_ino, moved.st_mtime_ns) != sign:  # a faster process took it over; or its holder woke up
                path.hardlink_to(aside)
                return False
        except OSError:
            return False
        finally:
            aside.unlink(missing_ok=True)
        return True


def _write(descriptor: int, holder: Holder) -> None:
    os.pwrite(descriptor, _content(holder).ljust(SIZE - 1) + b"\n", 0)


def _content(holder: Holder) -> bytes:
    """A lease as JSON that fits: a long name is cut."""
    fields: dict[str, Any] = asdict(holder)
    del fields["seen"]
    content = json.dumps(fields).encode()
    while len(content) >= SIZE and fields["name"]:
        fields["name"] = fields["name"][: -max(1, (len(content) - SIZE) // 12)]  # a character is twelve bytes at most
        content = json.dumps(fields).encode()
    return content


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


def _start_time(pid: int) -> int:
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
