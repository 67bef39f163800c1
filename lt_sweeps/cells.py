"""The cells of a sweep: deduplication, their description in cells.json, and their names. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from typing import Any

from lt_sweeps.cell import Cell
from lt_sweeps.columns import COMPARED, LABELS, PLACE, is_of_training
from lt_sweeps.config.archive import GIVEN, dotted
from lt_sweeps.config.schema import Config
from lt_sweeps.graph import Train, Work, parents, redrawn, search_of
from lt_sweeps.methods.measured import is_perturbed, sibling
from lt_sweeps.provenance.made_from import foreign_parts
from lt_sweeps.report import table
from lt_sweeps.ticket_files import origins
from lt_sweeps.ticket_files.card import Card

NAMED = 5  # values of what was swept; more are counted
EMPTY: tuple[Any, ...] = (None, [], "", {})  # settings that say nothing


def distinct(cells: Sequence[Cell]) -> list[Cell]:
    """Returns the distinct cells: `prune.rate=0.2,0.20` is one; so is `prune.levels=2,3`, or `measure=none,barrier`."""
    seen: dict[tuple[str, ...], list[Config]] = {}
    begun: dict[str, list[tuple[Cell, set[str]]]] = {}  # key of level 0 -> cells, with the keys of their roots
    different = []
    for c in cells:
        configs = seen.setdefault(tuple(run.key for run in c.levels), [])
        if c.config not in configs:
            configs.append(c.config)
            different.append((c, {node.key for node in c.roots}))
            begun.setdefault(c.levels[0].key, []).append(different[-1])
    return [c for c, roots in different if not _is_part(c, roots, begun[c.levels[0].key])]


def _is_part(c: Cell, roots: set[str], others: Sequence[tuple[Cell, set[str]]]) -> bool:
    """Whether another cell differs only by having more levels or measures."""
    levels, measure = c.config.prune.levels, c.config.measure
    return any(
        roots < theirs
        and replace(other.config, prune=replace(other.config.prune, levels=levels), measure=measure) == c.config
        for other, theirs in others
    )


def described(c: Cell) -> dict[str, Any]:
    """Returns a cell as JSON data for cells.json: its config without paths and loggers, its overrides and its keys."""
    config = asdict(c.config)
    del config["paths"], config["logger"]
    config |= {name: kept_as(card) for name, card in origins.folders(c.config).items()}
    swept = {name: value for name, value in c.swept.items() if name.partition(".")[0] not in ("paths", "logger")}
    own = {part.name: part.version for part in foreign_parts(*c.roots)}
    code = {"code": dict(sorted(own.items()))} if own else {}
    return {"swept": swept, "config": config, "levels": [run.key for run in c.levels], **code}


def kept_as(card: Card) -> str:
    """Returns the path, inside a sweep's folder, of its copy of a ticket from `ticket=` or `mask_from=`."""
    return f"{GIVEN}/{card.fields['checksum'][:12]}"


def budgets(cells: Sequence[Cell]) -> list[str]:
    """Returns the distinct budget lines of the cells; if there are several, each names its models."""
    models: dict[str, dict[str, None]] = {}
    for c in cells:
        models.setdefault(c.budget, {})[str(c.labels["model"])] = None
    if len(models) == 1:
        return list(models)
    return [f"{line} ({', '.join(named)})" for line, named in models.items()]


