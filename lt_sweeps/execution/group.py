"""How the first rank leads the others through a job: it alone reads and writes the store, they train along."""

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
    """Do a job on rank 0, and tell the others what came of it."""
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
    """Have the others take part in a training of this ticket."""
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
    """Go along with rank 0 to the end of its job: the same record, or the same error where it is of these kinds."""
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


def together(ranks: Ranks, do: Callable[[], T]) -> T:
    """Do what all ranks do in step. One that cannot ends its process, and with it the group: the others wait for it."""
    try:
        return do()
    except Exception as error:
        if ranks.world == 1:
            raise
        traceback.print_exc()
        raise SystemExit(f"rank {ranks.rank} of {ranks.world}: {type(error).__name__}: {error}") from None
