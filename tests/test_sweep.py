"""Whole sweeps on the embedded digits: shared, repeated, killed, damaged, collapsed, diverged."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from composed import composed
from warm import Started, warm

import lt_sweeps as lt
from lt_sweeps import realise
from lt_sweeps.cell import Cell
from lt_sweeps.cells import budgets
from lt_sweeps.cli import main as cli
from lt_sweeps.columns import COST
from lt_sweeps.config import archive
from lt_sweeps.errors import Mistake
from lt_sweeps.execution import worker as running
from lt_sweeps.execution.plan import Job
from lt_sweeps.graph import END, At, Train
from lt_sweeps.main import main
from lt_sweeps.masks import effective, kept, shuffled
from lt_sweeps.randomness import rng
from lt_sweeps.realise import Values
from lt_sweeps.store.store import Store
from lt_sweeps.store.tensors import decode_mask, encode_mask
from lt_sweeps.training.recorder import Tell

pytestmark = pytest.mark.sweeps

SMALL = ["recipe.steps=60it", "recipe.eval_every=20it", "prune.levels=2", "sweep=s"]
Rows = list[dict[str, str]]


def sweep(folder: Path, *words: str, code: int = 0) -> Rows:
    """Run a multirun and read its results."""
    assert main(["-m", *SMALL, *words, f"paths.output_dir={folder}"]) == code
    return list(csv.DictReader((folder / "s" / "results.csv").read_text().splitlines()))


def command(folder: Path, *words: str) -> Started:
    """A multirun in a process of its own."""
    return warm().start("lt_sweeps.main", "-m", *words, cwd=folder, env=os.environ)


def told(capsys: pytest.CaptureFixture[str]) -> tuple[int, ...]:
    """cells, asked, distinct, stored and to train, of the last plan that was printed."""
    pattern = r"(\d+) cells?: (\d+) trainings asked, (\d+) distinct, (\d+) in the store.*?(\d+) to train"
    return tuple(int(n) for n in re.findall(pattern, capsys.readouterr().out)[-1])


def cells_of(*words: str) -> list[Cell]:
    """One cell, composed as the command line would."""
    return [composed(*SMALL, *words)]


def values(folder: Path) -> Values:
    """Nodes realised from a sweep's store."""
    return Values(Store(folder / "store"), Path(), torch.device("cpu"), {})


def test_cells_share_their_chain_and_a_repeated_command_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("control=none,reinit,mask_shuffle", "seed=0,1")
    rows = sweep(tmp_path, *words)
    assert told(capsys) == (6, 22, 14, 0, 14)  # per seed: a chain of 3; a control needs 2 of it and shows 2 more
    assert [row["status"] for row in rows] == ["done"] * 18
    first = (tmp_path / "s" / "results.csv").read_bytes(), (tmp_path / "s" / "report.html").read_bytes()
    assert sweep(tmp_path, *words) == rows
    assert told(capsys) == (6, 22, 14, 14, 0)
    assert ((tmp_path / "s" / "results.csv").read_bytes(), (tmp_path / "s" / "report.html").read_bytes()) == first
    dense = {(row["seed"], row["key"]) for row in rows if row["level"] == "0"}
    assert len(dense) == 2
    by_control = {(r["control"], r["seed"], r["level"]): r for r in rows}
    assert by_control["none", "0", "2"]["density"] == by_control["mask_shuffle", "0", "2"]["density"]
    assert by_control["none", "0", "2"]["key"] != by_control["reinit", "0", "2"]["key"]


def test_several_budgets_say_whose_each_is_and_begin_with_their_name() -> None:
    """By its beginning the report knows whether a recipe was cut."""
    cells = [*cells_of("model=vgg11", "recipe.steps=160ep"), *cells_of("model=vgg13", "recipe.steps=99ep")]
    told = budgets(cells)
    assert [line.partition(":")[0] for line in told] == ["budget=paper"] * 2
    assert [line.rpartition(" ")[2] for line in told] == ["(vgg11)", "(vgg13)"]
    assert budgets([cells[0]]) == [told[0].removesuffix(" (vgg11)")]


