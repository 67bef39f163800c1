"""What a training on a GPU does otherwise: a stream of its own, and memory that nobody clears."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CUDAAccelerator  # type: ignore[attr-defined]

_streams: dict[torch.device, list[torch.cuda.Stream]] = {}  # that no training uses now


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """A stream of its own on a GPU: nothing can be captured on the default one, nor on one that others use."""
    if device.type != "cuda":
        yield
        return
    free = _streams.setdefault(device, [])
    try:
        stream = free.pop()
    except IndexError:
        stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))  # for what is put there for us
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        free.append(stream)


class Gpu(CUDAAccelerator):
    """Lightning's, but that it leaves memory alone: to clear it would free what graphs of other trainings read."""

    def setup(self, trainer: pl.Trainer) -> None:
        """Nothing is prepared."""

    def teardown(self) -> None:
        """Nothing is cleared."""
