"""Budgets: scale a published recipe to the iterations and examples that are really used.

`paper` changes nothing. A smaller budget multiplies the steps, and with them every point on the recipe's
clock (milestones, warm-up, rewind point), sets the number of evaluations, and may limit the data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lt_sweeps.config.schema import Config, ScheduleConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.registry import needs, part
from lt_sweeps.specs import Data, Part, Recipe

# Arguments of schedules that are points or lengths on the training clock.
ON_THE_CLOCK = (
    "milestones",
    "warmup",
    "step_size",
    "T_max",
    "total_steps",
    "total_iters",
    "T_0",
    "step_size_up",
    "step_size_down",
    "hold",
)


@dataclass(frozen=True)
class Clock:
    """Converts a recipe's published times to the iterations of this budget."""

    per_epoch: int  # iterations of a published epoch
    total: int  # published iterations
    factor: float

    def at(self, text: str | int, where: str) -> int:
        """Converts a time on the published clock to this budget's iterations: at least 1, unless it is 0."""
        published = steps(text, self.per_epoch, where)
        return max(1, round(self.factor * published)) if published else 0


def clock(config: Config) -> Clock:
    """Returns the clock of a cell. Raises Mistake if the training examples do not fill one batch."""
    recipe, budget = config.recipe, config.budget
    examples = config.dataset.train - recipe.validation
    per_epoch = math.floor(examples / recipe.batch_size)
    if recipe.last_batch == "keep":
        per_epoch = math.ceil(examples / recipe.batch_size)
    if per_epoch < 1:
        raise Mistake(
            f"recipe.validation={recipe.validation}, recipe.batch_size={recipe.batch_size}: "
            f"not one batch is left of {config.dataset.train} training examples"
        )
    total = steps(recipe.steps, per_epoch, "recipe.steps")
    if total < 1:
        raise Mistake(f"recipe.steps={recipe.steps}: must be at least one iteration")
    return Clock(per_epoch, total, min(budget.steps, (budget.max_steps or total) / total))


def scaled_recipe(config: Config, time: Clock) -> Recipe:
    """Returns the recipe of a cell, scaled to its budget."""
    recipe, budget = config.recipe, config.budget
    total = time.at(time.total, "recipe.steps")
    cadence = steps(recipe.eval_every, time.per_epoch, "recipe.eval_every")
    if budget.evaluations is not None:
        cadence = max(1, total // budget.evaluations)
    if cadence < 1:
        raise Mistake(f"recipe.eval_every={recipe.eval_every}: must be at least one iteration")
    batch = min(recipe.batch_size, budget.batch_size or recipe.batch_size)
    return Recipe(
        steps=total,
        batch_size=min(batch, budget.train_examples or batch),
        optimizer=part("optimizer", recipe.optimizer._target_, recipe.optimizer.args),
        schedule=_schedule(recipe.schedule, time),
        clip_norm=recipe.clip_norm,
        precision=recipe.precision,
        last_batch=recipe.last_batch,
        eval_every=min(cadence, total),
        batchnorm_groups=recipe.batchnorm_groups,
        slimming=recipe.slimming,
    )


def _schedule(schedule: ScheduleConfig | None, time: Clock) -> Part | None:
    if schedule is None or schedule._target_ is None:
        return None
    args = {name: _timed(name, value, time, f"recipe.schedule.args.{name}") for name, value in schedule.args.items()}
    return part("schedule", schedule._target_, args)


def _timed(name: str, value: Any, time: Clock, where: str) -> Any:
    """Returns an argument of a schedule (also a nested one) with its times in iterations of the budget."""
    if name in ON_THE_CLOCK:
        return [time.at(point, where) for point in value] if isinstance(value, (list, tuple)) else time.at(value, where)
    if isinstance(value, (list, tuple)):
        return [_timed("", item, time, where) for item in value]
    if isinstance(value, Mapping):
        return {inner: _timed(inner, item, time, f"{where}.{inner}") for inner, item in value.items()}
    return value


def last_learning_rate(config: Config) -> float:
    """Returns the learning rate of a recipe's last step. Raises Mistake if its schedule must be run to know it."""
    lr: Any = config.recipe.optimizer.args.get("lr")
    schedule, time = config.recipe.schedule, clock(config)
    if schedule is not None and schedule._target_ is None:
        schedule = None
    args = schedule.args if schedule else {"milestones": []}
    is_stepwise = schedule is None or (schedule._target_ or "").rpartition(".")[2] in (
        "MultiStepLR",
        "warmup_multistep",
    )
    drops = args.get("milestones") if is_stepwise else None
    is_warm = steps(args.get("warmup", 0), time.per_epoch, "recipe.schedule.args.warmup") < time.total
    if lr is None or drops is None or not is_warm:
        raise Mistake(
            "rewind.finetune_lr: set it: the final learning rate cannot be computed from this recipe's schedule"
        )
    taken = [d for d in drops if steps(d, time.per_epoch, "recipe.schedule.args.milestones") < time.total]
    return float(lr) * float(args.get("gamma", 0.1)) ** len(taken)


def summary(config: Config, data: Data, recipe: Recipe) -> str:
    """Returns one line for every output: the budget, the iterations under it, and limits and corruption of the data."""
    budget = config.budget
    limits = (budget.max_steps, budget.train_examples, budget.eval_examples, budget.batch_size, budget.evaluations)
    cut = budget.name == "paper" and (budget.steps < 1 or any(limit is not None for limit in limits))
    words = f"budget={budget.name}{', cut' if cut else ''}: {recipe.steps:,} iterations of batch {recipe.batch_size}"
    words += f", evaluated every {recipe.eval_every}"
    if data.train_limit is not None:
        words += f", {data.train_limit:,} training examples"
    if data.eval_limit is not None:
        words += f", {data.eval_limit:,} evaluation examples"
        is_sorted = data.source.is_registered and "workers" in needs("dataset", data.source.name)
        if is_sorted and data.eval_limit < config.dataset.test:
            words += " (test images of the first classes alone, in the order of their folders)"
    if data.corruption is not None:
        args = ", ".join(f"{name}={value}" for name, value in data.corruption.args.items())
        words += f", corruption={data.corruption.name}({args})"
    return words


def steps(text: str | int, per_epoch: int, where: str) -> int:
    """Returns the iterations in "500it", "2ep", "1ep50it" or "500". Raises Mistake, naming `where`.

    >>> steps("2ep50it", 916, "rewind.step")
    1882
    """
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)ep)?(?:(\d+)(?:it)?)?", str(text).strip())
    if not match or not any(match.groups()):
        raise Mistake(f"{where}={text}: write iterations as '500it' or epochs as '2ep'")
    epochs, iterations = match.groups()
    return round(float(epochs or 0) * per_epoch) + int(iterations or 0)
