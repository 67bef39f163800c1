"""Engines for real: SLURM, a Ray cluster and loky give the bytes that one process gives, whatever happens to agents."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from launching import ENGINES, LONG, SMOKE, contents, ended, job_name, launched, require, rows, started

pytestmark = pytest.mark.engines
Alone = Callable[..., dict[str, bytes]]


PATIENCE = 400.0  # seconds: a busy machine may take minutes to start a Ray cluster and its agents


def eventually(what: Callable[[], object], sweep: subprocess.Popen[str] | None = None) -> object:
    """What is so in the end. A sweep that has ended before ends the wait."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and (sweep is None or sweep.poll() is None):
        if found := what():
            return found
        time.sleep(0.2)
    if sweep is not None and sweep.poll() is not None:
        raise AssertionError(f"the sweep has ended before: {ended(sweep, sweep.returncode)}")
    raise AssertionError(f"not after {PATIENCE:g} s")


def steps(folder: Path) -> list[int]:
    """How far the trainings under way are, by their leases."""
    told = []
    for path in (folder / "store" / "lease").glob("[0-9a-f]*"):
        try:
            told.append(json.loads(path.read_bytes())["step"])
        except (ValueError, FileNotFoundError):
            continue
    return told


def processes() -> dict[int, list[str]]:
    """The processes of this machine: number, command line."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            found[int(path.name)] = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
    return found


def of(folder: Path) -> list[int]:
    """The agents of one sweep."""
    found = processes().items()
    return [n for n, words in found if "lt_sweeps.engines.agent" in words and str(folder / "s") in words]


def jobs(folder: Path) -> list[str]:
    """The SLURM jobs of a sweep that are there."""
    command = ["squeue", "--noheader", "--format=%A", f"--name={job_name(folder)}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, bytes]]:
    """What a sweep comes to on this machine, without any engine; each is done once."""
    known: dict[tuple[str, ...], dict[str, bytes]] = {}

    def of(*words: str) -> dict[str, bytes]:
        if words not in known:
            folder = tmp_path_factory.mktemp("alone")
            ended(started(folder, *words))
            known[words] = contents(folder)
        return known[words]

    return of


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a sweep goes; no agent of it may be left, and nothing at all where the test has failed."""
    yield tmp_path
    for number, words in processes().items():
        if "lt_sweeps.main" in words and any(str(tmp_path) in word for word in words):
            os.kill(number, signal.SIGTERM)
    eventually(lambda: not of(tmp_path))


@pytest.mark.parametrize("engine", ENGINES)
def test_agents_leave_the_bytes_that_one_machine_leaves(engine: str, folder: Path, alone: Alone) -> None:
    said = ended(launched(engine, folder, *SMOKE))
    assert said.count("of weights  test") == 10, "each training is told once"
    assert contents(folder) == alone(*SMOKE)
    ended(launched(engine, folder, *SMOKE))
    assert len(list((folder / "s" / "agents").glob("*.log"))) <= 2, "where nothing is to be done no agent is started"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sweep_goes_on_when_an_agent_is_killed(engine: str, folder: Path, alone: Alone) -> None:
    sweep = launched(engine, folder, *LONG, "seed=0,1")
    eventually(lambda: any(steps(folder)), sweep)
    os.kill(of(folder)[0], signal.SIGKILL)
    said = ended(sweep)
    assert "an agent ended" in said
    assert contents(folder) == alone(*LONG, "seed=0,1")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_parent_that_is_terminated_takes_its_agents_along_and_loses_nothing(
    engine: str, folder: Path, alone: Alone
) -> None:
    sweep = launched(engine, folder, *LONG, agents=1)
    eventually(lambda: any(steps(folder)), sweep)
    sweep.send_signal(signal.SIGTERM)
    assert "the same command continues" in ended(sweep, 143)
    eventually(lambda: not of(folder))
    eventually(lambda: not jobs(folder)) if engine == "submitit_slurm" else None
    assert list((folder / "store" / "work").glob("*")), "it was checkpointed"
    ended(launched(engine, folder, *LONG, agents=1))
    assert "continues at step" in "".join(path.read_text() for path in (folder / "s" / "agents").glob("*.log"))
    assert contents(folder) == alone(*LONG)


