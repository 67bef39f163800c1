"""Named randomness: every draw in the project comes from a seed and names that state its purpose."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

GENERATORS = RLock()  # held by the thread that has seeded the global generators, or that captures them in a CUDA graph


def derive(seed: int, *names: str | int) -> int:
    """Returns a 63-bit seed that is a hash of `seed` and `names`.

    >>> derive(0, "order", 1) == derive(0, "order", 1), derive(0, "order", 1) == derive(0, "order", 2)
    (True, False)
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context manager: seeds Python's, numpy's and torch's global generators, and restores them (torch's: CPU) at exit.

    For foreign code, which may draw from any of them; our own code draws from generators passed as arguments. Another
    thread waits meanwhile.
    """
    import numpy as np
    import torch

    with GENERATORS:
        before, legacy = random.getstate(), np.random.get_state()
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)  # a GPU too that foreign code is the first to use
                _seed_others(seed)
                yield
        finally:
            random.setstate(before)
            np.random.set_state(legacy)


def seed_torch(seed: int) -> None:
    """Seeds torch's global generators for a step, on the CPU and on the GPUs that this process uses.

    torch.manual_seed does the same 100 times as slowly where no GPU is in use: it formats the whole stack for each kind
    of device, to seed that device should it ever be used.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def seed_all(seed: int) -> None:
    """Seeds Python's, numpy's and, as `seed_torch` does, torch's global generators."""
    seed_torch(seed)
    _seed_others(seed)


def _seed_others(seed: int) -> None:
    import numpy as np

    random.seed(seed)
    np.random.seed(derive(seed, "numpy") % 2**32)


def rng(seed: int, *names: str | int) -> torch.Generator:
    """Returns a CPU generator seeded by `derive(seed, *names)`: the same draws on every device."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *names))
