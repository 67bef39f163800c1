"""The laws of a criterion, on a small half-pruned network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lt_sweeps import registry
from lt_sweeps.allocation import select
from lt_sweeps.check.example import NETWORK, half
from lt_sweeps.check.laws import Broken, Stages, refuse_changes, refuse_global_changes, surroundings
from lt_sweeps.criteria.probe import HeldExamples, Probe, Scores
from lt_sweeps.masks import Mask, State, dense, effective, kept
from lt_sweeps.networks.build import build, initial
from lt_sweeps.randomness import rng


@dataclass(frozen=True)
class Criterion:
    """The criterion under test, its registered `needs`, and its arguments."""

    score: Callable[..., Scores]
    needs: tuple[str, ...] = ("ref", "data", "seed")
    args: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, probe: Probe, seed: int = 0) -> Scores:
        """Returns its scores, with global generators seeded with `seed`."""
        with surroundings(seed):
            return self.score(probe, **self.args)


def criterion(name: str, args: Mapping[str, Any] | None = None) -> Criterion:
    """Returns the criterion of a registered name or an import path."""
    return Criterion(registry.load("criterion", name), registry.needs("criterion", name), args or {})


def _mask() -> Mask:
    return half(dense(_network())[0])


def _probe() -> Probe:
    """Returns a new probe with reference weights, examples and a generator."""
    mask = _mask()
    return Probe(
        weights=effective(initial(NETWORK, 0), mask),
        unmasked=initial(NETWORK, 0),
        mask=mask,
        ref=initial(NETWORK, 1),
        generator=rng(0, "score"),
        make_network=_network,
        make_source=_source,
        shape=NETWORK.shape,
    )


def _network() -> nn.Module:
    """Builds the network and restores global state, so that its draws are not blamed on the criterion."""
    with surroundings(0):
        return build(NETWORK)


def _source() -> HeldExamples:
    return HeldExamples(
        torch.randn(20, *NETWORK.shape, generator=rng(0, "examples")), torch.arange(20) % NETWORK.classes
    )


def _differing(first: Scores, second: Scores) -> str:
    """Returns `fc.weight, 3 of 12 kept weights` for the first tensor with differing scores of kept weights, or ""."""
    for name, ones in _mask().items():
        differ = int((first[name][ones] != second[name][ones]).sum())
        if differ:
            return f"{name}, {differ} of {int(ones.sum())} kept weights"
    return ""


def it_scores_every_prunable_weight(criterion: Criterion) -> str:
    """It returns a tensor of the weight's shape for each name of `probe.mask`, and nothing else."""
    scores, mask = criterion(_probe()), _mask()
    if not isinstance(scores, Mapping):
        raise Broken(f"it returns a {type(scores).__name__}: return a dict, a tensor for each name of probe.mask")
    for name, ones in mask.items():
        if not isinstance(scores.get(name), Tensor):
            raise Broken(f"{name} has no score: return a tensor for each name of probe.mask")
        if scores[name].shape != ones.shape:
            raise Broken(
                f"{name} is {list(ones.shape)}, its scores are {list(scores[name].shape)}: give each weight one"
            )
    if more := sorted(set(scores) - set(mask)):
        raise Broken(f"it scores {more[0]}, which is not prunable: leave out what is not in probe.mask")
    return f"{len(mask)} tensors, {sum(ones.numel() for ones in mask.values())} weights"


def every_score_is_a_number(criterion: Criterion) -> str:
    """Scores of kept weights are finite, or -inf for weights to be kept last; scores of pruned weights are ignored."""
    scores, excluded = criterion(_probe()), 0
    for name, ones in _mask().items():
        alive = scores[name][ones]
        wrong = int((alive.isnan() | (alive == torch.inf)).sum())
        if wrong:
            raise Broken(
                f"{name}, {wrong} of {len(alive)} kept weights are nan or inf: mend the division, logarithm or "
                "overflow; -inf is for weights to be taken last"
            )
        excluded += int((alive == -torch.inf).sum())
    return f"{excluded} kept weights are excluded by -inf" if excluded else ""


def the_same_seed_gives_the_same_scores(criterion: Criterion) -> str:
    """Its scores do not depend on global generators."""
    if difference := _differing(criterion(_probe(), seed=1), criterion(_probe(), seed=2)):
        raise Broken(f"{difference} get another score when asked again: draw with generator=probe.generator")
    return ""