def recipes(cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Returns the settings of the recipe of each network and data set, as `name: value`; swept ones are called so."""
    by_place: dict[str, list[dict[str, str]]] = {}
    for c in cells:
        settings = {name: str(value) for name, value in dotted(asdict(c.config.recipe)) if value not in EMPTY}
        by_place.setdefault(" on ".join(str(c.labels[name]) for name in PLACE), []).append(settings)
    return {place: _joined(several) for place, several in by_place.items()}


def _joined(several: Sequence[Mapping[str, str]]) -> list[str]:
    """Lines of settings that are one or swept.

    >>> _joined([{"steps": "9it", "lr": "0.1"}, {"steps": "9it", "lr": "0.2"}])
    ['steps: 9it', 'lr: swept']
    """
    values = {name: {settings.get(name) for settings in several} for name in dict.fromkeys(chain(*several))}
    return [f"{name}: {'swept' if len(of) > 1 else next(iter(of))}" for name, of in values.items()]


def redrawn_layers(cells: Sequence[Cell]) -> list[str]:
    """Returns a line for each pair of class counts, of source and own network, between which masks are carried."""
    pairs = dict.fromkeys(
        (classes, run.ticket.network.classes)
        for c in cells
        for run in c.levels
        if (classes := redrawn(run)) is not None
    )
    return [
        f"output layer: masks come from a network of {source} classes; with {own} here it is drawn anew and stays dense"
        for source, own in pairs
    ]


def title(cells: Sequence[Cell]) -> str:
    """Returns a sweep's title: its networks and data sets, what was swept, the unusual options that all cells share."""
    models, datasets = (", ".join(dict.fromkeys(str(e.labels[name]) for e in cells)) for name in PLACE)
    words = [[*table.unusual(e.labels), *(f"{name}={value}" for name, value in e.unusual.items())] for e in cells]
    shared = [word for word in words[0] if all(word in others for others in words)]
    entries = _entries(cells)
    swept = []
    for name in _differing(entries, beside=PLACE):
        values = list(dict.fromkeys(str(entry[name]) for entry in entries if entry[name] is not None))
        swept.append(f"{name}={','.join(values)}" if len(values) <= NAMED else f"{len(values)} values of {name}")
    return ", ".join([f"{models} on {datasets}", *swept, *shared])


def _entries(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The labels of cells and what was swept of each, without the seed."""
    columns = table.swept_columns(cells)
    return [{**{name: c.labels[name] for name in LABELS}, **{name: c.value(name) for name in columns}} for c in cells]


def _differing(entries: Sequence[dict[str, Any]], beside: Sequence[str] = ()) -> list[str]:
    """The names, not those `beside`, that do not have the same value in all entries."""
    return [name for name in entries[0] if name not in beside and len({entry[name] for entry in entries}) > 1]


def cell_names(cells: Sequence[Cell]) -> list[str]:
    """Returns the name of each cell of a sweep."""
    swept = table.swept_columns(cells)
    return [_named(cell, swept) for cell in cells]


def run_names(cells: Sequence[Cell]) -> list[str]:
    """Returns the name of each cell as a run of a logger: what cells differ in comes first, what is usual is left out.

    A list of runs cuts off the ends of names, and all of them share the rest.
    """
    entries = _entries(cells)
    differ = _differing(entries)
    shared = [name for name in table.swept_columns(cells) if name not in differ]
    names = []
    for c, entry in zip(cells, entries, strict=True):
        words = [f"{name}={entry[name]}" for name in differ if entry[name] is not None]
        words += [f"seed={c.labels['seed']}", *(str(c.labels[name]) for name in PLACE if name not in differ)]
        words += [word for word in table.unusual(c.labels) if word.partition("=")[0] not in differ]
        names.append(" ".join([*words, *(f"{name}={entry[name]}" for name in shared if entry[name] is not None)]))
    return names


def level_names(cells: Sequence[Cell]) -> dict[Work, str]:
    """Returns a name per training and measure: the first cell and level with it; dense ones omit options of pruning.

    A training that no cell shows has the name of the first level whose mask is found in it, or of which it is a copy.
    Options of `measure` are only in the names of measures and copies, because they change no other training.
    """
    columns = table.swept_columns(cells)
    of_measure = [name for name in columns if name.partition(".")[0] == "measure"]
    swept = [name for name in columns if name not in of_measure]
    data = [name for name in swept if name.partition(".")[0] == "corruption"]
    names: dict[Work, str] = {}
    for e in cells:
        for level, run in zip(e.numbers, e.levels, strict=True):
            names.setdefault(run, f"{_named(e, swept) if level else _named(e, data, dense=True)} level {level}")
    for e in cells:
        for level, run in zip(e.numbers, e.levels, strict=True):
            search = search_of(run)
            if search is not None and search not in names:
                names[search] = f"{_named(e, _of_search(swept), finding=True)} {_aim(search)} level {level}"
    for e in cells:
        words = "".join(f" {name}={e.value(name)}" for name in of_measure if e.value(name) is not None)
        for column, measures in e.measures.items():
            for run, measure in zip(e.levels, measures, strict=True):
                if measure is not None:
                    names.setdefault(measure, f"{names[run]} {column}{words}")
                    if sibling(run) in parents(measure):
                        names.setdefault(sibling(run), f"{names[run]} sibling")
                    if column.endswith(COMPARED["spawn"]):
                        for copy in parents(measure):
                            kind = "perturbed copy" if is_perturbed(copy) else "begun anew"
                            names.setdefault(copy, f"{names[run]} {kind}{words}")
    return names


def _of_search(columns: Sequence[str]) -> list[str]:
    """Returns the columns that describe how a mask is found."""
    return [name for name in columns if name != "control" and not is_of_training(name)]


def _aim(search: Train) -> str:
    return "on the way to" if search.static else "search for the mask of"


def _named(e: Cell, columns: Sequence[str], *, dense: bool = False, finding: bool = False) -> str:
    words = [e.labels["model"], e.labels["dataset"], f"seed={e.labels['seed']}"]
    labels = {**e.labels, "control": "none"} if finding else e.labels
    words += [] if dense else table.unusual(labels)
    return " ".join([*words, *(f"{name}={e.value(name)}" for name in columns if e.value(name) is not None)])
