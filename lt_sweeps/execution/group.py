"""How rank 0 leads the other ranks through a job: it alone reads and writes the store, all of them train."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

from lt_sweeps.masks import State, TicketTensors
from lt_sweeps.store.store import Record
from lt_sweeps.store.tensors import decode, encode
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.ranks import Ranks

T = TypeVar("T")


def lead(ranks: Ranks, do: Callable[[], Record | None]) -> Record | None:
    """Executes a job on rank 0, and broadcasts its record or error to the other ranks."""
    if ranks.world == 1:
        return do()
    try:
        record = do()
    except Exception as error:
        ranks.tell(
            json.dumps({"raised": type(error).__name__, "why": str(error.args[0] if error.args else "")}).encode()
        )
        raise
    ranks.tell(json.dumps({"record": record}).encode())
    return record


def begin(ranks: Ranks, ticket: TicketTensors, progress: Progress | None) -> None:
    """Broadcasts a ticket and its progress, so that the other ranks take part in its training."""
    if ranks.world == 1:
        return
    parts = {"weights": ticket.weights, "mask": ticket.mask, "fill": ticket.fill or {}}
    tensors = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
    ranks.tell(json.dumps({"filled": ticket.fill is not None, "continued": progress is not None}).encode())
    ranks.tell(encode(tensors))
    if progress is not None:
        ranks.tell(encode_progress(progress, {}))


def follow(
    ranks: Ranks,
    take_part: Callable[[TicketTensors, Progress | None], object],
    kinds: Sequence[type[Exception]],
) -> Record | None:
    """Follows rank 0 to the end of its job; returns its record or raises its error (RuntimeError if not in `kinds`)."""
    while True:
        message = json.loads(ranks.tell(None))
        if "record" in message:
            record: Record | None = message["record"]
            return record
        if "raised" in message:
            raise next((kind for kind in kinds if kind.__name__ == message["raised"]), RuntimeError)(message["why"])
        parts: dict[str, State] = {"weights": {}, "mask": {}, "fill": {}}
        for path, value in decode(ranks.tell(None))[0].items():
            part, _, name = path.partition("/")
            parts[part][name] = value
        progress = decode_progress(ranks.tell(None))[0] if message["continued"] else None
        fill = parts["fill"] if message["filled"] else None
        take_part(TicketTensors(parts["weights"], parts["mask"], fill), progress)


def run_together(ranks: Ranks, do: Callable[[], T]) -> T:
    """Runs `do`, which all ranks run together; on an error a rank of several ends its process, as the others wait."""
    try:
        return do()
    except Exception as error:
        if ranks.world == 1:
            raise
        traceback.print_exc()
        raise SystemExit(f"rank {ranks.rank} of {ranks.world}: {type(error).__name__}: {error}") from error
