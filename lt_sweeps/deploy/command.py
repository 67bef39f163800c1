"""`lt-sweeps ticket export ... --for FORM`: a network in a form that runs elsewhere, measured before it is written."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from lt_sweeps.deploy import compact, csr, measure, onnx
from lt_sweeps.deploy.cutting import TOLERANCE, relative_difference
from lt_sweeps.deploy.form import Form
from lt_sweeps.deploy.plain import entering, plain, weighted
from lt_sweeps.errors import Mistake
from lt_sweeps.store.store import write as write_file
from lt_sweeps.ticket_files.card import DEPLOYED
from lt_sweeps.training.sparse.chain import Unfit

FORMS: dict[str, Callable[[nn.Module, Tensor], list[Form]]] = {
    "csr": csr.forms,
    "compact": compact.forms,
    "onnx": onnx.forms,
}
ALIKE = 0.05  # a difference of times that counts as none


def prepare(
    network: nn.Module, x: Tensor, kind: str, batches: Sequence[int], threads: int, say: Callable[[str], object]
) -> Form:
    """Returns a network in a form of this kind, checked on the examples x and measured; says what it measured.

    Raises Mistake if there is no such form of the network, or its logits are others.
    """
    with measure.threads(threads), torch.no_grad():
        try:
            reference = _logits(copy.deepcopy(network).double(), _as(x, torch.float64))
            network, x = network.float().eval(), _as(x, torch.float32)
            network = _sequence(network, kind)
            forms = FORMS[kind](network, x)
            logits = [form.run(x) for form in forms]
        except Mistake:
            raise
        except Exception as error:  # a network of one's own may do anything with its layers
            reason = str(error) if isinstance(error, Unfit) else f"{type(error).__name__}: {str(error)[:120]}"
            raise Mistake(f"ticket export --for {kind}: not for this network: {' '.join(reason.split())}") from None
        for form, computed in zip(forms, logits, strict=True):
            say(_checked(form.name, computed, reference))
        say(forms[0].note)
        fastest, verdicts = _measured(network, forms, x, batches, say)
        for line in [*verdicts, _break_even(network, kind, fastest.name, x, batches)]:
            say(line)
    return fastest


def write(form: Form, folder: Path) -> None:
    """Writes the files of a form into the folder of a ticket, in the place of those of another form."""
    files = form.files()
    for name in DEPLOYED:
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    for name, content in files.items():
        write_file(folder / name, content)


def _sequence(network: nn.Module, kind: str) -> nn.Module:
    """The network as a plain sequence; any other stays as it is, but for ONNX. Raises Unfit."""
    try:
        return plain(network)
    except Unfit:
        if kind == "onnx":
            raise
        return network


def _as(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Examples in this precision; tokens as they are."""
    return x.to(dtype) if x.is_floating_point() else x


@torch.no_grad()
def _logits(network: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = network.eval()(x)
    return logits


def _checked(name: str, logits: Tensor, reference: Tensor) -> str:
    """Says how far the logits of a form are from the network's in double precision. Raises Mistake if too far."""
    if logits.shape != reference.shape:
        raise Mistake(f"{name}: has logits of shape {[*logits.shape]}, the network {[*reference.shape]}")
    wrong = relative_difference(logits.double(), reference)
    if not wrong <= TOLERANCE:
        raise Mistake(
            f"{name}: its logits differ by {wrong:.1e} of the largest from the network's, more than {TOLERANCE:g}: "
            "nothing is written"
        )
    return (
        f"{name}: logits of {len(logits)} examples as the network's in double precision, to {wrong:.1e} of the largest "
        f"(allowed: {TOLERANCE:g})"
    )


def _measured(
    network: nn.Module, forms: list[Form], x: Tensor, batches: Sequence[int], say: Callable[[str], object]
) -> tuple[Form, list[str]]:
    """Prints how long the forms take beside the dense ones; returns the fastest of the forms, and how it compares."""
    rivals, missing = measure.dense(network, x[:1])
    say(f"{'form':22} {'batch':>5} {'ms':>10} {'of the best dense':>18} {'bytes':>12}")
    faster: dict[str, float] = {form.name: 1.0 for form in forms}
    lines: dict[str, list[str]] = {form.name: [] for form in forms}
    for batch in batches:
        taken = {name: median(ms) for name, ms in measure.times([*rivals, *forms], _repeated(x, batch)).items()}
        best = min(rivals, key=lambda form: taken[form.name])
        for form in (*rivals, *forms):
            ratio = taken[form.name] / taken[best.name]
            say(f"{form.name:22} {batch:5} {taken[form.name]:10.4f} {ratio:16.3f} x {form.size:12,}")
            if form in forms:
                faster[form.name] *= ratio
                lines[form.name].append(_verdict(form.name, best.name, batch, ratio))
    threads = torch.get_num_threads()
    for line in [*missing, f"medians of {measure.ROUNDS} interleaved rounds, {threads} thread{'s' * (threads > 1)}"]:
        say(line)
    fastest = min(forms, key=lambda form: faster[form.name])
    return fastest, lines[fastest.name]


def _verdict(name: str, best: str, batch: int, ratio: float) -> str:
    if abs(ratio - 1) < ALIKE:
        return f"batch {batch}: {name} is about as fast as the best dense form ({best}): {ratio:.2f} x its time"
    if ratio < 1:
        return f"batch {batch}: {name} is {1 / ratio:.2f} x faster than the best dense form ({best})"
    return f"batch {batch}: {name} is SLOWER than the best dense form ({best}): it takes {ratio:.2f} x its time"


def _break_even(network: nn.Module, kind: str, name: str, x: Tensor, batches: Sequence[int]) -> str:
    """The break-even density of a network's largest layer, in words."""
    units = kind != "csr"
    layers = [layer for layer in weighted(network) if units or isinstance(layer, nn.Linear)]
    largest = max(layers, key=lambda layer: layer.weight.numel())
    densities = []
    for batch in batches:
        entering_it = entering(network, largest, _repeated(x, batch))
        if isinstance(largest, nn.Linear):
            entering_it = entering_it.reshape(-1, largest.in_features)
        density = measure.break_even(
            largest, entering_it, lambda net, x: _named(FORMS[kind](net, x), name), units=units
        )
        least, most = measure.DENSITIES[0], measure.DENSITIES[-1]
        words = f"above {most:g}" if density is None else f"{density:.2g}" if density else f"below {least:g}"
        densities.append(f"{words} at batch {batch}")
    left = "share of its units left" if units else "share of its weights left, at random places"
    shape = " x ".join(map(str, largest.weight.shape))
    return f"break-even density of the largest layer ({shape}; {left}): {', '.join(densities)}"


def _named(forms: list[Form], name: str) -> Form:
    return next(form for form in forms if form.name == name)


def _repeated(x: Tensor, batch: int) -> Tensor:
    """A batch of this many examples."""
    return x.repeat(-(-batch // len(x)), *[1] * (x.dim() - 1))[:batch].contiguous()
