"""A sweep in a notebook: its tables as DataFrames, its tickets, modules and curves.

import lt_sweeps as lt
sweep = lt.open("runs/demo")                 # sweep.results: a row per cell and level
sweep.findings                               # the report's sentences
sweep.curve(control="none")                  # mean, deviation, interval and n per level
sweep.plot("difference")                     # a matplotlib figure, as lt-sweeps figure writes it
run = sweep.ticket(level=3, seed=0)
run.history, run.module(), run.mask, run.export("tickets/mine")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lt_sweeps import results
from lt_sweeps.cell import Cell
from lt_sweeps.columns import is_of_training
from lt_sweeps.config import archive
from lt_sweeps.errors import Mistake
from lt_sweeps.execution import agent
from lt_sweeps.graph import END, Measure, Train, at, end
from lt_sweeps.metrics import of_row
from lt_sweeps.registry import nearest, part
from lt_sweeps.report import curves, table
from lt_sweeps.report.paper import draw
from lt_sweeps.report.selecting import read_curves
from lt_sweeps.report.verdict import verdicts
from lt_sweeps.store.store import Missing, Record, Store
from lt_sweeps.sweeps.frames import described, framed, normalized, varying

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from lt_sweeps.masks import Mask, State
    from lt_sweeps.measures.accuracy import Evaluation
    from lt_sweeps.realise import Values


MOST_VALUES = 12  # of a column, in a message
SHOWN = 20  # rows of a sweep, in a notebook


def open(folder: str | Path) -> Sweep:
    """Opens the sweep in a folder (`runs/<sweep>`), finished or not. It trains nothing and imports no torch.

    What a sweep offers is under `help(lt_sweeps.Sweep)`, what one of its trainings does under `help(lt_sweeps.Run)`:

        sweep = lt_sweeps.open("runs/demo")
        sweep.findings  # sentences
        sweep.results  # a DataFrame, a row per cell and level
        sweep.plot("difference")  # a figure
        sweep.ticket(level=3, seed=0, control="none").module()  # a trained network

    Raises Mistake if the folder is not that of a sweep.
    """
    return Sweep(Path(folder))


class Sweep:
    """The results of a sweep, and every training behind them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()  # a notebook may change its working directory
        self.cells = archive.cells(self.folder)
        self._store = Store(self.folder.parent / "store", as_stored=True)

    def __repr__(self) -> str:
        return f"<sweep {self.folder.name}: {len(self.cells)} cells, {len(self.results)} rows>"

    def _repr_html_(self) -> str:
        """What a notebook shows of it: its rows, without the columns in which all are the same."""
        shown = varying(self.results)
        title = f"{escape(self.folder.name)}: {len(self.cells)} cells, {len(self.results)} rows"
        return f"<p>{title}</p>{shown.to_html(index=False, max_rows=SHOWN, float_format='{:.4g}'.format)}"

    @cached_property
    def results(self) -> pd.DataFrame:
        """results.csv: a row per cell and level; accuracies in percent. Raises Mistake where it cannot be read."""
        rows = table.read(self.folder)
        self.cells = archive.cells(self.folder)  # which may have grown since it was opened
        return framed(rows)

    @property
    def findings(self) -> list[str]:
        """The report's sentences: which level matches dense, by what evidence, and what its controls come to."""
        return verdicts(curves.curves(table.read(self.folder)))

    @cached_property
    def layers(self) -> pd.DataFrame:
        """layers.csv: a row per cell, level and layer; `kept` of its `total` weights."""
        return pd.read_csv(self.folder / "layers.csv")

    @cached_property
    def measures(self) -> pd.DataFrame:
        """measures.csv: a row per point of each measure, such as a layer or a class; empty without measures."""
        return framed(table.read_points(self.folder))

    @cached_property
    def timings(self) -> pd.DataFrame:
        """timings.csv: the seconds that each distinct training took, and when it ended."""
        return pd.read_csv(self.folder / "timings.csv", dtype={"key": str})

    def runs(self, **where: Any) -> list[Run]:
        """The trainings whose rows of `results` have these values, in order. Raises Mistake for an unknown column."""
        if unknown := [name for name in where if name not in self.results]:
            raise Mistake(f"{self.folder.name} has no column {unknown[0]!r}, it has {', '.join(self.results)}")
        chosen = self.results
        for name, value in where.items():
            chosen = chosen[[_is(name, entry, value) for entry in chosen[name]]]
        plain = chosen.astype(object).where(chosen.notna(), None)
        return [
            Run(self, self._place(index, row["key"]), row)
            for index, row in zip(plain.index, plain.to_dict("records"), strict=True)
        ]

    def _place(self, index: int, key: str | None) -> tuple[int, int]:
        """The cell and level of a row: by its place in the table as it was written, else by its key."""
        places = self._places
        if index < len(places) and self._key(places[index]) == key:
            return places[index]
        every = ((cell, level) for cell, past in enumerate(self.cells) for level in range(len(past.keys)))
        shown = next((place for place in every if self._key(place) == key), None)
        if shown is None:
            raise table.damaged(self.folder, f"row {index} is of no training of this sweep")
        return shown

    def _key(self, place: tuple[int, int]) -> str:
        cell, level = place
        return self.cells[cell].keys[level]

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        """The cell and level of each row, in the order in which rows are written."""
        return table.placed([{"key": key} for key in self.results["key"].sort_index()], self.cells)

    def ticket(self, level: int | None = None, **where: Any) -> Run:
        """The one training whose row has these values. Raises Mistake if none has, or several have."""
        where = where if level is None else {**where, "level": level}
        runs = self.runs(**where)
        if not runs:
            raise self._no_row(where)
        if len({run.key for run in runs}) > 1:
            names = [n for n in runs[0].row if n != "key" and len({str(run.row[n]) for run in runs}) > 1]
            which = [n for n in names if n in ("seed", "level") or n in curves.labels_of(runs[0].row)]
            raise Mistake(f"{self.folder.name}: {len(runs)} rows match; say which {', '.join(which)}")
        return runs[0]

    def _no_row(self, where: Mapping[str, Any]) -> Mistake:
        """The error for values that no row has: it lists the values of the first column without a match."""
        conditions = ", ".join(f"{name}={value}" for name, value in where.items())
        for name, value in where.items():
            entries = dict.fromkeys(self.results[name])
            values = [str(normalized(entry)) if pd.isna(entry) else str(entry) for entry in entries]
            values = [entry[:8] for entry in values] if name == "key" else values
            if not self.runs(**{name: value}):
                known = ", ".join(values[:MOST_VALUES]) + (", ..." if len(values) > MOST_VALUES else "")
                return Mistake(
                    f"{self.folder.name}: no row has {conditions}; {name} is {known}{nearest(str(value), values)}"
                )
        return Mistake(f"{self.folder.name}: no row has all of {conditions}")

    def curve(self, **where: Any) -> pd.DataFrame:
        """Accuracy over weights remaining: mean, deviation, 95 % t-interval and n over seeds, paired with dense.

        Raises Mistake where no row has these values.
        """
        rows = [run.row for run in self.runs(**where)]
        if not rows:
            raise self._no_row(where)
        chain = {name: value for name, value in where.items() if not is_of_training(name)}
        if chain != where and "level" not in where:  # the dense networks, which `train.*` is not for
            rows = [run.row for run in self.runs(**{**chain, "level": 0})] + [row for row in rows if row["level"]]
        return pd.DataFrame([described(curve, point) for curve in curves.curves(rows) for point in curve.points])

    def plot(
        self,
        what: str = "",
        *,
        facet: str | None = None,
        style: str = "paper",
        width: float | None = None,
        spread: str = "band",
        over: str | None = None,
        at: Sequence[float] | None = None,
        **where: str,
    ) -> Figure:
        """The matplotlib figure of a quantity over the weights that remain, as `lt-sweeps figure` writes it.

        With `over` it is over the numbers of that label, such as "rewind.step", at these shares of weights in percent.

        `where` chooses curves by their labels, as `control="none"`, or several values with commas; `width` is in
        inches. Raises Mistake for unknown names, and where matplotlib is not installed.
        """
        curves = read_curves([self.folder], {name: str(value).split(",") for name, value in where.items()})
        return draw(curves, what, facet=facet, style=style, width=width, spread=spread, over=over, at=at)

    def barrier(
        self,
        first: Run,
        second: Run,
        *,
        points: int = 30,
        batchnorm: str = "average",
        data_dir: str | Path | None = None,
    ) -> pd.DataFrame:
        """Test error along the line between two trained networks; `attrs["barrier"]` is its height in points.

        `second` is the sparser one. The result is that of `measure=barrier`, and is computed once: the store keeps it.
        """
        ends = end(first.expression), end(second.expression)
        what = part("measure", "barrier", {"points": points, "batchnorm": batchnorm})
        measure = Measure(what, ends, second.expression.data)
        with second._stored("an end of the line", data_dir) as values:
            if measure.key not in self._store:
                values.commit(measure, {"status": "done", **values.table(measure)}, {})
        measured = results.measured(self._store.get(measure.key))
        curve = pd.DataFrame({name: measured[name] for name in ("alpha", "test_error")})
        curve.attrs["barrier"], curve.attrs["midpoint"] = measured["barrier"], measured["midpoint"]
        return curve

    def cell(self, number: int) -> Cell:
        """Rebuilds the expressions of a cell from its configuration. Raises Mistake if their keys have changed."""
        return agent.rebuild(self.cells[number])


