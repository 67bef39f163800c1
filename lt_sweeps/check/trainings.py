"""The laws of a network in training: masked, rewound, repeated and interrupted."""

from __future__ import annotations

import torch

from lt_sweeps.check import networks
from lt_sweeps.check.candidate import Candidate
from lt_sweeps.check.laws import Broken, Stages
from lt_sweeps.masks import State, kept, total
from lt_sweeps.training.progress import decode_progress
from lt_sweeps.training.recorder import state_digest


def pruned_weights_stay_pruned(candidate: Candidate) -> str:
    """After a masked training pruned places are exactly zero."""
    try:
        _, state, _ = candidate.whole
    except RuntimeError as error:
        if "pruned weights of" not in str(error):
            raise
        raise Broken(f"{error}: does forward write to its own weights?") from error
    live = sum(int((state[name] != 0).sum()) for name in candidate.mask)
    return f"{100 * live / total(candidate.mask):.1f} % of the weights live, {kept(candidate.mask):,} kept by the mask"


def a_rewound_training_repeats_itself(candidate: Candidate) -> str:
    """Two trainings from the same weights are bit-equal: no state outside the weights survives a rewind."""
    (first, before, _), (second, after) = candidate.whole, candidate.trained(seed=1)
    if first.progress.history != second.progress.history or state_digest(before) != state_digest(after):
        changed = next(name for name in [*before, "the loss"] if name not in before or _differ(before, after, name))
        raise Broken(
            f"{changed} differs when the training is repeated from the same weights: keep no state in a class or "
            "module, and draw from torch's, numpy's or Python's global generator"
        )
    return f"bit-equal after {candidate.run.recipe.steps} steps"


def _differ(first: State, second: State, name: str) -> bool:
    return not torch.equal(first[name], second[name])


def a_resumed_training_equals_an_uninterrupted_one(candidate: Candidate) -> str:
    """A resumed training is bit-equal: state outside the state dict would be lost by an interruption."""
    _, whole, saved = candidate.whole
    progress = decode_progress(saved)[0]
    begun = progress.step
    _, resumed = candidate.trained(seed=2, progress=progress)
    for name in whole:
        if _differ(whole, resumed, name):
            raise Broken(
                f"{name} differs when the training is interrupted at step {begun}: keep what forward counts or "
                "remembers in a persistent buffer"
            )
    return f"interrupted at step {begun}"


STAGES: Stages[Candidate] = (
    (networks.it_can_be_built_and_pruned,),
    (networks.every_layer_can_be_pruned, networks.no_prunable_memory_is_shared),
    (networks.it_gives_a_logit_for_each_class,),
    (networks.a_draw_is_a_function_of_the_seed, networks.the_state_dict_is_all_there_is),
    (pruned_weights_stay_pruned,),
    (a_rewound_training_repeats_itself,),
    (
        a_resumed_training_equals_an_uninterrupted_one,
        networks.every_prunable_weight_gets_a_gradient,
        networks.an_evaluation_sees_one_example_at_a_time,
    ),
)