def test_a_finished_sweep_is_reported_without_torch(tmp_path: Path) -> None:
    sweep(tmp_path)
    code = (
        "import sys; from lt_sweeps.main import main; "
        f"code = main(['-m', *{SMALL!r}, 'paths.output_dir={tmp_path}']); sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0 to train" in done.stdout


def test_a_sweep_folder_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sweep(tmp_path, "seed=0,1", "trainer.processes=1")
    rows = sweep(tmp_path, "seed=3")
    assert "note: 2 cells of before" in capsys.readouterr().out
    assert [row["seed"] for row in rows] == ["0"] * 3 + ["1"] * 3 + ["3"] * 3
    assert rows[:6] == before, "the same columns, the same values"
    assert len(archive.cells(tmp_path / "s")) == 3
    assert sweep(tmp_path, "seed=3") == rows
    assert "to train" in capsys.readouterr().out
    assert sweep(tmp_path, "seed=0,1,3") == rows
    assert "of before" not in capsys.readouterr().out
    mixed = sweep(tmp_path, "seed=3", "control=reinit", "prune.rate=0.4")
    assert mixed[-1]["prune.rate"] == "0.4"
    assert [{name: row[name] for name in rows[0]} for row in mixed[:9]] == rows


def test_what_is_replaced_under_a_name_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for rate in ("0.2", "0.4"):
        assert main([*SMALL, "prune.levels=1", f"prune.rate={rate}", f"paths.output_dir={tmp_path}"]) == 0
    assert "note: 1 cell of before" in (out := capsys.readouterr().out)
    assert "replaced: the same labels, other settings or code" in out
    told = json.loads((tmp_path / "s" / "cells.json").read_text())
    told[0]["levels"][1], told[0]["swept"] = "0" * 64, {"prune.rate": "0.1"}
    (tmp_path / "s" / "cells.json").write_text(json.dumps(told))
    assert main([*SMALL, f"paths.output_dir={tmp_path}"]) == 2
    assert "give sweep= another name, or repeat its overrides" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "s" / "cells.json").read_text())) == 1


def test_adding_a_seed_or_a_level_trains_only_what_is_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = sweep(tmp_path, "seed=0")
    more = sweep(tmp_path, "seed=0,1")
    assert told(capsys)[3:] == (3, 3)
    assert more[:3] == few
    sweep(tmp_path, "seed=0", "prune.levels=4")
    assert told(capsys)[3:] == (6, 2)  # seed 1 stays in the folder


@pytest.mark.parametrize("model", [(), ("model=custom", "model._target_=small.Net")], ids=["lenet", "batchnorm"])
@pytest.mark.parametrize("step", [0, 13])
def test_rewinding_is_bit_equal_at_every_level(
    tmp_path: Path, step: int, model: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*model, "rewind=step", f"rewind.step={step}it", "prune.levels=3")
    sweep(tmp_path, *words)
    assert "replayed" not in capsys.readouterr().out, "the plan knew the rewind point: nothing is trained twice"
    dense, *tickets = cells_of(*words)[0].levels
    there = values(tmp_path)
    rewound = there.weights(dense.ticket.weights if step == 0 else At(dense, step))
    before = there.mask(dense.ticket.mask)
    for ticket in tickets:
        assert ticket.ticket.start == step
        mask, start = there.mask(ticket.ticket.mask), there.weights(ticket.ticket.weights)
        assert all(torch.equal(start[name], rewound[name]) for name in rewound)  # buffers of batch normalisation too
        assert kept(mask) < kept(before)
        assert all(bool((before[name] | ~mask[name]).all()) for name in mask)
        ended = there.weights(At(ticket, END))
        assert all(not bool(ended[name][~mask[name]].any()) for name in mask)
        before = mask


