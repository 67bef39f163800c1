"""What test_ddp.py has two ranks do, one thing after the other in one group, and itself does with one process.

`python -m torch.distributed.run --nproc-per-node 2 tests/together.py FOLDER TREE` writes what came of each thing on
each rank to FOLDER/NAME.RANK.json, and weights beside it. Everything here takes the hardware and tells plain values.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from small import DATA, examples, run_of
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lt_sweeps import masks
from lt_sweeps.check.example import half
from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.datasets.loader import Loader, loader
from lt_sweeps.ending import run_and_exit
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.worker import Worker
from lt_sweeps.graph import Dense, Fit, Given, Init, Prune, Score, Ticket, Train, at, end
from lt_sweeps.masks import TicketTensors
from lt_sweeps.networks.build import build, initial
from lt_sweeps.registry import needs, part
from lt_sweeps.specs import Data, Network, Part
from lt_sweeps.store.store import Store
from lt_sweeps.store.tensors import encode, encode_mask
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.leaving import Left
from lt_sweeps.training.progress import decode_progress, encode_progress
from lt_sweeps.training.ranks import join
from lt_sweeps.training.recorder import Session, state_digest

Told = dict[str, Any]
CPU = torch.device("cpu")


def network(name: str, **args: Any) -> Network:
    return Network(part("network", name, args), (1, 8, 8), 10)


class Remembering(nn.Module):
    """A buffer that follows the examples that this process sees: not the same on all ranks."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(64, classes)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += x.detach().mean()
        return self.fc(x.flatten(1))


class Scaled(nn.BatchNorm2d):
    """A batch normalisation with a forward of its own, as timm's are."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x).relu()


class Mixed(nn.Module):
    """Batch normalisation of three more kinds: a subclass, without parameters and cumulative, and of vectors."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 3, 3, padding=1), Scaled(3)
        self.plain = nn.BatchNorm2d(3, affine=False, momentum=None)
        self.fc, self.vector, self.output = nn.Linear(192, 8), nn.BatchNorm1d(8), nn.Linear(8, classes)
        self.unused = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.plain(self.bn(self.conv(x)).roll(1, 2)).flatten(1)
        return self.output(self.vector(self.fc(x)).tanh())


NET = network("small.Net", dropout=0.0)
LENET, RESNET = network("lenet_300_100"), network("resnet20")
UNEVEN = {
    "batch_size": 101,
    "last_batch": "keep",
}  # 1200 are 11 times 50 + 51, and 44 + 45
SCARCE = replace(DATA, train_limit=61)
PHOTOS = Data(
    part("dataset", "image_folder", {"folder": "farm", "resize": 20}),
    3,
    (3, 16, 16),
    validation=6,
    augment=(part("augmentation", "random_resized_crop", {"scale": [0.2, 1.0]}), "flip"),
)
PHOTO_NET = Network(Part("small.Net", args={"dropout": 0.0}), (3, 16, 16), 3)


def changing() -> dict[str, Train]:
    """Trainings with every kind of gate and hook.

    Without batch normalisation, before which the slope of a filter's only weight is zero but for rounding, and without
    max-pooling, where a filter of weights that have just grown, zeros, ties: both make masks follow the last digit.
    """
    run = replace(run_of("sgd", network=LENET, steps=30, **UNEVEN), draw=3)
    clock = {"every": 5, "begin": 5, "until": 20}
    hooked = {name: replace(run, hooks=(part("hook", name, clock),)) for name in ("rigl", "set")}
    gated = {name: replace(run, gate=part("gate", name, {})) for name in ("edge_popup", "bernoulli", "sign_in")}
    freezing = part("hook", "freeze_scores", {**clock, "keep": 0.2})
    return {**hooked, **gated, "gem": replace(run, gate=part("gate", "gem", {}), hooks=(freezing,))}


def regression() -> Train:
    """The mean over examples and outputs of parts of 50 and 51."""
    source = part("dataset", "helix", {"train": 1437, "test": 100})
    data = Data(source, 3, (1, 1, 1), validation=237, task=part("task", "regression"))
    built = Network(part("network", "mlp", {"hidden": [30]}), data.shape, data.classes)
    return replace(run_of("adam", network=built, steps=30, **UNEVEN), data=data)


# What is trained with one process and with several: a run, whether pruned places are filled, and in which data.
COMPARED: dict[str, tuple[Train, bool]] = {
    "lenet": (run_of("adam", network=LENET, steps=30, **UNEVEN), False),
    "regression": (regression(), False),
    "everything": (run_of("sgd", network=NET, steps=30, clip_norm=2.0, **UNEVEN), True),
    "kinds": (run_of("nesterov", network=network("together.Mixed"), steps=20, **UNEVEN), False),
    "resnet20": (run_of("nesterov", network=RESNET, steps=4, eval_every=2), False),
    # 61 examples in batches of 60: every other one is of 1, and rank 0 has none of it.
    "alone in a batch": (
        replace(run_of("sgd", network=NET, steps=8, eval_every=4, last_batch="keep"), data=SCARCE),
        False,
    ),
    "image files": (
        replace(run_of("sgd", network=PHOTO_NET, steps=9, eval_every=3, batch_size=7, last_batch="keep"), data=PHOTOS),
        True,
    ),
    **{name: (run, False) for name, run in changing().items()},
}
# A mask that is learned or moved turns on the last digit of a score: such runs are compared in double precision alone.
CASES = [
    (name, precision)
    for name, (run, _) in COMPARED.items()
    for precision in ("32-true", "64-true")
    if run.static or precision == "64-true"
]


