"""Tickets as folders: bit-equal there and back, readable without us, refused when they are not what they say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mutate import sign
from test_sweep import SMALL, cells_of, sweep, told

import lt_sweeps as lt
from lt_sweeps.cli import main as cli
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Fit
from lt_sweeps.main import main
from lt_sweeps.sweeps.notebook import Sweep
from lt_sweeps.ticket_files import card as cards
from lt_sweeps.ticket_files import origins
from lt_sweeps.ticket_files.card import BadTicket

pytestmark = pytest.mark.sweeps

HERE = Path(__file__).parent
LAST = {"level": 2, "seed": 0, "control": "none"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sweep, with frozen pruned weights too, and rewound to step 13."""
    folder = tmp_path_factory.mktemp("runs")
    sweep(folder, "control=none,reinit", "pruned=zero,freeze", "rewind=step", "rewind.step=13it")
    return folder


@pytest.fixture(scope="module")
def opened(runs: Path) -> Sweep:
    return lt.open(runs / "s")


@pytest.fixture
def exported(opened: Sweep, tmp_path: Path) -> Path:
    return opened.ticket(**LAST, pruned="zero").export(tmp_path / "ticket")


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# ---------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("pruned", ["zero", "freeze"])
def test_a_ticket_comes_back_bit_equal(opened: Sweep, tmp_path: Path, pruned: str, trained: bool) -> None:
    run = opened.ticket(**LAST, pruned=pruned)
    module = lt.load_ticket(run.export(tmp_path / "t", trained=trained))
    assert equal(module.state_dict(), run.state() if trained else run.state(13))
    assert not module.training
    again = run.export(tmp_path / "again", trained=trained)
    assert all(path.read_bytes() == (tmp_path / "t" / path.name).read_bytes() for path in again.iterdir())


@pytest.mark.parametrize("pruned", ["zero", "freeze"])
def test_the_lines_on_the_card_load_it_without_this_project(opened: Sweep, tmp_path: Path, pruned: str) -> None:
    run = opened.ticket(**LAST, pruned=pruned)
    folder = run.export(tmp_path / "t")
    lines = json.loads((folder / "card.json").read_text())["how to load without lt_sweeps"]
    assert sum(not line.lstrip().startswith("#") for line in lines) <= 5
    code = "\n".join([*lines, "import sys", "assert 'lt_sweeps' not in sys.modules", "st.save_file(state, 'all')"])
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    from safetensors.torch import load_file

    assert equal(load_file(folder / "all"), run.state(13))


def test_a_ticket_is_as_large_as_what_it_keeps(opened: Sweep, exported: Path) -> None:
    mask = opened.ticket(**LAST, pruned="zero").mask
    kept, total = (
        sum(int(n) for n in found) for found in zip(*((m.sum(), m.numel()) for m in mask.values()), strict=True)
    )
    files = sum((exported / name).stat().st_size for name in (cards.WEIGHTS, cards.MASK))
    assert files <= 4 * (kept + 410) + total / 8 + 1000  # 410 biases, two headers


