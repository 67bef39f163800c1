"""Gates that keep a mask as it is and train its weights in other coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.gates.gate import Gate, Now, Parameters
from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register


def _whole(parameters: Parameters, parent: Mask, now: Now) -> State:
    some = next(iter(parameters.values()))
    return {name: torch.ones(ones.shape, device=some.device, dtype=some.dtype) for name, ones in parent.items()}


@register("gate", version=1)
def sign_in(balance: float = 1.0) -> Gate:
    """Each weight is a product m * v, both trained, which lets signs flip (Gadhikar et al. 2025, Sign-In).

    They begin with m^2 - v^2 = `balance`, m > 0, and their product is the start weight.
    Differs: the balance is not restored on the way.

    >>> begun = sign_in(1.0).begin({"w": torch.tensor([2.0])}, {}, torch.Generator())
    >>> round(float(begun["w|m"] * begun["w|v"]), 5), round(float(begun["w|m"] ** 2 - begun["w|v"] ** 2), 5)
    (2.0, 1.0)
    """
    if balance <= 0:
        raise ValueError(f"balance={balance}: give a number above 0")

    def begin(weights: State, mask: Mask, generator: torch.Generator) -> State:
        sides = {}
        for name, weight in weights.items():
            m = ((balance + (balance**2 + 4 * weight.double() ** 2).sqrt()) / 2).sqrt()
            sides[f"{name}|m"], sides[f"{name}|v"] = m.to(weight.dtype), (weight.double() / m).to(weight.dtype)
        return sides

    def effective(parameters: Parameters, weights: State, mask: State) -> State:
        return {name: parameters[f"{name}|m"] * parameters[f"{name}|v"] * ones for name, ones in mask.items()}

    return Gate(begin, _whole, effective, frozen=False)


@register("gate", version=1)
def powerpropagation(alpha: float = 2.0) -> Gate:
    """Each weight is v * |v| ** (alpha - 1), so that large ones learn faster (Schwarz et al. 2021, Powerpropagation).

    The slope at v = 0 is 0 for alpha above 1: a pruned weight that begins at zero stays there.

    >>> powerpropagation(2.0).effective({"w": torch.tensor([-3.0])}, {}, {"w": torch.ones(1)})["w"].tolist()
    [-9.0]
    """
    if alpha < 1:
        raise ValueError(f"alpha={alpha}: give 1 or more")

    def root(weight: Tensor) -> Tensor:
        return weight.sign() * weight.abs() ** (1 / alpha)

    def power(value: Tensor) -> Tensor:
        """Finite slopes at zero too, where the plain formula has 0 * inf."""
        safe = torch.where(value == 0, torch.ones_like(value), value)
        return torch.where(value == 0, value * (alpha == 1), safe * safe.abs() ** (alpha - 1))

    def effective(parameters: Parameters, weights: State, mask: State) -> State:
        return {name: power(parameters[name]) * ones for name, ones in mask.items()}

    return Gate(
        begin=lambda weights, mask, generator: {name: root(w) for name, w in weights.items()},
        mask=_whole,
        effective=effective,
        frozen=False,
    )