def behind_a_search(name: str) -> bool:
    """Whether a training learns scores and leaves all weights as they were drawn."""
    gate = COMPARED[name][0].gate
    return gate is not None and "search" in needs("gate", gate.name)


def source(run: Train, tree: Path) -> Loader:
    return loader(run.data, tree, CPU) if run.data == PHOTOS else examples(run.data)


def train(run: Train, hardware: Hardware, data: Any, filled: bool = False, mask: Any = None, **more: Any) -> Trained:
    """A ticket of half of the weights."""
    made = run.ticket.network
    mask = half(masks.dense(build(made))[0], 0) if mask is None else mask
    return fit(
        run,
        TicketTensors(initial(made, 0), mask, initial(made, 7) if filled else None),
        data,
        hardware,
        Session(**more),
    )


def in_precision(run: Train, precision: str) -> Train:
    return replace(run, recipe=replace(run.recipe, precision=precision))


def compared(name: str, precision: str, hardware: Hardware, tree: Path) -> tuple[masks.State, Told]:
    """The end weights, and what is told of the way there."""
    run, filled = COMPARED[name]
    run = in_precision(run, precision)
    trained = train(run, hardware, source(run, tree), filled)
    assert trained.state is not None
    told = {
        "digest": state_digest(trained.state),
        "mask": state_digest(trained.mask),
        "history": trained.progress.history,
    }
    ends = {"end": trained.end, "early_stop": trained.early_stop}
    return trained.state, told | {when: [found.loss, *found.metrics.values()] for when, found in ends.items() if found}


class Watched:
    """A data set that does something before it gives a batch."""

    def __init__(self, data: Loader, before: Callable[[int, Any], Any]) -> None:
        self._data, self._before = data, before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def batches(self, start: int, *rest: Any) -> Iterator[Any]:
        for step, batch in enumerate(self._data.batches(start, *rest), start):
            yield self._before(step, batch)


def resumed(hardware: Hardware) -> Told:
    """The digest of an uninterrupted training, and of one continued from each checkpoint."""
    run, saved = run_of("sgd", network=NET, steps=40, clip_norm=2.0, **UNEVEN), list[bytes]()
    whole = train(
        run, hardware, examples(), checkpoint=lambda p: saved.append(encode_progress(p, {})), wait=lambda cost: 0.0
    )
    told = [hardware.ranks.tell(content if hardware.ranks.rank == 0 else None) for content in (saved or [b""] * 2)]
    ends = [train(run, hardware, examples(), progress=decode_progress(content)[0]) for content in told]
    return {"saved": len(saved), "digests": [state_digest(t.state or {}) for t in (whole, *ends)]}


def left(hardware: Hardware, sent: int, on_rank: int) -> Told:
    """A SIGTERM to one rank before a step, then the training continued."""
    run, saved = run_of("adam", network=LENET), list[bytes]()

    def before(step: int, batch: Any) -> Any:
        if step == sent and hardware.ranks.rank == on_rank:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch

    whole = train(run, hardware, examples())
    try:
        train(run, hardware, Watched(examples(), before), checkpoint=lambda p: saved.append(encode_progress(p, {})))
        raise AssertionError("it was not left")
    except Left as reason:
        step, code = reason.step, reason.code
    progress = decode_progress(hardware.ranks.tell(saved[0] if saved else None))[0]
    begun = progress.step
    again = train(run, hardware, examples(), progress=progress)
    digests = [state_digest(t.state or {}) for t in (whole, again)]
    return {"left": step, "code": code, "saved": len(saved), "at": begun, "digests": digests}


def diverged(hardware: Hardware) -> Told:
    """A loss that is not finite, on the last rank only."""
    last = hardware.ranks.rank == hardware.ranks.world - 1

    def before(step: int, batch: Any) -> Any:
        return (batch[0] * float("nan") if step == 13 and last else batch[0]), batch[1]

    trained = train(run_of("sgd", network=NET), hardware, Watched(examples(), before))
    return {"diverged_at": trained.diverged_at, "state": trained.state, "step": trained.progress.step}


