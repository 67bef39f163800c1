"""How long a slim ticket takes beside the masked one: `python -m benchmarks.slimming tickets/bird tickets/small`.

Training steps (forward, backward, SGD with momentum) and inference, in turns, on one thread, in processor time, which
other work on the machine lengthens less than the time on the wall.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import nn

from lt_sweeps.tickets.load import load_ticket

ROUNDS, BATCH, SHAPE = 15, 32, (3, 32, 32)


def step(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Callable[[], object]:
    """A training step."""
    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9)

    def take() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()

    return take


def milliseconds(*calls: Callable[[], object]) -> list[float]:
    """The median processor time of each, in turns."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, times in zip(calls, taken, strict=True):
            begin = time.process_time()
            call()
            times.append(1e3 * (time.process_time() - begin))
    return [median(times) for times in taken]


def main(folders: list[str]) -> None:
    """Prints the milliseconds of a step and of inference, for each folder."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    networks = [load_ticket(Path(folder)) for folder in folders]
    x, y = torch.randn(BATCH, *SHAPE), torch.randint(10, (BATCH,))
    with torch.inference_mode():
        inference = milliseconds(*(lambda net=net: net(x) for net in networks))
    training = milliseconds(*(step(net.train(), x, y) for net in networks))
    for folder, step_ms, ms in zip(folders, training, inference, strict=True):
        print(f"{folder}: {step_ms:.2f} ms for a step of {BATCH}, {ms:.2f} ms for inference")


if __name__ == "__main__":
    main(sys.argv[1:])
