"""Runs a sweep from checked cells to the report: plan, print, execute, write. Imports torch only if it is needed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from lt_sweeps.cell import Cell
from lt_sweeps.cells import budgets, described, distinct, kept_as, level_names, redrawn_layers, run_names
from lt_sweeps.config import archive, datafiles
from lt_sweeps.config.choosing import finding
from lt_sweeps.engines.engine import Engine
from lt_sweeps.errors import Mistake
from lt_sweeps.execution import agent, failures
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution.plan import Plan
from lt_sweeps.execution.slots import gpus, slots
from lt_sweeps.execution.spare import Spare, spare
from lt_sweeps.graph import Measure, Train
from lt_sweeps.keys import Node, digest
from lt_sweeps.loggers import choose, entries
from lt_sweeps.loggers.journal import Journal
from lt_sweeps.loggers.several import Journals
from lt_sweeps.report import table
from lt_sweeps.store.store import Store, write
from lt_sweeps.sweeps import results
from lt_sweeps.sweeps.join import with_earlier
from lt_sweeps.sweeps.validate import mention_equal, mention_idle_rate, refuse_mixed, refuse_replicas
from lt_sweeps.ticket_files import origins

LONGEST_NAME = 200  # bytes; file systems allow 255, and temporary files beside it have longer names


class Failed(Exception):
    """Trainings failed and were reported; everything else is done and reported. The same command tries them again."""


def run(
    cells: Sequence[Cell],
    command: str,
    *,
    only_plan: bool = False,
    calibrate: bool = False,
    engine: Engine | None = None,
) -> Path | None:
    """Plans and prints; unless `only_plan`, executes the missing jobs, here or by agents, and writes the results.

    Returns the sweep's folder, None if it only planned.

    `calibrate` measures the rates that the estimate of hours lacks.

    All checks come before the first training. Raises Mistake, and Failed at the very end.
    """
    cells = distinct(cells)
    first = cells[0].config
    refuse_mixed(cells)
    choose.check(first.logger)
    output = Path(first.paths.output_dir).expanduser()
    folder = output / _name(cells)
    if first.sweep is not None:  # a name that is made of the cells has no earlier ones
        cells = distinct(with_earlier(cells, folder))
        first = cells[-1].config
    refuse_replicas(cells)
    store = Store(output / "store", {"data": Path(first.paths.data_dir).expanduser()})
    plan = planning.make(cells, store)
    if plan.jobs and (calibrate or not only_plan):
        for c in cells:
            for config in (c.config, finding(c.config)):
                datafiles.require(config.dataset, config.paths.data_dir)
            origins.keep(c.config, store)
        if engine is None or engine.here:
            _require_devices(cells)
    if only_plan:
        from lt_sweeps.forecast.lines import lines

        tables = _layers(cells)
        _require_trainable(cells, plan)
        _announce(cells, plan, [])
        print(*lines(cells, plan, store, calibrate=calibrate), sep="\n")
        print(*tables, sep="\n\n")
        return None
    with _spare(cells, plan, engine) as forking:
        if plan.jobs:
            _layers(cells)
            _require_trainable(cells, plan)
        _announce(cells, plan, _kept_whole(cells) if plan.jobs else [])
        before = _before(folder)
        _begin(cells, folder, command)
        failed: dict[Node, str] = {}
        with journals_of(cells, folder, plan, store) as journals:
            if plan.jobs:
                try:
                    failed = _execute(cells, store, journals, folder, engine, forking)
                except BaseException as error:  # interrupted, or refused by a worker: write what is done
                    if isinstance(error, Mistake) and len(planning.make(cells, store).jobs) == len(plan.jobs):
                        _restore(folder, before)  # else the next command would join cells that nobody can train
                    else:
                        results.write_done(cells, folder, command, store)
                    raise
                plan = planning.make(cells, store)
            rows = results.write_all(cells, folder, command, store, plan, failed)
            journals.close(rows, plan, failed, folder / "report.html")
    _say_outcome(rows, folder, failed)
    _refuse_empty(cells, rows)
    if failed:
        kinds = Counter("measures" if isinstance(node, Measure) else "trainings" for node in failed)
        raise Failed(", ".join(f"{n} {kind} failed" for kind, n in kinds.items()))
    return folder


def _spare(cells: Sequence[Cell], plan: Plan, engine: Engine | None) -> AbstractContextManager[Spare | None]:
    """Returns a Spare if this process executes jobs; called before it computes, so that it can be forked."""
    here = plan.jobs and engine is None
    return spare(cells[0].config.trainer, max(c.config.trainer.devices for c in cells)) if here else nullcontext()


def _require_trainable(cells: Sequence[Cell], plan: Plan) -> None:
    if plan.jobs:
        from lt_sweeps.check import trial

        runs = [job.run for job in plan.jobs if isinstance(job.run, Train)]
        trial.require_trainable(runs)
        trial.require_lawful(runs, [run for c in cells for run in c.levels])
        trial.require_measurable(job.run for job in plan.jobs if isinstance(job.run, Measure))


def _announce(cells: Sequence[Cell], plan: Plan, lines: Sequence[str]) -> None:
    """Prints the budgets, these lines and what is planned."""
    for line in [*budgets(cells), *redrawn_layers(cells), *_perturbed(cells), *lines]:
        print(line)
    print(planning.summary(plan))
    mention_equal(cells)
    mention_idle_rate(cells)


def _layers(cells: Sequence[Cell]) -> list[str]:
    """Tables of the layers of each network. Raises Mistake for an impossible allocation or a pattern without match."""
    from lt_sweeps.forecast import layers
    from lt_sweeps.forecast.lines import file_counts
    from lt_sweeps.forecast.shares import shares
    from lt_sweeps.forecast.sizes import Sizes

    pruned = [c for c in cells if c.config.mask_from is None]
    networks = [(c.levels[0].ticket.network, layers.as_pruned(c.config)) for c in pruned]
    for (network, _), c in zip(networks, pruned, strict=True):
        layers.require_possible(network, c.config)
    sizes = Sizes(file_counts(cells))
    return layers.tables(networks, (shares(c, sizes) for c in pruned))


def _kept_whole(cells: Sequence[Cell]) -> list[str]:
    from lt_sweeps.forecast import layers

    networks = dict.fromkeys((c.levels[0].ticket.network, tuple(c.config.prune.include)) for c in cells)
    return [line for network, include in networks if (line := layers.unpruned_note(network, include)) is not None]


def _perturbed(cells: Sequence[Cell]) -> list[str]:
    if all(c.config.measure.perturbed.share is None for c in cells):
        return []
    from lt_sweeps.forecast import layers

    notes = (layers.noise_note(c.levels[0].ticket.network, c.config) for c in cells)
    return [*dict.fromkeys(note for note in notes if note is not None)]


def journals_of(cells: Sequence[Cell], folder: Path, plan: Plan, store: Store) -> Journals:
    """Returns what follows a sweep and logs it, to the loggers of its cells."""
    columns, names = table.swept_columns(cells), run_names(cells)
    runs = [
        (entries.about(described(c), c, folder.name, name, columns), c) for c, name in zip(cells, names, strict=True)
    ]
    loggers = choose.make(cells[0].config.logger, folder, store)
    return Journals([Journal(logger, runs, plan, store, print) for logger in loggers])


def _begin(cells: Sequence[Cell], folder: Path, command: str) -> None:
    """Writes cells and launch settings to the sweep's folder, for agents and other commands."""
    folder.mkdir(parents=True, exist_ok=True)
    for c in cells:
        for card in origins.folders(c.config).values():
            card.copy(folder / kept_as(card))
    config = cells[0].config
    agent.launch(folder, command, Path(config.paths.data_dir).expanduser(), config.trainer)
    write(folder / archive.CELLS, json.dumps([described(c) for c in cells], indent=1).encode())
    failures.clear(folder)


