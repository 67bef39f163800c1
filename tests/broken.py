"""Somebody's functions and classes, each of which breaks one law; the laws must notice. See test_check.py."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lt_sweeps.allocations.layerwise import Shapes
from lt_sweeps.criteria.probe import Probe, Scores
from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.gates.gate import Gate, Now, Parameters, straight_through
from lt_sweeps.hooks.moment import Change, Moment
from lt_sweeps.masks import Mask, State
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.transfers.carry import Carry, Place, Sides, by_name

# ------------------------------------------------------------------------------------------ criteria


def good_score(probe: Probe) -> Scores:
    """SNIP (Lee et al. 2019) as one would first write it."""
    x, y = probe.examples
    nn.functional.cross_entropy(probe.network(x), y).backward()
    weights = dict(probe.network.named_parameters())
    return {n: (weights[n] * weights[n].grad).detach().abs() for n in probe.mask}


def wrong_shape(probe: Probe) -> Scores:
    return {n: probe.weights[n].abs().flatten(1).sum(1) for n in probe.mask}


def unscored(probe: Probe) -> Scores:
    return {n: probe.weights[n].abs() for n in sorted(probe.mask)[1:]}


def not_a_number(probe: Probe) -> Scores:
    return {n: probe.weights[n].log() for n in probe.mask}


def unseeded(probe: Probe) -> Scores:
    return {n: torch.rand(probe.mask[n].shape) for n in sorted(probe.mask)}


def reads_pruned(probe: Probe) -> Scores:
    return {n: probe.weights[n].abs() / probe.weights[n].norm() for n in probe.mask}


def mutates(probe: Probe) -> Scores:
    return {n: probe.weights[n].abs_() for n in probe.mask}


def seeds_globally(probe: Probe) -> Scores:
    torch.manual_seed(0)
    return {n: torch.rand(probe.mask[n].shape) for n in sorted(probe.mask)}


def stops_gradients(probe: Probe) -> Scores:
    torch.set_grad_enabled(False)
    return {n: probe.weights[n].abs() for n in probe.mask}


def by_order(probe: Probe) -> Scores:
    return {n: torch.rand(probe.mask[n].shape, generator=probe.generator) for n in probe.mask}


def unrankable(probe: Probe) -> Scores:
    return {n: probe.weights[n] > 0 for n in probe.mask}


def raises(probe: Probe) -> Scores:
    raise KeyError("fc3.weight")


def needs_ref(probe: Probe) -> Scores:
    assert probe.ref is not None
    return {n: probe.ref[n].abs() for n in probe.mask}


def needs_data(probe: Probe) -> Scores:
    return {n: probe.weights[n].abs() * float(probe.examples[0].mean()) for n in probe.mask}


def needs_seed(probe: Probe) -> Scores:
    return {n: torch.rand(probe.mask[n].shape, generator=probe.generator) for n in sorted(probe.mask)}


# ---------------------------------------------------------------------------------------- treatments


def good_treatment(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """The sign of the weight rewound to, the mean size of its layer (Zhou et al. 2019)."""
    return {n: torch.where(mask[n], v.sign() * v.abs().mean(), v) if n in mask else v.clone() for n, v in ref.items()}


def drops_names(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    return {n: ref[n].clone() for n in mask}


def treats_unseeded(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    return {n: torch.where(mask[n], torch.randn(v.shape), v) if n in mask else v.clone() for n, v in ref.items()}


def treats_in_place(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    for n in mask:
        ref[n][mask[n]] *= -1
    return {n: v.clone() for n, v in ref.items()}


def treats_globally(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    random.seed(0)
    return {n: v.clone() for n, v in ref.items()}


def treats_biases(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    return {n: v * 2 for n, v in ref.items()}


# ------------------------------------------------------------------------------------- augmentations


def good_move(rows: Tensor, cols: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Up or down by one."""
    return rows + torch.randint(-1, 2, (len(rows), 1), generator=generator), cols


