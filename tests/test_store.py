"""The store keeps what it was given, whole or not at all, through kills, bit rot, full disks and company."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from lt_sweeps.store.store import Missing, Record, Store

ROOT = Path(__file__).parent.parent
KEYS = {name: hashlib.sha256(name.encode()).hexdigest() for name in "abcdef"}

# What the scripts below share: three nodes, each made from the last, kept as the product keeps trainings.
PRELUDE = """
import errno, json, os, resource, shutil, signal, sys, warnings
from hashlib import sha256
from pathlib import Path
from lt_sweeps.store.store import Missing, Store

assert "torch" not in sys.modules, "the store needs no torch"
warnings.simplefilter("error")
KEYS = [sha256(name.encode()).hexdigest() for name in ("dense", "level 1", "level 2")]
BLOBS = {key: {"end": key.encode() * 200, "mask": b"shared by all levels"} for key in KEYS}

def keep(store, key):
    if key not in store:
        store.save_work(key, b"half way")
        store.commit(key, {"node": "Item"}, KEYS[: KEYS.index(key)][-1:], {"kept": 1}, BLOBS[key], {"threads": 1})
        store.save_timing(key, {"seconds": 1.0})
    store.drop_work(key)

def keep_all(root):
    for key in KEYS:
        keep(Store(root), key)
"""

# Counts every file operation under a folder; fsync has no audit event of its own, so it is given one.
AUDIT = """
OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.chmod", "os.truncate", "fsync"}
flush = os.fsync

def fsync(descriptor):
    sys.audit("fsync", descriptor)
    flush(descriptor)

os.fsync = fsync

def watch(root, seen):
    def hook(event, args):
        if event in OPERATIONS and (event == "fsync" or str(args[0]).startswith(str(root))):
            seen(event, args)
    sys.addaudithook(hook)
"""


def script(code: str, *arguments: object, timeout: float = 120) -> Any:
    """Run a script after the prelude, and read the JSON it prints."""
    text = "\n".join([PRELUDE, AUDIT, dedent(code)])
    command = [sys.executable, "-c", text, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def commit(store: Store, name: str, *sources: str, **blobs: bytes) -> Record:
    """A small record."""
    result = {"status": "done", "kept": 3, "history": [{"step": 1, "loss": 0.25}]}
    node = {"node": "Item", "version": 1, "of": name}
    return store.commit(KEYS[name], node, [KEYS[s] for s in sources], result, blobs, {"threads": 1})


def files(folder: Path) -> dict[str, str]:
    """Every file below a folder, by the hash of its content."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


# ------------------------------------------------------------------------------------------ keeping


def test_what_is_committed_is_what_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = commit(store, "a", "c", "b", end=b"weights", mask=b"bits")
    assert KEYS["a"] in store
    assert store.get(KEYS["a"]) == record
    assert list(record["sources"]) == sorted([KEYS["b"], KEYS["c"]])
    assert {name: store.content(blob) for name, blob in record["blobs"].items()} == {"end": b"weights", "mask": b"bits"}


def test_what_json_cannot_say_is_returned_as_it_will_be_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    result = {"shape": (1, 28, 28), "at_step": {2: 0.5, 10: 0.75}}
    record = store.commit(KEYS["a"], {"node": "Item"}, [], result, {}, {})
    assert store.get(KEYS["a"]) == record
    assert record["result"] == {"shape": [1, 28, 28], "at_step": {"2": 0.5, "10": 0.75}}


def test_equal_work_is_equal_bytes_whatever_the_order_it_is_told_in(tmp_path: Path) -> None:
    for place, turn in (("one", 1), ("other", -1)):
        result = dict([("kept", 3), ("status", "done")][::turn])
        blobs = dict([("end", b"weights"), ("mask", b"bits")][::turn])
        sources = [KEYS["b"], KEYS["c"]][::turn]
        Store(tmp_path / place).commit(KEYS["a"], {"node": "Item"}, sources, result, blobs, {"threads": 1})
    assert files(tmp_path / "one") == files(tmp_path / "other") != {}