def _before(folder: Path) -> bytes | None:
    """The cells that the sweep's folder holds so far."""
    path = folder / archive.CELLS
    return path.read_bytes() if path.exists() else None


def _restore(folder: Path, before: bytes | None) -> None:
    """Restores an earlier cells.json; deletes it if there was none."""
    if before is None:
        (folder / archive.CELLS).unlink()
    else:
        write(folder / archive.CELLS, before)


def _execute(
    cells: Sequence[Cell], store: Store, journals: Journals, folder: Path, engine: Engine | None, forking: Spare | None
) -> dict[Node, str]:
    from lt_sweeps.execution.reporter import Reporter

    reporter = Reporter(level_names(cells))
    if engine is not None:
        from lt_sweeps.engines.supervise import supervise

        return supervise(engine, folder, cells, store, reporter, journals)
    from lt_sweeps.execution.run import execute

    config = cells[0].config
    data_dir = Path(config.paths.data_dir).expanduser()
    return execute(cells, store, data_dir, config.trainer, reporter, journals, folder=folder, spare=forking)


def _name(cells: Sequence[Cell]) -> str:
    """The configured name, or one made of the cells, so that the same command finds its folder again."""
    name = cells[0].config.sweep
    if name is not None:
        if not re.fullmatch(r"[\w.+=,-]+", name) or name.startswith(".") or name == "store":
            raise Mistake(f"sweep={name}: letters, digits and _ . + = , - make a folder's name (and not 'store')")
        if len(name.encode()) > LONGEST_NAME:
            raise Mistake(f"sweep={name[:20]}...: a folder's name has at most {LONGEST_NAME} bytes")
        return name
    models = "-".join(dict.fromkeys(str(c.labels["model"]) for c in cells))
    models = re.sub(r"[^\w.+=,-]", "_", models)  # timm has names with slashes
    budget = cells[0].config.budget.name
    content = digest([[run.key for run in c.levels] for c in cells])[:6]
    return f"{models[:60]}-{budget}-{content}"


