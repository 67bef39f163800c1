"""Killed before any of its file operations, a sweep goes on to the same bytes and repeats nothing that was finished."""

from __future__ import annotations

import os
import shutil

import pytest
from counted import EVERY as OPERATIONS
from harness import Calm, Server, recovers, state, tree

from lt_sweeps.store_tools.gc import collect

EVERY, MORE = 4, 8  # of names of files, and of all operations, one in so many is tried, others each time
NAMING = ("os.rename", "os.remove")  # what changes the names in a folder: between two of them it holds the same


def killed(server: Server, number: int) -> bool:
    """Kill a sweep that begins anew at an operation; returns whether it has so many."""
    server.clear()
    stopped = server.sweep({"kind": "kill", "at": number})
    assert stopped["code"] in (0, -9), (number, stopped)
    return stopped["code"] == -9


def test_the_undisturbed_sweep_does_everything_a_store_is_for(server: Server, calm: Calm) -> None:
    """Else the points at which it is killed would not be all there are."""
    assert (calm.told["errors"], calm.operations > 250) == ("", True)
    assert len([line for line in calm.told["trained"] if line[0] == "end" and line[3] is None]) == 4
    replays = [line for line in calm.told["trained"] if line[3] is not None]
    assert len(replays) == 2, "one replay, begun and ended"
    kinds = sorted(path.name for path in (calm.runs / "store").iterdir())
    assert kinds == ["blob", "lease", "record", "timing", "work"]
    assert list((calm.runs / "store" / "work").iterdir()) == [], "there were checkpoints, and none is left"


def test_two_undisturbed_sweeps_agree_and_a_third_trains_nothing(server: Server, calm: Calm) -> None:
    server.clear()
    first = server.sweep({"kind": "none"})
    assert len(first["events"]) == calm.operations, "the same operations, or their numbers would mean nothing"
    assert tree(server.runs) == calm.tree
    assert server.sweep()["trained"] == []


def test_the_command_line_itself_comes_to_the_same_bytes_as_what_is_killed_here(server: Server, calm: Calm) -> None:
    """The cells are composed once for all children; here Hydra composes them anew, and is killed half way."""
    server.clear()
    stopped = server.sweep({"kind": "kill", "at": calm.operations // 2}, whole=True)
    assert stopped["code"] == -9, stopped["errors"]
    told = server.sweep(whole=True)
    assert told["code"] == 0, told["errors"]
    kept = {name: sha for name, sha in tree(server.runs).items() if name.startswith("store/")}
    assert kept == {name: sha for name, sha in calm.tree.items() if name.startswith("store/")}


def test_a_kill_before_what_names_or_removes_a_file_changes_nothing_in_the_end(server: Server, calm: Calm) -> None:
    """One in four of the states that the names of files are ever in, others each time."""
    naming = [number for number, (event, _) in enumerate(calm.events, 1) if event in NAMING]
    points = naming[os.getpid() % EVERY :: EVERY]
    for number in points:
        assert killed(server, number)
        recovers(server, calm, number)
    print(f"killed at {len(points)} of {calm.operations} file operations: 0 bytes differ")
    assert len(points) > 10


@pytest.mark.processes
def test_a_kill_at_any_file_operation_changes_nothing_in_the_end(
    server: Server, calm: Calm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At the first and the last operation of each kind, and at one in eight of all, others each time.

    One sweep leaves a copy of its folder before each operation: what a kill there leaves, as every 29th shows.
    """
    copies = tmp_path_factory.mktemp("copies")
    server.clear()
    assert server.sweep({"kind": "copies", "to": str(copies)})["code"] == 0
    numbers = sorted(int(path.name) for path in copies.iterdir())
    assert numbers == [*range(1, calm.operations + 1)]
    tried = sorted({*calm.kinds(OPERATIONS), *numbers[os.getpid() % MORE :: MORE], *numbers[::29]})
    for number in tried:
        if number % 29 == 1:
            assert killed(server, number)
            assert state(server.runs) == state(copies / str(number)), number
        server.clear()
        shutil.copytree(copies / str(number), server.runs)
        recovers(server, calm, number)
    assert not killed(server, calm.operations + 1)
    print(f"what a kill leaves at {len(tried)} of {len(numbers)} file operations: 0 bytes differ in the end")


def test_what_kills_leave_behind_is_collected_and_nothing_else(server: Server, calm: Calm) -> None:
    """Killed again and again, then finished: gc leaves exactly the files of a sweep that nothing disturbed."""
    server.clear()
    for number in range(20, 26):  # a whole writing, from the making of its folder to its name
        assert server.sweep({"kind": "kill", "at": number})["code"] == -9
    assert server.sweep()["code"] == 0
    planned = collect(server.store, dry=True, older_than=0.0, quarantine=False)
    removed = collect(server.store, dry=False, older_than=0.0, quarantine=False)
    assert removed.kinds == planned.kinds
    assert sum(map(len, removed.kinds.values())) > 0
    assert tree(server.runs) == calm.tree
    here, there = ({p.relative_to(root) for p in root.rglob("*") if p.is_file()} for root in (server.runs, calm.runs))
    assert here == there
    assert server.sweep()["trained"] == []
