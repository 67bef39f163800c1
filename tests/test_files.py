"""Files that results are made from: known by their content, wherever they lie, and noticed when they change."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lt_sweeps.cli import main
from lt_sweeps.foreign import files as contents
from lt_sweeps.foreign.files import ABSENT, digest, listing, located, named, variable
from lt_sweeps.store import store as stores
from lt_sweeps.store.store import Missing, Store

KEY = hashlib.sha256(b"a").hexdigest()
LATER = hashlib.sha256(b"b").hexdigest()


def kept(store: Store, key: str, sources: list[str], read: dict[str, str]) -> None:
    store.commit(key, {"node": "Other"}, sources, {}, {}, {}, files=read)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(stores, "LOOK_AGAIN", -1.0)
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "data" / "raw" / "images").write_bytes(b"0123")
    return Store(tmp_path / "store", {"data": tmp_path / "data"})


def image_of(store: Store) -> Path:
    return store.places["data"] / "raw" / "images"


def test_a_record_is_stale_where_a_file_has_another_content_of_the_same_size(store: Store) -> None:
    path = image_of(store)
    kept(store, KEY, [], {"data:raw/images": digest(path)})
    kept(store, LATER, [KEY], {})
    assert KEY in store
    path.write_bytes(b"3210")
    for key in (KEY, LATER):
        with pytest.raises(Missing):
            store.get(key)
    path.write_bytes(b"0123")
    assert KEY in store
    assert LATER in store


def test_a_touched_a_moved_and_a_missing_file_say_nothing_against_a_record(store: Store, tmp_path: Path) -> None:
    path = image_of(store)
    kept(store, KEY, [], {"data:raw/images": digest(path), "elsewhere:x": KEY, "/nowhere/x.json": KEY})
    os.utime(path, (1, 1))
    assert KEY in store
    (tmp_path / "data").rename(tmp_path / "moved")
    assert KEY in store
    assert KEY in Store(tmp_path / "store", {"data": tmp_path / "moved"})
    assert KEY in Store(tmp_path / "store")


def test_a_record_without_files_is_as_it_was(store: Store) -> None:
    kept(store, KEY, [], {})
    record = json.loads((store.root / "record" / KEY[:2] / f"{KEY}.json").read_bytes())
    assert "files" not in record


def test_a_folder_is_what_its_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "FOLDER_SECONDS", -1.0)
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1234")
    states = [digest(tmp_path)]
    (tmp_path / "b/3.png").write_bytes(b"1234")
    states.append(digest(tmp_path))
    (tmp_path / "b/3.png").write_bytes(b"4321")
    states.append(digest(tmp_path))
    (tmp_path / "b/3.png").rename(tmp_path / "a/3.png")
    states.append(digest(tmp_path))
    assert len(set(states)) == 4
    (tmp_path / "a/3.png").unlink()
    assert digest(tmp_path) == states[0]
    monkeypatch.setattr(contents, "LARGE", 4)
    large = digest(tmp_path)
    os.utime(tmp_path / "a/1.png", (1, 1))
    assert digest(tmp_path) != large


def test_a_folder_is_also_what_its_linked_folders_hold(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Image sets are put together by links: a subset of classes, or `train` on another disk."""
    monkeypatch.setattr(contents, "FOLDER_SECONDS", -1.0)
    data = store.places["data"]
    image, birds = data / "all" / "owl" / "1.png", data / "birds"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"1234")
    (birds / "train").mkdir(parents=True)
    (birds / "list.txt").write_text("owl")
    before = digest(birds)
    (birds / "train" / "owl").symlink_to(image.parent)
    (image.parent / "around").symlink_to(birds)  # a link to what it is in ends there
    kept(store, KEY, [], {"data:birds": digest(birds)})
    kept(store, LATER, [], {"data:birds": before})  # of a version that did not look into links
    assert KEY in store
    image.write_bytes(b"4321")
    assert KEY not in store
    assert LATER in store
    (birds / "list.txt").write_text("owl, crow")
    assert LATER not in store


