"""CONTRIBUTING.md is true: each section's files, put where they say, run by the section's command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.sweeps

ROOT = Path(__file__).parent.parent
SECTIONS = {
    section.partition("\n")[0]: section
    for section in (ROOT / "CONTRIBUTING.md").read_text().split("\n## ")[1:]
    if "```bash" in section
}


def files(name: str) -> dict[str, str]:
    """The files of a section, by path."""
    return dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", SECTIONS[name], re.DOTALL))


EXAMPLES = [path for name in SECTIONS for path, content in files(name).items() if ">>>" in content]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the files of all sections, in which one process has run all commands and examples."""
    home = tmp_path_factory.mktemp("project")
    for folder in ("lt_sweeps", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / folder, home / folder)
    commands = []
    for number, name in enumerate(SECTIONS):
        for path, content in files(name).items():
            assert not (home / path).exists()
            (home / path).write_text(content)
        (command,) = re.findall(r"```bash\n(.*?)\n```", SECTIONS[name], re.DOTALL)
        program, words = shlex.split(command)[:3], shlex.split(command)[3:]
        assert program == ["python", "-m", "lt_sweeps.main"]
        commands.append([*words, f"sweep=s{number}"])
    code = (
        "import doctest, importlib, pathlib; from lt_sweeps.main import main; "
        f"assert [main(words) for words in {commands}] == {[0] * len(commands)}; "
        f"examples = [path[:-3].replace('/', '.') for path in {EXAMPLES}]; "
        "tried = [str(doctest.testmod(importlib.import_module(name))) for name in examples]; "
        "pathlib.Path('tried').write_text('\\n'.join(tried))"
    )
    there = {**os.environ, "PYTHONPATH": str(home)}
    ran = subprocess.run([sys.executable, "-c", code], cwd=home, env=there, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return home


@pytest.mark.parametrize("name", SECTIONS)
def test_an_extension_is_a_few_lines(name: str, done: Path) -> None:
    assert (done / "runs" / f"s{[*SECTIONS].index(name)}" / "report.html").exists()


def test_the_examples_of_extensions_are_right(done: Path) -> None:
    assert len(EXAMPLES) > 5
    assert (done / "tried").read_text().count("failed=0, attempted=2") == len(EXAMPLES)