def test_levels_remove_the_papers_shares(tmp_path: Path) -> None:
    rows = sweep(tmp_path, "prune.levels=3")
    weights = 64 * 300 + 300 * 100 + 1000
    kept_now = {"fc1": 64 * 300, "fc2": 30000, "output": 1000}
    for row in rows[1:]:
        kept_now = {name: n - round((0.1 if name == "output" else 0.2) * n) for name, n in kept_now.items()}
        assert float(row["density"]) == pytest.approx(sum(kept_now.values()) / weights, abs=1e-8)


def test_a_rewind_point_asked_for_later_is_replayed_to_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("rewind=step", "rewind.step=13it")
    fresh = sweep(tmp_path / "fresh", *words)
    sweep(tmp_path / "later")
    shutil.rmtree(tmp_path / "later" / "s")  # the store stays
    capsys.readouterr()
    later = sweep(tmp_path / "later", *words)
    out = capsys.readouterr().out
    assert "2 to train (and 1 to repeat up to a rewind point)" in out
    assert "replayed to step 13" in out
    assert later == fresh


def test_a_replay_on_another_machine_computes_the_run_and_what_follows_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(tmp_path, "control=none,reinit")
    real = running.fingerprint
    monkeypatch.setattr(running, "fingerprint", lambda *args: real(*args) | {"machine": "another"})
    shutil.rmtree(tmp_path / "s")
    capsys.readouterr()
    rows = sweep(tmp_path, "control=none,reinit", "rewind=step", "rewind.step=13it")
    out = capsys.readouterr().out
    assert "computed on another machine or library" in out
    assert "it, and what was made from it, is computed again" in out
    assert {row["status"] for row in rows} == {"done"}
    made_by = {Store(tmp_path / "store").get(row["key"])["fingerprint"]["machine"] for row in rows}
    assert made_by == {"another"}
    shutil.rmtree(tmp_path / "s")
    sweep(tmp_path, "control=none,reinit")  # made from the forgotten run: stale, unless it comes out the same
    assert told(capsys)[3] >= 1


def test_continuing_a_chain_on_another_machine_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(tmp_path)
    real = running.fingerprint
    monkeypatch.setattr(running, "fingerprint", lambda *args: real(*args) | {"torch": "9.9"})
    sweep(tmp_path, "prune.levels=3")
    assert capsys.readouterr().out.count("this chain continues stored work made with another torch") == 1


@pytest.mark.filterwarnings("ignore:.*is damaged")
@pytest.mark.parametrize("kind", ["blob", "record"])
def test_damage_in_the_store_is_noticed_and_computed_again(tmp_path: Path, kind: str) -> None:
    rows = sweep(tmp_path)
    results = (tmp_path / "s" / "results.csv").read_bytes()
    for path in sorted((tmp_path / "store" / kind).glob("??/*")):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(content)
    assert sweep(tmp_path, "prune.levels=3")[:3] == rows
    assert (tmp_path / "s" / "results.csv").read_bytes().startswith(results)
    assert any((tmp_path / "store" / "quarantine").iterdir())


def test_an_emptied_layer_is_a_result_and_what_follows_is_blocked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("prune.rate=0.99", "prune.levels=5", "prune.groups=layerwise")
    rows = sweep(tmp_path, *words)
    statuses = [row["status"] for row in rows]
    assert statuses[0] == "done"
    assert statuses.count("collapsed") == 1
    assert set(statuses[statuses.index("collapsed") + 1 :]) == {"blocked"}
    collapsed = rows[statuses.index("collapsed")]
    assert 0 < float(collapsed["density"]) < 0.01
    assert collapsed["test_accuracy"] == ""
    assert collapsed["emptied"] == "fc1.weight fc2.weight"
    assert "1 collapsed (fc1.weight, fc2.weight empty)" in (tmp_path / "s" / "report.html").read_text()
    layers = list(csv.DictReader((tmp_path / "s" / "layers.csv").read_text().splitlines()))
    empty = [row for row in layers if row["kept"] == "0"]
    assert [(row["level"], row["layer"]) for row in empty] == [("3", "fc1.weight"), ("3", "fc2.weight")]
    costs = list(csv.DictReader((tmp_path / "s" / "costs.csv").read_text().splitlines()))
    assert [(row["key"], int(row[COST])) for row in costs] == [
        (row["key"], 60 * n) for n, row in enumerate(rows[:3], 1)
    ]
    kept = sum(int(row["kept"]) for row in layers if row["level"] == "1")
    assert kept / sum(int(row["total"]) for row in layers if row["level"] == "1") == pytest.approx(
        float(rows[1]["density"]), abs=1e-8
    )
    capsys.readouterr()
    assert sweep(tmp_path, *words) == rows
    assert told(capsys)[4] == 0
    sweep(tmp_path, *words, "prune.on_empty=error", code=2)
    assert "prune.on_empty=error: a layer is empty at level" in capsys.readouterr().err


