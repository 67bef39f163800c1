"""A form of a network: how it runs, how large it is, and the files that it is deployed as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

from torch import Tensor, nn

README = """# A ticket, deployed as {name}

Beside the ticket itself (`card.json`, its weights, `mask.safetensors`) this folder holds the network in a form that
runs without lt_sweeps. After these lines, run in this folder, `network` computes the logits of a batch of examples that
are normalised as `card.json` says under `data`.

```python
{lines}
```
"""


@dataclass(frozen=True)
class Form:
    """A network that computes logits from a batch."""

    name: str
    run: Callable[[Tensor], Tensor]
    size: int  # bytes of its weights and indices
    files: Callable[[], dict[str, bytes]]  # by their names in the folder; none for a dense form
    note: str = ""  # what was done to the network, in words


def readme(name: str, lines: str) -> dict[str, bytes]:
    """The README.md of a folder: the lines of Python that load it."""
    return {"README.md": README.format(name=name, lines=lines).encode()}


def size(network: nn.Module) -> int:
    """Bytes of a network's tensors."""
    return sum(value.nbytes for value in chain(network.parameters(), network.buffers()))
