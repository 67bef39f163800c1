"""The seed form of a ticket: its weights as a seed and the steps that draw them again. Torch only to draw.

seed.safetensors   tensors: the values that no seed gives, such as trained biases; its note is JSON:
  seed             of torch's generator
  shapes           of the tensors that are drawn
  steps            [tensor, in-place function of torch, numbers...], in the order in which the generator was used
  signs            tensors of which only the sign counts (binary tickets)
  factors          tensor -> a float32 number that the draw, or its sign, is multiplied by
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lt_sweeps.randomness import seeded
from lt_sweeps.ticket_files.header import BadFile, header, is_shape, plain_json

if TYPE_CHECKING:
    from lt_sweeps.masks import State

DRAWS = {"uniform_": 2, "normal_": 2, "bernoulli_": 1, "trunc_normal_": 4}  # function -> its most numbers
SETS = {"zero_": 0, "fill_": 1}
STEPS = {**DRAWS, **SETS, "add_": 1, "sub_": 1, "mul_": 1, "div_": 1, "clamp_": 2, "erfinv_": 0}
LEAST = dict.fromkeys(("fill_", "add_", "sub_", "mul_", "div_", "clamp_"), 1)  # function -> its fewest numbers
MOST_STEPS = 32  # of one tensor
FIELDS = {"seed", "shapes", "steps", "signs", "factors"}
Step = tuple[str, str, tuple[float, ...]]  # tensor, function, numbers
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Seed:
    """How the weights of a ticket are drawn; `stored` are the shapes of the tensors that a file holds instead."""

    seed: int
    shapes: Shapes
    steps: tuple[Step, ...]
    signs: tuple[str, ...]
    factors: Mapping[str, float]
    stored: Shapes

    @property
    def tensors(self) -> Shapes:
        """The shapes of all tensors of the network's state."""
        return {**self.shapes, **self.stored}

    def describe(self) -> dict[str, Any]:
        """What a card says of it: the seed, the layers that are not the plain draw, and the stored tensors."""
        return {
            "seed": self.seed,
            "signs": list(self.signs),
            "factors": dict(self.factors),
            "stored": sorted(self.stored),
        }

    def note(self) -> str:
        """The note of its file."""
        steps = [[name, step, *numbers] for name, step, numbers in self.steps]
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        fields = {"seed": self.seed, "shapes": shapes, "steps": steps, "signs": self.signs, "factors": self.factors}
        return json.dumps(fields, separators=(",", ":"))


def parse(content: bytes, masked: Shapes) -> Seed:
    """Reads the file of a seed for a ticket whose mask has these shapes. Raises BadFile before anything is drawn.

    Masked tensors are drawn in the shapes of the mask. All others together may not be larger than a million numbers
    and sixteen times the mask, so that a small file cannot ask for much memory.
    """
    entries, note = header(content)
    fields = plain_json(note.encode())
    if fields.keys() != FIELDS:
        raise BadFile("its note is not that of a seed")
    seed, shapes, steps, signs, factors = (fields[n] for n in ("seed", "shapes", "steps", "signs", "factors"))
    if type(seed) is not int or not -(1 << 63) <= seed < 1 << 63:
        raise BadFile("its seed is no integer of 64 bits")
    if not isinstance(shapes, dict) or not all(is_shape(shape) for shape in shapes.values()):
        raise BadFile("its shapes are none")
    drawn = {name: tuple(shape) for name, shape in shapes.items()}
    for name, shape in masked.items():
        if drawn.get(name) != shape or name in entries:
            raise BadFile(f"{name[:80]!r} is masked, but not drawn in the shape of its mask")
    limit = (1 << 20) + 16 * sum(math.prod(shape) for shape in masked.values())
    if sum(math.prod(shape) for name, shape in drawn.items() if name not in masked) > limit:
        raise BadFile("it draws more than a network with this mask has")
    if not isinstance(signs, list) or not isinstance(factors, dict) or not {*map(str, signs), *factors} <= {*masked}:
        raise BadFile("its signs or factors are of no masked tensor")
    if not all(_is_float32(factor) for factor in factors.values()):
        raise BadFile("it has a factor that is no float32 number")
    stored = {name: entry.shape for name, entry in entries.items()}
    return Seed(seed, drawn, _steps(steps, drawn), tuple(map(str, signs)), factors, stored)


def _steps(steps: Any, shapes: Shapes) -> tuple[Step, ...]:
    if not isinstance(steps, list):
        raise BadFile("its steps are no list")
    checked = tuple(_step(step, shapes) for step in steps)
    if any(count > MOST_STEPS for count in Counter(name for name, _, _ in checked).values()):
        raise BadFile(f"it has more than {MOST_STEPS} steps for a tensor")
    return checked


def _step(step: Any, shapes: Shapes) -> Step:
    if not isinstance(step, list) or len(step) < 2 or not all(isinstance(word, str) for word in step[:2]):
        raise BadFile("it has a step that is none")
    name, function, *numbers = step
    is_known = name in shapes and LEAST.get(function, 0) <= len(numbers) <= STEPS.get(function, -1)
    if not is_known or not all(type(number) is float and math.isfinite(number) for number in numbers):
        raise BadFile(f"it has a step {function[:40]!r} that draws nothing")
    if function == "trunc_normal_":  # which draws until all numbers are within its bounds
        mean, deviation, low, high = numbers if len(numbers) == 4 else (0.0, 0.0, 0.0, 0.0)
        if not (deviation > 0 and low <= mean - deviation and mean + deviation <= high):
            raise BadFile("it truncates a normal distribution within its deviation")
    return name, function, tuple(numbers)


def _is_float32(number: Any) -> bool:
    try:
        return (
            type(number) is float
            and math.isfinite(number)
            and number == struct.unpack("f", struct.pack("f", number))[0]
        )
    except OverflowError:
        return False


def replay(seed: Seed) -> State:
    """Draws the tensors of a seed, as float32 on the CPU. Raises RuntimeError for numbers that torch does not take."""
    import torch

    with seeded(seed.seed), torch.no_grad():
        state = {name: torch.empty(shape, dtype=torch.float32, device="cpu") for name, shape in seed.shapes.items()}
        for name, step, numbers in seed.steps:
            if step == "trunc_normal_":
                mean, deviation, low, high = numbers
                torch.nn.init.trunc_normal_(state[name], mean, deviation, low, high)
            else:
                getattr(state[name], step)(*numbers)
        for name in seed.signs:
            state[name].sign_()
        for name, factor in seed.factors.items():
            state[name].mul_(factor)
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise RuntimeError("it draws numbers that are not finite")
    return state


def weights(content: bytes, seed: Seed, mask: bytes, *, whole: bool) -> bytes:
    """Returns the file of weights that an ordinary export has, from the file of a seed. Raises RuntimeError."""
    from lt_sweeps.store.tensors import decode, decode_mask, encode_masked

    state = {**replay(seed), **decode(content)[0]}
    return encode_masked(state, {} if whole else decode_mask(mask))


def drawn_by() -> str:
    """What random numbers depend on beside their seed: torch's version and the kind of processor."""
    import platform

    import torch

    return f"torch {torch.__version__} on {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def sizes(content: bytes, mask: bytes, sparse: int, tensors: Shapes) -> dict[str, int]:
    """Bytes of a ticket as a seed, of its ordinary export, and of its dense state at four bytes a number."""
    return {
        "seed and mask": len(content) + len(mask),
        "weights and mask": sparse + len(mask),
        "dense float32": 4 * sum(math.prod(shape) for shape in tensors.values()),
    }
