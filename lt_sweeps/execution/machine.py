"""The machine: what it has, and what bit-identity depends on beside the key."""

from __future__ import annotations

import platform
from typing import Any

import torch


def fingerprint(device: torch.device, deterministic: bool) -> dict[str, Any]:
    """Results are promised to be bit-identical within one fingerprint only."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "device": f"{device.type} {name}",
        "threads": torch.get_num_threads(),
        "deterministic": deterministic,
    }


def device(accelerator: str) -> torch.device:
    """What trains; `auto` is a GPU where there is one."""
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    return torch.device({"gpu": "cuda"}.get(accelerator, accelerator))
