"""Atomic writing and safe reading of files; errors of full disks."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import TypeGuard
from uuid import uuid4

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full(error: BaseException) -> TypeGuard[OSError]:
    """Whether an error means that a disk, quota or limit is full, which would stop every other job too."""
    return isinstance(error, OSError) and error.errno in FULL


def full_message(error: OSError) -> str:
    """The message to a user whose disk, quota or limit is full."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}; make room, and the same command continues where this one was"


def read(path: Path, limit: int | None = None) -> bytes:
    """Reads a regular file of at most `limit` bytes. Raises FileNotFoundError, and ValueError for anything else there.

    A fifo or a device would block, or never end: it is opened without waiting, and not read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if limit is not None and status.st_size > limit:
            raise ValueError(f"it has {status.st_size:,} bytes, more than {limit:,}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def clock(folder: Path) -> float:
    """The time by the clock that files of a folder get their times from: on a shared disk another machine's.

    The time of this machine where the folder cannot be written to.
    """
    probe = folder / f".{uuid4().hex}"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Writes a file atomically: it exists whole or not at all. Raises OSError, with the file's name."""
    try:
        _write(path, content, mode)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{path.name}.{uuid4().hex}"
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