def _require_devices(cells: Sequence[Cell]) -> None:
    """Raises Mistake if the machine lacks the configured devices, as far as can be seen without torch."""
    trainer, most = cells[0].config.trainer, max(c.config.trainer.devices for c in cells)
    if trainer.accelerator == "gpu" and not gpus() and not Path("/dev/kfd").exists():
        raise Mistake("trainer.accelerator=gpu: this machine shows no GPU; use trainer=auto or trainer=cpu")
    if trainer.processes == 0 and most > 1:
        raise Mistake(f"trainer.processes=0: trainer.devices={most} needs processes of its own")
    slots(trainer, most)
    devices: dict[tuple[str, ...], int] = {}
    for c in cells:
        first = devices.setdefault(tuple(run.key for run in c.levels), c.config.trainer.devices)
        if first != c.config.trainer.devices:
            print(f"note: trainer.devices makes no other trainings: what several cells ask for is done on {first}")
            break


def _say_outcome(rows: list[table.Row], folder: Path, failed: Mapping[Node, str]) -> None:
    from lt_sweeps.report.curves import curves
    from lt_sweeps.report.verdict import verdicts

    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    unfinished = ", ".join(f"{n} {status}" for status, n in counts.items() if status != "done")
    if unfinished:
        print(f"levels that are not done: {unfinished}")
    for sentence in verdicts(curves(rows)):
        print(sentence)
    for reason in dict.fromkeys(failed.values()):
        print(f"failed: {reason}")
    print(f"results: {folder / 'results.csv'}")
    print(f"report:  {folder / 'report.html'}")


def _refuse_empty(cells: Sequence[Cell], rows: list[table.Row]) -> None:
    if any(c.config.prune.on_empty == "error" for c in cells):
        for row in rows:
            if row["status"] == "collapsed":
                raise Mistake(f"prune.on_empty=error: a layer is empty at level {row['level']} of {row['model']}")