def test_a_divergence_is_a_result_and_a_repeated_command_does_not_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("recipe.optimizer._target_=torch.optim.SGD", "recipe.optimizer.args.lr=1e30")
    rows = sweep(tmp_path, *words)
    assert [row["status"] for row in rows] == ["diverged", "blocked", "blocked"]
    assert 0 < int(rows[0]["steps"]) < 60
    assert sweep(tmp_path, *words) == rows
    assert told(capsys) == (1, 3, 3, 1, 0)


BROKEN = """
import torch

class Net(torch.nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.output, self.steps = torch.nn.Linear(64, classes), 0

    def forward(self, x):
        self.steps += self.training
        if self.steps == 7:
            raise RuntimeError("no such luck")
        return self.output(x.flatten(1))
"""


def test_a_cell_that_fails_loses_no_other_and_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_net.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    words = ("model._target_=null,broken_net.Net",)
    rows = sweep(tmp_path, *words, code=1)
    assert [row["status"] for row in rows] == ["done"] * 3 + ["failed"] + ["missing"] * 2
    captured = capsys.readouterr()
    assert "RuntimeError: no such luck" in captured.out
    assert "the same command tries them again" in captured.err


def test_a_control_changes_one_thing(tmp_path: Path) -> None:
    ticket = cells_of("rewind=step", "rewind.step=13it")[0].levels[2]
    for control in ("reinit", "shuffle", "mask_shuffle", "random"):
        other = cells_of("rewind=step", "rewind.step=13it", f"control={control}")[0].levels[2]
        same = {
            "weights": other.ticket.weights == ticket.ticket.weights,
            "mask": other.ticket.mask == ticket.ticket.mask,
        }
        assert sorted(same.values()) == [False, True]
        rebuilt = Train(ticket.ticket, other.data, other.recipe, other.order, other.augment, other.level)
        assert rebuilt == ticket
        assert other.ticket.start == ticket.ticket.start


def test_a_random_reinit_is_a_fresh_draw_from_the_layers_own_initialiser() -> None:
    there = values(Path())
    _, *reinits = cells_of("control=reinit")[0].levels
    ticket = cells_of()[0].levels[1]
    original, *draws = (there.weights(run.ticket.weights) for run in (ticket, *reinits))
    for drawn in draws:
        for name, value in drawn.items():
            if name.endswith("bias"):
                assert not bool(value.any())
                continue
            assert not torch.equal(value, original[name])
            outputs, inputs = value.shape
            assert float(value.std()) == pytest.approx((2 / (inputs + outputs)) ** 0.5, rel=0.1)
    assert not torch.equal(draws[0]["fc1.weight"], draws[1]["fc1.weight"])


def test_shuffle_controls_keep_their_counts_and_differ(tmp_path: Path) -> None:
    sweep(tmp_path, "control=none,mask_shuffle,random,shuffle")
    there = values(tmp_path)
    ticket = cells_of()[0].levels[2].ticket
    mask, weights = there.mask(ticket.mask), there.weights(ticket.weights)
    for control in ("mask_shuffle", "random"):
        other = there.mask(cells_of(f"control={control}")[0].levels[2].ticket.mask)
        assert kept(other) == kept(mask)
        assert not torch.equal(other["fc1.weight"], mask["fc1.weight"])
        same_layers = all(int(other[name].sum()) == int(mask[name].sum()) for name in mask)
        assert same_layers == (control == "mask_shuffle")
    shuffled = there.weights(cells_of("control=shuffle")[0].levels[2].ticket.weights)
    for name, ones in mask.items():
        assert not torch.equal(shuffled[name][ones], weights[name][ones])
        assert torch.equal(shuffled[name][ones].sort().values, weights[name][ones].sort().values)


