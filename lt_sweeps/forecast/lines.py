"""The lines of `lt-sweeps plan` about hours and disk. Imports torch when called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lt_sweeps.cell import Cell
from lt_sweeps.execution import estimate, rates
from lt_sweeps.execution.plan import Plan
from lt_sweeps.execution.slots import slots as processes
from lt_sweeps.forecast import disk
from lt_sweeps.graph import Train
from lt_sweeps.store.store import Store
from lt_sweeps.ticket_files import card as cards
from lt_sweeps.ticket_files import origins
from lt_sweeps.ticket_files.header import header


def lines(cells: Sequence[Cell], plan: Plan, store: Store, *, calibrate: bool) -> list[str]:
    """Returns a line for the estimated hours and one for disk; `calibrate` measures missing rates first.

    Raises Mistake if a network cannot be built, or, with `calibrate`, if the data is not as configured.
    """
    from lt_sweeps.execution import machine
    from lt_sweeps.forecast.kernels import Kernels
    from lt_sweeps.forecast.sizes import Sizes

    trainer, sizes = cells[0].config.trainer, Sizes(file_counts(cells))
    device, most = machine.device(trainer.accelerator), max(c.config.trainer.devices for c in cells)
    kind = rates.Kinds(Kernels(sizes, trainer.kernel, device.type, most))
    if calibrate:
        _calibrate(cells, plan, store, kind)
    fingerprint = {**machine.fingerprint(device, trainer.deterministic), "threads": trainer.threads}
    known_rates = rates.known(plan, store, fingerprint, kind)
    slots = len(processes(trainer, most))
    space = disk.estimate(plan, store, sizes.layout, sizes.kept, fingerprint, slots)
    space.at_most = sizes.at_most
    estimates = [disk.summary(space)]
    if plan.jobs:
        worker = "core" if device.type == "cpu" else "GPU"
        estimates.insert(0, estimate.summary(estimate.estimate(plan, known_rates, slots, kind), worker))
    return estimates


def _calibrate(cells: Sequence[Cell], plan: Plan, store: Store, kind: rates.Kinds) -> None:
    from lt_sweeps.forecast.calibrate import Calibration

    config = cells[0].config
    calibration = Calibration(store, Path(config.paths.data_dir).expanduser(), config.trainer)
    published = {source: sizes for c in cells for source, sizes in c.published.items()}
    known_rates = rates.known(plan, store, calibration.machine, kind)
    for run in rates.missing(plan, known_rates, kind):
        by, sizes = kind.kernel(run) if isinstance(run, Train) else None, published.get(run.data.source)
        rates.keep(store, run, calibration.machine, calibration.rate(run, sizes, by), kind)


def file_counts(cells: Sequence[Cell]) -> dict[str, dict[str, int]]:
    """Returns the kept weights of each tensor of the masks that are given as files, by the file's SHA-256."""
    counts = {}
    for c in cells:
        for card in origins.folders(c.config).values():
            bits, _ = header(card.mask)
            counts[origins.sha256(card.mask)] = {name: cards.kept(card.mask, entry) for name, entry in bits.items()}
    return counts