def half_a_pixel(rows: Tensor, cols: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return rows + 0.5, cols


def moves_unseeded(rows: Tensor, cols: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return rows + torch.randint(-4, 5, (len(rows), 1)), cols


def moves_too_far(rows: Tensor, cols: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return rows, cols + 5


def moves_in_place(rows: Tensor, cols: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return rows.add_(1), cols


def moves_globally(rows: Tensor, cols: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return rows, cols


# ------------------------------------------------------------------------------------------ networks


class GoodNet(nn.Module):
    """A convolution, batch normalisation, dropout and two linear layers."""

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(shape[0], width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width * 4, 10)
        self.output = nn.Linear(10, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.adaptive_avg_pool2d(self.bn(self.conv(x)).relu(), 2).flatten(1)
        return self.output(nn.functional.dropout(self.fc(x).relu(), 0.1, self.training))


class NeedsWidth(GoodNet):
    def __init__(self, shape: tuple[int, ...], classes: int, width: int) -> None:
        super().__init__(shape, classes, width)


class NothingToPrune(nn.Module):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(shape[0], classes))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) @ self.w


class Parametrized(GoodNet):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        nn.utils.parametrizations.weight_norm(self.fc)


class Tied(GoodNet):
    """Two layers with one weight."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        self.again = nn.Linear(10, classes)
        self.again.weight = self.output.weight

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.adaptive_avg_pool2d(self.bn(self.conv(x)).relu(), 2).flatten(1)
        return self.output(self.fc(x).relu()) + self.again(self.fc(x))


class Views(GoodNet):
    """Two layers that are parts of one memory."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        one, two = self.fc.weight, self.output.weight
        both = torch.randn(one.numel() + two.numel())
        self.fc.weight = nn.Parameter(both[: one.numel()].view(one.shape))
        self.output.weight = nn.Parameter(both[one.numel() :].view(two.shape))


class TwoOutputs(GoodNet):
    """Auxiliary logits, as torchvision's Inception has them in training."""

    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class Big(GoodNet):
    """Needs images of 40x40."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.conv2d(x, torch.ones(x.shape[1], x.shape[1], 40, 40)))


class DrawsElsewhere(GoodNet):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        nn.init.constant_(self.fc.weight, random.SystemRandom().random())


class SeedsItself(GoodNet):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        torch.manual_seed(0)
        super().__init__(shape, classes)


class NotInTheStateDict(GoodNet):
    """A random projection that is not a buffer."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        self.projection = torch.randn(classes, classes)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) @ self.projection


class Unused(GoodNet):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        self.spare = nn.Linear(10, 10)


class Dead(GoodNet):
    """A branch that begins at zero, as ResNets whose last normalisation is initialised to zero have."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        self.branch, self.gain = nn.Linear(classes, classes), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x + self.gain * self.branch(x)


class OfTheBatch(GoodNet):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


class AlwaysDropout(GoodNet):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(x, 0.5))


class WritesItsWeights(GoodNet):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.fc.weight.data += 1e-3
        return super().forward(x)


class CountsInItself(GoodNet):
    """Noise that fades with the number of calls, which no checkpoint knows."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return super().forward(x * (1 + 1 / (1 + self.calls)) if self.training else x)


class CountsInItsClass(GoodNet):
    calls = itertools.count()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * (1 + 1 / (1 + next(self.calls))) if self.training else x)


class DrawsWithNumpy(GoodNet):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * np.random.default_rng().uniform(0.5, 1.5) if self.training else x)


class Diverges(GoodNet):
    """Whose weights grow beyond all bounds."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) ** 3 * 1e4


# ----------------------------------------------------------------------------------------- data sets


def good_data(data_dir: Path) -> Arrays:
    """Noise, of which no two images are equal."""
    g = torch.Generator().manual_seed(0)
    x = torch.randint(256, (240, 1, 6, 6), generator=g, dtype=torch.uint8)
    y = torch.arange(240) % 3
    return Arrays(x[:200], y[:200], x[200:], y[200:])


def float_images(data_dir: Path) -> Arrays:
    """As good as uint8 ones: one tenth of them and all of them have been scaled."""
    found = good_data(data_dir)
    return found._replace(train_x=found.train_x / 255, test_x=found.test_x / 255)


def numpy_data(data_dir: Path) -> Any:
    return tuple(value.numpy() for value in good_data(data_dir))


def short_labels(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(train_y=found.train_y.int(), test_y=found.test_y.to(torch.uint8))


def with_nan(data_dir: Path) -> Arrays:
    found = float_images(data_dir)
    found.train_x[7, 0, 0, 0] = float("nan")
    return found


def one_type_each(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(train_x=found.train_x / 255)


def without_examples(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(test_x=found.test_x[:0], test_y=found.test_y[:0])


def one_number_each(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(train_x=found.train_x.flatten(1)[:, 0], test_x=found.test_x.flatten(1)[:, 0])


def names_of_classes(data_dir: Path) -> Any:
    found = good_data(data_dir)
    return (*found[:3], np.array(["cat"] * len(found.test_y)))


def negative_labels(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(train_y=found.train_y - 1)


def one_hot_labels(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(train_y=torch.eye(3)[found.train_y])


def column_of_labels(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(test_y=found.test_y[:, None])


def float_labels(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(test_y=found.test_y.float())


def a_list(data_dir: Path) -> Any:
    return list(good_data(data_dir))


def too_few_classes(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(train_y=found.train_y[:-1])


def class_out_of_range(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(test_y=found.test_y + 1)


def class_missing(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(train_y=found.train_y.clamp(max=1))


def test_in_train(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(test_x=found.train_x[:40], test_y=found.train_y[:40])


def one_test_image_in_train(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(test_x=torch.cat([found.train_x[:1], found.test_x[1:]]))


def changes(data_dir: Path) -> Arrays:
    found, order = good_data(data_dir), torch.randperm(200)
    return found._replace(train_x=found.train_x[order], train_y=found.train_y[order])


class Trembling(Tensor):
    """Images that change a pixel whenever rows are indexed."""

    def __getitem__(self, rows: Any) -> Tensor:
        found = self.as_subclass(Tensor)[rows].clone()
        if isinstance(rows, Tensor):
            found[..., 0, 0] = 0
        return found


class Shivering(Tensor):
    """Images that change whenever a batch of them is taken."""

    calls = itertools.count(1)

    def __getitem__(self, rows: Any) -> Tensor:
        return self.as_subclass(Tensor)[rows].as_subclass(Shivering)

    def index_select(self, dim: int, rows: Tensor) -> Tensor:  # type: ignore[override]
        return self.as_subclass(Tensor).index_select(dim, rows) + next(self.calls) % 7


def trembling(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(train_x=found.train_x.as_subclass(Trembling))


def shivering(data_dir: Path) -> Arrays:
    found = good_data(data_dir)
    return found._replace(train_x=found.train_x.as_subclass(Shivering))


# --------------------------------------------------------------------------------------- allocations


def good_shares(shapes: Shapes, density: float) -> dict[str, float]:
    """All alike, but that it refuses to spare a layer."""
    if density > 0.9:
        raise ValueError("nothing to allocate")
    return dict.fromkeys(shapes, density)


def forgets_a_layer(shapes: Shapes, density: float) -> dict[str, float]:
    return dict.fromkeys(list(shapes)[1:], density)


def more_than_all(shapes: Shapes, density: float) -> dict[str, float]:
    return dict.fromkeys(shapes, 2 * density)


def refuses_all(shapes: Shapes, density: float) -> dict[str, float]:
    raise ValueError("not today")


def shares_at_random(shapes: Shapes, density: float) -> dict[str, float]:
    return {name: random.uniform(0.5, 1) * density for name in shapes}


def shares_nothing(shapes: Shapes, density: float) -> dict[str, float]:
    return {name: 1.0 if name.startswith("fc") else 0.0 for name in shapes}


def shares_half(shapes: Shapes, density: float) -> dict[str, float]:
    return dict.fromkeys(shapes, density / 2)


def shares_in_place(shapes: Shapes, density: float) -> dict[str, float]:
    found = dict.fromkeys(shapes, density)
    for name in found:
        shapes[name] = shapes[name][:1]
    return found


# --------------------------------------------------------------------------------------------- units


def good_unit(shape: tuple[int, ...]) -> Tensor:
    """Columns: all that reads one input."""
    return torch.arange(math.prod(shape[1:])).expand(shape[0], -1).reshape(shape)


def numbers_of_floats(shape: tuple[int, ...]) -> Tensor:
    return good_unit(shape).float()


def numbers_from_one(shape: tuple[int, ...]) -> Tensor:
    return good_unit(shape) + 1


def units_at_random(shape: tuple[int, ...]) -> Tensor:
    return good_unit(shape).flatten()[torch.randperm(math.prod(shape))].view(shape)


def units_globally(shape: tuple[int, ...]) -> Tensor:
    random.random()
    return good_unit(shape)


# --------------------------------------------------------------------------------------------- fills


def good_fill(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    return {name: value.clone() for name, value in ref.items()}


def keeps_the_end(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    return {name: value.clone() for name, value in end.items()}


# ------------------------------------------------------------------------------------------ measures


def good_measure(ends: Ends) -> Table:
    errors = [ends.error(ends.network(state)) for state in ends.weights]
    return {"good_measure": errors[1] - errors[0], "end": [0.0, 1.0], "error": errors}


def unnamed(ends: Ends) -> Table:
    return {"number": 1.0}


def gives_tensors(ends: Ends) -> Any:
    return {"gives_tensors": torch.ones(())}


def uneven(ends: Ends) -> Table:
    return {"uneven": 1.0, "one": [1.0], "two": [1.0, 2.0]}


def density(ends: Ends) -> Table:
    return {"density": 1.0}


def guesses(ends: Ends) -> Table:
    return {"guesses": torch.rand(()).item()}


def scales(ends: Ends) -> Table:
    return {"scales": float(ends.weights[0]["0.weight"].mul_(2).sum())}


def measures_seeded(ends: Ends) -> Table:
    torch.manual_seed(0)
    return {"measures_seeded": torch.rand(()).item()}


# ------------------------------------------------------------------------------- what is none of these


def mystery(a: int) -> int:
    return a


NUMBER = 3


# -------------------------------------------------------------------------------- gates and hooks


def _scores(weights: State, mask: Mask, generator: torch.Generator) -> State:
    return {name: torch.rand(w.shape, generator=generator) for name, w in weights.items()}


def _rounded(parameters: Parameters, parent: Mask, now: Now) -> State:
    return {name: straight_through((parameters[name] > 0.5).float(), parameters[name]) for name in parent}


def good_gate() -> Gate:
    return Gate(_scores, _rounded)


def begins_with_nothing() -> Gate:
    return Gate(lambda weights, mask, generator: {}, _rounded)


def soft_mask() -> Gate:
    return Gate(_scores, lambda parameters, parent, now: {name: parameters[name] for name in parent})


def begins_unseeded() -> Gate:
    return Gate(lambda weights, mask, generator: {n: torch.rand(w.shape) for n, w in weights.items()}, _rounded)


def gate_in_place() -> Gate:
    def begin(weights: State, mask: Mask, generator: torch.Generator) -> State:
        return {name: w.abs_().add_(0.6) for name, w in weights.items()}

    return Gate(begin, _rounded)


def no_gradient() -> Gate:
    return Gate(_scores, lambda parameters, parent, now: {n: (parameters[n] > 0.5).float() for n in parent})


def expands_elsewhere() -> Gate:
    """Linear, and it begins with twice the weights."""
    return Gate(
        begin=lambda weights, mask, generator: {name: 2 * w for name, w in weights.items()},
        mask=lambda parameters, parent, now: {name: torch.ones_like(parameters[name]) for name in parent},
        effective=lambda parameters, weights, mask: {name: parameters[name] * ones for name, ones in mask.items()},
        frozen=False,
        linear=True,
    )


def remembers_outside() -> Gate:
    """Its steps depend on how many there were in this process."""
    steps = [0]

    def after_step(parameters: Parameters, now: Now) -> None:
        steps[0] += 1
        for score in parameters.values():
            score.copy_(score.flatten().roll(steps[0]).view_as(score))

    return Gate(_scores, _rounded, after_step=after_step)


def good_hook(moment: Moment) -> Change:
    asked = moment.memory.get("asked", torch.zeros(()))
    keep = {n: ones & (moment.weights[n].abs() > 0.01 * (1 + asked)) for n, ones in moment.mask.items()}
    return Change({n: keep[n] if bool(keep[n].any()) else moment.mask[n] for n in keep}, {"asked": asked + 1})


def hook_of_floats(moment: Moment) -> Change:
    return Change({name: ones.float() for name, ones in moment.mask.items()})


def hook_unseeded(moment: Moment) -> Change:
    return Change({name: torch.rand(ones.shape) < 0.5 for name, ones in moment.mask.items()})


ASKED = [0]


def hook_counts_outside(moment: Moment) -> Change:
    """Repeats itself for one moment, and keeps count of the steps it was asked at outside of its memory."""
    ASKED[0] = ASKED[0] + moment.step if moment.step != 5 else 5
    return Change({name: ones.roll(ASKED[0] % 7) for name, ones in moment.mask.items()})


def good_transfer(sides: Sides) -> Carry:
    return by_name(sides)


def carries_too_little(sides: Sides) -> Carry:
    return dict([*by_name(sides).items()][1:])


def carries_at_random(sides: Sides) -> Carry:
    return _reordered(sides, torch.randperm(sides.target["fc1.weight"][0]))


def permutes_alone(sides: Sides) -> Carry:
    """The units of a layer, but neither their biases nor what reads them."""
    return _reordered(sides, torch.arange(sides.target["fc1.weight"][0]).flip(0))


def _reordered(sides: Sides, order: Tensor) -> Carry:
    return {**by_name(sides), "fc1.weight": Place("fc1.weight", (order,))}
