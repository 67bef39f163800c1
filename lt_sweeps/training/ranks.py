"""The processes that train together, one for each device: what they add up, agree on and tell each other."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lt_sweeps.datasets.order import Share

PATIENCE = timedelta(minutes=10)  # with a rank that does not come, inside a step; a rank that died is noticed at once
BETWEEN_TRAININGS = timedelta(days=365)  # a group may be idle


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together. One alone talks to nobody."""

    rank: int = 0
    world: int = 1
    talk: Any = None  # the processes as a group on the CPU, wherever the tensors of a step are
    wait: Any = None  # the same, for those who wait for something to do

    @property
    def share(self) -> Share:
        """Which piece of every batch is this one's."""
        return Share(self.rank, self.world)

    def add(self, values: Tensor) -> Tensor:
        """The sum over the ranks, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make every gradient the sum over the ranks; one that no rank has stays None.

        In one piece, whose layout the network alone decides. Lightning's DDPStrategy would not do here: torch's
        DistributedDataParallel arranges its buckets anew after the first step, and with them the order of summation, so
        that with three ranks a resumed training would differ in the last bit from an uninterrupted one (tried); it
        averages, which is wrong for parts of unequal size; and its first act is to make the weights of all ranks equal,
        which here is checked.
        """
        held = [p for p in parameters if p.requires_grad]
        if self.world == 1 or not held:
            return
        present = torch.tensor([float(p.grad is not None) for p in held], device=held[0].device)
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in held]
        flat = self.add(torch.cat([*(gradient.flatten() for gradient in own), present]))
        *sums, counts = flat.split([*(p.numel() for p in held), len(held)])
        # To look at the counts is to wait for the device: only where a gradient is missing is it worth it.
        used = [True] * len(held) if all(p.grad is not None for p in held) else (counts > 0).tolist()
        for p, total, is_used in zip(held, sums, used, strict=True):
            p.grad = total.view(p.shape).to(p.dtype) if is_used else None

    def follow_first(self, buffers: Iterable[Tensor]) -> None:
        """Give floating-point buffers the values that they have on rank 0."""
        held = [buffer for buffer in buffers if buffer.is_floating_point()]
        if self.world == 1 or not held:
            return
        flat = torch.cat([buffer.flatten() for buffer in held])
        dist.broadcast(flat, 0)
        for buffer, values in zip(held, flat.split([buffer.numel() for buffer in held]), strict=True):
            buffer.copy_(values.view(buffer.shape))

    def any(self, here: bool) -> bool:
        """Whether it is so on any rank."""
        if self.world == 1:
            return here
        flag = torch.tensor(int(here))
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self.talk)
        return bool(flag)

    def agree(self, what: str, text: str) -> None:
        """Raise RuntimeError, on every rank, where `text` is not the same on all; it names those unlike rank 0."""
        if self.world == 1:
            return
        own = torch.tensor(list(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)
        digests = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(digests, own, group=self.talk)
        if others := [str(rank) for rank in range(1, self.world) if not torch.equal(digests[rank], digests[0])]:
            raise RuntimeError(f"{what} of rank {', '.join(others)} is not that of rank 0: the training is refused")

    def tell(self, content: bytes | None) -> bytes:
        """The bytes that rank 0 gives, on every rank; the others give None and wait, however long it takes."""
        if self.world == 1:
            assert content is not None
            return content
        length = torch.tensor(len(content or b""))
        dist.broadcast(length, 0, group=self.wait)
        buffer = torch.empty(int(length), dtype=torch.uint8)
        if content:
            buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        if len(buffer):
            dist.broadcast(buffer, 0, group=self.wait)
        return buffer.numpy().tobytes()


ALONE = Ranks()


def join(device: torch.device) -> Ranks:
    """Meet the other ranks, if torch.distributed.run has started this process as one of several."""
    if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        return ALONE
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    talk, wait = (dist.new_group(backend="gloo", timeout=timeout) for timeout in (PATIENCE, BETWEEN_TRAININGS))
    return Ranks(dist.get_rank(), dist.get_world_size(), talk, wait)
