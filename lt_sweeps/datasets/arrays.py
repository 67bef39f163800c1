"""What a data set is: four tensors in memory."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Arrays(NamedTuple):
    """Images as uint8 (N, C, H, W) and classes as int64 (N,), as published; splitting comes later."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
