"""Trains a ticket as its card says, and compares the result with the expected one."""

from __future__ import annotations

from pathlib import Path

from lt_sweeps.cell import Cell
from lt_sweeps.config.schema import Config, DatasetConfig, TrainerConfig
from lt_sweeps.execution.reporter import Reporter
from lt_sweeps.execution.run import execute
from lt_sweeps.graph import Dense, Train
from lt_sweeps.store.store import Store
from lt_sweeps.ticket_files import card as cards
from lt_sweeps.ticket_files import origins
from lt_sweeps.ticket_files.card import BadTicket
from lt_sweeps.ticket_files.export import outcome
from lt_sweeps.tickets.load import check_shapes, network_of
from lt_sweeps.tickets.promise import data_folder, data_of, recipe_of, require


def train(folder: Path, data_dir: Path | None, runs: Path, accelerator: str, *, trust: bool) -> int:
    """Trains a ticket and prints its result beside the expected one; returns 0 if it was trained, else 1.

    Raises BadTicket and Mistake.
    """
    card = cards.read(folder.expanduser())
    if card.fields["kind"] != "start":
        raise BadTicket(f"{folder}: holds trained weights; export it without --trained, or with --start 0, to train it")
    if not card.fields["recipe"]:
        raise BadTicket(f"{folder}: says no data and no recipe: give ticket= to a sweep")
    if card.fields.get("changed by"):
        names = ", ".join(map(str, card.fields["changed by"]))
        raise BadTicket(
            f"{folder}: {names} changed its training, which a folder does not hold: give ticket= to a sweep"
        )
    network, data, where = network_of(card, trust=trust), data_of(card, trust=trust), data_folder(data_dir)
    patterns = tuple(card.fields["exclude"]), tuple(card.fields.get("include", ()))
    whole = Dense(network, *patterns, bool(card.fields.get("outputs", False)))
    ticket = origins.of_card(card, network, whole)
    check_shapes(card, network, trust=trust)
    recipe = recipe_of(card, trust=trust)
    if not (isinstance(recipe.steps, int) and ticket.start < recipe.steps):
        raise BadTicket(f"{folder}: begins where its recipe ends")
    run = Train(
        ticket,
        data,
        recipe,
        order=card.fields["order"],
        augment=card.fields["augment"],
        level=card.fields["level"],
    )
    store = Store(runs.expanduser() / "store", {"data": where})
    if run.key not in store:
        require(data, where)
        for content in (card.weights, card.mask):
            store.put(content)
        examples, test = card.fields["examples"]
        trainer = TrainerConfig(accelerator=accelerator)
        config = Config(dataset=DatasetConfig(train=examples, test=test), trainer=trainer)
        cell = Cell(config, {}, (run,), labels={}, budget="", published={data.source: (examples, test)})
        failed = execute([cell], store, where, trainer, Reporter({run: str(folder)}))
        if failed:
            return 1
    result = outcome(store.get(run.key))
    print(f"trained: {result['status']}")
    for name, expected in card.fields["expected"].items():
        value = result.get(name)
        if isinstance(value, (int, float)) and isinstance(expected, (int, float)):
            print(f"{name.replace('_', ' ')}: {value:g}, promised {expected:g} ({value - expected:+g})")
    return 0
