"""What a network of one's own must not do, found before anything trains, in a line that says how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lt_sweeps as lt
from lt_sweeps.check import faithful
from lt_sweeps.graph import Dense
from lt_sweeps.main import main
from lt_sweeps.networks.build import build
from lt_sweeps.registry import part
from lt_sweeps.specs import Network

pytestmark = pytest.mark.sweeps


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(64, 8), nn.Linear(8, 10)
        self.set_up()

    def set_up(self) -> None:
        pass

    def forward(self, x: Tensor) -> Any:
        return self.b(self.a(x.flatten(1)).relu())


class RunningMean(Two):
    def set_up(self) -> None:
        self.mean = torch.zeros(64)

    def forward(self, x: Tensor) -> Any:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().flatten(1).mean(0)
        return super().forward(x.flatten(1) - self.mean)


class Counter(Two):
    calls = 0

    def forward(self, x: Tensor) -> Any:
        self.calls += self.training
        return super().forward(x) * (1 + self.calls)


class OwnGenerator(Two):
    def set_up(self) -> None:
        self.generator = np.random.default_rng(0)

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) + self.generator.normal()


class Late(Two):
    def forward(self, x: Tensor) -> Any:
        if not hasattr(self, "late"):
            self.late = nn.Linear(10, 10)
        return self.late(super().forward(x))


class MovesInEvaluation(Two):
    def forward(self, x: Tensor) -> Any:
        if not self.training:
            with torch.no_grad():
                self.a.weight.mul_(1.01)
        return super().forward(x)


class Teacher(Two):
    def set_up(self) -> None:
        self.t = nn.Linear(64, 8).requires_grad_(False)

    def forward(self, x: Tensor) -> Any:
        if self.training:
            with torch.no_grad():
                self.t.weight.lerp_(self.a.weight, 0.1)
        return super().forward(x) + self.b(self.t(x.flatten(1)))


class SameMemory(Two):
    def set_up(self) -> None:
        self.c = nn.Linear(8, 64)
        self.c.weight = nn.Parameter(self.a.weight.data.t())


class Probabilities(Two):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).softmax(1)


class Frozen(Two):
    def set_up(self) -> None:
        self.requires_grad_(False)


class ExtraState(Two):
    def get_extra_state(self) -> Any:
        return {"calls": 1}

    def set_extra_state(self, state: Any) -> None:
        pass


def traced() -> nn.Module:
    module: nn.Module = torch.jit.trace(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), torch.zeros(2, 1, 8, 8))
    return module


class OneModuleTwice(Two):
    """Weight and bias under two names, without a word of prune.include."""

    def set_up(self) -> None:
        self.m = nn.Linear(8, 8)
        self.n = nn.ModuleList([self.m, self.m])

    def forward(self, x: Tensor) -> Any:
        return self.b(self.n[1](self.m(self.a(x.flatten(1)).relu())).relu())


class Clamped(Two):
    """Moves weights as it goes, and none from zero."""

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            self.a.weight.clamp_(-0.05, 0.05)
        return super().forward(x)


WORDS = [
    *("model=custom", "dataset=digits", "recipe.validation=237", "recipe.steps=20it", "recipe.eval_every=10it"),
    *("prune.levels=1", "sweep=s", "trainer.processes=0"),
]
BUFFER = "make it a buffer (register_buffer)"
ADAM = "model=lenet_digits recipe.optimizer._target_=torch.optim."
SCHEDULE = "model=lenet_digits recipe.schedule._target_=torch.optim.lr_scheduler."


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("model._target_=test_faithful.RunningMean", BUFFER),
        ("model._target_=test_faithful.Counter", BUFFER),
        ("model._target_=test_faithful.OwnGenerator", BUFFER),
        ("model._target_=test_faithful.Late", "its forward makes or removes late.bias"),
        ("model._target_=test_faithful.MovesInEvaluation", "its forward in evaluation mode changes a.weight"),
        ("model._target_=test_faithful.Teacher", "or set prune.exclude=[t.weight]"),
        (
            "model._target_=test_faithful.SameMemory",
            "a.weight and c.weight share memory: assign the same torch.nn.Param",
        ),
        ("model._target_=test_faithful.Probabilities", "return logits"),
        ("model._target_=test_faithful.Frozen", "no parameter of the network requires a gradient"),
        ("model._target_=test_faithful.ExtraState", "its state dict holds _extra_state, a dict: only tensors"),
        ("model._target_=test_faithful.traced", "is scripted or traced: give the torch.nn.Module"),
        (f"{ADAM}LBFGS", "its state holds more than tensors and numbers"),
        (f"{ADAM}Muon", "recipe.optimizer._target_=by_pattern gives it to some weights alone"),
        (f"{SCHEDULE}OneCycleLR recipe.schedule.max_lr=0.1 recipe.schedule.total_steps=10", "Tried to step 11 times"),
        (
            f"{SCHEDULE}SequentialLR recipe.schedule.schedulers=[{{_target_:os.system}}]",
            "must be of torch.optim.lr_sch",
        ),
    ],
)
def test_it_is_found_before_anything_trains(words: str, told: str, refusal: Callable[[list[str]], str]) -> None:
    assert told in refusal([*WORDS, *words.split()])


@pytest.mark.parametrize(
    "words",
    [
        "model._target_=test_faithful.OneModuleTwice rewind=step rewind.step=5it",
        "model._target_=test_faithful.Clamped",
        "model._target_=test_faithful.Teacher prune.exclude=[t.weight]",
        f"{SCHEDULE}SequentialLR recipe.schedule.milestones=[10it] recipe.schedule.schedulers="
        "[{_target_:torch.optim.lr_scheduler.LinearLR,total_iters:10},"
        "{_target_:torch.optim.lr_scheduler.CosineAnnealingLR,T_max:10}]",
        f"{SCHEDULE}ChainedScheduler recipe.schedule.schedulers="
        "[{_target_:torch.optim.lr_scheduler.LinearLR,total_iters:10},"
        "{_target_:torch.optim.lr_scheduler.ExponentialLR,gamma:0.9}]",
    ],
)
def test_it_simply_works(words: str, tmp_path: Path) -> None:
    assert main([*WORDS, f"paths.output_dir={tmp_path}", *words.split()]) == 0
    run = lt.open(tmp_path / "s").ticket(level=1, seed=0)
    assert run.evaluate().accuracy == run.row["test_accuracy"]


def test_times_of_schedules_within_a_schedule_are_scaled_by_the_budget(tmp_path: Path) -> None:
    words = "budget=quick recipe.steps=400it recipe.schedule._target_=torch.optim.lr_scheduler.SequentialLR"
    one = "{_target_:torch.optim.lr_scheduler.LinearLR,total_iters:100}"
    inner = f"[{one},{one}]"
    more = ["recipe.schedule.milestones=[100it]", f"recipe.schedule.schedulers={inner}", f"paths.output_dir={tmp_path}"]
    assert main([*words.split(), *more, "prune.levels=0", "sweep=s"]) == 0
    schedule = lt.open(tmp_path / "s").ticket(level=0).expression.recipe.schedule
    assert schedule is not None
    assert schedule.args["milestones"] == [10]
    assert schedule.args["schedulers"][0]["total_iters"] == 10


def test_what_stays_whole_is_told_when_it_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, "model._target_=test_faithful.normed", f"paths.output_dir={tmp_path}"]
    assert main(words) == 0
    note = "note: test_faithful.normed keeps whole a.parametrizations.weight.original0"
    assert note in capsys.readouterr().out
    assert main([*words, "prune.include=[*.original*]", "sweep=t"]) == 0
    assert "keeps whole" not in capsys.readouterr().out


def normed() -> nn.Module:
    module = Two()
    nn.utils.parametrizations.weight_norm(module.a)
    return module


@pytest.mark.parametrize("name", ["torchvision.models.resnet18", "torchvision.models.mobilenet_v3_small"])
def test_ordinary_networks_are_what_their_state_dicts_say(name: str) -> None:
    network = Network(part("network", name), (3, 32, 32), 10, prunable=2)
    assert sum(p.numel() for p in build(network).parameters()) > 1e6
    faithful.require(Dense(network))
