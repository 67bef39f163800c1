"""Half of the channels of networks cut out: outputs, parameters, work and time; `python -m benchmarks.compacting`.

Channels are those of least magnitude at a draw of the network, layer by layer; biases and batch normalisation are
drawn too, so that they count. Networks of timm need timm. Prints a row of a Markdown table for each network.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

import torch
from torch import nn

from lt_sweeps.deploy import measure
from lt_sweeps.deploy.cutting import cut
from lt_sweeps.deploy.form import Form, size
from lt_sweeps.graph import Dense, Init, Prune, Score, Ticket
from lt_sweeps.masks import effective
from lt_sweeps.networks.build import build, initial
from lt_sweeps.networks.work import operations
from lt_sweeps.realise import Values
from lt_sweeps.registry import part
from lt_sweeps.specs import Network, Part
from lt_sweeps.store.store import Store

SIDES = {"lenet_300_100": (1, 28, 28), "mlp": (1, 28, 28)}
OWN = ("lenet_300_100", "mlp", "conv2", "conv4", "conv6", "conv8", "vgg11", "vgg13", "vgg16", "vgg19")
OWN += ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet18", "resnet50", "wrn_22_2")
TIMM = ("resnet18", "mobilenetv3_small_100", "vit_tiny_patch16_224")
BATCH, FRACTION = 8, 0.5
HEAD = (
    "| network | outputs differ by | parameters | multiply-accumulates | ms for a batch of 8, masked / compact | "
    "layers that keep dead units | first reason |"
)


def network(name: str) -> Network:
    """A network by its registered name, or by `timm.` and its name there."""
    if name.startswith("timm."):
        name = name.removeprefix("timm.")
        size = {"img_size": 32} if name.startswith("vit") else {}
        return Network(part("network", "timm.create_model", {"model_name": name, **size}), (3, 32, 32), 10, prunable=2)
    return Network(part("network", name), SIDES.get(name, (3, 32, 32)), 10)


def masked(described: Network) -> nn.Module:
    """The network under a mask of half of its channels, in evaluation mode."""
    dense = Dense(described, outputs=True)
    score = Score(Part("magnitude", 1), Ticket(described, Init(described, 0), dense))
    with tempfile.TemporaryDirectory() as folder:
        values = Values(Store(Path(folder)), Path(), torch.device("cpu"), {})
        mask = values.mask(Prune(score, dense, FRACTION, "layerwise", unit=Part("channel", 1)))
    module = build(described)
    module.load_state_dict(initial(described, 0))
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.bias, std=0.1)
            nn.init.normal_(layer.running_mean, std=0.1)
        elif isinstance(layer, (nn.Linear, nn.Conv2d)) and layer.bias is not None:
            nn.init.normal_(layer.bias, std=0.1)
    module.load_state_dict(effective(module.state_dict(), mask, None))
    return module.eval()


def row(name: str) -> str:
    """What cutting makes of a network, as a row of the table."""
    described = network(name)
    module, x = masked(described), torch.randn(BATCH, *described.shape)
    made = cut(module, x)
    with torch.no_grad():
        wanted, got = module(x), made.network(x)
    apart = float((got - wanted).abs().max() / wanted.abs().max())
    forms = [Form(called, net, size(net), dict) for called, net in (("masked", module), ("compact", made.network))]
    ms = {called: median(taken) for called, taken in measure.times(forms, x, 5).items()}
    counts = [sum(value.numel() for value in net.parameters()) for net in (made.network, module)]
    work = [operations(net, x) for net in (made.network, module)]
    why = next(iter(made.left.items()), None)
    cells = (
        f"`{name}`",
        f"{apart:.0e}",
        f"{counts[1]:,} → {counts[0]:,}",
        f"{work[1] / 1e6:,.2f}M → {work[0] / 1e6:,.2f}M",
        f"{ms['masked']:.2f} / {ms['compact']:.2f}",
        f"{len(made.left)}",
        f"{why[0]}: {why[1]}" if why else "",
    )
    return f"| {' | '.join(cells)} |"


def main(names: list[str]) -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    print(HEAD + "\n|" + " --- |" * 7)
    for name in names or [*OWN, *(f"timm.{name}" for name in TIMM)]:
        print(row(name), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