@pytest.mark.parametrize(
    "words",
    [
        ("survivors=reinit",),
        ("survivors=shuffle", "control=random"),
        ("prune=one_shot", "rewind=epoch"),
        ("rewind=learning_rate", "rewind.step=10it"),
        ("rewind=finetune", "rewind.finetune=40it"),
        ("rewind=step", "rewind.step=9it", "rewind.retrain=full", "pruned=freeze"),
        ("model=custom", "model._target_=small.Net", "rewind=step", "rewind.step=9it", "rewind.batchnorm=keep"),
        ("criterion=random", "prune.groups=global", "recipe.precision=bf16-mixed"),
    ],
    ids=" ".join,
)
def test_every_member_of_the_family_runs_and_the_order_of_jobs_changes_nothing(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    there = sweep(tmp_path / "forth", *words, "seed=0,1")
    back = sweep(tmp_path / "back", *words, "seed=1,0")
    assert {row["status"] for row in there} == {"done"}
    assert sorted(map(str, there)) == sorted(map(str, back))


def test_rewound_and_frozen_weights_are_what_they_say(tmp_path: Path) -> None:
    sweep(tmp_path, "pruned=freeze")
    there = values(tmp_path)
    dense, *_, last = cells_of("pruned=freeze")[0].levels
    initial, ended, mask = (
        there.weights(dense.ticket.weights),
        there.weights(At(last, END)),
        there.mask(last.ticket.mask),
    )
    assert all(torch.equal(ended[name][~ones], initial[name][~ones]) for name, ones in mask.items())
    sweep(tmp_path, "survivors=keep", "rewind=learning_rate")
    _, first, second = cells_of("survivors=keep", "rewind=learning_rate")[0].levels
    mask = there.mask(second.ticket.mask)
    kept_weights = effective(there.weights(second.ticket.weights), mask)
    ended = effective(there.weights(At(first, END)), mask)
    assert all(torch.equal(kept_weights[name], ended[name]) for name in ended)


def test_kill_nine_in_the_middle_and_the_same_command_give_the_same_bytes(tmp_path: Path) -> None:
    """Killed while it trains its first level, then while it trains a later one; then it gets through."""
    words = [*SMALL, "recipe.steps=200it", "control=none,reinit", f"paths.output_dir={tmp_path / 'killed'}"]
    store = tmp_path / "killed" / "store"
    for sign in ("lease/*", "record/??/*.json"):
        process = command(tmp_path, *words)
        while not [*store.glob(sign)] and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it was killed in the middle"
    process = command(tmp_path, *words)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    sweep(tmp_path / "calm", "recipe.steps=200it", "control=none,reinit")
    for name in ("results.csv",):
        assert (tmp_path / "killed" / "s" / name).read_bytes() == (tmp_path / "calm" / "s" / name).read_bytes()
    assert store_content(tmp_path / "killed") == store_content(tmp_path / "calm")


def store_content(folder: Path) -> dict[str, bytes]:
    """Every record and blob, by path; what a killed write left behind is hidden by its dot."""
    store = folder / "store"
    paths = [p for kind in ("record", "blob") for p in (store / kind).glob("??/*") if not p.name.startswith(".")]
    return {str(path.relative_to(store)): path.read_bytes() for path in paths}


def test_interrupting_says_how_to_go_on(tmp_path: Path) -> None:
    words = [*SMALL, "recipe.steps=20000it", f"paths.output_dir={tmp_path}"]
    process = command(tmp_path, *words)
    lease = tmp_path / "store" / "lease"
    deadline = time.monotonic() + 400
    while not any(lease.glob("*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    try:
        out, errors = process.communicate(timeout=400)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "the same command continues" in errors
    assert "Traceback" not in errors
    assert "budget=paper" in out


def test_an_interrupted_sweep_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train, done = running.Worker.do, list[Job]()

    def interrupted(self: running.Worker, job: Job, on_step: Tell) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job)
        train(self, job, on_step)

    monkeypatch.setattr(running.Worker, "do", interrupted)
    rows = sweep(tmp_path, "seed=0,1", "trainer.processes=0", code=130)
    assert [row["status"] for row in rows].count("done") == 2
    assert [row["status"] for row in rows].count("missing") == 4
    assert (tmp_path / "s" / "report.html").exists()
    table = (tmp_path / "s" / "results.csv").read_bytes()
    for name in ("results.csv", "report.html"):
        (tmp_path / "s" / name).unlink()
    assert cli(["report", str(tmp_path / "s")]) == 0
    assert "2 of 6 levels are done" in capsys.readouterr().out
    assert (tmp_path / "s" / "results.csv").read_bytes() == table
    assert (tmp_path / "s" / "report.html").exists()
    opened = lt.open(tmp_path / "s")
    assert list(opened.results["status"]).count("done") == 2
    assert len(opened.runs(status="done")) == 2
    with pytest.raises(Mistake, match="s: no row has level=99; level is 0, 1, 2"):
        opened.ticket(level=99)
    with pytest.raises(Mistake, match="no row has control=nothing; control is none"):
        opened.curve(control="nothing")
    assert opened.runs(control="nothing") == []
    assert opened.runs(status="done")[0].history["step"].iloc[-1] == 60


def test_a_sweep_takes_over_what_another_process_has_committed_meanwhile(tmp_path: Path) -> None:
    """Two sweeps of the same cells at once: the same bytes as one alone, and neither fails."""
    words = [*SMALL, "recipe.steps=200it", "seed=0,1", f"paths.output_dir={tmp_path / 'both'}"]
    turned = [word if word != "seed=0,1" else "seed=1,0" for word in words]
    both = [command(tmp_path, *words), command(tmp_path, *turned)]
    answers = [process.communicate(timeout=400) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    sweep(tmp_path / "alone", "recipe.steps=200it", "seed=0,1")
    assert store_content(tmp_path / "both") == store_content(tmp_path / "alone")


def test_a_reader_that_leaves_ends_the_reading_and_not_the_sweep(tmp_path: Path) -> None:
    words = [*SMALL, f"paths.output_dir={tmp_path}"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "lt_sweeps.main", "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert (process.wait(timeout=400), errors) == (0, "")
    assert (tmp_path / "s" / "report.html").exists()


def test_termination_is_told_from_success(tmp_path: Path) -> None:
    words = [*SMALL, "recipe.steps=20000it", f"paths.output_dir={tmp_path}"]
    process = command(tmp_path, *words)
    work = tmp_path / "store" / "work"
    deadline = time.monotonic() + 400
    while not work.is_dir() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    try:
        _, errors = process.communicate(timeout=400)
    finally:
        process.kill()
    assert process.returncode == 143
    assert "the same command continues" in errors


@pytest.mark.parametrize("where", ["reading its data", "beside a training"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_termination_is_no_failure_of_what_it_comes_in(
    number: signal.Signals,
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A user's own code may leave by sys.exit, which is a failure; what catches that lets a signal through."""

    def terminated(*_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    if where == "reading its data":
        monkeypatch.setattr(realise, "loader", terminated)
    else:
        monkeypatch.setattr(running.Worker, "do", terminated)
    before = signal.signal(number, signal.SIG_DFL)  # whoever started the tests may ignore it
    try:
        assert main(["-m", *SMALL, f"paths.output_dir={tmp_path}"]) == 128 + number
    finally:
        signal.signal(number, before)
    printed = capsys.readouterr()
    assert printed.err == "\nterminated; the same command continues where this one was\n"
    assert "failed" not in printed.out


def test_a_place_that_cannot_be_written_to_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["-m", *SMALL, f"paths.output_dir={tmp_path / 'file'}"]) == 2
    assert "can paths.output_dir be written to?" in capsys.readouterr().err


def test_a_shuffle_control_permutes_the_tickets_own_start(tmp_path: Path) -> None:
    words = ("rewind=learning_rate", "rewind.step=13it")
    sweep(tmp_path, *words, "control=none,shuffle")
    there = values(tmp_path)
    ticket, other = (cells_of(*words, f"control={c}")[0].levels[2].ticket for c in ("none", "shuffle"))
    start, shuffled, mask = there.weights(ticket.weights), there.weights(other.weights), there.mask(ticket.mask)
    for name, ones in mask.items():
        assert torch.equal(shuffled[name][ones].sort().values, start[name][ones].sort().values)
        assert not torch.equal(shuffled[name][ones], start[name][ones])


def test_a_checkpoint_of_another_parent_is_not_continued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_work: list[tuple[str, bytes]] = []
    save = Store.save_work
    monkeypatch.setattr(Store, "save_work", lambda self, key, content: kept_work.append((key, content)))
    monkeypatch.setattr(running, "Session", partial(running.Session, wait=lambda cost: 0.0))
    words = ("prune.levels=1",)
    rows = sweep(tmp_path, *words)
    store = Store(tmp_path / "store")
    mask_key = list(store.get(rows[1]["key"])["sources"])
    (key, content) = [item for item in kept_work if item[0] == rows[1]["key"]][-1]
    monkeypatch.setattr(Store, "save_work", save)
    store.discard(key)
    store.save_work(key, content)
    assert sweep(tmp_path, *words) == rows
    assert "continues at step" in capsys.readouterr().out
    store.discard(key)
    store.save_work(key, content)
    (source,) = mask_key
    pruned = store.get(source)
    mask = decode_mask(store.content(pruned["blobs"]["mask"]))
    other = encode_mask(shuffled(mask, "layer", rng(0)))
    store.commit(source, pruned["node"], pruned["sources"], pruned["result"], {"mask": other}, pruned["fingerprint"])
    sweep(tmp_path, *words)
    assert "a checkpoint from another machine, library or parent is not continued" in capsys.readouterr().out


def test_cells_are_described_without_paths_and_loggers(tmp_path: Path) -> None:
    words = ["-m", "logger=none", "seed=0", "budget=smoke", "prune.levels=0", "sweep=s"]
    assert main([*words, f"paths.output_dir={tmp_path}"]) == 0
    assert str(tmp_path) not in (tmp_path / "s" / "cells.json").read_text()


def test_what_a_setting_makes_is_compared_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, "survivors=rewind,reinit", "seed=0,1", "prune.levels=2")
    capsys.readouterr()
    assert cli(["compare", str(tmp_path / "s"), str(tmp_path / "s"), "survivors=rewind"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| reinit", "| reinit"]
    assert "at the step of least validation loss" in lines[0]
    assert cli(["compare", str(tmp_path / "s"), "criterion=magnitude"]) == 2
    assert "nothing else has" in capsys.readouterr().err
    assert cli(["best", str(tmp_path / "s")]) == 0


def test_a_refused_data_set_leaves_the_folder_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ("dataset=few_classes", "dataset.args.of=digits", "dataset.shape=[1,8,8]", "dataset.classes=5")
    assert main(["-m", *SMALL, *few, f"paths.output_dir={tmp_path}"]) == 2
    assert "694 such examples of its first 5 classes, not 12,000" in capsys.readouterr().err
    assert not (tmp_path / "s" / "cells.json").exists()
    rows = sweep(tmp_path, *few, "dataset.train=600", "dataset.test=150")
    assert len(rows) == 3, "nothing of the refused command"
    before = (tmp_path / "s" / "cells.json").read_bytes()
    assert main(["-m", *SMALL, *few, "dataset.classes=4", f"paths.output_dir={tmp_path}"]) == 2
    assert (tmp_path / "s" / "cells.json").read_bytes() == before
