"""`lt-sweeps theorem`: rebuilds a trained network as a mask on random weights, and runs that network."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lt_sweeps.config.datafiles import usual_folder
from lt_sweeps.errors import Mistake
from lt_sweeps.parser import Parser
from lt_sweeps.theorem import MOST

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lt_sweeps.datasets.loader import LoadedData
    from lt_sweeps.specs import Data

ABOUT = """The strong lottery ticket theorem (Malach et al. 2020, Pensia et al. 2020), carried out and checked: each
weight of a trained network of linear layers is met by a subset of random products, found exactly; then the masked
random network itself is run on the test examples. Biases are weights of a constant input."""
EXAMPLE = """examples:
  lt-sweeps theorem                                       a small network, trained on the spot on the embedded digits
  lt-sweeps theorem model=lenet_300_100 budget=quick      LeNet-300-100 on MNIST
  lt-sweeps theorem tickets/trained --candidates 18       the network of a ticket's folder (exported with --trained)
  lt-sweeps theorem --curve                               how the error of subset sums falls with their candidates
  lt-sweeps theorem --single --candidates 21              Pensia et al.'s first experiment"""
COUNTS = list(range(6, 21, 2))


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code. Raises Mistake."""
    parser = Parser("lt-sweeps theorem", description=ABOUT, epilog=EXAMPLE)
    parser.add_argument("target", nargs="*", help="a ticket's folder, or overrides of what to train (default: digits)")
    parser.add_argument("--candidates", type=int, default=16, metavar="N", help="per weight, 2 to 26 (default: 16)")
    parser.add_argument("--epsilon", type=float, default=0.01, help="the error to count weights within (default: 0.01)")
    parser.add_argument("--seed", type=int, default=0, help="of the random network (default: 0)")
    parser.add_argument("--data", type=Path, default=usual_folder(), metavar="DIR", help="where data sets lie")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--single", action="store_true", help="sums of single uniform weights that a row shares")
    which.add_argument("--curve", action="store_true", help="median error against the number of candidates")
    options = parser.parse_intermixed_args(list(arguments))
    if not 2 <= options.candidates <= MOST:
        raise Mistake(f"theorem: --candidates {options.candidates}: give 2 to {MOST}")
    for line in _curve(options.seed) if options.curve else _rebuilt(options):
        print(line, flush=True)
    return 0


def _curve(seed: int) -> Iterator[str]:
    from lt_sweeps.theorem.subset_sum import curve, slope

    yield "| candidates | median error, uniform | median error, products |"
    yield "| --- | --- | --- |"
    uniform, product = (curve(COUNTS, distribution, seed=seed) for distribution in ("uniform", "product"))
    for (count, first), (_, second) in zip(uniform, product, strict=True):
        yield f"| {count} | {first:.3g} | {second:.3g} |"
    factors = " and ".join(f"{slope(points):.2f}" for points in (uniform, product))
    yield f"the error falls by {factors} per candidate; theory: as sqrt(n) / 2^n, so by a little less than 2"


def _rebuilt(options: argparse.Namespace) -> Iterator[str]:
    import torch

    from lt_sweeps.theorem.construction import single_sums, strong_ticket, verify

    network, examples = _target(options.target, options.data)
    layers = linear_layers(network, examples.data)
    chunks = list(examples.chunks("test"))
    began = time.perf_counter()
    if options.single:
        rebuilt, rows = single_sums(network, layers, options.candidates, options.seed)
        what = "network with each weight a subset sum"
    else:
        lowest = min(float(x.min()) for part in ("train", "test") for x, _ in examples.chunks(part))
        ticket, rows = strong_ticket(layers, options.candidates, options.seed, shift=max(0.0, -lowest))
        verify(ticket, rows, options.candidates, options.seed)
        rebuilt, what = ticket, "masked random network"
    took = time.perf_counter() - began
    yield "| layer | weights | candidates | kept | median error | 99 % of errors below | largest | within epsilon |"
    yield "|" + " --- |" * 8
    for row in rows:
        errors = " | ".join(f"{value:.2g}" for value in (row.quantile(0.5), row.quantile(0.99), row.quantile(1.0)))
        share = f"{100 * row.within(options.epsilon):.2f} %"
        yield f"| {row.name} | {len(row.errors):,} | {row.random:,} | {row.kept:,} | {errors} | {share} |"
    if not options.single:
        yield f"every weight is what seed {options.seed} draws; masks are of zeros and ones"
    random, kept = sum(row.random for row in rows), sum(row.kept for row in rows)
    yield f"subsets found in {took:.1f} s; {kept:,} of {random:,} random weights are kept ({100 * kept / random:.2f} %)"
    with torch.no_grad():
        pairs = [(network(x).float(), rebuilt(x)) for x, _ in chunks]
    yield from _compared(pairs, [y for _, y in chunks], what)


def _compared(pairs: Sequence[tuple[Tensor, Tensor]], labels: Sequence[Tensor], what: str) -> Iterator[str]:
    """How the logits of the trained network and of the rebuilt one differ."""
    import torch

    trained, rebuilt = (torch.cat(logits) for logits in zip(*pairs, strict=True))
    y = torch.cat(list(labels))
    agree = 100 * float((trained.argmax(1) == rebuilt.argmax(1)).double().mean())
    first, second = (100 * float((logits.argmax(1) == y).double().mean()) for logits in (trained, rebuilt))
    yield f"logits differ by {float((trained - rebuilt).abs().max()):.3g} at most"
    yield f"labels agree on {agree:.2f} % of {len(y):,} test examples"
    yield f"test accuracy: {first:.2f} % trained network, {second:.2f} % {what}"


def _target(words: Sequence[str], data_dir: Path) -> tuple[nn.Module, LoadedData]:
    """The trained network, and the data set it was trained on."""
    import torch

    from lt_sweeps.datasets.loader import loader

    if len(words) == 1 and Path(words[0]).is_dir():
        from lt_sweeps.ticket_files.card import read
        from lt_sweeps.tickets.load import load_ticket
        from lt_sweeps.tickets.promise import data_of

        data = data_of(read(Path(words[0])), trust=False)
        return load_ticket(words[0]), loader(data, data_dir, torch.device("cpu"))
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from lt_sweeps import masks
    from lt_sweeps.cell import cell_of
    from lt_sweeps.config.composing import composed
    from lt_sweeps.config.mistakes import explain
    from lt_sweeps.config.reading import checked
    from lt_sweeps.config.words import hydra_word
    from lt_sweeps.graph import Init
    from lt_sweeps.networks.build import build, holding, initial
    from lt_sweeps.training.fit import Hardware, fit

    try:
        run = cell_of(checked(composed(["prune.levels=0", *map(hydra_word, words)]))).levels[0]
    except (HydraException, OmegaConfBaseException) as error:
        raise Mistake(explain(error)) from None
    network, start = run.ticket.network, run.ticket.weights
    if not isinstance(start, Init):
        raise Mistake("theorem: give the folder of a trained ticket by itself, not as ticket=")
    examples = loader(run.data, data_dir, torch.device("cpu"))
    ticket = masks.TicketTensors(initial(network, start.seed), masks.dense(build(network))[0])
    trained = fit(run, ticket, examples, Hardware())
    if trained.state is None:
        raise Mistake("theorem: the training diverged")
    return holding(build(network), trained.state).eval(), examples


def linear_layers(network: nn.Module, data: Data) -> dict[str, nn.Linear]:
    """The linear layers of a network that is nothing else, with ReLU between them. Raises Mistake for another."""
    import torch
    from torch import nn

    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    x = torch.rand(8, *data.shape)
    plain = x.flatten(1)
    try:
        for number, layer in enumerate(layers.values()):
            plain = layer(plain.relu() if number else plain)
        is_plain = bool(layers) and torch.allclose(network(x), plain, atol=1e-5)
    except RuntimeError:
        is_plain = False
    if not is_plain:
        raise Mistake("theorem: the network is not linear layers with ReLU between them: take lenet_300_100 or mlp")
    return layers
