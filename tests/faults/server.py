"""A process that has imported everything, and forks a child for each sweep that is to be killed: `python server.py`.

It reads a JSON line per sweep, {"root", "log", "fault", "whole"}, and answers with one: {"code", "fired", "errors"}.
What a child trains goes to `log`, a line per training begun and one per training ended. Torch has one thread.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import tempfile
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import counted
import torch

from lt_sweeps.cell import Cell, cell_of
from lt_sweeps.config.composing import composed
from lt_sweeps.config.reading import checked
from lt_sweeps.execution import worker
from lt_sweeps.main import exit_code_of, main
from lt_sweeps.sweeps import run as sweep

# Everything a store holds occurs: two branches of a chain, checkpoints, masks, snapshots, then one that is replayed.
IN_ONE_PROCESS = ["trainer.processes=0"]
STEPS = ["recipe.steps=34it", "recipe.eval_every=17it", "model.width=0.2", "prune.levels=1", *IN_ONE_PROCESS]
COMMANDS = (
    ("sweep=a", [["control=none"], ["control=reinit"]]),
    ("sweep=b", [["rewind=step", "rewind.step=7it"]]),
)


def cells() -> list[list[Cell]]:
    """The cells of each command, composed once: Hydra would take most of the time."""
    return [
        [cell_of(checked(composed([*STEPS, name, *words])), dict(w.split("=") for w in words)) for words in each]
        for name, each in COMMANDS
    ]


def words(root: str) -> list[list[str]]:
    """The same as command lines."""
    several = [["control=none,reinit"], ["rewind=step", "rewind.step=7it"]]
    return [
        ["-m", *STEPS, name, *more, f"paths.output_dir={root}"]
        for (name, _), more in zip(COMMANDS, several, strict=True)
    ]


def run(commands: list[list[Cell]], root: str, whole: bool) -> int:
    """Every command, one after the other, until one does not succeed; returns its exit code."""
    if whole:
        return next((code for code in map(main, words(root)) if code), 0)
    for cells in commands:
        here = [replace(c, config=replace(c.config, paths=replace(c.config.paths, output_dir=root))) for c in cells]
        if code := exit_code_of(lambda here=here: (sweep.run(here, "python") and 0) or 0):  # type: ignore[misc]
            return code
    return 0


def logged(log: str) -> None:
    """Every training is written down outside the store, and a checkpoint is due whenever one could be."""
    fit = worker.fit

    def logging(run: Any, ticket: Any, examples: Any, hardware: Any, session: Any, sparse: Any) -> Any:
        progress, until = session.progress, session.until
        _append(log, ["begin", run.key, progress.step if progress else run.ticket.start, until])
        trained = fit(run, ticket, examples, hardware, replace(session, wait=lambda cost: 0.0), sparse)
        _append(log, ["end", run.key, trained.progress.step, until])
        return trained

    worker.fit = logging


def _append(log: str, line: list[Any]) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.close(descriptor)


def child(asked: dict[str, Any], commands: list[list[Cell]], answer: str) -> int:
    """What the forked process does; returns its exit code."""
    out, errors = io.StringIO(), io.StringIO()
    told: dict[str, Any] = {"fired": False, "events": []}
    fault = asked.get("fault") or {}
    logged(asked["log"])
    match fault.get("kind"):
        case "kill":
            counted.watch(Path(asked["root"]), counted.kill_at(fault["at"]))
        case "full":
            seen = counted.full_at(fault["at"], fault["lasting"], lambda: told.update(fired=True))
            counted.watch(Path(asked["root"]), seen)
        case "copies":
            counted.watch(Path(asked["root"]), counted.copies(Path(asked["root"]), Path(fault["to"])))
        case "size":
            sys.dont_write_bytecode = True  # Python would leave half a file of it, for every later process
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault["bytes"], resource.RLIM_INFINITY))
        case "none":
            counted.watch(Path(asked["root"]), counted.noted(told["events"]))
    with redirect_stdout(out), redirect_stderr(errors):
        try:
            code = run(commands, asked["root"], asked.get("whole", False))
        except BaseException:
            traceback.print_exc()
            code = 70
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    Path(answer).write_text(json.dumps({**told, "out": out.getvalue(), "errors": errors.getvalue()}))
    return code


def serve() -> None:
    """Warm up, then a child per line."""
    torch.set_num_threads(1)
    commands = cells()
    with tempfile.TemporaryDirectory() as place:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            assert run(commands, f"{place}/warm", whole=False) == 0
        print("ready", flush=True)
        for line in sys.stdin:
            asked, answer = json.loads(line), Path(place) / "answer"
            answer.unlink(missing_ok=True)
            process = os.fork()
            if not process:
                code = 70
                try:
                    code = child(asked, commands, str(answer))
                finally:
                    os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            told = json.loads(answer.read_text()) if answer.exists() else {"fired": True, "errors": "", "out": ""}
            print(json.dumps({"code": code, **told}), flush=True)


if __name__ == "__main__":
    serve()
