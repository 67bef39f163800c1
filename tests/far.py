"""A stand-in for a GPU: a device whose tensors hold values, and mix with those of the CPU no more than CUDA's do.

It calls itself "meta", for which torch has neither kernels of its own nor a driver to look for.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, Self
from unittest.mock import PropertyMock, patch

import torch
from pytorch_lightning.accelerators import CPUAccelerator  # type: ignore[attr-defined]
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

FAR = torch.device("meta")
MIXING = {"aten::_to_copy", "aten::copy_", "aten::index", "aten::index_put_", "aten::_index_put_impl_"}


class Far(Tensor):
    """A tensor of the far device; `held` are its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Self:
        like = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype, "device": FAR}
        made = Tensor._make_wrapper_subclass(cls, held.shape, **like)  # type: ignore[attr-defined]
        made.held = held
        return made  # type: ignore[no-any-return]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return _done(func, args, kwargs or {}, doubles=True)


def near(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict on the CPU."""
    return {name: value.held if isinstance(value, Far) else value for name, value in state.items()}


def _near(value: Any) -> Any:
    return value.held if isinstance(value, Far) else value


def _done(func: Any, args: Sequence[Any], kwargs: dict[str, Any], *, doubles: bool) -> Any:
    name, to = func._schema.name, kwargs.get("device")
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    own = [value for value in tensors if isinstance(value, Far)]
    others = [tuple(value.shape) for value in tensors if not isinstance(value, Far) and value.dim()]
    if own and others and name not in MIXING:
        raise RuntimeError(f"Expected all tensors to be on the same device: {name} with {others} on the CPU")
    more = {} if to is None else {"device": torch.device("cpu")}
    out = func(*tree_map(_near, args), **{**tree_map(_near, kwargs), **more})
    if name == "aten::copy_":
        return args[0]
    changed = {id(value.held): value for value in own}
    is_far = bool(own) if to is None else torch.device(to) == FAR

    def placed(value: Any) -> Any:
        if not isinstance(value, Tensor) or not is_far:
            return value
        if value.dtype == torch.float64 and not doubles:
            raise TypeError(f"the far device has no doubles: {name}")
        return changed[id(value)] if id(value) in changed else Far(value)

    return tree_map(placed, out)


class _Made(TorchDispatchMode):
    """Makes tensors on the far device."""

    def __init__(self, *, doubles: bool) -> None:
        super().__init__()
        self._doubles = doubles

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        to, values = kwargs.get("device"), tree_flatten((args, kwargs))[0]
        if any(isinstance(value, Far) for value in values) or (to is not None and torch.device(to) == FAR):
            return _done(func, args, kwargs, doubles=self._doubles)
        return func(*args, **kwargs)


@contextmanager
def world(*, doubles: bool = True) -> Iterator[None]:
    """Context manager: there is a far device, and Lightning trains on it; with or without numbers of 64 bits."""
    tensor, autocast = torch.tensor, torch.autocast
    supported = optimizer._get_fused_kernels_supported_devices

    def made(value: Any, *args: Any, device: Any = None, **more: Any) -> Tensor:
        near = value if isinstance(value, Tensor) else tensor(value, *args, **more)
        return near if device is None else near.to(device)

    def cast(kind: str, *args: Any, **more: Any) -> Any:
        return nullcontext() if kind == FAR.type else autocast(kind, *args, **more)

    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter")  # it does copy them
        for name, function in (("tensor", made), ("as_tensor", made), ("autocast", cast)):
            stack.enter_context(patch.object(torch, name, function))
        fused = [*supported(), FAR.type]
        stack.enter_context(patch.object(optimizer, "_get_fused_kernels_supported_devices", lambda: [*fused]))
        stack.enter_context(patch.object(CPUAccelerator, "setup_device", lambda *_: None))
        root = PropertyMock(return_value=FAR)
        stack.enter_context(patch.object(SingleDeviceStrategy, "root_device", new_callable=lambda: root))
        stack.enter_context(_Made(doubles=doubles))
        yield
