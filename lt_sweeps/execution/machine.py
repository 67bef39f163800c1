"""The machine: what it has, and what bit-identity depends on beside the key."""

from __future__ import annotations

import platform
from typing import Any

import torch


def fingerprint(device: torch.device, deterministic: bool, devices: int = 1) -> dict[str, Any]:
    """Results are promised to be bit-identical within one fingerprint only."""
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


def device(accelerator: str) -> torch.device:
    """What trains; `auto` is a GPU where there is one."""
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    return torch.device({"gpu": "cuda"}.get(accelerator, accelerator))