@pytest.mark.parametrize("how", ["scancel --signal=USR2", "scontrol requeue"])
def test_a_job_that_is_preempted_is_requeued_and_continues(how: str, folder: Path, alone: Alone) -> None:
    """USR2 is what SLURM sends before the time is up and on preemption; requeueing alone warns by SIGTERM."""
    sweep = launched("submitit_slurm", folder, *LONG, agents=1)
    eventually(lambda: any(steps(folder)), sweep)
    (job,) = jobs(folder)
    subprocess.run([*how.split(), job], check=True)
    waits_again = re.compile(r"JobState=PENDING.*Restarts=[1-9]", re.DOTALL)  # not while it still ends
    show = ["scontrol", "show", "job", job]
    eventually(lambda: waits_again.search(subprocess.run(show, capture_output=True, text=True).stdout))
    # SLURM would wait two minutes. In the second in which it killed a job, slurmd refuses to start it again.
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now+3seconds"], check=True)
    said = ended(sweep)
    assert "an agent ended" not in said, "the job that was requeued is the one that does the rest"
    (log,) = (folder / "s" / "agents").glob("*.log")
    assert "continues at step" in log.read_text()
    assert contents(folder) == alone(*LONG)


def test_what_slurm_refuses_is_told_in_its_words(folder: Path) -> None:
    said = ended(launched("submitit_slurm", folder, *SMOKE, "hydra.launcher.partition=nowhere"), 2)
    assert "lt_sweeps: hydra/launcher=submitit_slurm: sbatch: error:" in said
    assert "Traceback" not in said


def test_agents_that_cannot_live_are_given_up_with_their_last_words(folder: Path) -> None:
    said = ended(launched("submitit_slurm", folder, *SMOKE, "hydra.launcher.setup=['export PYTHONHOME=/nowhere']"), 1)
    assert "agents in a row ended before anything came of them" in said
    assert "failed: no agent stayed alive" in said
    assert {row["status"] for row in rows(folder)} == {"failed", "missing"}


SEARCH = (
    *("hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "model=lenet_digits", "budget=smoke"),
    *("prune.rate=interval(0.1,0.6)", "recipe.optimizer.args.lr=tag(log,interval(1e-4,1e-2))"),
)


def test_a_search_is_one_sweep_of_all_its_trials_and_a_repeated_one_trains_nothing(folder: Path) -> None:
    require("optuna")
    first = ended(started(folder, *SEARCH))
    found = rows(folder)
    trials = {(row["prune.rate"], row["recipe.optimizer.args.lr"]) for row in found}
    assert len(trials) == 4
    assert [row["status"] for row in found] == ["done"] * 12
    assert "search: best of 4 trials so far" in first
    best = max((row for row in found if row["level"] == "2"), key=lambda row: validation(folder, row["key"]))
    told = re.findall(r"best of 4 trials so far: validation ([\d.]+) % with prune.rate=([\d.]+)", first)
    assert told == [(f"{validation(folder, best['key']):.2f}", best["prune.rate"])]
    kept = (folder / ".hydra" / "optimization_results.yaml").read_text()
    assert best["prune.rate"] in kept, "what Optuna takes for the best is the best"
    before = contents(folder)
    again = ended(started(folder, *SEARCH))
    assert contents(folder) == before
    assert "0 to train" in again
    assert not re.search(r"[1-9]\d* to train", again)


def test_a_search_may_be_worked_on_by_agents(folder: Path) -> None:
    require("optuna")
    ended(launched("joblib", folder, *SEARCH[2:], "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2"))
    assert [row["status"] for row in rows(folder)] == ["done"] * 6


def validation(folder: Path, key: str) -> float:
    """What a training is worth, by its record."""
    result = json.loads((folder / "store" / "record" / key[:2] / f"{key}.json").read_text())["result"]
    return float(result["early_stop"]["val_accuracy"])


def test_a_search_without_validation_examples_is_a_mistake(folder: Path) -> None:
    require("optuna")
    said = ended(started(folder, *SEARCH, "recipe.validation=0"), 2)
    assert "lt_sweeps: recipe.validation=0: a search compares validation accuracies" in said
    assert not (folder / "store").exists()


def test_a_search_has_no_plan(folder: Path) -> None:
    require("optuna")
    assert "there is no plan of it" in ended(started(folder, *SEARCH, "hydra.launcher.only_plan=true"), 2)
