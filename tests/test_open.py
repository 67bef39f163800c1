"""A notebook's view never pairs a row with another row's network, whatever has become of the table meanwhile."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lt_sweeps as lt
from lt_sweeps.cli import main as cli
from lt_sweeps.errors import Mistake
from lt_sweeps.main import main

pytestmark = pytest.mark.sweeps

WORDS = ["recipe.steps=20it", "recipe.eval_every=10it", "trainer.processes=0", "sweep=s"]


def sweep(folder: Path, *more: str) -> Path:
    assert main([*WORDS, f"paths.output_dir={folder}", *more]) == 0
    return folder / "s"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep(tmp_path_factory.mktemp("open"), "-m", "seed=0,1", "prune.levels=1").parent


@pytest.fixture
def there(done: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "runs")) / "s"


@pytest.mark.parametrize("change", [lambda rows: rows[::-1], lambda rows: rows[1:], lambda rows: rows])
def test_a_row_is_of_its_own_training_wherever_it_stands(there: Path, change: Callable[[Any], Any]) -> None:
    table = there / "results.csv"
    change(pd.read_csv(table)).to_csv(table, index=False)
    for run in lt.open(there).runs():
        assert run.expression.key == run.key == run.row["key"]
        assert run.evaluate().accuracy == run.row["test_accuracy"]


def test_a_sweep_that_grows_while_it_is_open_is_read_as_it_is(there: Path) -> None:
    before = lt.open(there)
    sweep(there.parent, "seed=2", "prune.levels=2")
    runs = before.runs()
    assert len(runs) == 7
    assert all(run.expression.key == run.key for run in runs)


def test_a_table_that_is_none_is_a_mistake_of_one_line(there: Path) -> None:
    table = there / "results.csv"
    good = pd.read_csv(table)
    for content in (
        "",
        "a,b\n1,2\n",
        good.assign(key=None).to_csv(index=False),
        good.assign(key="x").to_csv(index=False),
    ):
        table.write_text(content)
        with pytest.raises(Mistake, match=f"lt-sweeps report {there} writes it again"):
            lt.open(there).runs()
    table.unlink()
    with pytest.raises(Mistake, match=f"lt-sweeps report {there} shows what is done"):
        lt.open(there).runs()
    assert cli(["report", str(there)]) == 0
    assert pd.read_csv(table).equals(good)


def test_a_key_may_be_given_by_its_beginning(there: Path) -> None:
    opened = lt.open(there)
    run = opened.ticket(level=1, seed=0)
    assert opened.ticket(key=run.key[:8]).key == run.key
    with pytest.raises(Mistake, match=r"no row has key=0123abcd; key is [0-9a-f]{8}, "):
        opened.ticket(key="0123abcd")


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (41, "goes from step 0 to 20, not through 41"),
        ("0", "give a whole number"),
        (1.5, "give a whole"),
        (None, "give"),
    ],
)
def test_a_step_that_is_none_is_a_mistake(there: Path, step: Any, told: str) -> None:
    with pytest.raises(Mistake, match=told):
        lt.open(there).ticket(level=1, seed=0).state(step)


def test_a_step_that_was_not_kept_says_which_are(there: Path) -> None:
    with pytest.raises(Mistake, match="a sweep keeps the steps that it rewinds to, and the ends"):
        lt.open(there).ticket(level=1, seed=0).state(7)


def test_a_ticket_takes_no_other_ones_place(there: Path, tmp_path: Path) -> None:
    one, other = (lt.open(there).ticket(level=1, seed=seed) for seed in (0, 1))
    folder = one.export(tmp_path / "t")
    one.export(folder)
    for again in (lambda: other.export(folder), lambda: one.export(folder, trained=True)):
        with pytest.raises(Mistake, match=r"holds another ticket \(start of [0-9a-f]{8}\): choose another folder"):
            again()
    (tmp_path / "file").touch()
    with pytest.raises(Mistake, match="cannot be written"):
        one.export(tmp_path / "file" / "x")


def test_a_folder_without_its_store_keeps_its_table(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = Path(shutil.copytree(there, tmp_path / "elsewhere" / "s"))
    before = (alone / "results.csv").read_bytes()
    assert cli(["report", str(alone)]) == 2
    assert "4 results in its table are not in" in capsys.readouterr().err
    assert (alone / "results.csv").read_bytes() == before


def test_more_levels_of_one_seed_stay_beside_the_other_seeds(there: Path) -> None:
    sweep(there.parent, "seed=0", "prune.levels=2")
    for _ in range(2):
        curve = lt.open(there).curve(control="none")
        assert curve.n.tolist() == [2, 2, 1]
        assert "prune.levels" not in lt.open(there).results
        sweep(there.parent, "seed=0", "prune.levels=1")  # which loses nothing


def test_what_was_measured_stays_when_the_sweep_grows(there: Path) -> None:
    sweep(there.parent, "seed=0", "prune.levels=1", "measure=barrier")
    measured = lt.open(there).results.barrier.dropna().tolist()
    sweep(there.parent, "-m", "seed=0,1,2", "prune.levels=1")
    assert measured
    assert lt.open(there).results.barrier.dropna().tolist() == measured
    points = lt.open(there).measures
    assert points.groupby(["seed", "level"]).test_error.max().notna().all()
    assert {0.0, 1.0} < {*points.alpha[points.level == 1]}
    assert len(lt.open(there).results) == 6


def test_a_sweep_and_a_training_are_shown_as_tables(done: Path) -> None:
    opened = lt.open(done / "s")
    shown = opened._repr_html_()
    assert shown.count("<tr") == 1 + len(opened.results)
    assert "<th>level</th>" in shown
    assert "<th>model</th>" not in shown, "all rows have the same"
    run = opened.ticket(level=1, **dict(opened.results.iloc[0][["seed", "control"]]))
    assert f"<th>{run.key[:8]}</th>" in run._repr_html_()
    assert "<td>None</td>" not in run._repr_html_()


def test_what_a_notebook_completes_is_there() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert dir(lt) == ["Mistake", "Run", "Sweep", "__version__", "load_ticket", "open", "sweep"]
    for name in ("open", "sweep", "load_ticket"):
        assert f'{name}("' in getattr(lt, name).__doc__, "help shows how it is called"
    assert lt.__version__ == project["version"]
    assert not [name for name in dir(lt) if not hasattr(lt, name)]


def test_one_page_of_a_part_or_of_several_sweeps(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, other = done / "s", sweep(tmp_path / "other", "-m", "seed=0,1", "prune.levels=1", "prune.rate=0.5")
    before = {path: path.read_bytes() for path in whole.iterdir() if path.is_file()}
    assert cli(["report", str(whole), str(other), "control=none", "--out", str(tmp_path / "pages" / "both.html")]) == 0
    page = (tmp_path / "pages" / "both.html").read_text()
    assert "s and s control=none" in page
    assert f"sweep={other}" in page, "they differ in a rate, which is no label of either"
    assert {path: path.read_bytes() for path in whole.iterdir() if path.is_file()} == before, "the sweep stays as it is"
    for words, part in (
        ([str(whole), str(other)], "--out"),
        ([str(whole), "control=none"], "--out"),
        ([str(whole), "control=reinit", "--out", str(tmp_path / "x.html")], "control is none"),
        ([str(whole), "contrl=none", "--out", str(tmp_path / "x.html")], "did you mean 'control'"),
    ):
        capsys.readouterr()
        assert cli(["report", *words]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert part in line
    assert not (tmp_path / "x.html").exists()
