"""The laws of a network that trains: a few masked steps on noise, rewound, repeated and interrupted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from lt_sweeps.check import networks
from lt_sweeps.check.laws import Broken, Stages
from lt_sweeps.check.networks import Subject
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.graph import Data, Dense, Init, Part, Recipe, Ticket, Train
from lt_sweeps.masks import State, kept, total
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import state_digest

SGD = Part("torch.optim.SGD", args={"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4})
RECIPE = Recipe(steps=8, batch_size=8, optimizer=SGD, eval_every=8)  # an epoch of the 48 images, and two steps


@dataclass(frozen=True)
class Trainee(Subject):
    """A network that is also trained."""

    @cached_property
    def run(self) -> Train:
        """A few masked steps on noise."""
        described = self.network
        source = Part("lt_sweeps.check.example.noise", args={"shape": described.shape, "classes": described.classes})
        middle = (0.5,) * described.shape[0]
        data = Data(source, described.classes, described.shape, mean=middle, std=middle)
        return Train(Ticket(described, Init(described, 0), Dense(described)), data, RECIPE)

    @cached_property
    def examples(self) -> Examples:
        """The noise on the CPU."""
        return Examples(self.run.data, Path(), torch.device("cpu"))

    @cached_property
    def whole(self) -> tuple[Trained, State, bytes]:
        """An uninterrupted training, its end weights, and what it left for a resume at the end of the epoch."""
        saved: list[bytes] = []
        keep: Any = {
            "checkpoint": lambda progress: saved.append(encode_progress(progress, {})),
            "checkpoint_seconds": 0,
        }
        trained, state = self.trained(**keep)
        return trained, state, saved[0]

    def trained(self, **more: Any) -> tuple[Trained, State]:
        """A training from the initial weights, and its end weights."""
        made = fit(self.run, self.weights, self.mask, None, self.examples, Hardware(), **more)
        if made.state is None:
            raise Broken(f"the loss is not finite at step {made.diverged_at} of SGD at a learning rate of 0.01")
        return made, made.state


def pruned_weights_stay_pruned(subject: Trainee) -> str:
    """After a masked training pruned places are zero exactly, and the density is the mask's."""
    try:
        _, state, _ = subject.whole
    except RuntimeError as error:
        if "pruned weights of" not in str(error):
            raise
        raise Broken(f"{error}: does forward write to its own weights?") from error
    live = sum(int((state[name] != 0).sum()) for name in subject.mask)
    return f"{100 * live / total(subject.mask):.1f} % of the weights live, {kept(subject.mask):,} kept by the mask"


def a_rewound_training_repeats_itself(subject: Trainee) -> str:
    """From the same weights to the same bits: nothing survives a rewind."""
    (one, before, _), (two, after) = subject.whole, subject.trained()
    if one.progress.history != two.progress.history or state_digest(before) != state_digest(after):
        changed = next(name for name in [*before, "the loss"] if name not in before or _differ(before, after, name))
        raise Broken(
            f"{changed} differs when the training is repeated from the same weights: keep no state in a class or "
            "module, and draw from torch's global generator only"
        )
    return f"bit-equal after {subject.run.recipe.steps} steps"


def _differ(one: State, two: State, name: str) -> bool:
    return not torch.equal(one[name], two[name])


def a_resumed_training_equals_an_uninterrupted_one(subject: Trainee) -> str:
    """What a network holds beside its state dict is lost when a training is interrupted."""
    _, whole, saved = subject.whole
    progress: Progress = decode_progress(saved)[0]
    begun = progress.step
    _, resumed = subject.trained(progress=progress)
    for name in whole:
        if _differ(whole, resumed, name):
            raise Broken(
                f"{name} differs when the training is interrupted at step {begun}: keep what forward counts or "
                "remembers in a persistent buffer"
            )
    return f"interrupted at step {begun}"


STAGES: Stages[Trainee] = (
    (networks.it_can_be_built_and_pruned,),
    (networks.no_prunable_weight_is_shared,),
    (networks.it_gives_a_logit_for_each_class,),
    (
        networks.a_draw_is_a_function_of_the_seed,
        networks.the_state_dict_is_all_there_is,
        networks.every_prunable_weight_gets_a_gradient,
        networks.an_evaluation_sees_one_example_at_a_time,
        pruned_weights_stay_pruned,
    ),
    (a_rewound_training_repeats_itself,),
    (a_resumed_training_equals_an_uninterrupted_one,),
)
