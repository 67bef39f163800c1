"""Lists the operations of a network (torch.fx), beside threads that use networks of their own."""

from __future__ import annotations

from threading import Lock, get_ident
from typing import Any

from torch import fx, nn

TRACING = Lock()  # one at a time in a process: each would put back, at its end, what it found


def operations(network: nn.Module, *whole: type[nn.Module]) -> fx.Graph:
    """Returns the operations of a network; modules of torch's, and of the types `whole`, are one operation each.

    Raises whatever a network raises when it is traced.
    """
    with TRACING:
        return _Tracer(whole).trace(network)


class _Tracer(fx.Tracer):
    """Lists the operations of its own thread: torch.fx hears the calls of all modules, whoever makes them."""

    def __init__(self, whole: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self._thread, self._whole = get_ident(), whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self._whole) or bool(super().is_leaf_module(m, module_qualified_name))

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Calls a module of another thread as if nobody listened."""
        return super().call_module(m, forward, args, kwargs) if self._here() else forward(*args, **kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Returns another thread's attribute as it is."""
        return super().getattr(attr, attr_val, parameter_proxy_cache) if self._here() else attr_val

    def _here(self) -> bool:
        return get_ident() == self._thread
