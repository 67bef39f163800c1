"""Elastic tickets: stretched to deeper and squeezed to shallower networks of their family, by whole blocks."""

from __future__ import annotations

from collections.abc import Sequence

from lt_sweeps.registry import register
from lt_sweeps.transfers.blocks import Block, has_gap, is_first_excluded, numbers, stages
from lt_sweeps.transfers.carry import Carry, Place, Sides

EXCLUDED = "transfer=elastic: a block is not pruned (prune.exclude): its mask would come from another than its weights"


@register("transfer", version=1)
def elastic(
    sides: Sides,
    order: str = "append",
    repeat: str = "early",
    drop: str = "late",
    blocks: Sequence[Sequence[int]] | None = None,
) -> Carry:
    """Repeat or drop whole blocks of each stage, masks, weights and normalisation alike (Chen et al. 2021, E-LTH).

    The first block of a stage, the stem and the output layer are carried once. The others are repeated as evenly as can
    be, the `early` or the `late` ones once more; copies follow the last of them (`append`: 0 1 2 1 2) or each stands
    behind its original (`interpolate`: 0 1 1 2 2). A shallower network drops the `late`, the `early` or `spread` ones.
    `blocks` says it instead: for each stage (or once, for all) the source's block of each of the target's. Differs from
    the authors' code: a tensor of the target that nothing is carried to is refused, and not left dense and random.
    Raises ValueError where blocks that prune.exclude leaves out would set masks against other blocks than weights.

    >>> two = {"fc1.weight": (8, 4), "fc2.weight": (8, 8)}
    >>> three = {**two, "fc3.weight": (8, 8)}
    >>> [place.name for place in elastic(Sides(two, three)).values()]
    ['fc1.weight', 'fc2.weight', 'fc2.weight']
    >>> [place.name for place in elastic(Sides(three, two), drop="early").values()]
    ['fc1.weight', 'fc3.weight']
    """
    before, now = stages(sides.source), stages(sides.target)
    if len(before) != len(now):
        raise ValueError(f"transfer=elastic: a network of {len(before)} stages, and one of {len(now)} here")
    for what, value, known in (
        ("order", order, ("append", "interpolate")),
        ("repeat", repeat, ("early", "late")),
        ("drop", drop, ("early", "late", "spread")),
    ):
        if value not in known:
            raise ValueError(f"transfer.args.{what}={value}: choose one of {', '.join(known)}")
    if blocks is not None and len(blocks) not in (1, len(now)):
        raise ValueError(f"transfer.args.blocks: give one list for all stages, or {len(now)}, one for each")
    differ = is_first_excluded(before) != is_first_excluded(now)
    if numbers(before) != numbers(now) and (differ or has_gap(before) or has_gap(now)):
        raise ValueError(EXCLUDED)
    carry, within = Carry(), set[str]()
    for number, (source, target) in enumerate(zip(before, now, strict=True)):
        if blocks is None:
            chosen = arranged(len(source), len(target), order, repeat, drop)
            if number == 0 and is_first_excluded(before) and is_first_excluded(now):
                whole = arranged(len(source) + 1, len(target) + 1, order, repeat, drop)
                if whole[1:] != [block + 1 for block in chosen]:
                    raise ValueError(EXCLUDED)
        else:
            chosen = list(blocks[number % len(blocks)])
        if len(chosen) != len(target) or not all(0 <= block < len(source) for block in chosen):
            raise ValueError(
                f"transfer.args.blocks={chosen} of stage {number}: give {len(target)} blocks of 0 to {len(source) - 1}"
            )
        within |= {name for block in target for name in block.tensors.values()}
        for block, of in zip(target, chosen, strict=True):
            carry |= _block(source[of], block)
    others = (name for name in sides.target if name not in within and name not in sides.redrawn)
    carry |= {name: Place(name) for name in others}
    return {name: carry[name] for name in sides.target if name in carry}


def _block(source: Block, target: Block) -> Carry:
    """Each tensor of a block from that with the same role in another one; a first block's shortcut has no other."""
    return {name: Place(source.tensors[role]) for role, name in target.tensors.items() if role in source.tensors}


def arranged(before: int, now: int, order: str, repeat: str, drop: str) -> list[int]:
    """Returns the source's block of each of the `now` blocks of a stage, of a source with `before` of them.

    ResNet-20 to ResNet-32, to ResNet-44, ResNet-32 to ResNet-44, and back:

    >>> arranged(3, 5, "append", "early", "late"), arranged(3, 5, "interpolate", "early", "late")
    ([0, 1, 2, 1, 2], [0, 1, 1, 2, 2])
    >>> arranged(3, 7, "append", "early", "late"), arranged(5, 7, "interpolate", "late", "late")
    ([0, 1, 2, 1, 2, 1, 2], [0, 1, 2, 3, 3, 4, 4])
    >>> [arranged(5, 3, "append", "early", drop) for drop in ("late", "early", "spread")]
    [[0, 1, 2], [0, 3, 4], [0, 2, 4]]
    """
    rest = before - 1
    if now <= before:
        match drop:
            case "late":
                return list(range(now))
            case "early":
                return [0, *range(before - now + 1, before)]
            case _:
                return [0, *(((i + 1) * rest) // (now - 1) for i in range(now - 1))]
    if not rest:
        return [0] * now
    rounds, more = divmod(now - 1, rest)
    once_more = range(1, more + 1) if repeat == "early" else range(before - more, before)
    if order == "append":
        return [0, *list(range(1, before)) * rounds, *once_more]
    return [0, *(block for block in range(1, before) for _ in range(rounds + (block in once_more)))]
