"""Sweeps whose late levels are trained with sparse steps: the same rows however they were computed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_sweep import sweep

from lt_sweeps.execution import worker as running
from lt_sweeps.store.store import Store
from lt_sweeps.training.sparse import choose as choosing

pytestmark = pytest.mark.sweeps

LATE = ("prune.levels=3", "prune.rate=0.6")  # 100, 41, 17 and 7 % of the weights


@pytest.fixture(autouse=True)
def short_trainings_are_worth_it_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "WORTH", 20)
    monkeypatch.setattr(choosing, "vector_bytes", lambda library: 64)


def kernels(folder: Path, rows: list[dict[str, str]]) -> list[str]:
    """Of each row what computed its training, by its record."""
    records = [Store(folder / "store").get(row["key"]) for row in rows]
    return [record["fingerprint"].get("kernel", "masked").partition(" ")[0] for record in records]


def test_late_levels_are_sparse_and_come_to_the_masked_accuracy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    auto = sweep(tmp_path / "auto", *LATE)
    told = capsys.readouterr().out
    assert told.count("steps are sparse, in C (trainer.kernel=masked: not)") == 1
    assert (
        told.count("steps are dense, in C where more than 17 % of the weights are kept (trainer.kernel=masked: not)")
        == 1
    )
    masked = sweep(tmp_path / "masked", *LATE, "trainer.kernel=masked")
    forced = sweep(tmp_path / "forced", *LATE, "trainer.kernel=sparse")
    assert kernels(tmp_path / "auto", auto) == ["dense", "dense", "sparse", "sparse"]
    assert kernels(tmp_path / "masked", masked) == ["masked"] * 4
    assert kernels(tmp_path / "forced", forced) == ["sparse"] * 4
    for rows in (auto, forced):
        for row, other in zip(rows, masked, strict=True):
            assert row["key"] == other["key"]
            assert row["density"] == other["density"]
            assert float(row["test_accuracy"]) == pytest.approx(float(other["test_accuracy"]), abs=1.0)
    assert "kernel sparse" in (tmp_path / "auto" / "s" / "summary.md").read_text()


def test_a_sparse_sweep_has_the_same_bytes_again_and_over_processes_and_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*LATE, "control=none,reinit")
    rows = sweep(tmp_path / "one", *words)
    assert sweep(tmp_path / "two", *words) == rows
    last = rows[3]["key"]
    later = ("rewind=step", "rewind.step=13it")
    fresh = sweep(tmp_path / "fresh", *words, *later)
    shutil.rmtree(tmp_path / "one" / "s")
    capsys.readouterr()
    assert sweep(tmp_path / "one", *words, *later) == fresh
    assert "replayed to step 13" in capsys.readouterr().out
    assert Store(tmp_path / "one" / "store").get(last)["fingerprint"]["kernel"].startswith("sparse (")


def test_a_checkpoint_of_another_kernel_is_not_continued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = sweep(tmp_path / "whole", *LATE)
    real = running.fit

    def interrupted(*args: Any) -> Any:
        *others, session, sparse = args
        real(*others, session if sparse is None else replace(session, leave=lambda: True), sparse)
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "fit", lambda *args: real(*args) if args[-1] is None else interrupted(*args))
    sweep(tmp_path / "left", *LATE, code=143)
    monkeypatch.setattr(running, "fit", real)
    shutil.copytree(tmp_path / "left", tmp_path / "other")
    capsys.readouterr()
    assert sweep(tmp_path / "left", *LATE) == wanted
    assert "continues at step" in capsys.readouterr().out
    monkeypatch.setattr(choosing, "library", lambda dtype, **_: None)
    rows = sweep(tmp_path / "other", *LATE, "trainer.kernel=sparse")
    assert "is not continued; training starts over" in capsys.readouterr().out
    assert Store(tmp_path / "other" / "store").get(rows[-1]["key"])["fingerprint"]["kernel"] == "sparse (torch)"
