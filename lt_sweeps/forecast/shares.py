"""What each layer keeps at each level, where that is no rate: under an allocation, and where masks are learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lt_sweeps.cell import Cell
from lt_sweeps.forecast.layers import Shares
from lt_sweeps.forecast.sizes import Sizes
from lt_sweeps.graph import end, full
from lt_sweeps.methods.measured import learned_by

AFTERWARDS = "known only afterwards"


def shares(c: Cell, sizes: Sizes) -> Shares | None:
    """Returns the shares of a cell's layers; None where each level prunes by a rate, or nothing is pruned."""
    levels = c.levels[1:]
    if not levels:
        return None
    shown = levels if len(levels) == 1 else (levels[0], levels[-1])
    which = " ... ".join(str(number) for number in dict.fromkeys((c.numbers[1], c.numbers[-1])))
    searches = [search for run in shown if (search := learned_by(run)) is not None]
    if not searches and c.config.allocation.name in ("scores", "global"):
        return None
    whole = sizes.kept(full(shown[0].ticket))
    if not searches:
        kept = [sizes.kept(end(run).mask) for run in shown]
        return Shares(f"kept at level {which} (allocation={c.config.allocation.name})", _each(kept, whole))
    masks = [end(search).mask for search in searches]
    known = [sizes.learned(mask) for mask in masks]
    gates = ", ".join(dict.fromkeys(search.gate.name for search in searches if search.gate is not None))
    head = f"kept at level {which} (learned, gate={gates}"
    counts = [counts for counts, _ in known if counts is not None]
    if len(counts) < len(known):
        return Shares(f"{head})", tuple((name, AFTERWARDS) for name in whole))
    if all(by_layer for _, by_layer in known):
        return Shares(f"{head})", _each(counts, whole))
    together = _shares([sum(count.values()) for count in counts], sum(whole.values()))
    return Shares(f"{head}; {together} of all layers together)", tuple((name, AFTERWARDS) for name in whole))


def _each(kept: Sequence[Mapping[str, int]], whole: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _shares([counts[name] for counts in kept], n)) for name, n in whole.items())


def _shares(kept: Sequence[int], n: int) -> str:
    """The shares of the levels that are shown.

    >>> _shares([50, 25], 100), _shares([1], 3)
    ('50 % ... 25 %', '33.33 %')
    """
    return " ... ".join(f"{100 * count / n:.4g} %" for count in kept)
