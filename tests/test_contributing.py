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

ROOT = Path(__file__).parent.parent
SECTIONS = {
    section.partition("\n")[0]: section
    for section in (ROOT / "CONTRIBUTING.md").read_text().split("\n## ")[1:]
    if "```bash" in section
}


@pytest.mark.parametrize("name", SECTIONS)
def test_an_extension_is_a_few_lines(name: str, tmp_path: Path) -> None:
    for folder in ("lt_sweeps", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path, content in re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", SECTIONS[name], re.DOTALL):
        assert not (tmp_path / path).exists()
        (tmp_path / path).write_text(content)
    (command,) = re.findall(r"```bash\n(.*?)\n```", SECTIONS[name], re.DOTALL)
    program, *words = shlex.split(command)
    assert program == "python"
    there = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, *words, "sweep=s"], cwd=tmp_path, env=there, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "s" / "report.html").exists()
    examples = [path for path in re.findall(r"```python\n# (\S+)", SECTIONS[name]) if ">>>" in SECTIONS[name]]
    for path in examples:
        code = (
            f"import doctest, importlib as i; print(doctest.testmod(i.import_module({path[:-3].replace('/', '.')!r})))"
        )
        tried = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=there, capture_output=True, text=True)
        assert "failed=0, attempted=2" in tried.stdout, tried.stdout + tried.stderr
