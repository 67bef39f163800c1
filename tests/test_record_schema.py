"""A record that is whole but says what cannot be is damaged: set aside, told in one line, computed again."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lt_sweeps.cli import main as cli
from lt_sweeps.store.formats import signed
from lt_sweeps.store.schema import require
from lt_sweeps.store.store import Damaged, Missing, Store
from lt_sweeps.store_tools.survey import files

GOLDEN = Path(__file__).parent / "golden" / "store-v1"
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "runs")
    return tmp_path / "runs" / "store"


def path_of(store: Path, node: str) -> Path:
    """The file of the first record of a kind of node."""
    return next(file.path for file in files(store, "record") if f'"node": "{node}"' in file.path.read_text())


def edit(path: Path, change: Edit) -> None:
    """Change a record, and sign it anew."""
    record = json.loads(path.read_bytes())
    del record["checksum"]
    change(record)
    path.write_text(json.dumps(signed(record)))


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


EDITS: dict[str, tuple[str, Edit]] = {
    "no blobs": ("Train", lambda record: record.pop("blobs")),
    "no end blob": ("Train", lambda record: record["blobs"].pop("end")),
    "a blob that is a path": ("Train", lambda record: record["blobs"].update(end="../../etc/passwd")),
    "no result": ("Train", lambda record: record.pop("result")),
    "no node": ("Train", lambda record: record.pop("node")),
    "sources of another type": ("Train", lambda record: record.update(sources=["a"])),
    "a status that is a list": ("Train", lambda record: record["result"].update(status=["done"])),
    "an unknown status": ("Train", lambda record: record["result"].update(status="fine")),
    "no status": ("Train", lambda record: record["result"].pop("status")),
    "accuracy as text": ("Train", lambda record: record["result"]["end"].update(test_accuracy="abc")),
    "accuracy 1e308": ("Train", lambda record: record["result"]["end"].update(test_accuracy=1e308)),
    "a loss of 400 digits": ("Train", lambda record: record["result"]["end"].update(test_loss=10**400)),
    "accuracy nan": ("Train", lambda record: record["result"]["end"].update(test_accuracy=math.nan)),
    "accuracy true": ("Train", lambda record: record["result"]["end"].update(test_accuracy=True)),
    "history as text": ("Train", lambda record: record["result"].update(history="abc")),
    "a row without step": ("Train", lambda record: record["result"]["history"][0].pop("step")),
    "kept > total": ("Train", lambda record: record["result"].update(kept=record["result"]["total"] + 1)),
    "total 0": ("Train", lambda record: record["result"].update(kept=0, total=0)),
    "a layer with more than all": ("Train", lambda record: record["result"].update(layers=[["w", 2, 1]])),
    "negative steps": ("Train", lambda record: record["result"].update(steps=-1)),
    "deep nesting": ("Train", lambda record: record["result"].update(more=nested(100))),
    "a mask without eligible": ("Prune", lambda record: record["result"].pop("eligible")),
    "a mask without its blob": ("Prune", lambda record: record["blobs"].clear()),
    "a snapshot without state": ("At", lambda record: record["blobs"].clear()),
}


@pytest.mark.parametrize("case", EDITS)
def test_a_record_that_says_what_cannot_be_is_set_aside(
    store: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node, change = EDITS[case]
    path = path_of(store, node)
    edit(path, change)
    assert cli(["store", "verify", str(store)]) == 1
    assert f"record {path.stem[:12]}" in capsys.readouterr().out
    _require_set_aside(store, path)


def test_a_measured_number_that_no_float_holds_is_refused() -> None:
    record = {"node": {"node": "Measure"}, "result": {"status": "done", "distance": 10**400}}
    with pytest.raises(ValueError, match="its result's distance is not finite numbers"):
        require({**record, "sources": {}, "blobs": {}, "fingerprint": {}})


def _require_set_aside(store: Path, path: Path) -> None:
    with pytest.warns(UserWarning, match="set aside, to be computed again") as told, pytest.raises(Missing):
        Store(store).get(path.stem)
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    assert not path.exists()


def test_damage_in_a_store_that_cannot_be_written_to_is_said_and_not_read(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    path = path_of(store, "Train")
    path.write_text("damaged")
    monkeypatch.setattr(os, "replace", refuse)
    said = pytest.warns(Damaged, match=r"not read, and left where it is \(Read-only file system\)")
    with said, pytest.raises(Missing):
        Store(store).get(path.stem)
    assert path.read_text() == "damaged"


def test_nesting_that_no_parser_survives_is_damage(store: Path) -> None:
    path = path_of(store, "Train")
    path.write_text("[" * 200_000)
    _require_set_aside(store, path)


def test_a_record_larger_than_any_is_not_read(store: Path) -> None:
    path = path_of(store, "Train")
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    _require_set_aside(store, path)


@pytest.mark.parametrize("kind", ["fifo", "folder", "link to a device"])
@pytest.mark.parametrize("place", ["record", "blob"])
def test_what_is_no_regular_file_is_not_read(
    store: Path, kind: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = files(store, place)[0].path
    path.unlink()
    make: dict[str, Callable[[], object]] = {
        "fifo": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "link to a device": lambda: path.symlink_to("/dev/zero"),
    }
    make[kind]()
    assert cli(["store", "verify", str(store)]) == 1
    assert f"{place} {path.stem[:12]}: it is not a regular file" in capsys.readouterr().out
    there = Store(store)
    with pytest.warns(UserWarning, match="not a regular file"), pytest.raises(Missing):
        (there.get if place == "record" else there.content)(path.stem)
    assert not os.path.lexists(path)


@pytest.mark.parametrize("content", ['{"seconds": "abc"}', '{"seconds": -1}', '{"seconds": 1e999}'])
def test_a_duration_that_cannot_be_is_none(store: Path, content: str) -> None:
    path = files(store, "timing")[0].path
    path.write_text(json.dumps(signed(json.loads(content))))
    assert Store(store).load_timing(path.stem) == {}


def test_status_says_in_one_line_what_it_set_aside(store: Path) -> None:
    path = path_of(store, "Train")
    edit(path, lambda record: record.pop("result"))
    sweep = next(path.parent for path in store.parent.glob("*/cells.json"))
    code = "import sys; from lt_sweeps.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "status", str(sweep)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        f"note: {path.name[:12]}... in the store is damaged (it has no result): set aside, to be computed again\n"
    )
