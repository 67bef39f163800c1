"""Batch normalisation by the statistics of a whole batch, of which each rank holds a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from lt_sweeps.training.ranks import Ranks


class WholeBatch(TorchFunctionMode):
    """Context manager: batch normalisation in training treats the examples of all ranks as one batch.

    It replaces the function `torch.nn.functional.batch_norm`, not modules: so it works for any subclass and any direct
    call (timm has both), and the network is not changed. torch's SyncBatchNorm needs GPUs.
    """

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self._ranks = ranks

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls a torch function, or ours in the place of batch_norm."""
        if func is nn.functional.batch_norm:
            return self._batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """`torch.nn.functional.batch_norm` over all ranks, with the same parameters."""
        if not training:
            return nn.functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        mean, var, count = _moments(input.detach(), self._ranks)
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.mul_(1 - momentum).add_((momentum * mean).to(running_mean.dtype))
                unbiased = var * (count / (count - 1))  # what torch keeps; it normalises by the biased one
                running_var.mul_(1 - momentum).add_((momentum * unbiased).to(running_var.dtype))
        normalised: Tensor = _Normalised.apply(input, mean, (var + eps).rsqrt(), count, self._ranks)
        if weight is not None:
            normalised = normalised * _per_channel(weight, normalised)
        if bias is not None:
            normalised = normalised + _per_channel(bias, normalised)
        return normalised.to(input.dtype)


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    """Reshapes values (C,) to broadcast with `like` (N, C, ...), in its dtype."""
    return values.to(like.dtype).view(-1, *[1] * (like.dim() - 2))


def _summed_over(x: Tensor) -> list[int]:
    """The dimensions to sum over: all but that of the channels."""
    return [0, *range(2, x.dim())]


def _wide(x: Tensor) -> Tensor:
    """Converts to single precision, as torch's own does; double precision stays."""
    return x if x.dtype == torch.float64 else x.float()


def _moments(x: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,) and biased variance (C,) over all ranks, and the number of values per channel, in double precision.

    Raises ValueError if there is only one value per channel, as torch does.
    """
    channels = x.shape[1]
    own = x.numel() // max(1, channels)
    mean = var = x.new_zeros(channels, dtype=torch.float64)
    if own:  # a small last batch may leave a rank without examples
        moments = torch.var_mean(_wide(x), _summed_over(x), correction=0)
        var, mean = moments[0].double(), moments[1].double()
    count = torch.full_like(mean[:1], own)
    # Moments about the origin add up over the ranks; in double precision, unlike the local ones, they are exact enough.
    sums = ranks.add(torch.cat([own * mean, own * (var + mean.square()), count]))
    count = sums[-1]
    if own <= 1 and count.item() <= 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(x.shape)}")
    mean = sums[:channels] / count
    return mean, (sums[channels:-1] / count - mean.square()).clamp_(min=0), count


class _Normalised(torch.autograd.Function):
    """(x - mean) * invstd, where mean and invstd are functions of the x of all ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, invstd: Tensor, count: Tensor, ranks: Ranks) -> Tensor:
        x = _wide(x)
        scale = _per_channel(invstd, x)
        normalised = (x - _per_channel(mean, x)) * scale
        ctx.save_for_backward(normalised, scale, count)
        ctx.ranks = ranks
        return normalised

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        normalised, scale, count = ctx.saved_tensors
        over = _summed_over(grad)
        sums = torch.cat([grad.sum(over), (grad * normalised).sum(over)]).double()
        mean, slope = (ctx.ranks.add(sums) / count).chunk(2)
        left = grad - _per_channel(mean, grad) - normalised * _per_channel(slope, grad)
        return left * scale, None, None, None, None
