"""What the pages show runs, as it stands; what they link to is there."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from test_sweep import SMALL

from lt_sweeps.main import main
from lt_sweeps.methods.imp import imp

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} points to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} points to {link}"


def test_the_yaml_files_of_one_s_own_work(tmp_path: Path) -> None:
    """docs/own.md: its files, and the commands below them that name their folder; the second trains nothing."""
    page = (ROOT / "docs" / "own.md").read_text()
    for path, content in re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", page, re.DOTALL):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    commands = re.findall(r"^python (.*(?:--config-dir|searchpath) ?.*)$", page, re.MULTILINE)
    assert len(commands) == 3
    there = {**os.environ, "PYTHONPATH": str(ROOT)}
    for number, command in enumerate(commands):
        done = subprocess.run(
            [sys.executable, *shlex.split(command)], cwd=tmp_path, env=there, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert ("0 to train" in done.stdout) == (number == 1), done.stdout


OWN = (ROOT / "docs" / "own.md").read_text()
MOVING = re.findall(r"^(?:python -m|lt-sweeps) .*mypkg\.moving\..*$", OWN, re.MULTILINE)


@pytest.mark.parametrize("command", MOVING)
def test_a_gate_and_a_hook_of_one_s_own_run_and_keep_the_laws(command: str, tmp_path: Path) -> None:
    [(path, content)] = re.findall(r"```python\n# (mypkg/moving\.py)\n(.*?)```", OWN, re.DOTALL)
    (tmp_path / "mypkg").mkdir()
    (tmp_path / path).write_text(content)
    first, *words = shlex.split(command)
    words = words if first == "python" else ["-m", "lt_sweeps.cli", *words]
    there = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=there, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout


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