@pytest.mark.parametrize("name", ["data:raw/images", "code:mine/net.json", "/somewhere/else"])
def test_a_file_is_found_where_a_record_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path / "code")
    places = {"data": tmp_path / "data"}
    (tmp_path / "code/mine").mkdir(parents=True)
    (tmp_path / "code/mine/net.json").write_text("{}")
    path = located(name, places)
    assert path is not None
    assert named(path, [*places.items(), ("code", tmp_path / "code")]) == name


DATA_SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lt_sweeps.datasets import arrays
from lt_sweeps.provenance.made_from import files
from lt_sweeps.foreign.watch import watch
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.registry import part
from lt_sweeps.specs import Data, Network, Part, Recipe
watch()
folder, source = Path(sys.argv[1]) / "data", part("dataset", "mine.reads")
arrays.read(source, folder)
network = Network(part("network", "lenet_300_100"), (1, 2, 2), 2)
ticket = Ticket(network, Init(network, 0), Dense(network))
recipe = Recipe(1, 1, Part("torch.optim.SGD", args={"lr": 0.1}))
print(json.dumps(files(Train(ticket, Data(source, 2, (1, 2, 2)), recipe), folder)))
"""


def test_a_training_names_what_its_data_were_read_from(tmp_path: Path) -> None:
    """A file below the data's folder, and one beside the code."""
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "x.npy", np.zeros((4, 1, 2, 2), dtype=np.uint8))
    (tmp_path / "labels.json").write_text("[0, 1, 0, 1]")
    (tmp_path / "mine.py").write_text(
        "import json\nfrom pathlib import Path\nimport numpy as np\n\ndef reads(data_dir):\n"
        "    x = np.load(data_dir / 'x.npy')\n"
        "    y = np.array(json.loads((Path(__file__).parent / 'labels.json').read_text()))\n"
        "    return x, y, x, y\n"
    )
    command = [sys.executable, "-c", DATA_SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."})
    names = {"data:x.npy": "data/x.npy", "code:labels.json": "labels.json"}
    assert json.loads(done.stdout) == {name: digest(tmp_path / path) for name, path in names.items()}


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lt_sweeps.foreign.watch import read_by, watch
from lt_sweeps.main import exit_code_of
watch()
import mine
mine.read()
assert not any(read_by([Path(mine.__file__)])), "a script may read what it likes"
exit_code_of(lambda: 0 * len(str(mine.read())))
found = read_by([Path(mine.__file__)])
print(sorted(path.name for path in found.files), sorted(path.name for path in found.folders), *found.variables)
"""


def test_what_foreign_code_writes_or_libraries_open_is_not_what_it_was_made_from(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import json, sklearn.datasets\nfrom pathlib import Path\nHERE = Path(__file__).parent\n"
        "def read():\n    (HERE / 'log.txt').write_text('x')\n    (HERE / 'log.txt').read_text()\n"
        "    sklearn.datasets.load_digits()\n    return (HERE / 'net.json').read_text()\n"
    )
    (tmp_path / "net.json").write_text("{}")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."})
    assert done.stdout.strip() == "['net.json'] []"


READS = """
import importlib.metadata, os, tempfile
from pathlib import Path
import torch
HERE = Path(__file__).parent
def read():
    torch.zeros(2), importlib.metadata.version("torch"), os.environ.get("HOME"), Path("~").expanduser()
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "x").write_text("x")
        os.listdir(place)
    try:
        (HERE / "optional.json").read_text()
    except FileNotFoundError:
        pass
    for path in (HERE / "parts").glob("*.txt"):
        path.read_text()
    return os.environ.get("WIDTH", "32"), "DEPTH" in os.environ
"""


def test_what_is_looked_for_listed_and_asked_of_the_environment_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/a.txt").write_text("a")
    (tmp_path / "mine.py").write_text(READS)
    environment = {**os.environ, "PYTHONPATH": ".", "WIDTH": "3"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "['a.txt', 'optional.json'] ['parts'] WIDTH DEPTH"


MANY = """
import threading, os
from pathlib import Path
import numpy as np
import torch
HERE = Path(__file__).parent
def deep(n):
    return deep(n - 1) if n else (HERE / "deep.txt").read_text()