def refused(hardware: Hardware) -> Told:
    """What a rank is told where it must not go on with the others."""
    run, rank = run_of("sgd", network=NET), hardware.ranks.rank
    own_mask = half(masks.dense(build(NET))[0], rank)
    own_data = Watched(examples(), lambda step, batch: batch)
    attempts: dict[str, Callable[[], Trained]] = {
        "mask": lambda: train(run, hardware, own_data, mask=own_mask),
        "start": lambda: fit(
            run, TicketTensors(initial(NET, rank), half(masks.dense(build(NET))[0], 0)), own_data, hardware
        ),
        "buffer": lambda: train(run_of("sgd", network=network("together.Remembering")), hardware, own_data),
        "dropout": lambda: train(run_of("sgd", network=network("small.Net")), hardware, own_data),
        "groups": lambda: train(replace(run, recipe=replace(run.recipe, batchnorm_groups=7)), hardware, own_data),
    }
    told = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            told[name] = "went on"
        except (RuntimeError, ValueError) as error:
            told[name] = f"{type(error).__name__}: {error}"
    return told


def as_torch_does(hardware: Hardware) -> tuple[masks.State, masks.State]:
    """Per-device batch normalisation, by us and by DistributedDataParallel."""
    ranks, plain = hardware.ranks, Part("torch.optim.SGD", args={"lr": 0.05, "momentum": 0.9})
    run = run_of(network=NET, precision="64-true", steps=25, batchnorm_groups=ranks.world)
    run = replace(run, recipe=replace(run.recipe, optimizer=plain))
    mask = masks.dense(build(NET))[0]
    ours = train(run, hardware, examples(), mask=mask).state
    model = build(NET).double()
    model.load_state_dict(initial(NET, 0))
    theirs, sgd = DistributedDataParallel(model), torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    batches = examples().batches(0, run.batching, ranks.share)
    for _, (x, y) in zip(range(25), batches, strict=False):
        sgd.zero_grad()
        nn.functional.cross_entropy(theirs(x.double()), y).backward()
        sgd.step()
    assert ours is not None
    return ours, model.state_dict()


# ------------------------------------------------------------------------------------- whole jobs

DENSE = in_precision(run_of("sgd", network=NET, steps=30), "64-true")
HALF = Prune(Score(Part("magnitude", 1), end(DENSE)), Dense(NET), 0.5, "layerwise")
PRUNED = replace(DENSE, ticket=Ticket(NET, at(DENSE, 5), HALF, start=5), level=1)
EMPTY = encode_mask({name: torch.zeros_like(ones) for name, ones in masks.dense(build(NET))[0].items()})
ORPHAN = replace(PRUNED, ticket=Ticket(NET, at(replace(DENSE, order=5), 5), Dense(NET), start=5))


def jobs(folder: Path) -> list[Told]:
    """What a worker makes of job after job: what it gives back, or raises."""
    store, said = Store(folder / "store"), list[str]()
    worker = Worker(store, Path(), TrainerConfig(accelerator="cpu", deterministic=False), said.append)
    if worker.ranks.rank == 0:
        emptied = store.put(EMPTY)
    emptied = worker.ranks.tell(emptied.encode() if worker.ranks.rank == 0 else None).decode()
    collapsed = replace(DENSE, ticket=Ticket(NET, Init(NET, 0), Fit(Given(emptied), Dense(NET))))
    told: list[Told] = []
    wanted = [
        Job(DENSE, frozenset({5})),
        Job(PRUNED, frozenset()),
        Job(collapsed, frozenset()),
        Job(ORPHAN, frozenset()),
        Job(DENSE, frozenset({7}), replay_to=7),
        Job(PRUNED, frozenset({9}), replay_to=9),
    ]
    for job in wanted:
        if job.run == PRUNED and job.replay_to and worker.ranks.rank == 0:
            record = store.get(PRUNED.key)
            content = {name: store.content(blob) for name, blob in record["blobs"].items()}
            elsewhere = {**record["fingerprint"], "machine": "another"}
            store.commit(PRUNED.key, record["node"], list(record["sources"]), record["result"], content, elsewhere)
        steps: list[int] = []
        try:
            record = worker.do(job, lambda step, history, steps=steps: steps.append(step))
            told.append({"record": record})
        except Exception as error:
            told.append({"raised": type(error).__name__, "why": str(error.args[0] if error.args else "")})
        told[-1]["steps"] = steps
    return told


def main() -> None:
    """Everything, by one warm group."""
    folder, tree = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    hardware = Hardware("cpu", False, join(CPU))
    rank = hardware.ranks.rank

    def write(name: str, told: Any) -> None:
        (folder / f"{name}.{rank}.json").write_text(json.dumps(told))

    for name, precision in CASES:
        state, told = compared(name, precision, hardware, tree)
        write(f"{name} {precision}", told)
        (folder / f"{name} {precision}.{rank}").write_bytes(encode(state))
    write("resumed", resumed(hardware))
    write("left", [left(hardware, sent, hardware.ranks.world - 1) for sent in (0, 19, 49)])
    write("diverged", diverged(hardware))
    write("refused", refused(hardware))
    for name, state in zip(("ours", "theirs"), as_torch_does(hardware), strict=True):
        (folder / f"{name}.{rank}").write_bytes(encode(state))
    write("jobs", jobs(folder / "together"))


if __name__ == "__main__":
    run_and_exit(main)
