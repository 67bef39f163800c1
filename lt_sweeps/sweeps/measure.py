"""`lt-sweeps measure FOLDER MEASURE...`: measures of a sweep's stored trainings, computed now. It trains nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from lt_sweeps.cell import Cell
from lt_sweeps.cells import described, level_names
from lt_sweeps.columns import COMPARED
from lt_sweeps.config import archive, measuring
from lt_sweeps.config.methods import MeasureConfig
from lt_sweeps.errors import Corner, Mistake
from lt_sweeps.execution import agent, failures
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution.reporter import Reporter
from lt_sweeps.graph import Train
from lt_sweeps.parser import Parser
from lt_sweeps.store.store import Store, write
from lt_sweeps.sweeps import between, results
from lt_sweeps.ticket_files import origins

EPILOG = """MEASURE is an option of measure= (lt-sweeps list measure), with --of or --between a measure of your own too.
Results are kept in the store, and join the tables and the report of the sweep; the same command does nothing again.

  lt-sweeps measure runs/lenet live_density class_accuracy
  lt-sweeps measure runs/lenet churn my.pkg.distance --of parent
  lt-sweeps measure runs/lenet overlap --between seed      all pairs of cells that differ in their seed alone
  lt-sweeps measure runs/lenet overlap --between level     all pairs of levels of each cell
  lt-sweeps measure runs/lenet overlap --between prune,gate    all pairs that differ in one of these or both"""


def main(arguments: Sequence[str]) -> int:
    """Computes what is missing, and writes tables and report; returns the exit code. Raises Mistake."""
    parser = Parser(
        "lt-sweeps measure",
        description=__doc__,
        epilog=EPILOG,
    )
    parser.add_argument("folder", type=Path, help="of a finished sweep")
    parser.add_argument("measures", nargs="+", metavar="MEASURE")
    parser.add_argument("--of", choices=[*COMPARED], help="what each level is compared with, instead of the option's")
    parser.add_argument("--between", metavar="LABEL", help="compare cells: seed, prune,criterion ...; or level")
    options = parser.parse_args(list(arguments))
    folder = options.folder.absolute()
    if options.between is not None:
        if options.of is not None:
            raise Mistake("measure: --of compares within a cell, --between with other cells: give one of them")
        cells = [agent.rebuild(past) for past in archive.cells(folder)]
        failed = list[str]()
        for name in options.measures:
            pairs = between.pairs(cells, between.compared(name), options.between)
            failed += _compute(folder, [between.with_pairs(cells[0], pairs)], cells)
            print("\n".join(between.write_table(folder, pairs, options.between)))
        results.main([str(options.folder)])
        return 1 if failed else 0
    cells = measured(folder, [_measure_config(name, options.of) for name in options.measures])
    failed = _compute(folder, cells, cells)
    write(folder / archive.CELLS, json.dumps([described(c) for c in cells], indent=1).encode())
    results.main([str(options.folder)])
    return 1 if failed else 0


def _measure_config(name: str, of: str | None) -> MeasureConfig:
    return measuring.option(name) if of is None else MeasureConfig(name, of={of: {name: {}}})


def measured(folder: Path, configs: Sequence[MeasureConfig]) -> list[Cell]:
    """Returns the cells of a sweep with further measures. Raises Mistake if no cell can have them."""
    cells, refused = list[Cell](), list[str]()
    for past in archive.cells(folder):
        whole = measuring.joined([past.config.measure, *configs])
        try:
            cells.append(agent.rebuild(replace(past, settings={**past.settings, "measure": asdict(whole)})))
        except Corner as error:  # of one method of several, as pruning at initialisation has no parents
            refused.append(str(error))
            cells.append(agent.rebuild(past))
    if len(refused) == len(cells):
        raise Mistake(refused[0])
    for why in dict.fromkeys(refused):
        print(f"note: not of {refused.count(why)} of {len(cells)} cells: {why}")
    return cells


def _compute(folder: Path, cells: Sequence[Cell], named: Sequence[Cell]) -> list[str]:
    """Computes the missing measures of `cells`; returns why some failed. Raises Mistake if a training is missing."""
    from lt_sweeps.execution.run import execute

    data = agent.data_dir(folder)
    store = Store(folder.parent / "store", {"data": data})
    plan = planning.make(cells, store)
    if missing := sum(isinstance(job.run, Train) for job in plan.jobs):
        raise Mistake(
            f"{folder}: {missing} trainings that this needs are not in the store; it trains nothing: "
            "add measure= to the sweep's command"
        )
    print(planning.summary(plan))
    for cell in cells if plan.jobs else ():
        origins.keep(cell.config, store)
    failures.clear(folder)
    failed = execute(cells, store, data, agent.trainer(folder), Reporter(level_names(named)), folder=folder)
    reasons = [*dict.fromkeys(failed.values())]
    print("\n".join(f"failed: {reason}" for reason in reasons), end="\n" * bool(reasons))
    return reasons