def test_what_was_never_kept_is_missing_without_a_word(tmp_path: Path) -> None:
    store = Store(tmp_path / "not" / "made" / "yet")
    assert KEYS["a"] not in store
    assert store.load_work(KEYS["a"]) is None
    assert store.load_timing(KEYS["a"]) == {}
    store.discard(KEYS["a"])
    store.drop_work(KEYS["a"])
    with pytest.raises(Missing):
        store.get(KEYS["a"])
    with pytest.raises(Missing):
        store.content(KEYS["a"])
    assert not (tmp_path / "not").exists(), "reading writes nothing"


def test_equal_content_is_kept_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = commit(store, "a", mask=b"bits"), commit(store, "b", mask=b"bits")
    assert first["blobs"] == second["blobs"]
    assert len(files(tmp_path / "blob")) == 1


def test_blobs_are_read_only_on_disk(tmp_path: Path) -> None:
    commit(Store(tmp_path), "a", end=b"weights", mask=b"bits")
    blobs = [path for path in (tmp_path / "blob").rglob("*") if path.is_file()]
    assert len(blobs) == 2
    assert all(path.stat().st_mode & 0o222 == 0 for path in blobs)


def test_the_last_work_saved_counts_until_it_is_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for content in (b"", b"epoch 1", b"epoch 2\nwith a line\n"):
        store.save_work(KEYS["a"], content)
        assert store.load_work(KEYS["a"]) == content
    store.drop_work(KEYS["a"])
    assert store.load_work(KEYS["a"]) is None


def test_what_was_made_from_something_else_is_stale(tmp_path: Path) -> None:
    store = Store(tmp_path)
    commit(store, "a", end=b"first")
    commit(store, "b", "a", end=b"made from the first")
    commit(store, "a", end=b"first")
    assert KEYS["b"] in store, "computed again with the same content"
    commit(store, "a", end=b"second")
    assert KEYS["b"] not in store
    assert not (tmp_path / "quarantine").exists(), "it is not damaged"
    commit(store, "b", "a", end=b"made from the second")
    assert KEYS["b"] in store


def test_a_source_that_is_gone_says_nothing_against_what_was_made_from_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    commit(store, "a", end=b"first")
    commit(store, "b", "a", end=b"made from the first")
    store.discard(KEYS["a"])
    assert KEYS["a"] not in store
    assert KEYS["b"] in store


def test_what_was_made_from_what_is_stale_is_stale_through_any_number_of_generations(tmp_path: Path) -> None:
    """A ticket's only stored source is its mask, and the mask's is the training: both must notice another training."""
    store = Store(tmp_path)
    for name, sources in {"a": "", "b": "a", "c": "ab", "d": "c", "e": "d", "f": ""}.items():
        commit(store, name, *sources, end=name.encode())
    assert all(KEYS[name] in store for name in "abcdef")
    commit(store, "a", end=b"another")
    assert [name for name in "abcdef" if KEYS[name] in store] == ["a", "f"]
    commit(store, "b", "a", end=b"b")
    commit(store, "c", "a", "b", end=b"c")
    assert [name for name in "abcdef" if KEYS[name] in store] == list("abcdef"), "what came out the same is kept"


def test_staleness_of_a_long_chain_is_found_at_once(tmp_path: Path) -> None:
    """Each of 40 links has two sources: the paths between the ends are as many as 2 ** 20, the records are not."""
    store = Store(tmp_path)
    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(40)]
    for number, key in enumerate(keys):
        store.commit(key, {"node": "Item"}, keys[max(0, number - 2) : number], {}, {"mask": bytes([number])}, {})
    assert keys[-1] in store
    store.commit(keys[0], {"node": "Item"}, [], {}, {"mask": b"another"}, {})
    assert keys[-1] not in store


