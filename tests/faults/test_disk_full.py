"""A disk without room stops the sweep at once, in one line that names it; the store is sound, and a rerun finishes."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from counted import ROOM
from harness import ROOT, Calm, Server, checked, recovers, tree
from warm import warm

from lt_sweeps.store.disk import is_full, write
from lt_sweeps.store.store import Store

EVERY = 26  # of all points one in so many is tried by make test, others each time
NO_ROOM = os.strerror(errno.ENOSPC)


def stopped_in_one_line(told: Any, root: Path, reason: str = NO_ROOM) -> None:
    lines = [line for line in told["errors"].splitlines() if line]
    assert told["code"] == 2, told
    assert len(lines) == 1, told["errors"]
    assert lines[0].startswith(f"lt_sweeps: {root}"), lines
    assert reason in lines[0]
    assert "the same command continues" in lines[0]
    assert "failed:" not in told["out"], "no training failed: there was no room"


def goes_on(server: Server, calm: Calm, where: object) -> None:
    if server.store.is_dir():
        assert not [path for path in server.runs.rglob(".*") if path.is_file()], f"{where}: half a file is left"
    recovers(server, calm, where)


def refused_at(server: Server, calm: Calm, points: Iterable[int], lasting: bool) -> int:
    """Refuse room from, or at, each of these points, and run again where there is room; returns how many there were."""
    refused = 0
    for number in points:
        server.clear()
        told = server.sweep({"kind": "full", "at": number, "lasting": lasting})
        if not told["fired"]:
            break
        refused += 1
        if lasting or told["code"]:
            stopped_in_one_line(told, server.runs)
            begun = [line for line in told["trained"] if line[0] == "begin"]
            assert len(begun) - len([line for line in told["trained"] if line[0] == "end"]) <= 1, "it stops at once"
        goes_on(server, calm, (number, lasting))
    return refused


def test_a_disk_that_is_full_from_any_point_on_stops_the_sweep_and_loses_nothing(server: Server, calm: Calm) -> None:
    first = 1 + os.getpid() % EVERY
    refused = refused_at(server, calm, range(first, calm.operations, EVERY), lasting=True)
    print(f"no room from each of {refused} operations on: 0 bytes differ")
    assert refused >= 6


@pytest.mark.processes
@pytest.mark.parametrize("lasting", [True, False], ids=["for good", "once"])
def test_no_room_at_any_operation_that_takes_some(server: Server, calm: Calm, lasting: bool) -> None:
    """At the first and the last operation of each kind, and at one in 26 of all."""
    kinds, others = calm.kinds(ROOM), range(1 + os.getpid() % EVERY, calm.operations, EVERY)
    refused = refused_at(server, calm, sorted({*kinds, *others}), lasting)
    print(f"no room at each of {refused} operations, {'for good' if lasting else 'once'}: 0 bytes differ")
    assert refused >= len(kinds) > 80


@pytest.fixture
def small_disk(server: Server) -> Iterator[Path]:
    """A file system of its own, where one can be mounted."""
    server.clear()
    server.runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(server.runs)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root; a limit on the size of files is tested beside this")
    try:
        yield server.runs
    finally:
        subprocess.run(["umount", str(server.runs)], check=True)


def test_a_real_disk_fills_up_is_enlarged_and_fills_up_again(server: Server, calm: Calm, small_disk: Path) -> None:
    whole = sum(path.stat().st_size for path in calm.runs.rglob("*") if path.is_file())
    room, stops = 64 << 10, 0
    while True:
        told = server.sweep()
        if told["code"] == 0:
            break
        stopped_in_one_line(told, small_disk)
        stops += 1
        assert not checked(server.store).findings, room
        room = int(room * 1.6)
        subprocess.run(["mount", "-o", f"remount,size={room}", str(small_disk)], check=True)
    print(f"full {stops} times on the way to {whole:,} bytes")
    assert stops >= 5
    assert tree(server.runs) == calm.tree


@pytest.mark.parametrize("limit", [300, 1_000, 3_000, 10_000, 30_000])
def test_a_limit_on_the_size_of_files_is_met_like_a_full_disk(server: Server, calm: Calm, limit: int) -> None:
    server.clear()
    told = server.sweep({"kind": "size", "bytes": limit})
    stopped_in_one_line(told, server.runs, os.strerror(errno.EFBIG))
    goes_on(server, calm, limit)


def test_a_full_disk_under_the_whole_command_is_one_line_and_exit_code_two(tmp_path: Path) -> None:
    """Hydra writes files of its own, and output may go to the disk that is full."""
    code = (
        "import resource, sys; from lt_sweeps.main import main; sys.dont_write_bytecode = True; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, resource.RLIM_INFINITY)); sys.exit(main(sys.argv[1:]))"
    )
    words = ["-m", "recipe.steps=34it", "prune.levels=1", "sweep=s", f"paths.output_dir={tmp_path}"]
    done = warm().run(code, *words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    stopped_in_one_line(
        {"code": done.returncode, "errors": done.stderr, "out": done.stdout}, tmp_path, os.strerror(errno.EFBIG)
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_told_from_other_errors(number: int) -> None:
    assert is_full(OSError(number, "no room"))
    assert not is_full(OSError(errno.EACCES, "denied"))
    assert not is_full(RuntimeError("No space left on device"))


def test_an_error_of_a_file_names_it_and_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, NO_ROOM)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=NO_ROOM) as raised:
        write(tmp_path / "file", b"content")
    assert raised.value.filename == str(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match=NO_ROOM):
        Store(tmp_path / "store").put(b"content")
