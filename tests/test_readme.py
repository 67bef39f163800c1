"""What the README shows runs, as it stands."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

import pytest
from test_sweep import SMALL

from lt_sweeps.main import main
from lt_sweeps.methods.imp import imp

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = [word for word in SMALL if not word.startswith(("sweep", "prune.levels"))]
    assert main(["-m", *small, "sweep=demo", "prune.levels=3", "seed=0,1", "control=none,reinit"]) == 0
    [example] = re.findall(r"```python\n(import lt_sweeps as lt.*?)```", README, re.DOTALL)
    said: dict[str, object] = {}
    exec(example, said)
    assert said["ticket"].state_dict().keys() == said["network"].state_dict().keys()  # type: ignore[attr-defined]


def test_the_loop_it_shows_is_the_one_that_runs() -> None:
    """Iterative magnitude pruning as it stands in methods/imp.py, less its docstring."""
    [shown] = re.findall(r"```python\n(found, last, shown = .*?)```", README, re.DOTALL)
    *_, body = inspect.getsource(imp).split('"""')
    assert textwrap.dedent(body).strip() == shown.strip()
