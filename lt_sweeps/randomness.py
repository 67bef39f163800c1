"""Randomness by name: every draw in the project comes from a seed and the names of what it is for."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for what the names say, unrelated to every other.

    >>> derive(0, "order", 1) == derive(0, "order", 1), derive(0, "order", 1) == derive(0, "order", 2)
    (True, False)
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's, numpy's and torch's own generators begin at `seed` meanwhile, and go on where they were afterwards.

    For code that is not ours, which may draw from any of them; ours draws from generators that it is given.
    """
    import numpy as np
    import torch

    before, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            seed_all(seed)
            yield
    finally:
        random.setstate(before)
        np.random.set_state(legacy)


def seed_all(seed: int) -> None:
    """Seed Python's, numpy's and torch's own generators."""
    import numpy as np
    import torch

    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(derive(seed, "numpy") % 2**32)


def rng(seed: int, *names: str | int) -> torch.Generator:
    """A CPU generator for what the names say: the same draws on every device."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *names))
