"""Killed before any of its file operations, a sweep goes on to the same bytes and repeats nothing that was finished."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from harness import Calm, Server, checked, finished, repeated, tree

from lt_sweeps.store_tools.gc import collect
from lt_sweeps.store_tools.survey import checkpoint, files

NAMING = ("os.rename", "os.remove")  # what changes the names in a folder: between two of them it holds the same


def recovers(server: Server, calm: Calm, points: Iterable[int]) -> int:
    """Kill at each of these points and run again; returns how many there were."""
    killed = 0
    for number in points:
        server.clear()
        stopped = server.sweep({"kind": "kill", "at": number})
        if stopped["code"] == 0:
            break
        assert stopped["code"] == -9, (number, stopped)
        killed += 1
        if server.store.is_dir():
            assert not checked(server.store).findings, number
        done = finished(server.store)
        saved = {file.name: checkpoint(file).step for file in files(server.store, "work") if file.name not in done}
        again = server.sweep()
        assert (again["code"], again["errors"]) == (0, ""), (number, again)
        assert tree(server.runs) == calm.tree, number
        assert repeated(again["trained"], done) == [], number
        assert _begun(again["trained"]).items() >= saved.items(), f"{number}: it goes on from its checkpoint"
    return killed


def _begun(trained: Iterable[list[Any]]) -> dict[str, int]:
    """The step at which each training, replays apart, was begun."""
    return {key: step for what, key, step, until in trained if what == "begin" and until is None}


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
    assert server.sweep({"kind": "kill", "at": calm.operations // 2}, whole=True)["code"] == -9
    told = server.sweep(whole=True)
    assert told["code"] == 0, told["errors"]
    kept = {name: sha for name, sha in tree(server.runs).items() if name.startswith("store/")}
    assert kept == {name: sha for name, sha in calm.tree.items() if name.startswith("store/")}


def test_a_kill_before_whatever_names_or_removes_a_file_changes_nothing_in_the_end(server: Server, calm: Calm) -> None:
    """Every state that the names in the folder are ever in; make engines adds the operations between them."""
    points = [number for number, (event, _) in enumerate(calm.events, 1) if event in NAMING]
    killed = recovers(server, calm, points)
    print(f"killed at {killed} of {calm.operations} file operations: 0 bytes differ")
    assert killed == len(points) > 40


@pytest.mark.processes
def test_a_kill_at_every_file_operation_changes_nothing_in_the_end(server: Server, calm: Calm) -> None:
    """The loop goes on until no kill fires: operations that come to be are covered without a change here."""
    killed = recovers(server, calm, range(1, 100_000))
    print(f"killed at each of {killed} file operations: 0 bytes differ")
    assert killed == calm.operations


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
