"""Which trainings are computed with kernels of a chain, and the check that comes before one is trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from itertools import islice

import torch
from torch import nn

from lt_sweeps.datasets.loader import Loader
from lt_sweeps.graph import Train
from lt_sweeps.masks import TicketTensors, aliases, effective
from lt_sweeps.networks.build import build
from lt_sweeps.training import optim
from lt_sweeps.training.fit import Hardware
from lt_sweeps.training.masking import ELEMENTWISE
from lt_sweeps.training.sparse.chain import Linear, Unfit, chain, ones_of
from lt_sweeps.training.sparse.index import Index
from lt_sweeps.training.sparse.native import library, vector_bytes
from lt_sweeps.training.sparse.step import ChainKernel, ChainStep, batches, reads_pixels
from lt_sweeps.training.watch import Diverged

PAYS = 0.3  # kept share of a network's weights up to which `auto` takes the compiled sparse kernel
PAYS_BESIDE_DENSE = 0.17  # the same where `auto` may take the dense kernel, on vectors of AVX-512
PAYS_STOCK = 0.1  # and that of torch's sparse matrices
WORTH = 200  # fewest steps for which `auto` takes a kernel
AVX, AVX512 = 32, 64  # bytes of the processor's vectors: those of AVX are the shortest for a dense kernel by `auto`
MOST_WEIGHTS = 400_000  # most weights for it
MOST_EXAMPLES = 1000  # and most examples of a batch: above these torch's products are as fast
KINDS = ("sparse", "dense")
MOST = 1 << 16  # and for any kernel: in C a batch has 24 bytes an example on the stack
COMPARED = 8  # steps whose loss and gradients are compared with the masked network's
ROUNDED = 8  # a sum's largest error by rounding, in units of the last place of the sum of its terms' sizes
CLOSE = {torch.float32: 1e-4, torch.float64: 1e-11}  # largest difference of a step, in parts of its largest value
DTYPES = {"32-true": torch.float32, "64-true": torch.float64}


def choose(run: Train, ticket: TicketTensors, examples: Loader, hardware: Hardware) -> ChainKernel | None:
    """Returns the kernel for a training, or None for masked steps; tells the user what was chosen and why.

    `auto` chooses by the kept share, the sizes and the processor, not by a timing: an interrupted training, another
    worker and a second sweep choose the same. Before a kernel is trusted its first steps are compared with the masked
    network's.
    """
    if hardware.kernel not in ("auto", *KINDS):
        return None
    name, forced = run.ticket.network.build.name, hardware.kernel != "auto"
    try:
        require_fitting(run, examples.device.type, hardware.ranks.world)
        if ticket.fill is not None:
            raise Unfit("pruned weights are not zero (pruned=zero)")
        network = build(run.ticket.network)
        layers = chain(network)
        ones = ones_of(layers, network, ticket.mask)
        every = sum(kept.numel() for kept in ones)
        kind = kind_of(run, hardware.kernel, every, sum(int(kept.sum()) for kept in ones) / every)
        if kind is None:
            return None
        chained = _made(kind, run, layers, ones, examples)
        if why := _difference(chained, layers, run, ticket, examples):
            hardware.say(f"{name}: no {kind} kernel, steps are masked: {why}")
            return None
    except Unfit as why:
        if forced:
            hardware.say(f"{name}: no {hardware.kernel} kernel, steps are masked: {why}")
        return None
    message = _message(kind, None if forced else _bound(run, every), compiled=chained.compiled)
    hardware.say(f"{name}: {message} (trainer.kernel=masked: not)")
    return chained


def kind_of(run: Train, kernel: str, weights: int, share: float) -> str | None:
    """The kernel that `trainer.kernel` has for a chain of so many weights, of which it keeps a share. Raises Unfit."""
    if kernel == "auto":
        return _fastest(run, weights, share)
    if kernel == "dense" and library(DTYPES[run.recipe.precision], dense=True) is None:
        raise Unfit("no C compiler makes one")
    return kernel


def _fastest(run: Train, weights: int, share: float) -> str | None:
    """The kernel that is faster than masked steps; None: they are the fastest."""
    if run.recipe.steps - run.ticket.start < WORTH:
        return None
    if share <= _bound(run, weights):
        return "sparse"
    return "dense" if _vectors_of_dense(run, weights) >= AVX else None


def _bound(run: Train, weights: int) -> float:
    """The kept share up to which `auto` takes the sparse kernel for a chain of so many weights."""
    if library(DTYPES[run.recipe.precision]) is None:
        return PAYS_STOCK
    return PAYS_BESIDE_DENSE if _vectors_of_dense(run, weights) >= AVX512 else PAYS


def _vectors_of_dense(run: Train, weights: int) -> int:
    """Bytes of the dense kernel's vectors; 0 without one, or where torch's products are as fast."""
    dense = library(DTYPES[run.recipe.precision], dense=True)
    if dense is None or weights > MOST_WEIGHTS or run.recipe.batch_size > MOST_EXAMPLES:
        return 0
    return vector_bytes(dense)


def require_fitting(run: Train, device: str, world: int) -> None:
    """Raises Unfit if no kernel can compute a training on `world` devices of this type, whatever its mask."""
    described = run.recipe.optimizer
    if device != "cpu":
        raise Unfit("it takes a CPU")
    if world > 1:
        raise Unfit("several devices train together")
    if run.data.task is not None:
        raise Unfit(f"task={run.data.task.name}: it computes cross-entropy")
    if not run.static:
        raise Unfit("a gate or a hook changes the mask")
    if run.ticket.fill is not None:  # for a plan; a training looks at the tensors
        raise Unfit("pruned weights are not zero (pruned=zero)")
    if run.recipe.slimming:
        raise Unfit("recipe.slimming")
    if run.recipe.batch_size > MOST:
        raise Unfit(f"recipe.batch_size={run.recipe.batch_size}: at most {MOST}")
    if run.recipe.precision not in DTYPES:
        raise Unfit(f"recipe.precision={run.recipe.precision}")
    if not described.name.startswith("torch.optim.") or described.name.rpartition(".")[2] not in ELEMENTWISE:
        raise Unfit(f"{described.name} does not treat weights one by one")
    if not run.ticket.network.build.is_registered:
        raise Unfit("a user's own network may behave differently at each step")


def _made(
    kind: str, run: Train, layers: Sequence[Linear], ones: Sequence[torch.Tensor], examples: Loader
) -> ChainKernel:
    """Returns the kernel of this kind."""
    dense, pixels = kind == "dense", reads_pixels(examples)
    compiled = library(DTYPES[run.recipe.precision], dense=dense)
    index = Index(layers, ones, words=pixels and compiled is not None, dense=dense)
    if compiled is None:
        return ChainKernel("sparse (torch)", index, compiled=False, pixels=False)
    return ChainKernel(f"{kind} ({compiled.name})", index, compiled=True, pixels=pixels)


def _message(kind: str, bound: float | None, *, compiled: bool) -> str:
    """How steps are computed; `bound` is the kept share that `auto` chose by, None if the user chose."""
    share = "" if bound is None else f"{100 * bound:.0f} % of the weights are kept"
    if kind == "dense":
        return "steps are dense, in C" + (share and f" where more than {share}")
    by = "in C" if compiled else "by torch's sparse matrices"
    return "pruned weights cost nothing" + (share and f" where at most {share}") + f": steps are sparse, {by}"


def _difference(
    chained: ChainKernel, layers: Sequence[Linear], run: Train, ticket: TicketTensors, examples: Loader
) -> str | None:
    """Takes the first steps, and returns how one differs from the masked network's gradient or torch's optimizer.

    Each is of the examples that are `_clear`.
    """
    dtype, start, clip_norm = DTYPES[run.recipe.precision], run.ticket.start, run.recipe.clip_norm
    network = build(run.ticket.network).to(dtype)
    network.load_state_dict(effective(ticket.weights, ticket.mask, None, aliases(network)))
    step = ChainStep(chained, run, network, optim.optimizer(run.recipe.optimizer, network), examples, start)
    twin = ChainStep(chained, run, network, optim.optimizer(run.recipe.optimizer, network), examples, start)
    with (
        closing(batches(chained, run, examples, start)) as chain_batches,
        closing(examples.batches(start, run.batching)) as usual_batches,
    ):
        for number, (batch, (x, y)) in enumerate(islice(zip(chain_batches, usual_batches, strict=True), COMPARED)):
            clear = _clear(network, layers, x.to(dtype))
            x, y, batch = x[clear], y[clear], tuple(part[clear] for part in batch)
            network.zero_grad()
            loss = nn.functional.cross_entropy(network(x.to(dtype)), y)
            if not bool(loss.isfinite()):
                return _stop(step, batch, start + number)
            loss.backward()
            gradients = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
            gradients |= {name: gradients[name] * kept for name, kept in ticket.mask.items()}
            chained.index.gathered(gradients, twin.slopes)
            if clip_norm is not None:
                nn.utils.clip_grad_norm_([twin.live], clip_norm)
            before = twin.live.detach().clone()
            try:
                step(batch)
            except Diverged:
                return f"the loss of step {start + number} is not finite, but that of a masked one is"
            own_loss = torch.tensor(step.look(), dtype=dtype)
            wrong = max(_relative_difference(step.slopes, twin.slopes), _relative_difference(own_loss, loss.detach()))
            twin.slopes.copy_(step.slopes)  # equal gradients for both: a step may divide by small ones
            twin.optimizer.step()
            own, expected = step.live.detach(), twin.live.detach()
            wrong = max(wrong, _relative_difference(own - before, expected - before, float(before.abs().max())))
            if not wrong <= CLOSE[dtype]:
                return f"step {start + number} differs from a masked one by {wrong:.1e} of its size"
            twin.live.data.copy_(step.live)
    return None


def _clear(network: nn.Module, layers: Sequence[Linear], x: torch.Tensor) -> torch.Tensor:
    """Returns bool (N,): for which examples no unit's input to ReLU is 0 but for rounding; all if there are none.

    Whether such a unit passes a slope on depends on the order in which its terms are added.
    """
    into, clear = x.flatten(1), torch.ones(len(x), dtype=torch.bool)
    with torch.no_grad():
        for layer in layers[:-1]:
            weight = network.get_parameter(layer.weight)
            bias = into.new_zeros(()) if layer.bias is None else network.get_parameter(layer.bias)
            sizes, out = into.abs() @ weight.abs().t() + bias.abs(), into @ weight.t() + bias
            clear &= ~((out.abs() <= ROUNDED * torch.finfo(x.dtype).eps * sizes) & (sizes > 0)).any(dim=1)
            into = out.relu_()
    return clear if bool(clear.any()) else ~clear


def _stop(step: ChainStep, batch: tuple[torch.Tensor, ...], number: int) -> str | None:
    """Takes a step whose loss is not finite if the network is masked, and returns what is wrong if it is here."""
    try:
        step(batch)
    except Diverged:
        return None
    return f"the loss of step {number} is finite, but that of a masked one is not"


def _relative_difference(own: torch.Tensor, expected: torch.Tensor, beside: float = 0.0) -> float:
    """Returns the largest difference, less the rounding of `beside`, as a share of the largest finite expected value.

    It is infinite where only one of two values is finite, or they are not finite in different ways.
    """
    limits, off, size = torch.finfo(expected.dtype), (own - expected).abs(), expected.abs()
    if not bool(off.max().isfinite()):
        finite = own.isfinite() & expected.isfinite()
        if not bool((finite | (own == expected) | (own.isnan() & expected.isnan())).all()):
            return math.inf
        off, size = off.where(finite, 0), size.where(finite, 0)
    return max(0.0, float(off.max()) - 4 * limits.eps * beside) / max(float(size.max()), limits.tiny)
