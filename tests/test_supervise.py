"""A sweep that agents work on: the parent trains nothing, sees everything, and starts agents where they are wanted."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from test_sweep import cells_of

from lt_sweeps.engines import supervise
from lt_sweeps.execution import agent, failures
from lt_sweeps.store.lease import Leases
from lt_sweeps.store.store import Store
from lt_sweeps.sweeps import run as sweep

pytestmark = pytest.mark.sweeps

Work = Callable[[Path], str | None]


class Started:
    """An agent that has done what it does by the time it is started."""

    def __init__(self, reason: str | None, alive: bool = False) -> None:
        self._reason, self._alive, self.cancelled = reason, alive, False

    def alive(self) -> bool:
        return self._alive and not self.cancelled

    def reason(self) -> str | None:
        return self._reason

    def cancel(self) -> None:
        self.cancelled = True


class Engine:
    """Starts agents of which each does what the list says, the last over and over."""

    here = True

    def __init__(self, *kinds: Work, agents: int = 2, alive: bool = False) -> None:
        self.agents, self._kinds, self._alive = agents, list(kinds), alive
        self.started: list[Started] = []
        self.closed = False

    def start(self, folder: Path) -> Started:
        kind = self._kinds.pop(0) if len(self._kinds) > 1 else self._kinds[0]
        self.started.append(Started(kind(folder), self._alive))
        return self.started[-1]

    def close(self) -> None:
        self.closed = True


def works(folder: Path) -> None:
    agent.work(folder, agent.trainer(folder, 0), patience=0.1)


def dies(folder: Path) -> str:
    return "a line\nRuntimeError: no such disk"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "PAUSE", 0.01)


def supervised(tmp_path: Path, engine: Engine, seeds: int = 2) -> list[dict[str, str]]:
    """A sweep of some seeds that this engine's agents do; returns its results."""
    words = (f"paths.output_dir={tmp_path}", "budget=smoke", "prune.levels=1")
    cells = [c for seed in range(seeds) for c in cells_of(*words, f"seed={seed}")]
    try:
        sweep.run(cells, "a command", engine=engine)
    finally:
        assert engine.closed
    return list(csv.DictReader((tmp_path / "s" / "results.csv").read_text().splitlines()))


def contents(store: Path) -> dict[str, bytes]:
    """Everything in a store that means something."""
    return {str(p.relative_to(store)): p.read_bytes() for kind in ("record", "blob") for p in store.glob(f"{kind}/*/*")}


def test_agents_leave_the_same_bytes_as_the_process_that_launched_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine(works)
    rows = supervised(tmp_path / "agents", engine)
    assert [row["status"] for row in rows] == ["done"] * 4
    assert capsys.readouterr().out.count("of weights  test") == 2 * 4, "each is told by its agent and by the supervisor"
    words = (f"paths.output_dir={tmp_path / 'alone'}", "budget=smoke", "prune.levels=1", "trainer.processes=0")
    sweep.run([c for seed in (0, 1) for c in cells_of(*words, f"seed={seed}")], "a command")
    assert contents(tmp_path / "agents" / "store") == contents(tmp_path / "alone" / "store")


def test_an_agent_that_dies_is_told_and_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine(dies, dies, works)
    assert [row["status"] for row in supervised(tmp_path, engine)] == ["done"] * 4
    assert capsys.readouterr().out.count("an agent ended: a line\nRuntimeError: no such disk".splitlines()[0]) == 2


def test_where_no_agent_stays_alive_the_sweep_is_given_up_with_their_last_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine(dies, agents=1)
    with pytest.raises(sweep.Failed):
        supervised(tmp_path, engine)
    assert len(engine.started) == supervise.PATIENCE
    assert "failed: no agent stayed alive: RuntimeError: no such disk" in capsys.readouterr().out


def test_an_agent_that_leaves_work_undone_counts_as_one_that_died(tmp_path: Path) -> None:
    engine = Engine(lambda folder: None, agents=1)
    with pytest.raises(sweep.Failed):
        supervised(tmp_path, engine)
    assert len(engine.started) == supervise.PATIENCE


def test_no_more_agents_are_started_than_there_is_work_that_is_ready(tmp_path: Path) -> None:
    engine = Engine(works, agents=8)
    supervised(tmp_path, engine, seeds=1)
    assert len(engine.started) == 1


def test_what_another_process_is_at_wants_no_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is gone: its lease is looked at again and again."""
    engine = Engine(works)
    looks = 0

    def passes(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            assert not engine.started
            other.close()

    monkeypatch.setattr(supervise.time, "sleep", passes)
    words = (f"paths.output_dir={tmp_path}", "budget=smoke", "prune.levels=1")
    with Leases(tmp_path / "store") as other:
        assert other.take(cells_of(*words, "seed=0")[0].levels[0].key, "somebody's")
        supervised(tmp_path, engine, seeds=1)
    assert len(engine.started) == 1


def test_what_fails_in_an_agent_is_a_failure_of_the_sweep_and_is_tried_again_by_its_rerun(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        for past in agent.archive.cells(folder):
            failures.record(folder, past.keys[0], "RuntimeError: out of luck")

    with pytest.raises(sweep.Failed):
        supervised(tmp_path, Engine(fails))
    rows = list(csv.DictReader((tmp_path / "s" / "results.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["failed", "missing"] * 2
    assert [row["status"] for row in supervised(tmp_path, Engine(works))] == ["done"] * 4


def test_however_the_parent_is_left_its_agents_are_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(supervise.time, "sleep", interrupted)
    engine = Engine(lambda folder: None, alive=True)
    with pytest.raises(KeyboardInterrupt):
        supervised(tmp_path, engine)
    assert [agent.cancelled for agent in engine.started] == [True, True]
    assert Leases(tmp_path / "store").holders() == {}
    assert not (Store(tmp_path / "store").root / "record").exists()
