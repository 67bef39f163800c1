"""The GPU path on a real GPU: right to the bit, then fast. `python -m benchmarks.gpu OUT [SECONDS]`; `make gpu`.

Every check runs the product's own `fit`. Data sets that are not on the machine are noise of their declared sizes: what
is checked is bits and milliseconds. It writes OUT/gpu.json after each section, and prints a line for each.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from torch import Tensor, nn

from lt_sweeps import masks
from lt_sweeps.cell import cell_of
from lt_sweeps.config.datafiles import declared
from lt_sweeps.config.reading import read
from lt_sweeps.config.schema import CONF, Config
from lt_sweeps.datasets import arrays
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.graph import Train
from lt_sweeps.masks import TicketTensors
from lt_sweeps.networks.build import build, initial
from lt_sweeps.specs import Data, Recipe
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.leaving import Left
from lt_sweeps.training.optim import optimizer
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

CUDA = torch.device("cuda")
MODELS = ("lenet_300_100", "resnet20", "conv2", "conv4", "conv6", "resnet110", "vgg11", "vgg16", "vgg19", "wrn_22_2")
STEPS, TIMED = 240, (300, 1300)  # of a comparison of bits; of two trainings whose difference is timed


@cache
def composed(*words: str) -> Train:
    """The dense training of a cell, as the command line makes it."""
    ConfigStore.instance().store(name="schema", node=Config)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return cell_of(read(compose("config", list(words))), {}).levels[0]


@cache
def examples(data: Data, device: torch.device = CUDA) -> Examples:
    """The data set, or noise in its place."""
    folder = Path(os.environ.get("LT_SWEEPS_DATA", "data"))
    try:
        return Examples(data, folder, device)
    except (OSError, RuntimeError):
        with patch.object(arrays, "load", lambda _, name: lambda data_dir: noise(name)):
            return Examples(data, folder, device)


def noise(dataset: str) -> arrays.Arrays:
    """Random images and classes of the declared sizes."""
    sizes, draws = declared(dataset), torch.Generator().manual_seed(0)
    assert sizes is not None

    def part(count: int) -> tuple[Tensor, Tensor]:
        images = torch.randint(256, (count, *sizes.shape), dtype=torch.uint8, generator=draws)
        return images, torch.randint(sizes.classes, (count,), generator=draws)

    return arrays.Arrays(*part(sizes.train), *part(sizes.test))


def shortened(run: Train, steps: int, **recipe: Any) -> Train:
    """The same recipe, ended after so many steps; evaluated once on the way."""
    return replace(run, recipe=replace(run.recipe, **{"steps": steps, "eval_every": steps // 2, **recipe}))


def trained(run: Train, kernel: str, said: list[str] | None = None, **more: Any) -> Trained:
    """A ticket of which a third of each layer is pruned, trained on the GPU."""
    network = build(run.ticket.network)
    dense, _ = masks.dense(network, ())
    draws = torch.Generator().manual_seed(1)
    mask = {name: torch.rand(ones.shape, generator=draws) > 1 / 3 for name, ones in dense.items()}
    hardware = Hardware("gpu", True, kernel=kernel, say=(said if said is not None else []).append)
    return fit(run, TicketTensors(initial(run.ticket.network, 0), mask), examples(run.data), hardware, Session(**more))


def bits(result: Trained) -> str:
    """What became of a ticket, in short: its end, and each evaluation on the way."""
    state = state_digest(result.state) if result.state is not None else f"diverged at {result.diverged_at}"
    return " ".join([state, *(row["digest"] for row in result.progress.history)])


# ------------------------------------------------------------------------------------------------ right to the bit


def models_equal(model: str, *words: str) -> dict[str, Any]:
    """A network trained eagerly, from a graph, again from a graph, and killed and resumed: the same bits?"""
    run = shortened(composed(f"model={model}", *words), STEPS)
    said: list[str] = []
    begun = time.perf_counter()
    eager, graph, again = (bits(trained(run, kernel, said)) for kernel in ("masked", "graph", "graph"))
    resumed = bits(killed_and_resumed(run, STEPS // 3 + 1))
    return {
        "equal": eager == graph,
        "twice": graph == again,
        "resumed": resumed == graph,
        "said": said,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def together_equal(model: str, count: int = 4) -> dict[str, Any]:
    """Trainings of other data orders, each from a graph, alone and at the same time on threads: the same bits?"""
    run = shortened(composed(f"model={model}"), STEPS)
    runs = [replace(run, order=number) for number in range(count)]
    said: list[str] = []
    alone = [bits(trained(each, "graph", said)) for each in runs]
    with ThreadPoolExecutor(count) as pool:
        at_once = list(pool.map(lambda each: bits(trained(each, "graph", said)), runs))
    return {"equal": alone == at_once, "distinct": len(set(alone)), "said": said}


def killed_and_resumed(run: Train, after: int) -> Trained:
    """Left after so many steps, written to bytes, read back, and gone on with."""
    saved: list[bytes] = []
    count = iter(range(1, 1_000_000))
    with suppress(Left):
        trained(
            run,
            "graph",
            checkpoint=lambda progress: saved.append(encode_progress(progress, {})),
            leave=lambda: next(count) >= after,
        )
    progress: Progress = decode_progress(saved[-1])[0]
    assert progress.step == after, progress.step
    return trained(run, "graph", progress=progress)


def diverges() -> dict[str, Any]:
    """A learning rate that is far too large: the step at which the loss is not finite, eagerly and from a graph."""
    run = shortened(composed("model=lenet_300_100"), STEPS)
    args = {**run.recipe.optimizer.args, "lr": 1e30}
    run = replace(run, recipe=replace(run.recipe, optimizer=replace(run.recipe.optimizer, args=args)))
    cpu = fit(
        run,
        TicketTensors(initial(run.ticket.network, 0), dict(masks.dense(build(run.ticket.network), ())[0])),
        examples(run.data, torch.device("cpu")),
        Hardware(),
    )
    found = {kernel: trained(run, kernel).diverged_at for kernel in ("masked", "graph")}
    return {**found, "cpu": cpu.diverged_at}


def against_cpu() -> dict[str, Any]:
    """The same ticket on the CPU and on the GPU, in double precision: the largest difference after two steps.

    Later ones say nothing: on the CPU a rate of 0.1 that is rounded to single precision makes 3e-3 of step 5.
    """
    run = shortened(composed("model=resnet20"), 100, precision="64-true")
    network = build(run.ticket.network)
    mask = dict(masks.dense(network, ())[0])
    ends = []
    for device, hardware in ((torch.device("cpu"), Hardware()), (CUDA, Hardware("gpu"))):
        result = fit(
            run,
            TicketTensors(initial(run.ticket.network, 0), mask),
            examples(run.data, device),
            hardware,
            Session(until=2),
        )
        assert result.state is not None
        ends.append({name: value.double().cpu() for name, value in result.state.items()})
    return {"largest": max(float((ends[0][name] - ends[1][name]).abs().max()) for name in ends[0])}


# ------------------------------------------------------------------------------------------------------------ fast


def per_step(work: Callable[[int], object]) -> float:
    """Milliseconds of a step of work that takes so many: of two lengths, the difference."""

    def seconds(steps: int) -> float:
        begun = time.perf_counter()
        work(steps)
        return time.perf_counter() - begun

    less, more = TIMED
    return (seconds(more) - seconds(less)) / (more - less) * 1e3


def unevaluated(run: Train, kernel: str, steps: int) -> Trained:
    """A training of so many steps, but for the last, and nothing beside them."""
    return trained(shortened(run, steps, eval_every=10 * steps), kernel, until=steps - 1)


def together(model: str, *counts: int) -> dict[str, Any]:
    """Milliseconds per step where so many trainings, each a thread with a graph, share the GPU."""
    run = composed(f"model={model}")

    def at_once(count: int, steps: int) -> None:
        with ThreadPoolExecutor(count) as pool:
            for result in [pool.submit(unevaluated, run, "graph", steps) for _ in range(count)]:
                result.result()

    return {f"graph x{count}": round(per_step(partial(at_once, count)) / count, 4) for count in counts}


def plain(run: Train, compiled: bool) -> float:
    """Milliseconds of a step of the shortest loop in plain PyTorch: no mask, and always one batch, ready on the GPU."""
    recipe: Recipe = run.recipe
    data = examples(run.data)
    network: nn.Module = build(run.ticket.network).to(CUDA)
    made = optimizer(recipe.optimizer, network)
    forward = torch.compile(network, mode="reduce-overhead") if compiled else network
    x, y = data.picked(torch.arange(recipe.batch_size, device=CUDA))

    def steps(count: int) -> float:
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(count):
            made.zero_grad()
            nn.functional.cross_entropy(forward(x), y).backward()
            made.step()
        torch.cuda.synchronize()
        return time.perf_counter() - begun

    steps(20)
    return statistics.median(steps(100) for _ in range(3)) / 100 * 1e3


def timings(model: str, *words: str) -> dict[str, Any]:
    """Milliseconds per step of one training after another."""
    run = composed(f"model={model}", *words)
    found = {"plain": plain(run, False), **{k: per_step(partial(unevaluated, run, k)) for k in ("masked", "graph")}}
    return {name: round(value, 4) for name, value in found.items()}


def compiled(model: str) -> dict[str, Any]:
    """Milliseconds per step of the plain loop under torch.compile, which captures graphs of its own."""
    return {"compiled": round(plain(composed(f"model={model}"), True), 4)}


def sections() -> dict[str, Callable[[], dict[str, Any]]]:
    """What is done, in this order."""
    return {
        **{f"bits {model}": lambda model=model: models_equal(model) for model in MODELS},  # type: ignore[misc]
        "bits resnet20 bf16": lambda: models_equal("resnet20", "recipe.precision=bf16-mixed"),
        "bits together lenet_300_100": lambda: together_equal("lenet_300_100"),
        "bits together resnet20": lambda: together_equal("resnet20"),
        "diverges": diverges,
        "cpu and gpu": against_cpu,
        "ms lenet_300_100": lambda: timings("lenet_300_100"),
        "ms resnet20": lambda: timings("resnet20"),
        "ms resnet20 bf16": lambda: timings("resnet20", "recipe.precision=bf16-mixed"),
        "ms vgg16": lambda: timings("vgg16"),
        "together resnet20": lambda: together("resnet20", 2, 4, 8),
        "together lenet_300_100": lambda: together("lenet_300_100", 4, 16),
        "compiled resnet20": lambda: compiled("resnet20"),
        "compiled vgg16": lambda: compiled("vgg16"),
    }


def main() -> None:
    """Run the sections that OUT/gpu.json has not, until time is up."""
    out, limit = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 480.0
    begun, written = time.monotonic(), out / "gpu.json"
    about = {"torch": torch.__version__, "gpu": torch.cuda.get_device_name()}
    report: dict[str, Any] = json.loads(written.read_text()) if written.exists() else {**about, "sections": {}}
    if any(report[name] != told for name, told in about.items()):
        raise SystemExit(f"{written} was made by another GPU or torch; move it away")
    for name, work in sections().items():
        if name in report["sections"]:
            continue
        left = limit - (time.monotonic() - begun)
        if left < 0:
            print(f"{name}: not begun, time was up", flush=True)
            continue
        try:
            report["sections"][name], broken = work(), False
        except Exception as error:
            traceback.print_exc(limit=-3)
            report["sections"][name] = {"error": f"{type(error).__name__}: {error}"[:300]}
            broken = isinstance(error, torch.AcceleratorError)
        print(f"{limit - left:6.1f} s  {name}: {report['sections'][name]}", flush=True)
        written.write_text(json.dumps(report, indent=1) + "\n")
        if broken:  # nothing works on the GPU in this process any more
            os.execv(sys.executable, [sys.executable, "-m", "benchmarks.gpu", str(out), str(left)])


if __name__ == "__main__":
    main()
