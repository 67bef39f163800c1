"""Writes the weights of a ticket as the seed of their draw, or says which of them no seed gives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lt_sweeps.errors import Mistake
from lt_sweeps.graph import At, Carried, Init, Pretrained, Treat, Weights
from lt_sweeps.masks import Mask, State
from lt_sweeps.networks.build import draw_network
from lt_sweeps.provenance.ownership import require_current
from lt_sweeps.randomness import seeded
from lt_sweeps.specs import Network
from lt_sweeps.store.tensors import encode, encode_mask
from lt_sweeps.ticket_files import seed as seeds
from lt_sweeps.ticket_files.header import BadFile
from lt_sweeps.ticket_files.seed import DRAWS, SETS, STEPS, Seed, Step

DRAW = """import hashlib, json, math, numpy, torch, safetensors.torch as st
files = "seed.safetensors", "mask.safetensors"
seed, mask = (json.loads(st.safe_open(file, "pt").metadata()["note"]) for file in files)
state = {name: torch.empty(shape) for name, shape in seed["shapes"].items()}
torch.manual_seed(seed["seed"])
for name, step, *numbers in seed["steps"]:
    init = torch.nn.init.trunc_normal_ if step == "trunc_normal_" else getattr(torch.Tensor, step)
    init(state[name], *numbers)
for name in seed["signs"]:
    state[name].sign_()
for name, factor in seed["factors"].items():
    state[name].mul_(factor)
state.update(st.load_file(files[0]))
"""
MASKED = """kept, bits = dict(state), st.load_file(files[1])
for name, shape in mask.items():
    ones = torch.from_numpy(numpy.unpackbits(bits[name].numpy(), count=math.prod(shape))).bool().view(shape)
    kept[name] = state[name][ones]
    state[name].masked_fill_(~ones, 0)
assert hashlib.sha256(st.save(kept)).hexdigest() == "{sha256}", "torch draws other numbers here"
# network.load_state_dict(state): `state` is complete, pruned places are zero, `ones` is the layer's mask"""
WHOLE = """assert hashlib.sha256(st.save(state)).hexdigest() == "{sha256}", "torch draws other numbers here"
# network.load_state_dict(state): `state` is complete; pruned places are frozen at the values they have there"""


