"""The repeated blocks of the ResNet, VGG and MLP families, read off the names and shapes of their tensors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from lt_sweeps.transfers.carry import Shapes

BLOCK = re.compile(r"(?P<family>blocks\.|features\.|fc)(?P<number>\d+)(?P<rest>(?:_bn)?\..+)")
LAYER = 3  # modules of a VGG layer: convolution, batch normalisation, activation; a fourth one pools


@dataclass
class Block:
    """A residual block, or a layer with its normalisation: what each tensor is in it -> the tensor's name."""

    number: int
    tensors: dict[str, str] = field(default_factory=dict)
    changes: bool = False  # whether it has other outputs than inputs: the first block of a stage


def stages(shapes: Shapes) -> list[list[Block]]:
    """Returns the blocks of each stage, whose first block may change the number of channels, in the network's order.

    * ResNet: a residual block; a stage begins where channels change.
    * VGG: a convolution with its batch normalisation; a stage begins behind a pool.
    * MLP: a linear layer with its batch normalisation; a stage begins where the number of units changes.

    >>> found = stages({"fc1.weight": (8, 4), "fc2.weight": (8, 8), "fc2.bias": (8,), "output.weight": (2, 8)})
    >>> [[block.tensors for block in stage] for stage in found]
    [[{'.weight': 'fc1.weight'}, {'.weight': 'fc2.weight', '.bias': 'fc2.bias'}]]
    """
    parts: dict[int, Block] = {}
    families = set[str]()
    for name in shapes:
        if match := BLOCK.fullmatch(name):
            families.add(match["family"])
            number = int(match["number"])
            parts.setdefault(number, Block(number)).tensors[match["rest"]] = name
    if len(families) != 1:
        raise ValueError("it has no blocks as those of the ResNet, VGG and MLP families have them")
    (family,) = families
    ordered = [parts[number] for number in sorted(parts)]
    if family == "features.":
        return _of_vgg(ordered, shapes)
    for block in ordered:
        block.changes = any(_is_changing(shapes[name]) for name in block.tensors.values())
    return _cut(ordered, [block.changes for block in ordered])


def numbers(cut: Sequence[Sequence[Block]]) -> list[list[int]]:
    """The numbers of the blocks of each stage."""
    return [[block.number for block in stage] for stage in cut]


def is_first_excluded(cut: Sequence[Sequence[Block]]) -> bool:
    """Whether the network's first block has no tensor here, as in a mask that does not cover it.

    >>> is_first_excluded(stages({"fc2.weight": (8, 8), "fc3.weight": (8, 8)}))
    True
    """
    (first, *_), *_ = cut
    return first.number > _least_number(first)


def _least_number(block: Block) -> int:
    """The number of the first block of a network with such blocks: layers of an MLP are counted from 1."""
    return 1 if any(name.startswith("fc") for name in block.tensors.values()) else 0


def has_gap(cut: Sequence[Sequence[Block]]) -> bool:
    """Whether a block has no tensor here that is behind the first one; also where two first ones have none.

    >>> has_gap(stages({"fc2.weight": (8, 8), "fc3.weight": (8, 8)})), has_gap(stages({"fc3.weight": (8, 8)}))
    (False, True)
    """
    blocks = [block for stage in cut for block in stage]
    step, pools = 1, set[int]()
    if any(name.startswith("features.") for name in blocks[0].tensors.values()):
        step, pools = LAYER, {stage[0].number for stage in cut[1:]}
    far = (after.number - before.number != step + (after.number in pools) for before, after in pairwise(blocks))
    return blocks[0].number - _least_number(blocks[0]) not in (0, step) or any(far)


def _of_vgg(parts: Sequence[Block], shapes: Shapes) -> list[list[Block]]:
    """Joins each convolution with the normalisation that follows it."""
    layers = list[Block]()
    for part in parts:
        if any(len(shapes[name]) > 1 for name in part.tensors.values()):
            layers.append(part)
        else:
            layers[-1].tensors |= {f"_bn{rest}": name for rest, name in part.tensors.items()}
    gaps = [False, *(after.number - before.number > LAYER for before, after in pairwise(layers))]
    return _cut(layers, gaps)


def _is_changing(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 and shape[0] != shape[1]


def _cut(blocks: Sequence[Block], begins: Sequence[bool]) -> list[list[Block]]:
    cut = list[list[Block]]()
    for block, begin in zip(blocks, begins, strict=True):
        if begin or not cut:
            cut.append([])
        cut[-1].append(block)
    return cut
