"""Specifics of trainings on a GPU: a CUDA stream each, and memory that Lightning does not clear."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CUDAAccelerator  # type: ignore[attr-defined]

SPARED = 0.8  # of the free memory: trainings of one network differ a little, and one may find out that it lacks some

_streams: dict[torch.device, list[torch.cuda.Stream]] = {}  # those that no training uses now


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Context manager: uses an own stream on a GPU, as no graph can be captured on the default or a shared one."""
    if device.type != "cuda":
        yield
        return
    free = _streams.setdefault(device, [])
    try:
        stream = free.pop()
    except IndexError:
        stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))  # for data that is still being written there
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        free.append(stream)


def fitting(device: torch.device) -> int | None:
    """Returns how many trainings like the one that this process does a GPU has memory for; None on a CPU."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return 1 + int(SPARED * free / max(1, torch.cuda.max_memory_reserved(device)))


class Gpu(CUDAAccelerator):
    """Lightning's CUDA accelerator, but it clears no memory: that would free what graphs of other trainings read."""

    def setup(self, trainer: pl.Trainer) -> None:
        """Does nothing."""

    def teardown(self) -> None:
        """Does nothing: no memory is cleared."""
