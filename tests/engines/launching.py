"""Whether an engine is here: needed where LT_SWEEPS_REQUIRE_ENGINES is set, else a test without it is skipped."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

SMOKE = ("model=lenet_digits", "prune.rate=0.2,0.5", "seed=0,1", "budget=smoke")
LONG = ("model=lenet_digits", "recipe.steps=4000it", "recipe.eval_every=500it", "prune.levels=1", "trainer=cpu")
ENGINES = {
    "submitit_slurm": ("hydra.launcher.partition=main", "hydra.launcher.mem_gb=2", "hydra.launcher.cpus_per_task=1"),
    "ray": ("+hydra.launcher.init={include_dashboard: false, _node_ip_address: 127.0.0.1}",),
    "joblib": (),
}


def missing(reason: str) -> NoReturn:
    """Skip, or fail where everything must be here."""
    if os.environ.get("LT_SWEEPS_REQUIRE_ENGINES"):
        pytest.fail(reason)
    pytest.skip(reason)


def require(engine: str) -> None:
    """Raises what skips or fails a test for want of what the engine needs."""
    library = {"submitit_slurm": "submitit", "optuna": "hydra_plugins.hydra_optuna_sweeper"}.get(engine, engine)
    if find_spec(library) is None:
        missing(f"needs {library}: make engines installs it")
    if engine == "submitit_slurm":
        try:
            listed = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, timeout=60, check=False)
        except FileNotFoundError:
            missing("needs a SLURM: tests/engines/slurm.sh start makes one of this machine")
        if "main" not in listed.stdout:
            missing(f"needs a SLURM that answers, with a partition main: {listed.stderr.strip()}")


def launched(engine: str, folder: Path, *words: str, agents: int = 2) -> subprocess.Popen[str]:
    """A sweep that this engine's agents work on, on its way."""
    require(engine)
    many = "n_jobs" if engine == "joblib" else "agents"
    chosen = (f"hydra/launcher={engine}", f"hydra.launcher.{many}={agents}", *ENGINES[engine])
    named = (f"hydra.launcher.name={job_name(folder)}",) if engine == "submitit_slurm" else ()
    return started(folder, *chosen, *named, *words)


def job_name(folder: Path) -> str:
    """What the SLURM jobs of a sweep are called."""
    return f"lt-{folder.parent.name}-{folder.name}"


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    """A sweep on its way."""
    command = [sys.executable, "-m", "lt_sweeps.main", "-m", *words, "sweep=s", f"paths.output_dir={folder}"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def ended(process: subprocess.Popen[str], code: int = 0, seconds: float = 900) -> str:
    """What a sweep said, when it has ended."""
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        pytest.fail(f"not done after {seconds} s: {said}")
    assert process.returncode == code, said
    return said


def contents(folder: Path) -> dict[str, bytes]:
    """All that a sweep's results consist of: records, blobs and the table."""
    store = folder / "store"
    found = {
        str(p.relative_to(store)): p.read_bytes() for kind in ("record", "blob") for p in store.glob(f"{kind}/*/*")
    }
    return found | {"results.csv": (folder / "s" / "results.csv").read_bytes()}


def rows(folder: Path) -> list[dict[str, str]]:
    """The results of a sweep."""
    return list(csv.DictReader((folder / "s" / "results.csv").read_text().splitlines()))
