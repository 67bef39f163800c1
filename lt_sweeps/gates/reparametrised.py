"""Gates that keep a mask as it is and train its weights in other coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.gates.gate import Gate, Now, Parameters
from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register


def _whole(parameters: Parameters, parent: Mask, now: Now) -> State:
    like = next(iter(parameters.values()))
    return {name: torch.ones(ones.shape, device=like.device, dtype=like.dtype) for name, ones in parent.items()}


@register("gate", version=1)
def sign_in(balance: float = 1.0, restore_every: float = 0.0, until: float = 0.5) -> Gate:
    """Each weight is a product m * v, both trained, which lets signs flip (Gadhikar et al. 2025, Sign-In).

    They begin with m^2 - v^2 = `balance`, m > 0, and their product is the start weight. Training leaves that balance.
    The paper restores it every few epochs of the first part of training: `restore_every`, a share of the training (0:
    never), up to its share `until`. Products then stay, up to rounding, and so does the optimizer's state. Raises
    ValueError for a balance that is not above 0, and for what is no share of the training.
    Differs: how often and how long is left to the user.

    >>> gate = sign_in(1.0, restore_every=0.25)
    >>> sides = gate.begin({"w": torch.tensor([2.0])}, {}, torch.Generator())
    >>> def product_and_balance():
    ...     m, v = sides["w|m"], sides["w|v"]
    ...     return round(float(m * v), 5), round(float(m**2 - v**2), 5)
    >>> product_and_balance()
    (2.0, 1.0)
    >>> _ = sides["w|m"].fill_(-1.0), sides["w|v"].fill_(3.0)  # steps of the optimizer, past a quarter of the training
    >>> product_and_balance()
    (-3.0, -8.0)
    >>> gate.after_step(sides, Now(None, 0.25, before=0.24))
    >>> product_and_balance()
    (-3.0, 1.0)
    """
    if balance <= 0:
        raise ValueError(f"balance={balance}: give a number above 0")
    if not 0 <= restore_every <= 1 or not 0 <= until <= 1:
        raise ValueError(f"restore_every={restore_every}, until={until}: give shares of the training, from 0 to 1")
    if restore_every > until or (until != 0.5 and not restore_every):
        raise ValueError(f"restore_every={restore_every}, until={until}: the balance would never be restored")

    def sides(weight: Tensor) -> tuple[Tensor, Tensor]:
        """The m and v of products, balanced."""
        exact = weight.double()
        m = ((balance + (balance**2 + 4 * exact**2).sqrt()) / 2).sqrt()
        return m, exact / m

    def begin(weights: State, mask: Mask, generator: torch.Generator) -> State:
        begun = {}
        for name, weight in weights.items():
            m, v = sides(weight)
            begun[f"{name}|m"], begun[f"{name}|v"] = m.to(weight.dtype), v.to(weight.dtype)
        return begun

    def after_step(parameters: Parameters, now: Now) -> None:
        if not restore_every or now.done > until or not now.has_passed(restore_every):
            return
        for name in [name.removesuffix("|m") for name in parameters if name.endswith("|m")]:
            m, v = parameters[f"{name}|m"], parameters[f"{name}|v"]
            for side, balanced in zip((m, v), sides(m.cpu().double() * v.cpu().double()), strict=True):
                side.copy_(balanced)

    def effective(parameters: Parameters, weights: State, mask: State) -> State:
        return {name: parameters[f"{name}|m"] * parameters[f"{name}|v"] * ones for name, ones in mask.items()}

    return Gate(begin, _whole, effective, after_step, frozen=False)


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
