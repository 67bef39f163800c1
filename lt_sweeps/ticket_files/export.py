"""Exports a stored ticket to a folder that can be handed to a colleague."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lt_sweeps import masks, results
from lt_sweeps.config.schema import Config
from lt_sweeps.errors import Mistake
from lt_sweeps.gates.gate import gate_of
from lt_sweeps.graph import END, Train, end, full
from lt_sweeps.masks import Mask, State
from lt_sweeps.metrics import NO_RESULT, named
from lt_sweeps.realise import Values
from lt_sweeps.results import Finished
from lt_sweeps.store.store import Record
from lt_sweeps.store.tensors import encode, encode_mask, encode_masked
from lt_sweeps.ticket_files import card
from lt_sweeps.ticket_files.as_seed import as_seed as write_seed

PLACES = ("paths", "ticket", "mask_from")  # settings of one machine, which are not exported
LOAD = """import json, math, numpy, torch, safetensors.torch as st
state, mask, f = st.load_file("weights.safetensors"), st.load_file("mask.safetensors"), "mask.safetensors"
for name, shape in json.loads(st.safe_open(f, "pt").metadata()["note"]).items():
    ones = torch.from_numpy(numpy.unpackbits(mask[name].numpy(), count=math.prod(shape))).bool().view(shape)
    state[name] = torch.zeros(shape, dtype=state[name].dtype).masked_scatter(ones, state[name])
# network.load_state_dict(state): `state` is complete, pruned places are zero, `ones` is the layer's mask"""
LOAD_WHOLE = """import safetensors.torch as st
state = st.load_file("weights.safetensors")
# network.load_state_dict(state): `state` is complete; pruned places are frozen at the values they have there"""


def export(
    run: Train,
    record: Record,
    config: Config,
    values: Values,
    folder: Path,
    *,
    title: str,
    trained: bool,
    as_seed: bool = False,
    start: int | None = None,
) -> Path:
    """Writes the ticket that `run` began with (with `trained`, its trained network) and its card to a folder.

    With `as_seed` the seed of its draw is written instead of its weights. With `start` the trained network is written
    as a ticket to train on, whose schedule begins at that step. Raises Missing if the store no longer has
    what the ticket is computed from, and Mistake if no seed draws its weights, or if what was trained is no network.
    """
    if trained and run.gate is not None and gate_of(run.gate).linear:
        raise Mistake(f"gate {run.gate.name} trains an expansion, which no folder holds: export it without --trained")
    ticket = end(run) if trained else run.ticket
    mask, filled = values.mask_at(run, END if trained else run.ticket.start), ticket.fill is not None
    state = values.effective(ticket, mask)
    content = encode(state) if filled else encode_masked(state, mask)
    how: dict[str, Any] = {"how to load without lt_sweeps": (LOAD_WHOLE if filled else LOAD).splitlines()}
    if as_seed:
        content, how = write_seed(ticket.weights, state, mask, content, whole=filled)
    every = full(ticket)
    fields = {
        "kind": "trained" if trained and start is None else "start",
        "title": title if start is None else f"{title}, trained",
        "network": ticket.network.describe(),
        "start": ticket.start if start is None else start,
        **({} if start is None else {"pretrained": True}),
        "level": run.level,
        "pruned": "freeze" if filled else "zero",
        "weights": counts(state, mask),
        "layers": {name: {"shape": list(ones.shape), "kept": int(ones.sum())} for name, ones in mask.items()},
        "expected": outcome(record) if start is None else {},
        "data": run.data.describe(),
        "examples": [config.dataset.train, config.dataset.test],
        "recipe": run.recipe.describe(),
        "exclude": list(every.exclude),
        **({"outputs": True} if every.outputs else {}),
        **({"include": list(every.include)} if every.include else {}),
        **(
            {}
            if run.static or start is not None
            else {"changed by": [part.name for part in (run.gate, *run.hooks) if part is not None]}
        ),
        "order": run.order,
        "augment": run.augment,
        "provenance": {
            "run": run.key,
            "ticket": ticket.key,
            "weights": ticket.weights.key,
            "mask": ticket.mask.key,
            "made by": record["fingerprint"],
        },
        "config": {name: value for name, value in asdict(config).items() if name not in PLACES},
        **how,
    }
    card.write(folder, fields, content, encode_mask(mask), as_seed=as_seed)
    return folder


def counts(state: State, mask: Mask) -> dict[str, float]:
    """The numbers of weights that a card has under `weights`."""
    return {
        "parameters": sum(value.numel() for value in state.values() if value.is_floating_point()),
        "prunable": masks.total(mask),
        "kept": masks.kept(mask),
        "density": round(masks.kept(mask) / masks.total(mask), 8),
    }


def outcome(record: Record) -> Mapping[str, Any]:
    """The result of a training, as a card has it under `expected`: status and test metrics."""
    result = results.outcome(record)
    end = result.at_end if isinstance(result, Finished) else None
    early = result.at_early_stop if isinstance(result, Finished) else None
    return {
        "status": result.status,
        **named("test", end.test if end else NO_RESULT),
        "early_stop_step": early and early.step,
        **named("early_stop_test", early.test if early else dict.fromkeys(end.test if end else NO_RESULT)),
    }
