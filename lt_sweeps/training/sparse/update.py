"""Steps of torch's most used optimizers on one vector: a fifth of the time that theirs take on a short one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

UNUSUAL = ("maximize", "amsgrad", "differentiable", "capturable")  # settings that the steps in C do not have


def update_of(optimizer: Optimizer, live: nn.Parameter, functions: ctypes.CDLL | None) -> Callable[[], object]:
    """Returns what takes a step of an optimizer of one vector. For others than SGD, Adam and AdamW: its own method.

    Steps are taken in C; without `functions` by torch's fused kernels, without what `step` does around them.

    State is that of the torch optimizer, which makes it in its first step. Settings are read at each step, and those of
    `UNUSUAL` leave it to the optimizer.
    """
    (group,) = optimizer.param_groups
    assert live.grad is not None
    if not (usual(optimizer) and (functions or group.get("fused"))):
        return optimizer.step
    update = _Update(optimizer, group, live, live.grad, functions)
    if type(optimizer) is SGD:
        return update.sgd
    return update.adam if type(optimizer) in (Adam, AdamW) else optimizer.step


def usual(optimizer: Optimizer) -> bool:
    """Whether a step has no settings, which a schedule may change, and no hooks that the C does not have."""
    own = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    hooked = own or _global_optimizer_pre_hooks or _global_optimizer_post_hooks
    return not (hooked or any(optimizer.param_groups[0].get(name) for name in UNUSUAL))


class _Update:
    def __init__(
        self,
        optimizer: Optimizer,
        group: dict[str, Any],
        live: nn.Parameter,
        slopes: Tensor,
        functions: ctypes.CDLL | None,
    ) -> None:
        self._optimizer, self._group, self._live, self._c = optimizer, group, live, functions
        self._vectors = (live.detach(), slopes)

    def sgd(self) -> None:
        group, moments = self._group, list[Tensor]()
        if not usual(self._optimizer):
            self._optimizer.step()
            return
        if group["momentum"]:
            held = self._optimizer.state[self._live].get("momentum_buffer")
            if held is None:
                self._optimizer.step()
                return
            moments = [held]
        settings = {name: group[name] for name in ("lr", "weight_decay", "momentum", "dampening", "nesterov")}
        if self._c is None:
            live, slopes = self._vectors
            torch._fused_sgd_([live], [slopes], moments, **settings, maximize=False, is_first_step=False)
        else:
            moment = moments[0].data_ptr() if moments else None
            self._c.sparse_sgd(*_addresses(self._vectors), moment, len(self._live), *settings.values())

    def adam(self) -> None:
        state, group = self._optimizer.state[self._live], self._group
        if not state or not usual(self._optimizer):
            self._optimizer.step()
            return
        step: Tensor = state["step"].add_(1)
        means, squares = state["exp_avg"], state["exp_avg_sq"]
        decoupled = type(self._optimizer) is AdamW or bool(group.get("decoupled_weight_decay"))
        lr, (beta1, beta2), eps, decay = group["lr"], group["betas"], group["eps"], group["weight_decay"]
        if self._c is None:
            take = torch._fused_adamw_ if decoupled else torch._fused_adam_
            live, slopes = self._vectors
            rates = {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": decay, "eps": eps}
            take([live], [slopes], [means], [squares], [], [step], **rates, amsgrad=False, maximize=False)
        else:
            vectors = _addresses((*self._vectors, means, squares))
            settings = (lr, beta1, beta2, eps, decay, decoupled, step.item())
            self._c.sparse_adam(*vectors, len(self._live), *settings)


def _addresses(vectors: Iterable[Tensor]) -> list[int]:
    return [vector.data_ptr() for vector in vectors]
