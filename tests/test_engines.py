"""Engines beyond this process: what is wrong with a choice is told in one line, before anything starts."""

from __future__ import annotations

import importlib.util
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.engines import attend as attending
from lt_sweeps.engines.attend import Attend, Died
from lt_sweeps.engines.engine import last_lines, new_log, processes
from lt_sweeps.engines.joblib import Engine as JoblibEngine
from lt_sweeps.engines.joblib import Options as JoblibOptions
from lt_sweeps.execution.slots import VISIBLE, gpus
from lt_sweeps.main import main


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, *words: str) -> str:
    """The one line a command is answered with; nothing is written."""
    assert main([*words, "model=lenet_digits", "budget=smoke", f"paths.output_dir={tmp_path / 'out'}"]) == 2
    assert not (tmp_path / "out" / "store").exists()
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line.removeprefix("lt_sweeps: ").strip()


@pytest.mark.parametrize(
    ("launcher", "library", "extra"),
    [("submitit_slurm", "submitit", "slurm"), ("ray", "ray", "ray"), ("joblib", "joblib", "joblib")],
)
def test_an_engine_that_is_not_installed_says_how_to_install_it(
    launcher: str,
    library: str,
    extra: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("lt_sweeps.engines.choose.find_spec", lambda name: None if name == library else find(name))
    line = refused(capsys, tmp_path, "-m", f"hydra/launcher={launcher}")
    assert line == f"hydra/launcher={launcher}: it is not installed: pip install 'lt_sweeps[{extra}]'"


def test_a_sweeper_that_is_not_installed_says_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lt_sweeps.main.find_spec", lambda name: None)
    line = refused(capsys, tmp_path, "-m", "hydra/sweeper=optuna")
    assert line == "hydra/sweeper=optuna: it is not installed: pip install 'lt_sweeps[optuna]'"


def test_slurm_is_wanted_where_its_commands_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lt_sweeps.engines.choose.find_spec", lambda name: True)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    line = refused(capsys, tmp_path, "-m", "hydra/launcher=submitit_slurm")
    assert line == "hydra/launcher=submitit_slurm: there is no sbatch on this machine"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["hydra/launcher=joblib"], "hydra/launcher=joblib: is for sweeps; put -m before it"),
        (["-m", "hydra/launcher=joblib", "hydra.launcher.jobs=2"], "unknown key 'hydra.launcher.jobs'"),
        (["-m", "hydra/launcher=joblib", "+hydra.launcher.n_job=2"], "did you mean 'n_jobs'"),
        (["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0: at least 1"),
        (["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=many"], "hydra.launcher.n_jobs=many: Value 'many'"),
        (["-m", "hydra/launcher=joblib", "hydra.launcher.backend=loki"], "choose one of loky, threading"),
    ],
)
def test_a_mistaken_option_is_told_in_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(capsys, tmp_path, *words)


def test_a_plan_needs_no_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a laptop, say, for a cluster that it has no commands for."""
    words = ["-m", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=main", "hydra.launcher.only_plan=true"]
    assert main([*words, "model=lenet_digits", "budget=smoke", f"paths.output_dir={tmp_path}"]) == 0
    assert "3 to train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("trainer", "cpus", "gpus", "room"),
    [
        ({}, 4, None, 4),
        ({"threads": 2}, 5, None, 2),
        ({"threads": 8}, 4, None, 1),
        ({}, 4, 2, None),
        ({"processes": 3}, 8, None, None),
    ],
)
def test_an_agent_trains_as_much_at_a_time_as_it_has_room_for(
    trainer: dict[str, Any], cpus: float, gpus: int | None, room: int | None
) -> None:
    """By its own sight where it has GPUs, or was told how many."""
    assert processes(TrainerConfig(**trainer), cpus, gpus) == room


def test_gpus_are_those_of_either_maker_that_this_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VISIBLE:
        monkeypatch.delenv(name, raising=False)
    assert gpus(tmp_path) == []
    nodes = tmp_path / "sys/class/kfd/kfd/topology/nodes"
    for number, units in enumerate((0, 304, 304)):  # a CPU is a node too
        (nodes / str(number)).mkdir(parents=True)
        (nodes / str(number) / "properties").write_text(f"cpu_cores_count 64\nsimd_count {units}\nmem_banks_count 1\n")
    (nodes / "3" / "properties").mkdir(parents=True)  # cannot be read, like a GPU that belongs to another's container
    assert gpus(tmp_path) == ["0", "1"]
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidiactl"):
        (tmp_path / "dev" / name).touch()
    assert gpus(tmp_path) == ["0"]
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1, 3")
    assert gpus(tmp_path) == ["1", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert gpus(tmp_path) == []


def test_joblib_counts_cores_as_joblib_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lt_sweeps.engines.joblib.cores", lambda: 4)
    assert [JoblibEngine(JoblibOptions(n_jobs=n), TrainerConfig()).agents for n in (3, -1, -2, -9)] == [3, 4, 3, 1]


STAND_IN = """
import signal, sys, time
def leave(*_):
    print("checkpointed", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, leave)
print("at work", *sys.argv[3:], flush=True)
import threading, os
def listen():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=listen, daemon=True).start()
time.sleep(60)
"""


@pytest.fixture
def attend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attend:
    """An attendant of a process that stands in for an agent: the command is the same, the interpreter is not."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/usr/bin/env python3\n{STAND_IN}")
    stand_in.chmod(0o755)
    monkeypatch.setattr(attending.sys, "executable", str(stand_in))
    return Attend(str(tmp_path), str(new_log(tmp_path)), processes=2)


def test_an_attendant_that_is_interrupted_lets_its_agent_checkpoint(
    attend: Attend, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = time.sleep

    def interrupted(seconds: float) -> None:
        pause(seconds)
        if "at work" in Path(attend.log).read_text() and seconds == 0.2:
            raise KeyboardInterrupt

    monkeypatch.setattr(attending.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        attend()
    assert last_lines(Path(attend.log)).splitlines()[-1] == "checkpointed"


def test_an_attendant_whose_launcher_cancels_lets_its_agent_checkpoint(attend: Attend, tmp_path: Path) -> None:
    pool = JoblibEngine(JoblibOptions(n_jobs=1, backend="threading"), TrainerConfig())
    running = pool.start(tmp_path)
    assert running.alive()
    until = time.monotonic() + 30
    while "at work" not in last_lines(running._log) and time.monotonic() < until:
        time.sleep(0.05)
    running.cancel()
    pool.close()
    assert not running.alive()
    assert last_lines(running._log).splitlines()[-1] == "checkpointed"


def test_an_agent_that_dies_leaves_a_reason(tmp_path: Path) -> None:
    """It is the real one, of a folder that holds no sweep."""
    attend = Attend(str(tmp_path), str(new_log(tmp_path)))
    with pytest.raises(Died, match="exit code 1"):
        attend()
    assert "launch.json" in last_lines(Path(attend.log))
