"""Communication between the ranks: the processes that train together, one for each device."""

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

PATIENCE = timedelta(minutes=10)  # for a rank that does not come, inside a step; a rank that died is noticed at once
BETWEEN_TRAININGS = timedelta(days=365)  # a group may be idle


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; with `world=1` nothing is communicated."""

    rank: int = 0
    world: int = 1
    talk: Any = None  # a process group on the CPU, even if the tensors of a step are on GPUs
    wait: Any = None  # the same with a long timeout, for ranks that wait for a job

    @property
    def share(self) -> Share:
        """This rank's share of every batch."""
        return Share(self.rank, self.world)

    def add(self, values: Tensor) -> Tensor:
        """Sums values over the ranks, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sums every gradient over the ranks; one that no rank has stays None.

        All are summed as one tensor, whose layout depends on the network alone. Lightning's DDPStrategy cannot be used:
        torch's DistributedDataParallel rearranges its buckets after the first step, and with them the order of
        summation, so that with three ranks a resumed training would differ in the last bit from an uninterrupted one
        (tried); it averages, which is wrong for parts of unequal size; and it begins by making the weights of all ranks
        equal, which we check instead.
        """
        if self.world == 1:
            return  # before the parameters are listed, which takes 1 % of a step of LeNet
        held = [p for p in parameters if p.requires_grad]
        if not held:
            return
        present = torch.tensor([float(p.grad is not None) for p in held], device=held[0].device)
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in held]
        flat = self.add(torch.cat([*(gradient.flatten() for gradient in own), present]))
        *sums, counts = flat.split([*(p.numel() for p in held), len(held)])
        # Reading the counts waits for the device, so they are read only if a gradient is missing.
        used = [True] * len(held) if all(p.grad is not None for p in held) else (counts > 0).tolist()
        for p, total, is_used in zip(held, sums, used, strict=True):
            gradient = total.view(p.shape).to(p.dtype)
            if gradient.stride() != p.stride():  # fused optimizers take both as they lie in memory
                gradient = torch.empty_like(p).copy_(gradient)
            p.grad = gradient if is_used else None

    def follow_first(self, buffers: Iterable[Tensor]) -> None:
        """Gives floating-point buffers the values that they have on rank 0."""
        held = [buffer for buffer in buffers if buffer.is_floating_point()]
        if self.world == 1 or not held:
            return
        flat = torch.cat([buffer.flatten() for buffer in held])
        dist.broadcast(flat, 0)
        for buffer, values in zip(held, flat.split([buffer.numel() for buffer in held]), strict=True):
            buffer.copy_(values.view(buffer.shape))

    def any(self, here: bool) -> bool:
        """Whether `here` is true on any rank."""
        if self.world == 1:
            return here
        flag = torch.tensor(int(here))
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self.talk)
        return bool(flag)

    def agree(self, what: str, text: str) -> None:
        """Raises RuntimeError on every rank if `text` is not the same on all; it names the ranks unlike rank 0."""
        if self.world == 1:
            return
        own = torch.tensor(list(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)
        digests = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(digests, own, group=self.talk)
        if others := [str(rank) for rank in range(1, self.world) if not torch.equal(digests[rank], digests[0])]:
            raise RuntimeError(f"{what} of rank {', '.join(others)} is not that of rank 0: the training is refused")

    def tell(self, content: bytes | None) -> bytes:
        """Returns the bytes of rank 0 on every rank; the others give None and wait, however long it takes."""
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
    """Joins the other ranks, if torch.distributed.run has started this process as one of several."""
    if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        return ALONE
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    talk, wait = (dist.new_group(backend="gloo", timeout=timeout) for timeout in (PATIENCE, BETWEEN_TRAININGS))
    return Ranks(dist.get_rank(), dist.get_world_size(), talk, wait)
