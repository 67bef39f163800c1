"""A sweep started from Python is the command's: the same folder, rows and refusals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lt_sweeps as lt
from lt_sweeps.errors import Mistake
from lt_sweeps.execution import worker
from lt_sweeps.graph import Train
from lt_sweeps.main import main
from lt_sweeps.starting import _words
from lt_sweeps.sweeps.run import Failed

SMALL = {"model": "lenet_digits", "budget": "smoke"}


def test_it_is_the_command_s_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = lt.sweep("prune.levels=1", seed=range(2), prune={"rate": [0.5]}, paths={"output_dir": tmp_path}, **SMALL)
    capsys.readouterr()
    words = ["prune.levels=1", "seed=0,1", "prune.rate=0.5", f"paths.output_dir={tmp_path}"]
    assert main(["-m", *words, *(f"{name}={value}" for name, value in SMALL.items())]) == 0
    assert "4 trainings asked, 4 distinct, 4 in the store" in capsys.readouterr().out
    assert lt.open(sweep.folder).results.equals(sweep.results)
    assert [path for path in tmp_path.iterdir() if (path / "results.csv").exists()] == [sweep.folder]
    assert sorted(sweep.results.seed.unique()) == [0, 1]


def test_an_experiment_brings_its_own_sweep(tmp_path: Path) -> None:
    paths = {"output_dir": str(tmp_path)}
    sweep = lt.sweep("experiment=demo", seed=[3], control="none", budget="smoke", prune={"levels": 0}, paths=paths)
    assert (sweep.folder.name, len(sweep.results)) == ("demo", 1)


@pytest.mark.parametrize(
    ("words", "given", "answer"),
    [
        ((), {"seeed": 1}, "did you mean 'seed'"),
        ((), {"prune": {"rate": 1.5}}, "between 0 and 1"),
        ((), {"seed": []}, "seed: there is no value to sweep over"),
        ((), {"model": object}, "model: give numbers, text, paths, booleans or None, not a type"),
        (("-m",), {}, "-m: is for the command line"),
        (("hydra.launcher.only_plan=true",), SMALL, "only show a plan"),
    ],
)
def test_what_the_command_refuses_is_raised(
    words: tuple[str, ...], given: dict[str, object], answer: str, tmp_path: Path
) -> None:
    with pytest.raises(Mistake, match=answer):
        lt.sweep(*words, **given, paths={"output_dir": tmp_path})
    assert not list(tmp_path.rglob("*.csv"))


def test_a_training_that_fails_is_raised_after_all_else_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = worker.fit

    def failing(run: Train, *others: Any) -> Any:
        if run.level == 1:
            raise RuntimeError("it broke")
        return fit(run, *others)

    monkeypatch.setattr(worker, "fit", failing)
    with pytest.raises(Failed, match="1 trainings failed"):
        lt.sweep("prune.levels=1", sweep="f", paths={"output_dir": tmp_path}, **SMALL)
    assert list(lt.open(tmp_path / "f").results.status) == ["done", "failed"]


def parsed(word: str) -> list[object]:
    override = OverridesParser.create().parse_overrides([word])[0]
    value = override.value()
    return list(value.list) if override.is_sweep_override() else [value]  # type: ignore[union-attr]


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
TEXT = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=8)


@UNHURRIED
@given(st.lists(st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False), min_size=1, max_size=3))
def test_values_are_read_as_they_were_given(values: list[object]) -> None:
    found = parsed(*_words("a", values))
    assert [(type(value), value) for value in found] == [(type(value), value) for value in values]


@UNHURRIED
@given(TEXT)
def test_text_is_read_as_it_was_given(text: str) -> None:
    (value,) = parsed(*_words("a", text))
    assert str(value) == text


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    assert _words("a", np.linspace(0, 1, 3)) == ["a=0.0,0.5,1.0"]
    assert _words("a", torch.tensor([1, 2])) == ["a=1,2"]
    assert _words("a", np.float64(math.pi)) == [f"a={math.pi!r}"]