def read():
    worker = threading.Thread(target=lambda: (HERE / "thread.txt").read_text())
    worker.start(), worker.join()
    np.memmap(HERE / "memmap.bin", dtype="u1")[0]
    (HERE / "link.txt").read_text()
    deep(300)
    try:
        torch.load(HERE / "cache.pt")
    except FileNotFoundError:
        torch.save(1, HERE / "cache.pt")
    os.environ.copy().get("COPIED"), {**os.environ}.get("COPIED"), [value for _, value in os.environ.items()]
    os.environ["SET_HERE"] = "1"
    os.environ["SET_HERE"], os.environ.setdefault("USUAL", "1"), os.environ["USUAL"]
    return os.environ.get("GROUP_NORM"), os.environ.get("LOCAL_RANK"), os.environb.get(b"AS_BYTES")
"""


def test_what_is_read_in_odd_ways_is_read_too(tmp_path: Path) -> None:
    for name in ("thread.txt", "memmap.bin", "a.txt", "deep.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "mine.py").write_text(MANY)
    script = SCRIPT.replace(
        'mine.read()\nassert not any(read_by([Path(mine.__file__)])), "a script', 'assert "a script'
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."})
    files = ["a.txt", "cache.pt", "deep.txt", "link.txt", "memmap.bin", "thread.txt"]
    assert done.stdout.strip() == f"{files} [] USUAL GROUP_NORM AS_BYTES"


def test_a_record_is_stale_where_a_file_appears_a_folder_gains_a_name_or_a_variable_changes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("WIDTH", "3")
    monkeypatch.delenv("DEPTH", raising=False)
    (tmp_path / "mine/parts").mkdir(parents=True)
    for name in ("mine/net.json", "top.json"):
        (tmp_path / name).write_text("{}")
    read = {
        "code:mine/optional.json": ABSENT,
        "code:mine/net.json": digest(tmp_path / "mine/net.json"),
        "code:top.json": digest(tmp_path / "mine/net.json"),
        "code:mine/parts/": listing(tmp_path / "mine/parts"),
        "env:WIDTH": variable("WIDTH"),
        "env:DEPTH": ABSENT,
    }
    kept(store, KEY, [], read)
    assert KEY in store
    for change, back in (
        (lambda: (tmp_path / "mine/optional.json").write_text(""), lambda: (tmp_path / "mine/optional.json").unlink()),
        (lambda: (tmp_path / "mine/parts/a").write_text(""), lambda: (tmp_path / "mine/parts/a").unlink()),
        (lambda: (tmp_path / "top.json").unlink(), lambda: (tmp_path / "top.json").write_text("{}")),
        (lambda: (tmp_path / "mine/net.json").unlink(), lambda: (tmp_path / "mine/net.json").write_text("{}")),
        (lambda: monkeypatch.setenv("WIDTH", "4"), lambda: monkeypatch.setenv("WIDTH", "3")),
        (lambda: monkeypatch.delenv("WIDTH"), lambda: monkeypatch.setenv("WIDTH", "3")),
        (lambda: monkeypatch.setenv("DEPTH", "1"), lambda: monkeypatch.delenv("DEPTH")),
    ):
        change()
        assert KEY not in store
        back()
        assert KEY in store


def test_show_and_verify_say_what_a_record_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WIDTH", "3")
    (tmp_path / "net.json").write_text("{}")
    node = {"node": "Other", "version": 1}
    key, path = hashlib.sha256(json.dumps(node, separators=(",", ":")).encode()).hexdigest(), str(tmp_path / "net.json")
    read = {path: digest(tmp_path / "net.json"), "env:WIDTH": variable("WIDTH"), str(tmp_path / "more.json"): ABSENT}
    Store(tmp_path / "store").commit(key, node, [], {}, {}, {}, files=read)

    def told(*words: str) -> str:
        assert main(["store", *words, str(tmp_path / "store")]) == 0
        return " ".join(capsys.readouterr().out.split())  # however it is wrapped

    shown = told("show", key)
    assert "env:WIDTH (4e07408562be)" in shown
    assert f"{tmp_path}/more.json (was not there)" in shown
    assert "holds something else" not in shown + told("verify")
    (tmp_path / "net.json").write_text("[]")
    assert "net.json (44136fa355b3), holds something else now" in told("show", key)
    assert f"1 of what records were made from holds something else now: {path}" in told("verify")
