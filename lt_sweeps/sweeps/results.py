"""Writes the files of a sweep's folder, such as results.csv and report.html, from the store."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from lt_sweeps.cell import Cell
from lt_sweeps.cells import budgets, recipes, title
from lt_sweeps.config import archive
from lt_sweeps.errors import Mistake
from lt_sweeps.execution import agent
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution.plan import Plan
from lt_sweeps.keys import Node
from lt_sweeps.parser import Parser
from lt_sweeps.report import costs, table, timings
from lt_sweeps.report.selecting import label_by_sweep, labels, merge, select_rows, split
from lt_sweeps.store.store import Store, write

EXAMPLE = """with --out, one page of several sweeps, or of the curves that have these labels:
  lt-sweeps report runs/snip runs/imp control=none --out both.html
  lt-sweeps report runs/demo --facet model --color control"""


def main(arguments: Sequence[str]) -> int:
    """Write results and report of an interrupted or running sweep, from what is done so far."""
    parser = Parser(
        "lt-sweeps report",
        usage="lt-sweeps report FOLDER... [NAME=VALUE...] [--facet LABEL] [--color LABEL] [--out FILE]",
        description=main.__doc__,
        epilog=EXAMPLE,
    )
    parser.add_argument("words", nargs="+", metavar="FOLDER... [NAME=VALUE...]", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, metavar="FILE", help="an HTML file")
    parser.add_argument("--facet", metavar="LABEL", help="test results side by side, for each value of a label")
    parser.add_argument("--color", metavar="LABEL", help="a colour for each value of a label, such as control")
    options = parser.parse_intermixed_args(list(arguments))
    folders, where = split(options.words)
    if options.out is not None:
        return _page(folders, where, options.out, options.facet, options.color)
    if len(folders) != 1 or where:
        raise Mistake("report: a page of several sweeps, or of a part of one, needs a place: --out page.html")
    [folder] = folders
    if _is_table_alone(folder):
        raise Mistake(f"report: {folder} has the rows of a sweep and nothing else of it; --out page.html shows them")
    cells = [agent.rebuild(past) for past in archive.cells(folder)]
    store = Store(folder.absolute().parent / "store", as_stored=True)
    plan = _plan(cells, store)
    _require_known(folder, {run.key for run in plan.records})
    own = shlex.join(["lt-sweeps", "report", str(folder), *_looks(options.facet, options.color)])
    command = "\n".join(line for line in (agent.command(folder), own) if line is not None)
    rows = write_all(cells, folder, command, store, plan, {}, options.facet, options.color)
    done = sum(row["status"] == "done" for row in rows)
    print(f"{done} of {len(rows)} levels are done")
    print(f"results: {folder / table.RESULTS}")
    print(f"report:  {folder / 'report.html'}")
    return 0


def _looks(facet: str | None, color: str | None) -> list[str]:
    """How figures look, as words of the command."""
    return [word for name, value in (("--facet", facet), ("--color", color)) if value for word in (name, value)]


def _page(
    folders: Sequence[Path], where: Sequence[tuple[str, str]], out: Path, facet: str | None, color: str | None
) -> int:
    """Writes one page from the tables of sweeps; the budget is unknown where a folder has only tables."""
    from lt_sweeps.report.page import render

    if not folders:
        raise Mistake("report: give the folder of a sweep, such as runs/demo")
    known = [] if any(map(_is_table_alone, folders)) else folders
    cells = [agent.rebuild(past) for folder in known for past in archive.cells(folder)]
    chosen, shown = labels(where), [f"{name}={value}" for name, value in where]
    whole = merge([costs.read(folder) for folder in folders], folders)
    rows = select_rows(whole, chosen)
    reads = (table.read_layers, table.read_points, table.read_histories)
    layers, points, histories = (
        label_by_sweep(shares, folders) if whole and "sweep" in whole[0] else table.distinct(chain(*shares))
        for shares in ([read(folder) for folder in folders] for read in reads)
    )
    layers = select_rows(layers, chosen) if layers else []
    words = [*map(str, folders), *shown, *_looks(facet, color), "--out", str(out)]
    page = render(
        rows,
        layers,
        points,
        title=" ".join([" and ".join(folder.resolve().name for folder in folders), *shown]),
        sweep=", ".join(map(str, folders)),
        budgets=budgets(cells),
        command=shlex.join(["lt-sweeps", "report", *words]),
        histories=histories,
        recipes=recipes(cells),
        days=timings.days([row for folder in folders for row in timings.read(folder)]),
        facet=facet,
        color=color,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write(out, page.encode())
    print(f"report:  {out}")
    return 0


def _is_table_alone(folder: Path) -> bool:
    """Whether a folder has the rows of a sweep and nothing else of it, as those of published results."""
    return (folder / table.RESULTS).exists() and not (folder / archive.CELLS).exists()


def _require_known(folder: Path, stored: set[str]) -> None:
    """Raises Mistake if results.csv has results that are not in the store: rewriting it would lose them."""
    try:
        rows = table.read(folder)
    except Mistake:
        return
    lost = {row["key"] for row in rows if row["status"] == "done" and row["key"] not in stored}
    if lost:
        where = folder.absolute().parent / "store"
        raise Mistake(
            f"{folder}: {len(lost)} results in its table are not in {where}: move the folder and its store as one"
        )


def write_all(
    cells: Sequence[Cell],
    folder: Path,
    command: str,
    store: Store,
    plan: Plan,
    failed: Mapping[Node, str],
    facet: str | None = None,
    color: str | None = None,
) -> list[table.Row]:
    """Writes all tables and reports of a sweep's folder; returns the rows of results.csv."""
    from lt_sweeps.report import heat
    from lt_sweeps.report.markdown import summary
    from lt_sweeps.report.page import render

    rows = table.rows(cells, plan.records, plan.blocked, failed)
    timed = {run: store.load_timing(run.key) for run in plan.records}
    times = timings.rows(cells, timed)
    budget_lines = budgets(cells)
    layers, points = table.layers(cells, plan.records), table.measured(cells, plan.records)
    histories = table.histories(cells, plan.records)
    known, machines, days = costs.rows(cells, plan.records), _machines(plan), timings.days(times)
    page = render(
        costs.joined(rows, known),
        layers,
        points,
        title=title(cells),
        sweep=folder.name,
        budgets=budget_lines,
        command=command,
        facet=facet,
        color=color,
        pairs=heat.read(folder),
        machines=machines,
        days=days,
        histories=histories,
        recipes=recipes(cells),
    )
    write(folder / table.RESULTS, table.as_csv(rows).encode())
    write(folder / table.LAYERS, table.as_csv(layers).encode())
    if plan.measures:
        write(folder / table.POINTS, table.as_csv(points).encode())
    else:
        (folder / table.POINTS).unlink(missing_ok=True)  # left by an earlier command with measures
    write(folder / table.HISTORIES, table.as_csv(histories).encode())
    write(folder / costs.COSTS, table.as_csv(known).encode())
    write(folder / timings.TIMINGS, (table.as_csv(times) or ",".join(timings.COLUMNS) + "\n").encode())
    write(folder / "report.html", page.encode())
    write(folder / "summary.md", summary(rows, budget_lines, command, machines, days).encode())
    return rows


def _machines(plan: Plan) -> list[str]:
    """The distinct fingerprints of all results, as text."""
    prints = [record["fingerprint"] for record in plan.records.values()]
    return sorted(
        {", ".join(f"{name} {value}" for name, value in sorted(fingerprint.items())) for fingerprint in prints}
    )


def write_done(cells: Sequence[Cell], folder: Path, command: str, store: Store) -> None:
    """Writes the results so far of a sweep that ends early; errors are ignored."""
    with suppress(Exception):  # the user shall see why the sweep ended instead
        write_all(cells, folder, command, store, _plan(cells, store), {})


def _plan(cells: Sequence[Cell], store: Store) -> Plan:
    return planning.make(cells, store)