def test_training_a_ticket_comes_to_what_it_promises(
    opened: Sweep, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = opened.ticket(**LAST, pruned="zero")
    for trains in (1, 0):  # the second time it is in the store
        assert cli(["ticket", "train", str(exported), "--runs", str(tmp_path / "other")]) == 0
        out = capsys.readouterr().out
        assert out.count("[1/1]") == trains
        assert f"test accuracy: {run.row['test_accuracy']:g}, promised {run.row['test_accuracy']:g} (+0)" in out
        assert f"early stop step: {run.row['early_stop_step']:g}, promised" in out


def test_a_sweep_of_an_older_version_is_opened(opened: Sweep, tmp_path: Path) -> None:
    """Its cells know nothing of groups and fields that came later."""
    older = tmp_path / "older" / "s"
    shutil.copytree(opened.folder, older)
    (older.parent / "store").symlink_to(opened.folder.parent / "store")
    told = json.loads((older / "cells.json").read_text())
    for cell in told:
        for name in ("corruption", "ticket", "mask_from"):
            del cell["config"][name]
        del cell["config"]["trainer"]["workers"]
    (older / "cells.json").write_text(json.dumps(told))
    run = lt.open(older).ticket(**LAST, pruned="zero")
    assert run.expression == opened.ticket(**LAST, pruned="zero").expression


# ------------------------------------------------------------------------------ experiments begin with it


def test_a_stored_ticket_is_the_very_same_training(
    opened: Sweep, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = opened.ticket(**LAST, pruned="zero")
    words = (f"ticket={run.key[:8]}", "rewind=step", "rewind.step=13it", "prune.levels=1", "sweep=on")
    for trains in (1, 0):  # again: a key that this sweep shows too is found where it was computed
        assert main(["-m", *SMALL, *words, f"paths.output_dir={runs}"]) == 0
        assert told(capsys)[4] == trains, "only the level below it is new"
    went = lt.open(runs / "on")
    assert went.ticket(level=0).key == run.key
    below = went.ticket(level=1).mask
    assert all(bool((run.mask[name] | ~below[name]).all()) for name in below)


@pytest.mark.parametrize("words", [("rewind=step", "rewind.step=13it"), ("rewind=learning_rate", "pruned=freeze")])
def test_pruning_on_from_a_stored_ticket_is_the_chain_it_came_from(tmp_path: Path, words: tuple[str, ...]) -> None:
    sweep(tmp_path, *words, "prune.levels=1")
    key = lt.open(tmp_path / "s").ticket(level=1).key
    chain = cells_of(*words)[0].levels
    went = cells_of(*words, f"ticket={key}", "prune.levels=1", f"paths.output_dir={tmp_path}")[0].levels
    assert [run.key for run in went] == [run.key for run in chain[1:]]


def test_a_folder_is_a_ticket_by_its_content(opened: Sweep, exported: Path, tmp_path: Path) -> None:
    run, moved = opened.ticket(**LAST, pruned="zero"), tmp_path / "moved"
    here, there = f"ticket={exported}", f"ticket={moved}"
    one = cells_of(here, "rewind=step", "rewind.step=13it")[0].levels
    shutil.move(exported, moved)
    two = cells_of(there, "rewind=step", "rewind.step=13it")[0].levels
    assert [level.key for level in one] == [level.key for level in two]
    assert (one[0].ticket.start, one[0].level, one[1].level) == (13, 2, 3)
    rows = sweep(tmp_path, there, "rewind=step", "rewind.step=13it", "prune.levels=1")
    assert float(rows[0]["test_accuracy"]) == run.row["test_accuracy"]
    first = lt.open(tmp_path / "s").ticket(level=0)
    assert equal(first.state(13), run.state(13))


@pytest.mark.parametrize("setting", ["ticket", "mask_from"])
def test_a_sweep_keeps_what_it_was_given(exported: Path, tmp_path: Path, setting: str) -> None:
    before = (exported / "card.json").read_bytes()
    sweep(tmp_path, f"{setting}={exported}", "rewind=step", "rewind.step=13it", "prune.levels=1")
    shutil.rmtree(exported)
    assert [path.read_bytes() for path in (tmp_path / "s").glob("given/*/card.json")] == [before]
    shutil.move(tmp_path / "s", tmp_path / "moved")
    run = lt.open(tmp_path / "moved").ticket(level=1)
    assert run.evaluate().accuracy == run.row["test_accuracy"]


def test_a_mask_found_elsewhere_is_put_on_this_networks_own_weights(
    opened: Sweep, exported: Path, tmp_path: Path
) -> None:
    found = opened.ticket(**LAST, pruned="zero")
    rows = sweep(tmp_path, f"mask_from={exported}", "seed=7", "control=none,reinit")
    assert [(row["prune"], row["level"]) for row in rows] == [("given", "0"), ("given", "1")] * 2
    dense, ticket = (lt.open(tmp_path / "s").ticket(level=level, control="none") for level in (0, 1))
    assert all(torch.equal(ticket.mask[name], ones) for name, ones in found.mask.items())
    begun = ticket.state(0)
    assert all(torch.equal(value * begun[name].ne(0), begun[name]) for name, value in dense.state(0).items())


@pytest.mark.parametrize("name", ["weights.safetensors", "mask.safetensors"])
def test_what_was_given_is_put_back_where_the_store_damaged_it(
    exported: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (f"ticket={exported}", "rewind=step", "rewind.step=13it")
    sweep(tmp_path, *words, "prune.levels=0")
    sha = origins.sha256((exported / name).read_bytes())
    blob = tmp_path / "store" / "blob" / sha[:2] / sha
    blob.chmod(0o644)
    blob.write_bytes(b"damaged")
    assert [row["status"] for row in sweep(tmp_path, *words)] == ["done"] * 3
    blob.unlink()  # and after it was put there: one line, not a plan that is made for ever
    monkeypatch.setattr(origins, "folders", lambda config: {})
    shutil.rmtree(tmp_path / "s")
    assert main(["-m", *SMALL, *words, "seed=5", f"paths.output_dir={tmp_path}"]) == 2
    assert "have changed since: the same command reads them again" in capsys.readouterr().err


def test_a_key_that_looks_like_a_number_stays_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", *SMALL, "mask_from=1e234567,0e000002", f"paths.output_dir={tmp_path}"]) == 2
    assert "shows a training whose key begins with 1e234567" in capsys.readouterr().err


def test_a_mask_by_key_is_the_mask_itself_where_the_network_is_the_same(opened: Sweep, runs: Path) -> None:
    run = opened.ticket(**LAST, pruned="zero")
    words = (f"mask_from={run.key[:8]}", f"paths.output_dir={runs}")
    assert cells_of(*words)[0].levels[1].ticket.mask == run.expression.ticket.mask
    fitted = cells_of(*words, "prune.exclude=[output.weight]")[0].levels[1].ticket.mask
    assert isinstance(fitted, Fit)
    assert fitted.mask == run.expression.ticket.mask


def test_what_cannot_begin_is_said_in_one_line(
    exported: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for words, line in {
        ("ticket=0123456",): f"no sweep under {runs} shows a training whose key begins with 0123456",
        (f"ticket={tmp_path}/nothing",): "is no ticket, there is no card.json in it",
        (f"mask_from={tmp_path}/empty",): "is no ticket, there is no card.json in it",
        (f"ticket={exported}", f"mask_from={exported}"): "give one of the two",
        (f"ticket={exported}", "control=random"): "ticket= has weights under its own mask only",
        (f"ticket={exported}", "recipe.steps=13it"): "begins at step 13 of a training that ends at 13",
        (f"ticket={exported}", "model=conv2", "dataset=digits", "recipe=lenet_digits"): (
            "is of lenet_300_100 for inputs of [1, 8, 8] and 10 classes"
        ),
        (f"mask_from={exported}", "model=conv2", "dataset=digits", "recipe=lenet_digits"): (
            "the given mask has 300x64 places for fc1.weight, this network 256x1024"
        ),
    }.items():
        assert main([*SMALL[:2], *words, f"paths.output_dir={runs}"]) == 2, words
        said = capsys.readouterr().err
        assert line in said, said
        assert said.count("\n") == 1


# --------------------------------------------------------------------------------- the command line


def test_tickets_are_exported_verified_and_listed(
    opened: Sweep, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = opened.ticket(**LAST, pruned="zero")
    by_row = ["ticket", "export", str(runs / "s"), "level=2", "seed=0", "control=none", "pruned=zero"]
    assert cli([*by_row, "--to", str(tmp_path / "start")]) == 0
    assert cli(["ticket", "export", run.key[:8], "--runs", str(runs), "--to", str(tmp_path / "end"), "--trained"]) == 0
    assert cli(["ticket", "verify", str(tmp_path / "start"), str(tmp_path / "end")]) == 0
    out = capsys.readouterr().out
    assert "trained, it promises test accuracy" in out
    assert f"test accuracy {run.row['test_accuracy']:.2f} %, as promised" in out
    assert cli(["ticket", "list", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    (runs / "begun").mkdir()
    shutil.copy(runs / "s" / "cells.json", runs / "begun")
    assert cli(["ticket", "list", str(runs)]) == 0
    listed = capsys.readouterr().out
    assert run.key[:8] in listed
    assert "begun: has no results yet" in listed
    for words, line in {
        (*by_row[:3], "level=2"): "rows match; say which control, pruned",
        (*by_row[:3], "depth=2"): "has no column 'depth'",
        ("ticket", "export", str(tmp_path)): "is not the folder of a sweep",
        ("ticket", "exprot"): "invalid choice",
        ("ticket", "list", str(tmp_path / "nothing")): "there is no such folder",
        ("ticket", "train", str(tmp_path / "end")): "holds trained weights",
        (*by_row, "--to", str(runs)): "is not empty, and no ticket",
        ("ticket", "export", run.key[:8], "level=1", "--runs", str(runs)): "a key says all, leave out level=1",
    }.items():
        assert cli(list(words)) == 2
        said = capsys.readouterr().err
        assert line in said, said
        assert said.count("\n") == 1


def test_a_promise_that_is_not_kept_is_noticed(
    opened: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = opened.ticket(**LAST, pruned="zero").export(tmp_path / "t", trained=True)
    change(folder, lambda told: told["expected"].update(test_accuracy=99.9))
    assert cli(["ticket", "verify", str(folder)]) == 1
    assert "and promises 99.9" in capsys.readouterr().out


def test_rows_are_found_however_their_values_are_written(tmp_path: Path) -> None:
    sweep(tmp_path, "budget.max_steps=null,30", "prune.fresh_order=true,false", "prune.rate=0.2,0.50")
    went = lt.open(tmp_path / "s")
    for steps, same in {60: (None, "null", float("nan")), 30: (30, "30", 30.0)}.items():
        for value in same:
            for fresh in (True, "true"):
                for rate in (0.5, "0.50"):
                    asked = {"budget.max_steps": value, "prune.fresh_order": fresh, "prune.rate": rate}
                    row = went.ticket(level=1, **asked).row
                    assert (row["steps"], row["prune.fresh_order"], row["prune.rate"]) == (steps, True, 0.5)


def test_a_sweep_is_opened_and_listed_from_within(
    opened: Sweep, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs / "s")
    here = lt.open(".")
    monkeypatch.chdir(runs)
    assert here.ticket(**LAST, pruned="zero").record == opened.ticket(**LAST, pruned="zero").record
    for place in (runs, runs / "s"):
        monkeypatch.chdir(place)
        assert cli(["ticket", "list", "."]) == 0
        assert opened.ticket(**LAST, pruned="zero").key[:8] in capsys.readouterr().out


def test_what_has_no_weights_says_so(tmp_path: Path) -> None:
    sweep(tmp_path, "prune.rate=0.999", "prune.levels=3")
    went = lt.open(tmp_path / "s")
    collapsed, blocked = went.ticket(level=2), went.ticket(level=3)
    assert not collapsed.mask["output.weight"].all()
    assert collapsed.history.empty
    for ask in (collapsed.state, collapsed.module, collapsed.evaluate, blocked.state):
        with pytest.raises(Mistake, match=r"\((collapsed|blocked)\): its end is not in the store"):
            ask()
    with pytest.raises(Mistake, match=r"\(collapsed\)"):
        collapsed.export(tmp_path / "t", trained=True)
    with pytest.raises(Mistake, match=r"\(blocked\): its mask is not in the store"):
        _ = blocked.mask


def test_double_precision_stays_double(tmp_path: Path) -> None:
    sweep(tmp_path, "recipe.precision=64-true", "prune.levels=1")
    run = lt.open(tmp_path / "s").ticket(level=1)
    for module in (run.module(), lt.load_ticket(run.export(tmp_path / "t", trained=True))):
        assert equal(module.state_dict(), run.state())
        assert {value.dtype for value in module.state_dict().values()} == {torch.float64}


# ------------------------------------------------------------------------------------------- hostile


def change(folder: Path, how: Callable[[dict[str, Any]], Any]) -> None:
    """Forge a card, with its checksum."""
    told = json.loads((folder / "card.json").read_text())
    how(told)
    (folder / "card.json").write_text(json.dumps(told))
    sign(folder)


def system(told: dict[str, Any]) -> None:
    told["network"]["build"] = {"name": "os.system", "args": {"command": "touch EXECUTED"}}


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a network that is a command": (system, "is of os.system, which is code, not data"),
    "a network that is another": (lambda t: t["network"]["build"].update(name="resnet20"), "its files and its network"),
    "a name that clears the screen": (
        lambda t: t["network"]["build"].update(name="\x1b[2J"),
        "is of ?[2J, which is code",
    ),
    "a network of an old version": (lambda t: t["network"]["build"].update(version=99), "was made with version 99"),
    "a network without end": (lambda t: t["network"].update(classes=10**15), "its files and its network differ"),
    "layers without end": (
        lambda t: t["network"].update(
            shape=[8], build={"name": "transformer", "version": 1, "args": {"layers": 10**12}}
        ),
        "many more tensors than the files",
    ),
    "a network at length": (lambda t: t["network"]["build"].update(args={"x": "y" * 20000}), "length that none needs"),
    "no network": (lambda t: t.update(network={"build": 3}), "describes no network"),
    "an argument that it does not take": (lambda t: t["network"]["build"].update(args={"x": 1}), "cannot be built"),
    "a negative start": (lambda t: t.update(start=-1), "cannot be"),
    "another format": (lambda t: t.update(format="lt_sweeps ticket 9"), "of another format"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_card_is_refused(exported: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported)
    how, line = FORGERIES[name]
    change(exported, how)
    with pytest.raises(BadTicket, match=re.escape(line)):
        lt.load_ticket(exported)
    assert not (exported / "EXECUTED").exists()


def test_a_forged_recipe_is_not_run(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(exported, lambda told: told["recipe"].update(optimizer={"name": "os.system", "args": {}}))
    assert cli(["ticket", "train", str(exported), "--runs", str(tmp_path)]) == 2
    assert "names os.system, which is code: trust the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change_header",
    [lambda text: text.decode().encode("utf-16"), lambda text: b"\xef\xbb\xbf" + text],
    ids=["utf-16", "byte order mark"],
)
def test_a_header_that_safetensors_would_not_read_is_refused(
    exported: Path, change_header: Callable[[bytes], bytes]
) -> None:
    for name in (cards.WEIGHTS, cards.MASK):
        content = (exported / name).read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        text = change_header(content[8:end])
        (exported / name).write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
        sign(exported)
        with pytest.raises(BadTicket, match="it is not JSON"):
            lt.load_ticket(exported)
        (exported / name).write_bytes(content)


def test_a_sparse_shape_without_end_is_refused(exported: Path) -> None:
    content = (exported / cards.MASK).read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    told = json.loads(content[8:end])
    at = len(content) - end
    told["z"] = {"dtype": "U8", "shape": [0], "data_offsets": [at, at]}
    told["__metadata__"]["note"] = json.dumps(json.loads(told["__metadata__"]["note"]) | {"z": [0, 10**30]})
    text = json.dumps(told).encode()
    (exported / cards.MASK).write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
    sign(exported)
    with pytest.raises(BadTicket, match="'z' is not a mask"):
        lt.load_ticket(exported, torch.nn.Linear(2, 2))


def test_words_from_elsewhere_do_nothing_to_a_terminal(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(exported, lambda told: told["expected"].update(test_accuracy="\x1b[2J\ud800"))
    change(exported, lambda told: told["recipe"]["optimizer"].update(args={"\x1b[2J": 1}))
    moved = exported.rename(tmp_path / "\x1b[2J")
    for verb in ("list", "verify", "train"):
        cli(["ticket", verb, str(moved), *(["--runs", str(tmp_path / "r")] if verb == "train" else [])])
    (moved / "card.json").write_text("{}")
    cli(["ticket", "list", str(moved)])
    said = capsys.readouterr()
    assert "?[2J" in said.out
    assert "\x1b" not in said.out + said.err


def test_a_ticket_of_image_files_whose_data_are_not_here_says_so(
    opened: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = {"name": "image_folder", "version": 1, "args": {"folder": "birds", "resize": 8}}
    for trained, verb, code in ((True, "verify", 1), (False, "train", 2)):
        folder = opened.ticket(**LAST, pruned="zero").export(tmp_path / verb, trained=trained)
        change(folder, lambda told: told["data"].update(source=source))
        assert cli(["ticket", verb, str(folder), "--data", str(tmp_path)]) == code
        said = capsys.readouterr()
        assert "birds" in said.out + said.err


def test_a_forged_network_is_not_trained(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(exported, lambda told: told["network"].update(classes="ten"))
    assert cli(["ticket", "train", str(exported), "--runs", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_changed_byte_is_noticed_wherever_it_is(exported: Path) -> None:
    for name in ("card.json", "weights.safetensors", "mask.safetensors"):
        content = (exported / name).read_bytes()
        at = content.index(b"expected") if name == "card.json" else len(content) - 1
        (exported / name).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(BadTicket, match=re.escape(str(exported))):
            cards.read(exported)
        (exported / name).write_bytes(content)
    cards.read(exported)


def test_what_is_not_a_file_is_not_read(exported: Path) -> None:
    (exported / "mask.safetensors").unlink()
    os.mkfifo(exported / "mask.safetensors")  # reading it would wait for ever
    with pytest.raises(BadTicket, match="is not a file"):
        cards.read(exported)


def test_a_thousand_damaged_and_forged_tickets_end_in_a_module_or_in_one_line(exported: Path) -> None:
    """`python tests/mutate.py FOLDER 10000 0` reads ten thousand, under the same watch."""
    command = [sys.executable, str(HERE / "mutate.py"), str(exported), "1000", "1"]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    outcome = json.loads(done.stdout)
    assert outcome["refused"] > 750
    assert outcome["read"] > 10, "some forgeries change nothing that matters, or the test would prove little"


def test_a_network_of_ones_own_is_given_or_trusted(tmp_path: Path) -> None:
    sweep(tmp_path, "model=custom", "model._target_=small.Net", "prune.levels=1")
    run = lt.open(tmp_path / "s").ticket(level=1)
    folder = run.export(tmp_path / "t")
    with pytest.raises(BadTicket, match=r"is of small\.Net, which is code, not data"):
        lt.load_ticket(folder)
    from small import Net

    for module in (lt.load_ticket(folder, Net((1, 8, 8), 10)), lt.load_ticket(folder, trust=True)):
        assert equal(module.state_dict(), run.state(0))
    with pytest.raises(BadTicket, match="does not fit the network"):
        lt.load_ticket(folder, torch.nn.Linear(2, 2))
