"""Every ready-made sweep composes, says what it costs, and lets the command line win; the smallest one is run."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from test_recipes import composed

from lt_sweeps.config.words import counting
from lt_sweeps.main import main

pytestmark = pytest.mark.sweeps

HERE = Path(__file__).parent.parent / "multirun"
SWEEPS = sorted(HERE.glob("*.sh"))
TOLD = r"(\d+) cells: (\d+) trainings asked,? (\d+) distinct"


def words(path: Path) -> list[str]:
    """What a script would run, less the words that follow it."""
    [command] = re.findall(r"^exec (.*)\Z", path.read_text(), re.DOTALL | re.MULTILINE)
    *given, others = shlex.split(command.replace("\\\n", " "))
    assert given[:4] == ["python", "-m", "lt_sweeps.main", "-m"]
    assert others == "$@", "what is typed after the script comes last, and wins"
    return given[3:]


def documented() -> list[tuple[str, ...]]:
    """Each script with the words that pages type after it."""
    pages = [
        page for folder in (".", "docs", "multirun", "multirun/*") for page in (HERE.parent).glob(f"{folder}/*.md")
    ]
    shown = re.compile(r"multirun/(\w+)\.sh((?: +(?:'[^']*'|[\w./+]+=[^\s`|]*))+)")
    found = {(name, *shlex.split(typed)) for page in pages for name, typed in shown.findall(page.read_text())}
    return sorted(found)


def split(given: list[str]) -> list[tuple[str, str, str]]:
    """Key, equals sign and options of each override."""
    return [word.partition("=") for word in given if "=" in word]


def options_of(several: str) -> list[str]:
    """What a word gives, lists in brackets whole."""
    return re.split(r",(?![^\[]*\])", several)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_a_ready_made_sweep_can_be_planned(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Options of every choice, seeds apart: all cells of the large ones would take minutes to compose.

    A ticket that the script makes first is not there: the same cells are planned from a draw.
    """
    choices = [
        [f"{key}={one}" for one in options_of(options)] for key, _, options in split(words(path)) if key != "ticket"
    ]
    first, *others = (
        [options[turn % len(options)] for options in choices]
        for turn in range(max(len(options) for options in choices if not options[0].startswith("seed=")))
    )
    plan = ["hydra.launcher.only_plan=true", f"paths.output_dir={tmp_path}"]
    assert main(["-m", *first, *plan]) == 0, first
    assert re.search(r"[1-9]\d* to train", capsys.readouterr().out), first
    for cell in others:
        assert composed(*cell).levels, cell


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_a_ready_made_sweep_says_what_it_is_and_what_it_costs(path: Path) -> None:
    assert os.access(path, os.X_OK)
    first, *comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert first == "#!/bin/sh"
    told = " ".join(line.removeprefix("# ") for line in comment)
    assert re.search(rf"Cost: {TOLD}; disk: .*; hours: ", told.replace(",", "")), told
    assert all(len(line) <= 120 for line in path.read_text().splitlines())


@pytest.mark.parametrize("name", ["demo", "lenet_mnist_quick", "late_rewinding_resnet20", "renda2020_vgg16"])
def test_the_counts_in_the_comment_are_the_plan_s(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = HERE / f"{name}.sh"
    assert main([*words(path), "hydra.launcher.only_plan=true", f"paths.output_dir={tmp_path}"]) == 0
    told = re.search(TOLD, capsys.readouterr().out)
    written = re.search(TOLD, path.read_text().replace("\n# ", " ").replace(",", ""))
    assert told
    assert written
    assert told.group(0).replace(",", "") == written.group(0)


@pytest.mark.parametrize("shown", documented(), ids=" ".join)
def test_what_pages_type_after_a_script_counts(shown: tuple[str, ...], tmp_path: Path) -> None:
    name, *typed = shown
    given, _ = counting([*words(HERE / f"{name}.sh"), *typed])
    assert given[-len(typed) :] == typed
    times = Counter(key.lstrip("+") for key, _, _ in split(given))
    several = [key.lstrip("+") for key, _, options in split(given) if len(options_of(options)) > 1]
    assert all(times[key] == 1 for key in several), "else Hydra makes cells of each pair"
    first = [f"{key}={options_of(options)[0]}" for key, _, options in split(given)]
    assert main(["-m", *first, "trainer=cpu", "hydra.launcher.only_plan=true", f"paths.output_dir={tmp_path}"]) == 0


def test_words_after_a_script_take_the_place_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["survivors=rewind,reinit", "seed=7", "hydra.launcher.only_plan=true", f"paths.output_dir={tmp_path}"]
    assert main([*words(HERE / "zhou2019_signs.sh"), *typed]) == 0
    said = capsys.readouterr()
    assert "\n2 cells: " in said.out
    assert said.err.splitlines() == [
        "note: survivors=rewind,reinit,reinit_signed,shuffle,shuffle_signed,constant,constant_signed does not count: "
        "a later word gives other values",
        "note: seed=0,1,2,3,4 does not count: a later word gives other values",
    ]


def test_the_table_of_the_readme_lists_exactly_the_files() -> None:
    listed = re.findall(r"^\| \[(\S+)\]\((\S+)\) \|", (HERE / "README.md").read_text(), re.MULTILINE)
    assert all(shown == target for shown, target in listed)
    assert sorted(shown for shown, _ in listed) == [path.name for path in SWEEPS]


def test_the_smoke_sweep_runs(tmp_path: Path) -> None:
    """As it stands, from any folder; a word after it wins."""
    here = {"PYTHONPATH": str(HERE.parent), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [HERE / "smoke.sh", "trainer=cpu", "prune.levels=1"],
        cwd=tmp_path,
        env={**os.environ, **here},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "runs" / "smoke" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["level"] for row in rows} == {"0", "1"}
    assert {row["status"] for row in rows} <= {"done", "collapsed"}
    assert {row["rewind"] for row in rows} == {"init", "step", "learning_rate", "finetune"}
