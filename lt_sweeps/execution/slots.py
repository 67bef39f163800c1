"""Where trainings can run at the same time: a slot per group of cores, or per GPU and process on it. No torch here."""

from __future__ import annotations

import math
import os
import re
from contextlib import suppress
from itertools import islice
from pathlib import Path

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.errors import Mistake

CPU = ""  # the name of a slot that has no GPU
MOST = 8  # trainings in one process on a GPU, where memory decides
VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")  # the second is AMD's, which goes before the first there


def slots(trainer: TrainerConfig, at_least: int = 1) -> list[str]:
    """Returns a name for each slot: a GPU as in CUDA_VISIBLE_DEVICES, or CPU. Raises Mistake.

    `at_least` is the number of devices of one training.
    """
    if trainer.processes == 0:
        return [CPU]  # this process, whatever it trains on
    names = gpus() if trainer.accelerator in ("auto", "gpu") else []
    if names:
        if at_least > len(names):
            raise Mistake(f"trainer.devices={at_least}: this machine shows {len(names)} GPU{'s'[: len(names) != 1]}")
        every = names * trainer.workers_per_device * together(trainer, names[0])
    else:
        every = [CPU] * max(at_least, 1 if trainer.accelerator == "mps" else cores() // trainer.threads, 1)
    if trainer.processes and not names:
        return [CPU] * max(trainer.processes, at_least)
    return list(islice(every, max(trainer.processes, at_least))) if trainer.processes else every


def together(trainer: TrainerConfig, slot: str) -> int:
    """Returns how many trainings may run in one process on such a slot."""
    if trainer.together is None:
        return 1 if slot == CPU else MOST
    return trainer.together


def gpus(system: Path = Path("/")) -> list[str]:
    """The GPUs this process may use, named as in CUDA_VISIBLE_DEVICES or HIP_VISIBLE_DEVICES.

    Without these, those that the NVIDIA driver shows, or AMD's: its nodes that have SIMD units; the others are CPUs.
    """
    chosen = next((os.environ[name] for name in VISIBLE if name in os.environ), None)
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    nodes = system.glob("sys/class/kfd/kfd/topology/nodes/*/properties")
    shown = [*system.glob("dev/nvidia[0-9]*")] or [node for node in nodes if _computes(node)]
    return [str(number) for number in range(len(shown))]


def _computes(node: Path) -> bool:
    try:
        return re.search(r"^simd_count [1-9]", node.read_text(), re.MULTILINE) is not None
    except OSError:  # a GPU that this process may not use
        return False


def memory() -> float:
    """Bytes of memory this process may use; infinite if the limit is unknown."""
    limits = [math.inf]
    with suppress(OSError, ValueError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # no control group, or no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits)


def cores() -> int:
    """Number of processor cores this process may use: its CPU affinity, or its cgroup's CPU quota if that is less."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(allowed, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, or no limit
        return allowed