def pruned_weights_change_no_score(criterion: Criterion) -> str:
    """Scores of kept weights do not depend on the values at pruned places of `probe.weights` and `probe.ref`.

    The network keeps the effective weights, as in a training.
    """
    plain, other = _probe(), _probe()
    assert other.ref is not None
    network = other.network
    junk = replace(other, weights=_with_junk(other.weights, other.mask), ref=_with_junk(other.ref, other.mask))
    vars(junk)["network"] = network
    if difference := _differing(criterion(plain), criterion(junk)):
        raise Broken(
            f"{difference} get another score when pruned weights change: look at kept places only, w[probe.mask[n]]"
        )
    return ""


def _with_junk(state: State, mask: Mask) -> State:
    return {n: torch.where(mask[n], v, torch.full((), 1e3)) if n in mask else v for n, v in state.items()}


def what_it_is_given_stays_as_it_was(criterion: Criterion) -> str:
    """It does not change weights, mask, reference and examples, which others read later; it may change the network."""
    probe, before = _probe(), _probe()
    criterion(probe)
    assert probe.ref is not None
    assert before.ref is not None
    refuse_changes("probe.weights", before.weights, probe.weights)
    refuse_changes("probe.ref", before.ref, probe.ref)
    refuse_changes("probe.mask", before.mask, probe.mask)
    refuse_changes("probe.examples", *({"x": p.examples[0], "y": p.examples[1]} for p in (before, probe)))
    return ""


def global_state_stays_as_it_was(criterion: Criterion) -> str:
    """It changes no global generator, grad mode or default dtype: later code would depend on it."""
    probe = _probe()
    refuse_global_changes(lambda: criterion.score(probe, **criterion.args))
    return ""


def it_needs_what_it_declares(criterion: Criterion) -> str:
    """It uses only what `needs` declares: anything else is in no key, so results would differ under one key."""
    undeclared = [need for need in ("ref", "data", "seed") if need not in criterion.needs]
    scores = criterion(_probe())
    for need in undeclared:
        bare = {"ref": _without_ref, "data": _without_data, "seed": _with_another_seed}[need]()
        mend = f"register it with needs=({', '.join(repr(n) for n in (*criterion.needs, need))},)"
        try:
            difference = _differing(scores, criterion(bare))
        except Exception as error:
            raise Broken(f"it looks at {need!r}, which it does not declare: {mend}") from error
        if difference:
            raise Broken(f"{difference} get another score with another {need!r}, which it does not declare: {mend}")
    return f"in its keys: {', '.join(criterion.needs) or 'nothing'} beside the ticket"


def _without_ref() -> Probe:
    return replace(_probe(), ref=None)


def _without_data() -> Probe:
    def absent() -> HeldExamples:
        raise ValueError("the criterion looks at examples")

    return replace(_probe(), make_source=absent)


def _with_another_seed() -> Probe:
    return replace(_probe(), generator=rng(1, "score"))


def the_order_of_names_changes_nothing(criterion: Criterion) -> str:
    """Scores do not depend on the order of names: a dict read from a file may have another order."""
    plain, probe = _probe(), _probe()
    assert probe.ref is not None
    turned = replace(
        probe,
        weights=dict(reversed(probe.weights.items())),
        mask=dict(reversed(probe.mask.items())),
        ref=dict(reversed(probe.ref.items())),
    )
    if difference := _differing(criterion(plain), criterion(turned)):
        raise Broken(f"{difference} get another score when names come in another order: go through sorted(probe.mask)")
    return ""


def a_selection_keeps_exactly_what_is_asked(criterion: Criterion) -> str:
    """A selection by its scores, or by equal scores, keeps the exact count and is nested in the parent mask."""
    scores, parent = criterion(_probe()), _mask()
    names, n = tuple(sorted(parent)), kept(parent)
    equal = {name: torch.zeros_like(value) for name, value in scores.items()}
    for ranking in (scores, equal):
        for keep in (0, 1, n // 3, n):
            try:
                mask = select(ranking, parent, names, keep, rng(0, "ties"))
            except RuntimeError as error:
                raise Broken(f"scores of type {scores[names[0]].dtype} cannot be ranked: return floats") from error
            if kept(mask) != keep or any(bool((mask[name] & ~parent[name]).any()) for name in names):
                raise Broken(f"{keep} were to be kept and {kept(mask)} are, or not of those that were there")
    return ""


STAGES: Stages[Criterion] = (
    (it_scores_every_prunable_weight,),
    (every_score_is_a_number,),
    (the_same_seed_gives_the_same_scores,),
    (
        pruned_weights_change_no_score,
        what_it_is_given_stays_as_it_was,
        global_state_stays_as_it_was,
        it_needs_what_it_declares,
        the_order_of_names_changes_nothing,
        a_selection_keeps_exactly_what_is_asked,
    ),
)
