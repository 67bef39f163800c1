"""What the pages show runs, as it stands; what they link to is there."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_sweep import SMALL

from lt_sweeps.cli import main as cli
from lt_sweeps.main import main
from lt_sweeps.methods.imp import imp

pytestmark = pytest.mark.sweeps

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "multirun").rglob("*.md")])


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's example, and the longer one of docs/notebook.md."""
    monkeypatch.chdir(tmp_path)
    small = [word for word in SMALL if not word.startswith(("sweep", "prune.levels"))]
    assert main(["-m", *small, "sweep=demo", "prune.levels=3", "seed=0,1", "control=none,reinit"]) == 0
    for page in (README, (ROOT / "docs" / "notebook.md").read_text()):
        [example] = re.findall(r"```python\n(import lt_sweeps as lt.*?)```", page, re.DOTALL)
        names: dict[str, object] = {}
        exec(example, names)
        assert names["ticket"].state_dict().keys() == names["network"].state_dict().keys()  # type: ignore[attr-defined]


def test_the_loop_it_shows_is_the_one_that_runs() -> None:
    """Iterative magnitude pruning as it stands in methods/imp.py, less its docstring."""
    [shown] = re.findall(r"```python\n(find_run, train_run, shown = .*?)```", README, re.DOTALL)
    *_, body = inspect.getsource(imp).split('"""')
    assert textwrap.dedent(body).strip() == shown.strip()


def test_the_readme_is_short() -> None:
    lines = README.splitlines()
    assert len(lines) <= 200
    assert all(len(line) <= 120 for line in lines)


def anchors(page: Path) -> set[str]:
    """The names that a page's headings have in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """The links of a page to others, outside of blocks of code: as written, the file, and the anchor in it."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        yield link, page.parent / path if path else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link, target, anchor in links(page):
        assert target.exists(), f"{page.name} points to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} points to {link}"


def written(kinds: str, folder: Path) -> None:
    """The files that a page shows as blocks which begin with their path."""
    for path, content in re.findall(rf"```(?:{kinds})\n# (\S+)\n(.*?)```", OWN, re.DOTALL):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with all files of docs/own.md, in which commands are given, as `python -m` finds modules there."""
    folder = tmp_path_factory.mktemp("own")
    written("python|yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypkg"]:
        del sys.modules[name]


def test_the_yaml_files_of_one_s_own_work(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/own.md: the commands that name the folder of its files; the second trains nothing."""
    commands = re.findall(r"^python -m lt_sweeps.main (.*(?:--config-dir|searchpath) ?.*)$", OWN, re.MULTILINE)
    assert len(commands) == 3
    for number, command in enumerate(commands):
        assert main(shlex.split(command)) == 0
        assert ("0 to train" in capsys.readouterr().out) == (number == 1)


OWN = (ROOT / "docs" / "own.md").read_text()
MOVING = re.findall(r"^(?:python -m|lt-sweeps) .*mypkg\.moving\..*$", OWN, re.MULTILINE)


@pytest.mark.parametrize("command", MOVING)
def test_a_gate_and_a_hook_of_one_s_own_run_and_keep_the_laws(
    command: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = main if (prefix := "python -m lt_sweeps.main ") in command else cli
    assert run(shlex.split(command.removeprefix(prefix).removeprefix("lt-sweeps "))) == 0
    assert "FAILED" not in capsys.readouterr().out


def test_a_gate_and_a_hook_of_one_s_own_are_shown_in_every_way_to_choose_them() -> None:
    assert [next(w for w in shlex.split(c) if "moving" in w).partition("=")[0] for c in MOVING[:3]] == [
        "gate.name",
        "hook.name",
        "find.hook",
    ]
    assert len(MOVING) == 5


TROUBLE = (ROOT / "docs" / "troubleshooting.md").read_text()
ANSWERS = re.findall(r"`(python -m lt_sweeps\.main [^`]+)`\n\n    (lt_sweeps: .+)", TROUBLE)


@pytest.mark.parametrize(("command", "answer"), ANSWERS, ids=[command.split("main ")[1] for command, _ in ANSWERS])
def test_a_mistake_is_answered_as_the_page_says(command: str, answer: str, tmp_path: Path) -> None:
    program, *words = shlex.split(command)
    assert program == "python"
    bare = {name: value for name, value in os.environ.items() if name != "LT_SWEEPS_DATA"}
    there = {**bare, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=there, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.strip() == answer
