"""Sweeps over worker processes: the same bytes whatever their number, nothing done twice, nobody dies with another."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import time
from pathlib import Path

import pytest
from warm import Started, warm

pytestmark = pytest.mark.processes
HERE = Path(__file__).parent
TINY = ["-m", "budget=smoke", "prune.levels=2", "sweep=s", "trainer=cpu"]
GRID = ["prune.rate=0.2,0.5", "seed=0,1", "control=none,reinit,mask_shuffle", "rewind=step", "rewind.step=2it"]


def counting(file: Path) -> list[str]:
    """Words that have each training that begins leave a line in a file."""
    return ["recipe.optimizer._target_=watched.Counted", f"+recipe.optimizer.args.file={file}"]


def start(folder: Path, *words: str, processes: int | None = None) -> Started:
    """A sweep in a process of its own; `processes` is how many workers it has."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    environment.pop("LT_SWEEPS_PROCESSES", None)
    given = [] if processes is None else [f"trainer.processes={processes}"]
    words = (*TINY, *words, *given, f"paths.output_dir={folder}")
    return warm().start("lt_sweeps.main", *words, cwd=folder.parent, env=environment)


def sweep(folder: Path, *words: str, processes: int | None = None, code: int = 0) -> str:
    """Run a sweep to its end; returns what it said."""
    process = start(folder, *words, processes=processes)
    said = "".join(process.communicate(timeout=300))
    assert process.returncode == code, said
    return said


def content(folder: Path) -> dict[str, str]:
    """Every record and blob of a store, by its hash; not what a process that still lives is just writing."""
    store = folder / "store"
    files = [path for kind in ("record", "blob") for path in store.glob(f"{kind}/*/[!.]*")]
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "s" / "results.csv").read_text().splitlines()))


def lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grid done in one process, without counting: what all others must come to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep(folder, *GRID, processes=0)
    return folder


def test_any_number_of_workers_leaves_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    assert len(content(undisturbed)) > 70
    for processes in (1, 3):
        folder = tmp_path / str(processes)
        sweep(folder, *GRID, processes=processes)
        assert content(folder) == content(undisturbed)
        assert (folder / "s" / "results.csv").read_bytes() == (undisturbed / "s" / "results.csv").read_bytes()


def test_each_distinct_training_of_a_grid_is_done_once(tmp_path: Path) -> None:
    said = sweep(tmp_path / "runs", *GRID, *counting(tmp_path / "count"), processes=2)
    # Per seed: a dense network, which both rates share, and for each rate 2 levels, and 2 of each of 2 controls. A
    # control needs all of the chain but its last level.
    assert "12 cells: 44 trainings asked, 26 distinct, 0 in the store, 26 to train" in said
    assert len(lines(tmp_path / "count")) == 26
    assert len(set(lines(tmp_path / "count"))) == 2  # in two processes, which were kept
    assert "26 in the store, 0 to train" in sweep(tmp_path / "runs", *GRID, *counting(tmp_path / "count"))
    assert len(lines(tmp_path / "count")) == 26


def test_more_seeds_and_levels_train_only_what_is_new(tmp_path: Path) -> None:
    words = counting(tmp_path / "count")
    sweep(tmp_path / "runs", "seed=0", *words)
    assert len(lines(tmp_path / "count")) == 3
    sweep(tmp_path / "runs", "seed=0,1", "prune.levels=3", *words)
    assert len(lines(tmp_path / "count")) == 3 + 1 + 4


def test_sweeps_that_overlap_share_every_training(tmp_path: Path) -> None:
    """Five at a time on one store, in different orders: each shared training is done once, and all are equal."""
    words = [*counting(tmp_path / "count"), "prune.rate=0.2,0.5"]
    seeds = ["0,1", "1,2", "2,0", "0,1,2", "2,1,0"]
    begun = [
        start(tmp_path / "runs", *words[:-1], "prune.rate=0.2,0.5", f"seed={given}", f"sweep=s{n}", processes=0)
        for n, given in enumerate(seeds)
    ]
    for process in begun:
        said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert len(lines(tmp_path / "count")) == 3 * (1 + 2 * 2)
    assert not list((tmp_path / "runs" / "store" / "lease").iterdir())


WAYS = {
    "segfault": "SIGSEGV: Fatal Python error: Segmentation fault",
    "os._exit": "left with code 9",
    "sys.exit": "SystemExit: 3",
    "kill": "ended by SIGKILL, as a system does that is out of memory",
    "memory": "MemoryError: no more of it",
    "raise": "RuntimeError: no more of this",
}


def test_a_worker_dies_alone(tmp_path: Path) -> None:
    """However it dies: its cell is lost, all others are done, and a rerun tries that one again."""
    words = [
        "model=custom",
        "model._target_=watched.Mortal",
        f"+model.args.how={','.join([*WAYS, 'live'])}",
    ]
    said = sweep(tmp_path, *words, code=1)
    status = {(row["model.args.how"], row["level"]): row["status"] for row in rows(tmp_path)}
    assert {how for how, level in status if status[how, level] == "done"} == {"live"}
    assert all(status["live", level] == "done" for level in "012")
    assert all(status[how, "0"] == "failed" for how in WAYS)
    for how, reason in WAYS.items():
        assert reason in said, how
    assert said.count("tried again alone") >= 1  # those with too little memory
    again = sweep(tmp_path, *words, code=1)
    assert f"3 in the store, {3 * len(WAYS)} to train" in again


def test_the_scheduler_can_be_killed_at_any_time(undisturbed: Path, tmp_path: Path) -> None:
    """Its workers leave by themselves, nobody has to wait for its leases, and nothing that was finished is repeated."""

    def records() -> int:
        return len([*(tmp_path / "store" / "record").glob("??/*.json")])

    for more in (1, 8, 8):
        finished, until = content(tmp_path), records() + more
        process = start(tmp_path, *GRID, processes=2)
        while records() < until and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it was killed in the middle"
        assert finished.items() < content(tmp_path).items()
    said = sweep(tmp_path, *GRID, processes=2)
    assert content(tmp_path) == content(undisturbed), said


def test_a_sweep_that_is_terminated_checkpoints_and_continues(tmp_path: Path) -> None:
    """What one process computes without a break, and two that are ended and begun again, are the same bytes."""
    long = ["recipe.steps=3000it", "budget=paper", "prune.levels=1", "recipe.eval_every=500it"]
    sweep(tmp_path / "whole", *long, processes=0)
    process = start(tmp_path / "broken", *long, processes=1)
    work = tmp_path / "broken" / "store" / "lease"
    until = time.monotonic() + 60
    while time.monotonic() < until and not any('"step": 0,' not in path.read_text() for path in work.glob("[0-9a-f]*")):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert time.monotonic() - began < 20  # the grace that is given to workers: none had to be killed
    assert list((tmp_path / "broken" / "store" / "work").iterdir())
    assert not list(work.iterdir())
    again = sweep(tmp_path / "broken", *long, processes=1)
    assert "continues at step" in again
    assert content(tmp_path / "broken") == content(tmp_path / "whole")


def test_trainings_on_one_device_and_on_two_share_a_sweep(tmp_path: Path) -> None:
    said = sweep(tmp_path, "seed=1,2", "trainer.devices=${seed}", processes=2)
    assert [row["status"] for row in rows(tmp_path)] == ["done"] * 6
    prints = [json.loads(path.read_bytes())["fingerprint"] for path in (tmp_path / "store" / "record").rglob("*.json")]
    assert {told.get("devices", 1) for told in prints} == {1, 2}, said
