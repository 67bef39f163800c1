"""`lt-sweeps store`: verify reads everything and changes nothing, gc removes what nothing can use, show explains."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from lt_sweeps.cli import main as cli
from lt_sweeps.store import lease
from lt_sweeps.store.lease import Leases
from lt_sweeps.store.store import Store
from lt_sweeps.store.tensors import decode, encode
from lt_sweeps.store_tools import gc
from lt_sweeps.store_tools.gc import collect
from lt_sweeps.store_tools.survey import checkpoint, files

GOLDEN = Path(__file__).parent / "golden" / "store-v1"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A copy of a small sweep and its store, all of it old."""
    shutil.copytree(GOLDEN, tmp_path / "runs")
    age(tmp_path / "runs", 10)
    return tmp_path / "runs"


@pytest.fixture
def store(runs: Path) -> Path:
    return runs / "store"


def age(folder: Path, hours: float) -> None:
    then = time.time() - 3600 * hours
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


def bytes_of(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def key_of(store: Path, node: str, level: int = 0) -> str:
    for file in files(store, "record"):
        told = Store(store).get(file.name)["node"]
        if told["node"] == node and told.get("level", 0) == level:
            return file.name
    raise AssertionError(f"there is no {node}")


def asked(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    """What a command prints."""
    capsys.readouterr()
    assert cli(["store", *map(str, words)]) == code
    captured = capsys.readouterr()
    return captured.out + captured.err


# --------------------------------------------------------------------------------------------- verify


def test_a_sound_store_is_clean_and_reading_it_changes_nothing(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = bytes_of(store)
    told = asked(capsys, "verify", store)
    assert "9 records, 11 blobs, 3 timings, 1 checkpoints" in told
    assert "GB/s" in told
    assert told.rstrip().endswith("clean: every checksum and every hash is right")
    plain = json.loads(asked(capsys, "verify", store, "--json"))
    assert (plain["clean"], plain["counts"]["blob"], plain["findings"]) == (True, 11, [])
    assert bytes_of(store) == before


@pytest.mark.parametrize("kind", ["record", "blob", "timing", "work"])
def test_damage_is_found_named_and_left_where_it_is(store: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = files(store, kind)[0]
    spoil(file.path)
    if kind == "timing":  # the first ones had no checksum: what is not one at all is found
        file.path.write_text("{}")
    before = bytes_of(store)
    told = asked(capsys, "verify", store, code=1)
    assert file.name[:12] in told
    assert "1 thing does not hold" in told
    assert json.loads(asked(capsys, "verify", store, "--json", code=1))["findings"][0]["name"] == file.name
    assert bytes_of(store) == before


def test_a_blob_that_is_gone_and_what_is_stale_are_found(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = Store(store)
    dense = there.get(key_of(store, "Train"))
    prune = there.get(key_of(store, "Prune"))
    below = {key_of(store, "Train", 1), key_of(store, "At")}
    (store / "blob" / prune["blobs"]["mask"][:2] / prune["blobs"]["mask"]).unlink()
    told = asked(capsys, "verify", store, code=1)
    assert f"record {prune['key'][:12]}: Prune: its mask is gone" in told
    there.commit(dense["key"], dense["node"], [], dense["result"], {"end": b"another", "mask": b"another"}, {})
    plain = json.loads(asked(capsys, "verify", store, "--json", code=1))
    stale = {finding["name"] for finding in plain["findings"] if "another content" in finding["reason"]}
    assert below <= stale, "whatever was made from it, in any generation"


def test_a_source_that_is_gone_is_no_damage(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store(store).discard(key_of(store, "Train"))
    told = asked(capsys, "verify", store)
    assert "are valid though their sources were removed" in told
    assert "clean" in told


def test_a_record_that_describes_something_else_is_found(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = Store(store).get(key_of(store, "Train", 1))
    node = {**record["node"], "level": 7}
    Store(store).commit(record["key"], node, [], record["result"], {"end": b"", "mask": b""}, record["fingerprint"])
    assert "what it describes has another key" in asked(capsys, "verify", store, code=1)


def test_what_is_no_store_is_a_mistake(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"did you mean {runs / 'store'}?" in asked(capsys, "verify", runs, code=2)
    assert "is not a store" in asked(capsys, "gc", runs / "nowhere", code=2)
    assert "lt-sweeps store --help" in asked(capsys, "mend", code=2)


# ------------------------------------------------------------------------------------------------- gc


def litter(store: Path) -> dict[str, Path]:
    """One of everything that nothing can use, beside what is needed."""
    there = Store(store)
    done, dead = key_of(store, "Train"), "ab" * 32
    (work,) = files(store, "work")
    there.save_work(done, b"a training that is done")
    there.save_work(dead, b"no checkpoint at all")
    there.save_timing(dead, {"seconds": 1.0})
    unnamed = there.put(b"a snapshot of a training that was killed")
    partial = store / "blob" / unnamed[:2] / f".{unnamed}.0123"
    partial.write_bytes(b"half")
    (store / "lease").mkdir()
    (store / "lease" / dead).write_text("{}")
    (store / "quarantine").mkdir()
    (store / "quarantine" / "damaged").write_bytes(b"x")
    assert checkpoint(work).snapshots, "a checkpoint that names a snapshot"
    age(store, 10)
    return {
        "partial files of writers that are gone": partial,
        "checkpoints of trainings that are done": store / "work" / done,
        "checkpoints that cannot be continued": store / "work" / dead,
        "blobs that nothing names": store / "blob" / unnamed[:2] / unnamed,
        "leases of holders that are gone": store / "lease" / dead,
        "timings of nothing that is there": store / "timing" / "ab" / f"{dead}.json",
        "damaged files that were set aside": store / "quarantine" / "damaged",
    }


def test_gc_removes_one_of_each_and_leaves_what_was_there(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = bytes_of(store)
    placed = litter(store)
    full = bytes_of(store)
    planned = json.loads(asked(capsys, "gc", store, "--dry-run", "--json"))
    assert bytes_of(store) == full, "a dry run removes nothing"
    removed = json.loads(asked(capsys, "gc", store, "--json"))
    assert removed["removed"] == planned["removed"]
    assert {kind: counted["files"] for kind, counted in removed["removed"].items()} == dict.fromkeys([*placed][:-1], 1)
    assert [path.exists() for path in placed.values()] == [False] * 6 + [True]
    assert "1 damaged files that were set aside removed" not in asked(capsys, "gc", store)
    told = asked(capsys, "gc", store, "--quarantine")
    assert "1 files       1 B  damaged files that were set aside" in told
    assert bytes_of(store) == before
    assert "clean" in asked(capsys, "verify", store)


def test_gc_spares_what_is_young(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    placed = litter(store)
    for path in placed.values():
        os.utime(path)
    told = asked(capsys, "gc", store, "--quarantine")
    assert "7 more are younger than 1 h" in told
    assert all(path.exists() for path in placed.values())
    asked(capsys, "gc", store, "--quarantine", "--older-than", 0)
    assert not any(path.exists() for path in placed.values())


def test_gc_touches_nothing_while_somebody_is_at_work_and_says_who(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    placed = litter(store)
    with Leases(store) as leases:
        assert leases.take("cd" * 32, "lenet on digits level 3", 100)
        told = asked(capsys, "gc", store, code=2)
        assert f"process {os.getpid()}, is at work on lenet on digits level 3" in told
        assert len(told.splitlines()) == 1
        assert all(path.exists() for path in placed.values())
    asked(capsys, "gc", store)
    assert sum(path.exists() for path in placed.values()) == 1


def test_a_blob_that_is_kept_again_before_its_record_is_written_is_spared(store: Path) -> None:
    """The race with a running sweep: an old blob that nothing names is about to be named."""
    there = Store(store)
    unnamed = there.put(b"weights that two trainings come to")
    age(store, 10)
    there.put(b"weights that two trainings come to")
    removed = collect(store, dry=False, older_than=1.0, quarantine=False)
    assert not removed.kinds["blobs that nothing names"]
    assert there.content(unnamed) == b"weights that two trainings come to"


def test_a_blob_that_gc_takes_away_meanwhile_is_written_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Store(store)
    name = there.put(b"weights")

    def too_late(path: Path) -> None:
        path.unlink()
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "utime", too_late)
    assert there.put(b"weights") == name
    assert there.content(name) == b"weights"


def test_what_becomes_young_while_gc_looks_around_is_put_back(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep keeps a blob again after gc has listed it as old, and before gc removes it."""
    there = Store(store)
    name = there.put(b"weights")
    age(store, 10)
    looks: list[Path] = []

    def look(root: Path) -> None:
        looks.append(root)
        if len(looks) > 1:  # the first look is before anything is listed, every other before something is removed
            there.put(b"weights")

    monkeypatch.setattr(gc, "_refuse_company", look)
    removed = collect(store, dry=False, older_than=1.0, quarantine=False)
    assert len(looks) > 1
    assert not removed.kinds["blobs that nothing names"]
    assert there.content(name) == b"weights"
    assert not list(store.glob("blob/??/.*")), "under its own name"


def test_a_damaged_blob_is_written_again_when_its_content_is_kept_again(store: Path) -> None:
    file = files(store, "blob")[0]
    content = file.path.read_bytes()
    spoil(file.path)
    assert Store(store).put(content) == file.name
    assert file.path.read_bytes() == content


def test_gc_keeps_every_blob_while_a_record_is_damaged(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(files(store, "blob"))
    spoil(files(store, "record")[0].path)
    assert "blobs are kept: 1 records are damaged" in asked(capsys, "gc", store, "--older-than", 0)
    assert len(files(store, "blob")) == before


def test_gc_keeps_what_a_sweep_began_with(runs: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ticket from a folder is named by no record: by the sweep's own copy of it."""
    given = runs / "v1" / "given" / "0123"
    given.mkdir(parents=True)
    (given / "weights.safetensors").write_bytes(b"from a colleague")
    name = Store(store).put(b"from a colleague")
    asked(capsys, "gc", store, "--older-than", 0)
    assert Store(store).content(name) == b"from a colleague"


def test_a_checkpoint_and_its_snapshots_are_kept_until_a_parent_changes(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (work,) = files(store, "work")
    snapshots = checkpoint(work).snapshots.values()
    asked(capsys, "gc", store, "--older-than", 0)
    assert work.path.exists()
    assert all(Store(store).content(blob) for blob in snapshots)
    source = next(iter(checkpoint(work).made_from["sources"]))
    record = Store(store).get(source)
    Store(store).commit(source, record["node"], [], record["result"], {"mask": b"another"}, record["fingerprint"])
    assert "1 files" in asked(capsys, "gc", store, "--older-than", 0)
    assert not work.path.exists()


def test_a_checkpoint_with_a_long_history_is_as_good_as_any(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work,) = files(store, "work")
    content = Store(store).load_work(work.name)
    assert content is not None
    tensors, note = decode(content)
    row = {"digest": "0" * 64, "train_loss": 0.125, "val_loss": 0.25, "val_accuracy": 50.0}
    history = [{"step": step, **row} for step in range(40_000)]  # an evaluation at each step
    Store(store).save_work(work.name, encode(tensors, json.dumps({**json.loads(note), "history": history})))
    age(store, 10)
    assert "clean" in asked(capsys, "verify", store)
    asked(capsys, "gc", store)
    assert Store(store).load_work(work.name) is not None


def test_the_checkpoint_of_a_training_that_is_computed_again_is_kept(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its old record stays until the new one is written: what it was made from has changed, which gc cannot see."""
    (work,), again = files(store, "work"), key_of(store, "Train")
    content = Store(store).load_work(work.name)
    assert content is not None
    Store(store).save_work(again, content)
    snapshot = Store(store).put(b"a snapshot that only the new checkpoint names")
    tensors, note = decode(content)
    progress = {**json.loads(note), "snapshots": {"1": snapshot}}
    Store(store).save_work(again, encode(tensors, json.dumps(progress)))
    age(store, 10)
    record = store / "record" / again[:2] / f"{again}.json"
    os.utime(record, (record.stat().st_mtime - 60,) * 2)
    asked(capsys, "gc", store)
    assert Store(store).load_work(again) is not None
    assert Store(store).content(snapshot)


@pytest.mark.parametrize("called", [".", "../store", "../../elsewhere", "blob/.."])
def test_gc_finds_the_sweeps_beside_a_store_however_it_is_called(
    runs: Path, store: Path, called: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = runs / "v1" / "given" / "0123"
    given.mkdir(parents=True)
    (given / "weights.safetensors").write_bytes(b"from a colleague")
    name = Store(store).put(b"from a colleague")
    (runs.parent / "elsewhere").symlink_to(store)
    monkeypatch.chdir(store)
    asked(capsys, "gc", called, "--older-than", 0)
    assert Store(store).content(name) == b"from a colleague"
    assert "v1: level 0 of" in asked(capsys, "show", key_of(store, "Train")[:12], called)


def test_a_clock_that_is_ahead_makes_nothing_old_and_nobody_silent(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The times of files on a shared disk are by its own clock, or that of another machine."""
    unnamed = Store(store).put(b"a snapshot of a training on another machine")
    real = time.time
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: real() + 7200)
        assert "1 more are younger than 1 h" in asked(capsys, "gc", store)
    assert Store(store).content(unnamed)
    with Leases(store) as leases:
        assert leases.take("ab" * 32, "a training")
        monkeypatch.setattr(lease, "_place", lambda: "another machine")
        monkeypatch.setattr(time, "time", lambda: real() + 7200)
        assert "is at work on a training" in asked(capsys, "gc", store, code=2)


# ----------------------------------------------------------------------------------------------- show


def test_a_training_is_shown_with_its_chain_its_sweeps_and_who_holds_it(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dense, ticket = key_of(store, "Train"), key_of(store, "Train", 1)
    told = asked(capsys, "show", ticket[:8], store)
    for said in (
        f"Train {ticket}",
        "recipe.optimizer.name=torch.optim.Adam",
        "80.37 % of weights",
        f"Train {dense[:12]} (level 0, 100.00 % of weights, test 18.89 %",
        "step 10",
        "v1: level 1 of lenet_300_100 digits rewind=step",
        "mask 419 B",
    ):
        assert said in told, told
    with Leases(store) as leases:
        leases.take(ticket, "it")
        assert f"process {os.getpid()}" in asked(capsys, "show", ticket, store)
    plain = json.loads(asked(capsys, "show", dense[:10], store, "--json"))
    assert (plain["record"], plain["is"], plain["valid"], plain["snapshots"]) == (dense, "Train", True, [7, 10])
    assert len(plain["shown_by"]) == 2, "both cells show the dense network"
    assert all("level 1" in line for line in plain["on_the_way_to"])


def test_a_mask_says_what_it_is_on_the_way_to(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = Store(store).get(key_of(store, "Train", 1))["sources"]
    prune = next(key for key in sources if Store(store).get(key)["node"]["node"] == "Prune")
    plain: dict[str, Any] = json.loads(asked(capsys, "show", prune, store, "--json"))
    assert plain["shown_by"] == []
    assert len(plain["on_the_way_to"]) == 2
    assert plain["made_from"][0].startswith(f"Train {key_of(store, 'Train')[:12]}")


def test_a_blob_says_what_it_holds_and_whose_it_is(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dense = Store(store).get(key_of(store, "Train"))
    told = asked(capsys, "show", dense["blobs"]["end"][:9], store)
    assert "fc1.weight=F32 [768]" in told
    assert f"Train {dense['key'][:12]} as its end" in told
    spoil(store / "blob" / dense["blobs"]["end"][:2] / dense["blobs"]["end"])
    assert "DAMAGED" in asked(capsys, "show", dense["blobs"]["end"], store)


def test_what_is_not_there_or_not_one_is_a_mistake(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing in it has a name that begins with 'ffffff'" in asked(capsys, "show", "ffffff", store, code=2)
    assert "give more of it" in asked(capsys, "show", "", store, code=2)
