"""The progress of a training, from which it can be continued, and as bytes: no pickle, no random state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim import Optimizer

from lt_sweeps.masks import State
from lt_sweeps.metrics import named, values_of
from lt_sweeps.store.schema import require_note
from lt_sweeps.store.tensors import decode, encode


@dataclass
class EarlyStop:
    """The evaluation of least validation loss so far."""

    step: int
    val_loss: float
    val: Mapping[str, float]  # metrics of the task

    def row(self) -> dict[str, Any]:
        """Returns the entry of a checkpoint."""
        return {"step": self.step, "val_loss": self.val_loss, **named("val", self.val)}


@dataclass
class Progress:
    """A training after `step` iterations of its clock."""

    step: int
    state: State = field(default_factory=dict)
    optimizer: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[int, str] = field(default_factory=dict)  # step -> blob
    best: EarlyStop | None = None
    best_state: State = field(default_factory=dict)
    seconds: float = 0.0
    mask: State = field(default_factory=dict)  # of a training that changes it: where it is now
    explored: State = field(default_factory=dict)  # what its masks have kept at some step
    memories: list[State] = field(default_factory=list)  # of its hooks
    masks: dict[int, str] = field(default_factory=dict)  # step of a snapshot -> blob of the mask there
    ended_by: str | None = None  # the hook that ended it
    noted: list[dict[str, Any]] = field(default_factory=list)  # by hooks: a row per moment


def encode_progress(progress: Progress, fingerprint: dict[str, Any]) -> bytes:
    """Encodes the progress as bytes; the random state is left out, as a function of the step."""
    tensors = {f"state/{name}": value for name, value in progress.state.items()}
    tensors |= {f"best/{name}": value for name, value in progress.best_state.items()}
    tensors |= {f"mask/{name}": value for name, value in progress.mask.items()}
    tensors |= {f"explored/{name}": value for name, value in progress.explored.items()}
    for index, memory in enumerate(progress.memories):
        tensors |= {f"memory/{index}/{name}": value for name, value in memory.items()}
    plain: list[dict[str, Any]] = []
    for index, entry in enumerate(progress.optimizer):
        tensors |= {f"optimizer/{index}/{name}": value for name, value in entry.items() if torch.is_tensor(value)}
        plain.append({name: value for name, value in entry.items() if not torch.is_tensor(value)})
    note = {
        "step": progress.step,
        "history": progress.history,
        "snapshots": progress.snapshots,
        "best": progress.best.row() if progress.best else None,
        "seconds": progress.seconds,
        "optimizer": plain,
        "fingerprint": fingerprint,
    }
    if progress.mask:
        note |= {"masks": progress.masks, "memories": len(progress.memories), "ended_by": progress.ended_by}
        note |= {"noted": progress.noted} if progress.noted else {}
    return encode(tensors, json.dumps(note))


def decode_progress(content: bytes) -> tuple[Progress, dict[str, Any]]:
    """Returns the progress, and the fingerprint it was saved with. Raises ValueError for anything else."""
    try:
        return _decoded(content)
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"its note is not that of a checkpoint ({type(error).__name__})") from None


def _decoded(content: bytes) -> tuple[Progress, dict[str, Any]]:
    tensors, text = decode(content)
    note = json.loads(text)
    require_note(note)
    optimizer, best = note["optimizer"], note["best"]
    progress = Progress(
        note["step"],
        history=note["history"],
        snapshots={int(step): name for step, name in note["snapshots"].items()},
        best=EarlyStop(best["step"], best["val_loss"], values_of(best, "val")) if best else None,
        seconds=note["seconds"],
        optimizer=optimizer,
        memories=[{} for _ in range(note.get("memories", 0))],
        masks={int(step): name for step, name in note.get("masks", {}).items()},
        ended_by=note.get("ended_by"),
        noted=note.get("noted", []),
    )
    places = {"state": progress.state, "best": progress.best_state}
    places |= {"mask": progress.mask, "explored": progress.explored}
    for path, value in tensors.items():
        place, _, name = path.partition("/")
        if place in ("optimizer", "memory"):
            index, _, name = name.partition("/")
            (optimizer if place == "optimizer" else progress.memories)[int(index)][name] = value
        else:
            places[place][name] = value
    return progress, note["fingerprint"]


def optimizer_state(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Copies the optimizer's state of each parameter, in the order of the parameters."""
    return [
        {name: value.clone() if torch.is_tensor(value) else value for name, value in optimizer.state[p].items()}
        for group in optimizer.param_groups
        for p in group["params"]
    ]