def _is(column: str, entry: Any, value: Any) -> bool:
    """Whether an entry of a column equals a value; of a key the beginning is enough."""
    if column == "key" and isinstance(value, str) and archive.is_key(value):
        return str(entry).startswith(value)
    return bool(normalized(entry) == normalized(value))


class Run:
    """One training of a sweep: its ticket, and its results."""

    def __init__(self, sweep: Sweep, place: tuple[int, int], row: Mapping[str, Any]) -> None:
        self._sweep, self._place, self.row = sweep, place, dict(row)
        self.key: str = row["key"]

    def __repr__(self) -> str:
        words = ("model", "dataset", "control", "seed", "level", "density", f"test_{of_row(self.row).name}")
        return f"<run {self.key[:8]}: {', '.join(f'{name}={self.row[name]}' for name in words)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows of it: its row, without the columns that are empty, and its layers if it is stored."""
        filled = {name: value for name, value in self.row.items() if not pd.isna(value)}
        tables = [pd.Series(filled).to_frame(self.key[:8]).to_html()]
        with suppress(Mistake):
            tables.append(self.layers.to_html(index=False, float_format="{:.4g}".format))
        return f'<div style="display: flex; gap: 2em; flex-wrap: wrap">{"".join(map(str, tables))}</div>'

    @property
    def layers(self) -> pd.DataFrame:
        """A row per layer, in the network's order: `kept` of its `total` prunable weights. Raises Mistake."""
        layers = results.kept_of(self.record).layers
        frame = pd.DataFrame([{"layer": layer.name, "kept": layer.kept, "total": layer.total} for layer in layers])
        return frame.assign(density=frame.kept / frame.total) if len(frame) else frame

    @cached_property
    def expression(self) -> Train:
        """The expression of the training."""
        cell, level = self._place
        return self._sweep.cell(cell).levels[level]

    @property
    def record(self) -> Record:
        """The store's record: node, result, fingerprint. Raises Mistake where it is not stored."""
        try:
            return self._sweep._store.get(self.key)
        except Missing:
            raise Mistake(f"{self.key[:8]} is not in the store: the sweep's command computes it again") from None

    @property
    def history(self) -> pd.DataFrame:
        """Every evaluation of the training: step, losses, validation metrics."""
        return pd.DataFrame(list(results.outcome(self.record).history)).drop(columns="digest", errors="ignore")

    @property
    def mask(self) -> Mask:
        """The mask: one bool tensor per prunable tensor, True = kept. Raises Mistake if it is not stored."""
        with self._stored("its mask") as values:
            return values.kept(self.expression)

    def state(self, step: int = END) -> State:
        """The effective weights after `step` iterations of the clock, or at the end. Raises Mistake if not stored."""
        run = self.expression
        if isinstance(step, bool) or not isinstance(step, int):
            raise Mistake(f"step={step!r}: give a whole number of iterations, from {run.ticket.start} to the end")
        try:
            weights = at(run, step)
        except ValueError as error:
            raise Mistake(f"step={step}: {error}") from None
        what = "its end" if step == END else f"step {step} (a sweep keeps the steps that it rewinds to, and the ends)"
        with self._stored(what) as values:
            return values.effective(replace(run.ticket, weights=weights), values.mask_at(run, step))

    def module(self, step: int = END) -> nn.Module:
        """The network holding `state(step)`, in evaluation mode. Raises Mistake if its code has changed."""
        from lt_sweeps.networks.build import build as build_network
        from lt_sweeps.networks.build import holding
        from lt_sweeps.provenance.ownership import require_current

        network = self.expression.ticket.network
        require_current([network.build])
        return holding(build_network(network), self.state(step)).eval()

    def evaluate(self, data_dir: str | Path | None = None) -> Evaluation:
        """Loss and metrics of the trained network on the test examples, computed now."""
        from lt_sweeps.measures.accuracy import evaluate

        data = self.expression.data
        return evaluate(self.module(), self._values(data_dir).examples(data).chunks("test"), data.classes, data.task)

    def export(
        self, folder: str | Path, *, trained: bool = False, as_seed: bool = False, start: int | None = None
    ) -> Path:
        """Writes the ticket (with `trained`, the trained network) to a folder, which `lt.load_ticket` opens.

        `as_seed` writes the seed of its draw instead of its weights; `start` the trained network as a ticket to train
        on, from that step of a schedule. Raises Mistake where no seed draws them, and for `start` alone.
        """
        if start is not None and not trained:
            raise Mistake("export: start= is for trained=True; a ticket begins where it began")
        from lt_sweeps.ticket_files.export import export

        row = self.row
        title = f"{row['model']} on {row['dataset']}, {row['prune']} level {row['level']}, seed {row['seed']}"
        config, where = self._sweep.cells[self._place[0]].config, Path(folder).expanduser()
        with self._stored("what it is computed from") as values:
            try:
                return export(
                    self.expression,
                    self.record,
                    config,
                    values,
                    where,
                    title=title,
                    trained=trained,
                    as_seed=as_seed,
                    start=start,
                )
            except OSError as error:
                raise Mistake(f"{where}: cannot be written ({error.strerror})") from None

    @contextmanager
    def _stored(self, what: str, data_dir: str | Path | None = None) -> Iterator[Values]:
        """Yields the values of stored nodes. Raises Mistake if what is needed is not in the store."""
        try:
            yield self._values(data_dir)
        except Missing:
            raise Mistake(f"{self.key[:8]} ({self.row['status']}): {what} is not in the store") from None

    def _values(self, data_dir: str | Path | None = None) -> Values:
        import torch

        from lt_sweeps.execution.machine import fingerprint
        from lt_sweeps.realise import Values

        device = torch.device("cpu")
        where = data_dir if data_dir is not None else self._sweep.cells[0].config.paths.data_dir
        return Values(self._sweep._store, Path(where).expanduser(), device, fingerprint(device, True))
