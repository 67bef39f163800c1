"""Tensors as bytes that are the same for the same content: safetensors, never pickle.

A masked state keeps of each prunable tensor the live values only; a mask is kept as bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

State = dict[str, Tensor]


def encode(tensors: Mapping[str, Tensor], note: str = "") -> bytes:
    """Encodes tensors by name, and a note, as safetensors."""
    plain, held = dict[str, Tensor](), set[int]()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        memory = value.untyped_storage().data_ptr()
        plain[name] = value.clone() if memory in held else value  # a weight that a network has under several names
        held.add(memory)
    return save(plain, metadata={"note": note} if note else None)


def decode(content: bytes) -> tuple[State, str]:
    """Returns the tensors by name, and the note."""
    length = int.from_bytes(content[:8], "little")
    note = json.loads(content[8 : 8 + length]).get("__metadata__", {}).get("note", "")
    return load(content), note


def encode_mask(mask: Mapping[str, Tensor]) -> bytes:
    """Encodes a mask, bool tensors by name, as bits: eight places to the byte.
    >>> mask = {"w": torch.tensor([[True, False, True]])}
    >>> {name: ones.tolist() for name, ones in decode_mask(encode_mask(mask)).items()}
    {'w': [[True, False, True]]}
    """
    shapes = {name: list(mask[name].shape) for name in sorted(mask)}
    bits = {name: torch.from_numpy(np.packbits(ones.numpy().ravel())) for name, ones in mask.items()}
    return encode(bits, json.dumps(shapes))


def decode_mask(content: bytes) -> State:
    """Returns the mask that `encode_mask` encoded."""
    bits, note = decode(content)
    mask = {}
    for name, shape in json.loads(note).items():
        ones = np.unpackbits(bits[name].numpy(), count=int(np.prod(shape)))
        mask[name] = torch.from_numpy(ones.astype(bool)).view(shape)
    return mask


def encode_masked(state: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> bytes:
    """Encodes a state; of a masked tensor only the kept values, shape (kept,), in row-major order."""
    return encode({name: value.cpu()[mask[name]] if name in mask else value for name, value in state.items()})


def decode_masked(content: bytes, mask: Mapping[str, Tensor], fill: Mapping[str, Tensor] | None) -> State:
    """Returns the state that `encode_masked` encoded, in full shapes; pruned places hold `fill`, or zero."""
    state, _ = decode(content)
    for name, ones in mask.items():
        dtype = state[name].dtype
        whole = fill[name].to(dtype, copy=True) if fill else torch.zeros(ones.shape, dtype=dtype)
        whole[ones] = state[name]
        state[name] = whole
    return state