class _Impossible(Mistake):
    """No seed gives the weights of a ticket."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"ticket export --as-seed: {reason}: export it without --as-seed")


def as_seed(origin: Weights, state: State, mask: Mask, sparse: bytes, *, whole: bool) -> tuple[bytes, dict[str, Any]]:
    """Returns the file of a seed, and what a card says of it, for effective weights that go back to `origin`.

    `sparse` is the file of weights that it stands for: drawing it again gives the same bytes. Raises Mistake, naming
    the tensor and the reason, if some masked tensor is neither the draw, nor a factor times the draw or its sign.
    """
    init, reason = _source(origin)
    if init is None:
        raise _Impossible(f"{reason}, and no seed gives them")
    require_current([init.network.build])
    steps, truth = record(init.network, init.seed)
    seed = Seed(init.seed, {name: tuple(truth[name].shape) for name, _, _ in steps}, tuple(steps), (), {}, {})
    replayed = seeds.replay(seed)
    signs, factors = list[str](), dict[str, float]()
    for name, ones in mask.items():
        at = torch.ones_like(ones) if whole else ones
        relation = _relation_to_draw(state[name][at], truth[name][at])
        if relation is None:
            raise _Impossible(f"{name} is not what seed {init.seed} draws: {reason}")
        if name not in replayed or not _same(replayed[name], truth[name]):
            raise _Impossible(f"{name} is drawn by more than torch's own in-place functions")
        is_sign, factor = relation
        signs += [name] if is_sign else []
        factors |= {} if factor is None else {name: factor}
    stored = {n: v for n, v in state.items() if n not in mask and not (n in replayed and _same(v, replayed[n]))}
    seed = replace(_shortened(seed, stored), signs=tuple(signs), factors=factors)
    content, bits = encode(stored, seed.note()), encode_mask(mask)
    try:
        seed = seeds.parse(content, {name: tuple(ones.shape) for name, ones in mask.items()})
        again = seeds.weights(content, seed, bits, whole=whole)
    except (BadFile, RuntimeError) as error:
        raise _Impossible(str(error)) from None
    if again != sparse:
        raise _Impossible("the weights that are drawn again are others")
    sha256 = hashlib.sha256(sparse).hexdigest()
    return content, {
        "drawn": {
            **seed.describe(),
            "by": seeds.drawn_by(),
            "weights": {"sha256": sha256, "bytes": len(sparse)},
            "bytes": seeds.sizes(content, bits, len(sparse), seed.tensors),
        },
        "how to load without lt_sweeps": (DRAW + (WHOLE if whole else MASKED).format(sha256=sha256)).splitlines(),
    }


def _source(weights: Weights) -> tuple[Init | None, str]:
    """The draw that weights go back to, and what has changed them since, in words."""
    reasons = []
    while not isinstance(weights, Init):
        if isinstance(weights, Pretrained):
            return None, "the weights come from a file"
        if isinstance(weights, Carried):
            return None, "the weights are those of another network"
        if isinstance(weights, At):
            gate = weights.run.gate
            reasons.append("it was trained" if gate is None else f"gate {gate.name} has changed it")
            weights = weights.run.ticket.weights
        else:
            part = weights.treatment if isinstance(weights, Treat) else weights.fill
            reasons.append(f"{part.name} has changed it")
            weights = weights.ref
    return weights, reasons[0] if reasons else "its pruned places hold other values"


def _relation_to_draw(values: Tensor, drawn: Tensor) -> tuple[bool, float | None] | None:
    """Returns whether values are multiples of the draw's sign, or of the draw, and the factor; None if of neither.

    >>> drawn = torch.tensor([0.5, -0.25, 2.0])
    >>> [_relation_to_draw(values, drawn) for values in (drawn, drawn * 3, drawn.sign() * 3, drawn + 1)]
    [(False, None), (False, 3.0), (True, 3.0), None]
    """
    if _same(values, drawn):
        return False, None
    if values.dtype != drawn.dtype:
        return None
    size = values.abs().max()
    if _same(drawn.sign() * size, values):
        return True, float(size)
    near = (values.double() / drawn.double()).nanmedian().to(drawn.dtype)
    for factor in (near, *(torch.nextafter(near, torch.tensor(side)) for side in (-torch.inf, torch.inf))):
        if _same(drawn * factor, values):
            return False, float(factor)
    return None


def _same(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors have the same bits: 0.0 and -0.0 differ."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return first.contiguous().numpy().tobytes() == second.contiguous().numpy().tobytes()


def _shortened(seed: Seed, stored: Mapping[str, Tensor]) -> Seed:
    """Drops steps whose numbers are overwritten or stored; all draws stay, because they advance the generator."""
    last = {name: index for index, (name, step, _) in enumerate(seed.steps) if step in DRAWS or step in SETS}
    steps = tuple(
        (name, step, numbers)
        for index, (name, step, numbers) in enumerate(seed.steps)
        if step in DRAWS or (name not in stored and index >= last.get(name, 0))
    )
    return replace(seed, steps=steps, shapes={name: seed.shapes[name] for name, _, _ in steps})


def record(network: Network, seed: int) -> tuple[list[Step], State]:
    """Returns the steps of a network's draw on the tensors of its state, and that state.

    Only whole float32 tensors and torch's in-place functions of `STEPS` are recorded, so the steps may give less.
    """
    recorder = _Recorder()
    with seeded(seed), _truncated_by(recorder), recorder:
        module = draw_network(network)
    state = {name: value.detach() for name, value in module.state_dict().items()}
    names = {(value.data_ptr(), value.shape): name for name, value in reversed(state.items())}
    steps = [(names.get((tensor.data_ptr(), tensor.shape)), step, n) for tensor, step, n in recorder.steps]
    return [(name, step, numbers) for name, step, numbers in steps if name is not None], state


class _Recorder(TorchDispatchMode):
    """Notes the steps that torch takes; it holds their tensors, so that no other gets the same memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[tuple[Tensor, str, tuple[float, ...]]] = []
        self.paused = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.paused and not any(value is not None for value in (kwargs or {}).values()):
            self.note(func.overloadpacket.__name__, *args)
        return func(*args, **(kwargs or {}))

    def note(self, step: str, *args: Any) -> None:
        """Notes a step on a whole float32 tensor with numbers alone."""
        if step not in STEPS or not all(isinstance(number, (int, float)) for number in args[1:]):
            return
        tensor = args[0].detach()
        if tensor.dtype == torch.float32 and tensor.is_contiguous() and tensor.numel():
            self.steps.append((tensor, step, tuple(map(float, args[1:]))))


@contextmanager
def _truncated_by(recorder: _Recorder) -> Iterator[None]:
    """Notes torch's truncated normal as one step: it draws again until all numbers are within the bounds."""
    original = nn.init.trunc_normal_

    def noted(
        tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
    ) -> Tensor:
        if generator is None:
            recorder.note("trunc_normal_", tensor, mean, std, a, b)
        recorder.paused = True
        try:
            return original(tensor, mean, std, a, b, generator)
        finally:
            recorder.paused = False

    nn.init.trunc_normal_ = noted
    try:
        yield
    finally:
        nn.init.trunc_normal_ = original