def test_a_damaged_timing_is_only_not_known(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save_timing(KEYS["a"], {"seconds": 12.5})
    assert store.load_timing(KEYS["a"]) == {"seconds": 12.5}
    (path,) = (tmp_path / "timing").rglob("*.json")
    whole = path.read_bytes()
    cut = [whole[:length] for length in range(len(whole))]
    for damaged in [*cut, b"\xff\x00", b"[1]", b"3", b"null", b'"seconds"']:
        path.write_bytes(damaged)
        assert store.load_timing(KEYS["a"]) == {}, damaged


# ---------------------------------------------------------------------------------------- committing


def test_a_commit_writes_blobs_first_and_the_record_last(tmp_path: Path) -> None:
    log = script(
        """
        root, log = Path(sys.argv[1]), []
        watch(root, lambda event, args: log.append([event, *map(str, args[:2])]))
        Store(root).commit(KEYS[0], {"node": "Item"}, [], {}, BLOBS[KEYS[0]], {})
        print(json.dumps(log))
        """,
        tmp_path,
    )
    steps = [(event, Path(path) if event != "fsync" else None) for event, path, *_ in log if event != "os.mkdir"]
    written_flushed_named = ["open", "fsync", "os.rename", "open", "fsync"]
    assert [event for event, _ in steps] == written_flushed_named * 3
    named = [Path(to).relative_to(tmp_path) for event, _, to in (s for s in log if s[0] == "os.rename")]
    assert [path.parts[0] for path in named] == ["blob", "blob", "record"]
    for event, start, to in (s for s in log if s[0] == "os.rename"):
        assert Path(start).parent == Path(to).parent, f"{event} stays in one folder, so that it is atomic"
    for first in range(0, len(steps), 5):
        temporary, target = steps[first][1], named[first // 5]
        assert temporary is not None
        assert temporary.name.startswith("."), "a partial file is hidden"
        assert steps[first + 3][1] == (tmp_path / target).parent, "then the folder is flushed"


def test_a_kill_at_any_file_operation_changes_nothing_in_the_end(tmp_path: Path) -> None:
    """Killed before operation 1, 2, ... of three commits, whatever was not flushed torn in half; then run again."""
    space = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path
    root = space / f"lt_sweeps_{os.getpid()}_{tmp_path.name}"
    try:
        told = script(
            """
            home, whole = Path(sys.argv[1]), None

            def tree(root):
                kinds = [path for kind in ("record", "blob") for path in sorted((root / kind).rglob("*"))]
                whole = [path for path in kinds if path.is_file() and not path.name.startswith(".")]
                return {str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest() for path in whole}

            def others(root):
                known = {*tree(root), *(str(p.relative_to(root)) for p in (root / "timing").rglob("*.json"))}
                all_files = [p for p in root.rglob("*") if p.is_file() and not p.name.startswith(".")]
                return [str(p) for p in all_files if str(p.relative_to(root)) not in known]

            def in_child(work):
                child = os.fork()
                if not child:
                    try:
                        work()
                    except BaseException as error:
                        os.write(2, repr(error).encode())
                        os._exit(1)
                    os._exit(0)
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

            def until(root, fault):
                count = 0
                def seen(event, args):
                    nonlocal count
                    count += 1
                    if count == fault:
                        if event == "fsync" and os.fstat(args[0]).st_mode & 0o100000:
                            os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)
                        os.kill(os.getpid(), signal.SIGKILL)
                watch(root, seen)
                keep_all(root)

            def sound(root):
                store, there = Store(root), []
                for key in KEYS:
                    if key in store:
                        assert {n: store.content(b) for n, b in store.get(key)["blobs"].items()} == BLOBS[key]
                        there.append(key)
                assert there == KEYS[: len(there)], "parents first"
                assert store.load_work(KEYS[0]) in (None, b"half way")

            undisturbed = home / "undisturbed"
            assert in_child(lambda: keep_all(undisturbed)) == 0
            expected, points = tree(undisturbed), 0
            assert len(expected) == 3 + 4, expected
            assert not others(undisturbed)
            while True:
                root = home / "killed"
                code = in_child(lambda: until(root, points + 1))
                if code == 0:
                    break
                assert code == -signal.SIGKILL, code
                points += 1
                assert in_child(lambda: sound(root)) == 0, f"after a kill at operation {points}"
                assert in_child(lambda: keep_all(root)) == 0, f"again after a kill at operation {points}"
                assert tree(root) == expected, f"after a kill at operation {points}"
                assert not others(root), f"after a kill at operation {points}: {others(root)}"
                shutil.rmtree(root)
            print(json.dumps({"points": points, "tree": len(expected)}))
            """,
            root,
        )
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(f"killed at each of {told['points']} file operations")
    assert told["points"] > 60


def test_a_full_disk_is_an_error_that_leaves_the_store_valid(tmp_path: Path) -> None:
    told = script(
        """
        store = Store(Path(sys.argv[1]))
        keep(store, KEYS[0])
        before = sorted(str(p) for p in store.root.rglob("*"))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        sys.dont_write_bytecode = True  # Python would leave half a file of it
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        errors = []
        for attempt in (
            lambda: store.commit(KEYS[1], {}, [], {}, BLOBS[KEYS[1]], {}),
            lambda: store.commit(KEYS[1], {}, [], {"long": "x" * 2000}, {}, {}),
            lambda: store.save_work(KEYS[0], bytes(2000)),
        ):
            try:
                attempt()
            except OSError as error:
                errors.append(errno.errorcode[error.errno])
        assert KEYS[0] in store and KEYS[1] not in store
        assert store.content(store.get(KEYS[0])["blobs"]["end"]) == BLOBS[KEYS[0]]["end"]
        left = [str(p) for p in store.root.rglob("*") if p.is_file() and str(p) not in before]
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        for key in KEYS:
            keep(store, key)
        assert all(store.content(store.get(key)["blobs"]["end"]) == BLOBS[key]["end"] for key in KEYS)
        print(json.dumps({"errors": errors, "left": left}))
        """,
        tmp_path,
    )
    assert told == {"errors": ["EFBIG"] * 3, "left": []}


def test_eight_processes_that_keep_the_same_work_agree(tmp_path: Path) -> None:
    told = script(
        """
        home = Path(sys.argv[1])
        children = []
        for number in range(8):
            child = os.fork()
            if not child:
                try:
                    for turn in range(10):
                        store = Store(home / str(turn))
                        for key in KEYS:
                            store.commit(key, {"node": "Item"}, [], {"kept": 1}, BLOBS[key], {})
                            record = store.get(key)
                            assert {n: store.content(b) for n, b in record["blobs"].items()} == BLOBS[key]
                            store.save_work(key, b"half way")
                            assert store.load_work(key) == b"half way"
                except BaseException as error:
                    os.write(2, repr(error).encode())
                    os._exit(1)
                os._exit(0)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        left = [str(p) for p in home.rglob(".*")]
        print(json.dumps({"codes": codes, "partial": left}))
        """,
        tmp_path,
    )
    assert told == {"codes": [0] * 8, "partial": []}
    trees = [files(tmp_path / str(turn)) for turn in range(10)]
    assert all(tree == trees[0] for tree in trees)
    assert len(trees[0]) == 3 + 4 + 3, "three records, three ends and the mask they share, three checkpoints"


# ------------------------------------------------------------------------------------------- damage


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Store, dict[str, Path]]:
    """A store with one record, one blob and one checkpoint, and where they are."""
    store = Store(tmp_path)
    name = commit(store, "a", "b", end=bytes(range(256)) * 4)["blobs"]["end"]
    store.save_work(KEYS["a"], bytes(range(256)) * 2)
    places = {
        "record": tmp_path / "record" / KEYS["a"][:2] / f"{KEYS['a']}.json",
        "blob": tmp_path / "blob" / name[:2] / name,
        "work": tmp_path / "work" / KEYS["a"],
    }
    assert all(path.is_file() for path in places.values())
    return store, places


def read(store: Store, kind: str, path: Path) -> Any:
    """What the store gives for a file, None for nothing."""
    try:
        match kind:
            case "record":
                return store.get(path.stem)
            case "blob":
                return store.content(path.name)
    except Missing:
        return None
    return store.load_work(path.name)


def damage(path: Path, content: bytes) -> None:
    """Give a file another content, as a failing disk does."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def expect_set_aside(store: Store, kind: str, path: Path, damaged: bytes, how: str) -> None:
    """The damage is noticed at the first reading, told once, and out of the way at the second."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert read(store, kind, path) is None, f"{kind} {how}"
        assert not path.exists(), f"{kind} {how}"
        assert read(store, kind, path) is None, f"{kind} {how}"
    assert len(told) == 1, f"{kind} {how}: {[str(w.message) for w in told]}"
    assert "damaged" in str(told[0].message)
    assert "\n" not in str(told[0].message)
    (aside,) = [p for p in (store.root / "quarantine").iterdir() if p.name.startswith(path.name)]
    assert aside.read_bytes() == damaged, "what was found is kept to be looked at"
    aside.unlink()


def test_every_flipped_bit_and_every_truncation_is_noticed_and_set_aside(kept: tuple[Store, dict[str, Path]]) -> None:
    store, places = kept
    draw = random.Random(0)
    for _ in range(200):
        kind, path = draw.choice(sorted(places.items()))
        whole = path.read_bytes()
        good = read(store, kind, path)
        place, bit = draw.randrange(len(whole)), draw.randrange(8)
        flipped = whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
        for how, damaged in ((f"bit {bit} of byte {place}", flipped), (f"cut at {place}", whole[:place])):
            damage(path, damaged)
            expect_set_aside(store, kind, path, damaged, how)
            damage(path, whole)
            assert read(store, kind, path) == good, f"{kind} put back"


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"{}", b"[]", b"null", b"0", b'"text"', b'{"checksum": 1}'])
@pytest.mark.parametrize("kind", ["record", "blob", "work"])
def test_a_file_of_something_else_is_noticed_and_set_aside(
    kept: tuple[Store, dict[str, Path]], kind: str, content: bytes
) -> None:
    store, places = kept
    damage(places[kind], content)
    expect_set_aside(store, kind, places[kind], content, f"holds {content!r}")


def test_a_record_under_another_key_is_not_believed(kept: tuple[Store, dict[str, Path]]) -> None:
    store, places = kept
    other = store.root / "record" / KEYS["c"][:2] / f"{KEYS['c']}.json"
    other.parent.mkdir(parents=True)
    shutil.copyfile(places["record"], other)
    expect_set_aside(store, "record", other, places["record"].read_bytes(), "of another key")
    assert KEYS["a"] in store


def test_a_record_whose_blob_is_gone_is_not_done(kept: tuple[Store, dict[str, Path]]) -> None:
    store, places = kept
    places["blob"].unlink()
    with pytest.warns(UserWarning, match="damaged"):
        assert KEYS["a"] not in store
    assert KEYS["a"] not in store


def test_what_was_set_aside_can_be_kept_again(kept: tuple[Store, dict[str, Path]]) -> None:
    store, places = kept
    content = places["blob"].read_bytes()
    damage(places["blob"], b"rot")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(Missing):
        store.content(places["blob"].name)
    with pytest.warns(UserWarning, match="a blob is gone"):
        assert KEYS["a"] not in store
    record = commit(store, "a", "b", end=content)
    assert store.get(KEYS["a"]) == record
    assert store.content(record["blobs"]["end"]) == content
