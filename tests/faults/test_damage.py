"""A flipped bit or a cut in any kind of file of a real store is noticed before it is used, and computed again."""

from __future__ import annotations

import hashlib
import random
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Calm, Server, checked, finished, tree

from lt_sweeps.store.formats import read_record
from lt_sweeps.store.store import Missing, Store
from lt_sweeps.store_tools.survey import files, survey

FLIPS = 200  # at random offsets of each kind of file
KINDS = ("record of Train", "record of Prune", "record of At", "end", "mask", "state", "work", "timing")
WORK = Path(__file__).parent.parent / "golden" / "store-v1" / "store" / "work"


def pick(store: Path, kind: str) -> Path:
    """One file of a kind."""
    records = survey(store, files(store, "record")).records
    match kind.split():
        case ["record", "of", node]:
            key = next(key for key, record in records.items() if record["node"]["node"] == node)
            return store / "record" / key[:2] / f"{key}.json"
        case ["work" | "timing"]:
            return files(store, kind)[0].path
    blob = next(record["blobs"][kind] for record in records.values() if kind in record["blobs"])
    return store / "blob" / blob[:2] / blob


def used(store: Path, path: Path) -> Any:
    """What the product makes of a file when it uses it; None for nothing."""
    there = Store(store)
    match path.relative_to(store).parts[0]:
        case "record":
            try:
                return there.get(path.stem)
            except Missing:
                return None
        case "blob":
            try:
                return there.content(path.name)
            except Missing:
                return None
        case "timing":
            return there.load_timing(path.stem) or None
    return there.load_work(path.name)


def damage(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def damages(whole: bytes, flips: int, draw: random.Random) -> Iterator[tuple[str, bytes]]:
    """Bits flipped at random places, and the file cut at its beginning, at every 4 kB, and elsewhere."""
    for _ in range(flips):
        place, bit = draw.randrange(len(whole)), draw.randrange(8)
        yield f"bit {bit} of byte {place}", whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
    cuts = {0, 1, len(whole) // 2, len(whole) - 1, *range(0, len(whole), 4096), draw.randrange(len(whole))}
    yield from ((f"cut at {cut}", whole[:cut]) for cut in sorted(cuts))


@pytest.fixture
def store(calm: Calm, tmp_path: Path) -> Path:
    """The store of the undisturbed sweep, and a checkpoint."""
    shutil.copytree(calm.runs, tmp_path / "runs")
    store = tmp_path / "runs" / "store"
    shutil.copytree(WORK, store / "work", dirs_exist_ok=True)
    return store


@pytest.mark.filterwarnings("ignore:.*is damaged")
@pytest.mark.parametrize("kind", KINDS)
def test_every_damage_is_noticed_when_the_file_is_used_and_by_verify(store: Path, kind: str) -> None:
    path = pick(store, kind)
    whole, good = path.read_bytes(), used(store, pick(store, kind))
    assert good is not None
    told = Counter[str]()
    for number, (how, damaged) in enumerate(damages(whole, FLIPS, random.Random(kind))):
        damage(path, damaged)
        if number % 10 == 0 or how.startswith("cut"):
            findings = checked(store).findings
            assert [f.name for f in findings if f.name == path.name.removesuffix(".json")], f"verify: {kind}, {how}"
            assert path.read_bytes() == damaged, "verify changes nothing"
            told["verified"] += 1
        assert used(store, path) is None, f"{kind}, {how}"
        told["noticed"] += 1
        damage(path, whole)
        assert used(store, path) == good
    print(f"{kind}: {told['noticed']} damages noticed, {told['verified']} held against verify too")
    assert told["noticed"] >= FLIPS + 4
    assert told["verified"] >= 20


def mend(server: Server, calm: Calm, kind: str, draw: random.Random) -> str:
    """Damage one file of a finished sweep, use it, run the same commands again; returns what was done to it."""
    server.clear()
    shutil.copytree(calm.runs, server.runs)
    path = pick(server.store, kind)
    whole = path.read_bytes()
    how, damaged = draw.choice(list(damages(whole, 8, draw)))
    damage(path, damaged)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert used(server.store, path) is None, how
        done = finished(server.store)
    again = server.sweep()
    assert again["code"] == 0, (kind, how, again)
    now = tree(server.runs)
    assert now.items() <= calm.tree.items(), f"{kind}, {how}: what is there is what was there"
    lost = {name for name in calm.tree if name not in now}
    assert not {name for name in lost if not name.startswith("store/")}
    shown = finished(calm.runs / "store")
    assert finished(server.store) == shown, f"{kind}, {how}: every training is there again"
    for name in lost:  # of what was lost, only what no sweep asks for was not computed again
        assert _nobody_asks_for(calm.runs / "store", Path(name)), (kind, how, name)
    begun = {line[1] for line in again["trained"] if line[0] == "begin" and line[3] is None}
    assert begun == shown - done, "and nothing else was trained"
    assert not checked(server.store).findings
    return how


def _nobody_asks_for(store: Path, path: Path) -> bool:
    """Whether this is a snapshot, or a mask that was needed on the way: a sweep that needs it computes it again."""
    keep = survey(store, files(store, "record")).records
    if path.parts[1] == "record":
        return keep[path.stem]["node"]["node"] in ("At", "Prune")
    users = {record["node"]["node"] for record in keep.values() if path.name in record["blobs"].values()}
    return users <= {"At", "Prune"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("work", "timing")])
def test_a_damaged_file_is_computed_again_to_the_same_bytes(server: Server, calm: Calm, kind: str) -> None:
    draw = random.Random(kind)
    for _ in range(3):
        mend(server, calm, kind, draw)


@pytest.mark.processes
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("work", "timing")])
def test_many_damages_are_computed_again_to_the_same_bytes(server: Server, calm: Calm, kind: str) -> None:
    draw = random.Random(1)
    told = [mend(server, calm, kind, draw) for _ in range(16)]
    print(f"{kind}: {len(told)} damages mended by the same command")


def test_a_damaged_checkpoint_begins_its_training_anew_to_the_same_bytes(server: Server, calm: Calm) -> None:
    """Killed with a checkpoint on disk, which then rots."""
    draw, found = random.Random(0), 0
    for number in range(20, 60):
        server.clear()
        server.sweep({"kind": "kill", "at": number})
        if not (work := files(server.store, "work")):
            continue
        path = work[0].path
        _, damaged = draw.choice(list(damages(path.read_bytes(), 8, draw)))
        damage(path, damaged)
        again = server.sweep()
        assert again["code"] == 0, again
        assert "is damaged" in again["errors"]
        assert tree(server.runs) == calm.tree
        found += 1
        if found == 3:
            return
    pytest.fail("no kill left a checkpoint")


def test_records_of_another_content_are_never_taken_for_their_keys(store: Path) -> None:
    """A record that is whole but of another key, put in its place by a confused copy."""
    first, second = sorted((store / "record").glob("??/*.json"))[:2]
    content = first.read_bytes()
    with pytest.raises(ValueError, match="of another key"):
        read_record(content, second.stem)
    damage(second, content)
    assert [f.name for f in checked(store).findings if f.kind == "record"] == [second.stem]
    assert hashlib.sha256(second.read_bytes()).digest() == hashlib.sha256(content).digest()
