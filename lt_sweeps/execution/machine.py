"""The device to train on, and the fingerprint that bit-identity depends on beside the key."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch


def fingerprint(device: torch.device, deterministic: bool, devices: int = 1) -> dict[str, Any]:
    """Describes torch, machine, device and threads; results are promised to be bit-identical within one fingerprint."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    several = {"devices": devices} if devices > 1 else {}
    return {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "device": f"{device.type} {name}",
        "threads": torch.get_num_threads(),
        "deterministic": deterministic,
        **several,
    }


def settle(deterministic: bool) -> None:
    """Has this process compute as its trainings do, from its first operation on: before them, scores are computed.

    Lightning sets the same as a training begins. Otherwise scores on a GPU would depend on whether a training came
    before them.
    """
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when a GPU is first used
        torch.use_deterministic_algorithms(True, warn_only=True)


def device(accelerator: str) -> torch.device:
    """The torch device for `trainer.accelerator`; `auto` is a CUDA GPU if there is one, else the CPU."""
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    return torch.device({"gpu": "cuda"}.get(accelerator, accelerator))
