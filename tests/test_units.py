"""Pruning by units: exact counts, whole units, and smaller networks that compute the same."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_recipes import composed
from test_sweep import sweep
from torch import nn

from lt_sweeps.cli import main as cli
from lt_sweeps.deploy.cutting import TOLERANCE, cut
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Dense, Init, Prune, Score, Ticket
from lt_sweeps.main import main
from lt_sweeps.masks import Mask, effective, kept
from lt_sweeps.networks.build import build, initial
from lt_sweeps.networks.slim import sizes_of, slim
from lt_sweeps.realise import Values
from lt_sweeps.registry import part
from lt_sweeps.specs import Network, Part
from lt_sweeps.store.store import Store
from lt_sweeps.tickets.load import load_ticket
from lt_sweeps.training.masking import MaskedOptimizer
from lt_sweeps.units.beside import outputs
from lt_sweeps.units.unit import Units

VGG = Network(Part("vgg11", 1, {"width": 0.125}), (3, 16, 16), 10)
RESNET = Network(Part("resnet20", 1, {"width": 0.25}), (3, 8, 8), 10)
LENET = Network(Part("lenet_300_100", 1), (1, 8, 8), 10)


def pruned(network: Network, unit: Part, fraction: float, store: Store, **other: object) -> Mask:
    dense = Dense(network, outputs=unit.name == "channel")
    score = Score(Part("magnitude", 1), Ticket(network, Init(network, 0), dense))
    node = Prune(score, dense, fraction, unit=unit)
    return Values(store, Path(), torch.device("cpu"), {}).mask(replace(node, **other))  # type: ignore[arg-type]


@pytest.mark.parametrize("network", [VGG, RESNET, LENET], ids=lambda network: network.build.name)
@pytest.mark.parametrize("groups", ["global", "layerwise"])
def test_exactly_so_many_channels_are_kept_and_each_as_a_whole(network: Network, groups: str, tmp_path: Path) -> None:
    mask = pruned(network, Part("channel", 1), 0.5, Store(tmp_path), groups=groups)
    beside = outputs(build(network), {name: m for name, m in mask.items() if m.dim() > 1}, network.shape, ())
    assert beside.keys() == {name for name in mask if mask[name].dim() == 1}
    units = {name: ones.flatten(1).any(dim=1) for name, ones in mask.items() if name not in beside}
    for name, ones in mask.items():
        alive = units[beside.get(name, name)]
        assert torch.equal(ones, alive.view(-1, *[1] * (ones.dim() - 1)).expand(ones.shape)), name
    assert all(alive.any() for alive in units.values()), "no layer is emptied"
    assert "output.weight" not in mask, "its units are the network's outputs"
    total, left = sum(map(len, units.values())), sum(int(alive.sum()) for alive in units.values())
    assert left == total - round(0.5 * total)


def test_blocks_are_whole_and_counted(tmp_path: Path) -> None:
    mask = pruned(LENET, Part("block", 1, {"rows": 5, "columns": 4}), 0.75, Store(tmp_path))["fc2.weight"]
    blocks = mask.view(20, 5, 75, 4).permute(0, 2, 1, 3).flatten(2)
    assert bool((blocks.all(dim=2) == blocks.any(dim=2)).all())


@pytest.mark.parametrize(("n", "m", "fraction"), [(2, 4, 0.5), (1, 4, 0.9), (4, 8, 0.6)])
def test_no_run_keeps_more_than_n_of_m(n: int, m: int, fraction: float, tmp_path: Path) -> None:
    mask = pruned(LENET, Part("n_m", 1, {"n": n, "m": m}), fraction, Store(tmp_path))
    ones = mask["fc1.weight"]
    assert int(ones.view(300, -1, m).sum(dim=2).max()) == n
    whole = sum(weights.numel() for weights in mask.values())
    assert kept(mask) == whole - round(fraction * whole)


def test_a_pattern_is_never_broken(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the pattern allows 500"):
        pruned(LENET, Part("n_m", 1), 0.6, Store(tmp_path), groups="layerwise", factors={"output.weight": 0.5})


def test_the_best_of_each_run_are_kept() -> None:
    layer = {"w": torch.ones(1, 8).bool()}
    scores = {"w": torch.tensor([[1.0, 2.0, 3.0, 4.0, 9.0, 8.0, 7.0, 6.0]])}
    assert Units(Part("n_m", 1), layer, {}).scores(scores, layer)["w"].gt(-torch.inf).int().tolist() == [
        *[0, 0, 1, 1],
        *[1, 1, 0, 0],
    ]


def thinned(network: Network, store: Store) -> tuple[nn.Module, nn.Module]:
    """A network of which half of the channels are pruned, with statistics as after training; and the cut one."""
    mask = pruned(network, Part("channel", 1), 0.5, store)
    module, x = build(network), torch.randn(32, *network.shape)
    module.load_state_dict(initial(network, 0))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.bias)
    module.train()(x)
    module.load_state_dict(effective(module.state_dict(), mask, None))
    return module.eval(), cut(module, x).network


@pytest.mark.parametrize("network", [VGG, RESNET, LENET], ids=lambda network: network.build.name)
def test_a_network_without_its_dead_units_computes_the_same(network: Network, tmp_path: Path) -> None:
    module, small = thinned(network, Store(tmp_path))
    x = torch.randn(20, *network.shape)
    with torch.no_grad():
        wanted, got = module(x), small(x)
    assert float((wanted - got).abs().max() / wanted.abs().max()) <= TOLERANCE
    count = [sum(value.numel() for value in net.parameters()) for net in (small, module)]
    assert count[0] < (0.8 if network is RESNET else 0.5) * count[1]


def test_a_slim_network_trains_as_the_masked_one(tmp_path: Path) -> None:
    """Not only its outputs are equal: so is what gradients, momentum and weight decay make of it, on equal batches."""
    mask = pruned(VGG, Part("channel", 1), 0.5, Store(tmp_path))
    masked = build(VGG)
    masked.load_state_dict(effective(initial(VGG, 0), mask, None))
    small = cut(masked.eval(), torch.randn(32, *VGG.shape)).network.double()
    keeps, draw = MaskedOptimizer(mask, None), torch.Generator().manual_seed(0)
    both = [(masked.double(), keeps), (small, None)]
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3) for net, _ in both]
    keeps.attach(masked, optimizers[0])
    for _ in range(10):
        x = torch.randn(16, *VGG.shape, dtype=torch.float64, generator=draw)
        y = torch.randint(0, 10, (16,), generator=draw)
        for (net, keep), optimizer in zip(both, optimizers, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net.train()(x), y).backward()
            if keep is not None:
                keep.mask_gradients()
            optimizer.step()
            if keep is not None:
                keep.mask_weights()
    with torch.no_grad():
        torch.testing.assert_close(small.eval()(x), masked.eval()(x), rtol=1e-9, atol=1e-9)


def test_what_cannot_be_cut_is_named_with_why(tmp_path: Path) -> None:
    module, _ = thinned(RESNET, Store(tmp_path))
    left = cut(module, torch.randn(8, *RESNET.shape)).left
    assert "they share places with units of" in left["conv"]
    assert not any(name.endswith("conv1") for name in left), "inside a block nothing else writes to the units"


def test_units_that_are_dead_by_chance_stay() -> None:
    """Zero for all examples, but not for all values of the weights."""
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    network[0].weight.data[0], network[0].bias.data[0] = -1.0, -1.0
    assert network[:2](torch.rand(50, 2))[:, 0].eq(0).all()
    assert len(cut(network, torch.rand(50, 2)).network[0].weight) == 3


def test_a_slim_network_has_the_sizes_it_is_given(tmp_path: Path) -> None:
    _, small = thinned(VGG, Store(tmp_path))
    made = slim(VGG.shape, 10, "vgg11", sizes_of(small), {"width": 0.125})
    made.load_state_dict(small.state_dict())
    x = torch.randn(5, *VGG.shape)
    assert torch.equal(made.eval()(x), small(x))
    with pytest.raises(ValueError, match="vgg11 has no layer nothing"):
        slim(VGG.shape, 10, "vgg11", {"nothing": [1, 2]})
    with pytest.raises(ValueError, match="choose one of this project's networks"):
        slim(VGG.shape, 10, "os.system")


BIRD = (
    *("model=vgg11", "model.width=0.125", "dataset=digits", "recipe=lenet_digits", "prune.exclude=[output.weight]"),
    *("prune=one_shot", "prune.levels=1", "prune.rate=0.5", "prune.unit=channel", "criterion=batchnorm_scale"),
    *("find=early_bird_channels", "find.hook.every=5it", "survivors=keep", "recipe.slimming=1e-4"),
)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("prune.unit=rows",), "prune.unit=rows: choose one of weight, channel, block, n_m"),
        (("+prune.unit_args.n=2",), "of which unit"),
        (("prune.unit=channel", "allocation=erk"), "shares out weights"),
        (("prune.unit=channel", "control=random"), "moves weights out of their units"),
        (("prune.unit=n_m", "prune.rate=0.2"), "prune at least 0.5"),
        (("prune.unit=n_m", "prune.rate=0.5"), "times a factor of 0.5"),
        (("prune.unit=channel", "prune=learned", "gate=edge_popup", "prune.levels=1"), "keeps the weights that"),
        (("prune.cycles=3",), "is for prune=cyclic"),
        (("prune=cyclic",), "set rewind=learning_rate"),
        (("prune=cyclic", "rewind=learning_rate", "control=reinit"), "is a control itself"),
        (("prune=learned", "hook=gradual", "hook.until=100%", "prune.levels=1"), "before the training ends"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], answer: str) -> None:
    with pytest.raises(Mistake, match=re.escape(answer)):
        composed(*words)


def test_units_and_cycles_are_in_no_key_where_they_are_not_given() -> None:
    assert composed("prune.unit=weight").levels[1] == composed().levels[1]
    assert composed("prune.unit=channel").levels[1] != composed().levels[1]
    assert composed("recipe.slimming=0").levels[1] == composed().levels[1]


def test_cycles_go_on_from_one_another_under_one_mask() -> None:
    """As many trainings as IMP has, in its data orders; the mask is that of pruning at initialisation."""
    words = ("rewind=learning_rate", "prune.rate=0.5", "prune.levels=3")
    run, imp = composed("prune=cyclic", *words).levels[3], composed("prune=imp", *words).levels[3]
    at_init = composed("prune=at_init", "criterion=random", "allocation=global", "prune.rate=0.5", "prune.levels=3")
    levels, masks = [], set()
    while True:
        levels.append(run.level)
        masks.add(run.ticket.mask)
        if isinstance(run.ticket.weights, Init):
            break
        run = run.ticket.weights.run  # type: ignore[union-attr]
    assert levels == [3, 2, 1, 0]
    assert masks == {at_init.levels[3].ticket.mask}
    assert imp.level == 3
    assert composed("prune=cyclic", *words[:2], "prune.levels=1", "prune.cycles=5").levels[1].level == 4


def test_slim_tickets_train_as_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From an early-bird search by channels to the training of a smaller network, whose outputs begin as the masked."""
    words = [*BIRD[:2], "dataset=cifar10", "recipe=vgg16_cifar10", *BIRD[5:]]
    words += ["budget.train_examples=128", "budget.eval_examples=64", "recipe.batch_size=16", "recipe.steps=30it"]
    words += ["recipe.eval_every=15it", "recipe.schedule=null", "find.hook.args.tolerance=1", "find.hook.args.window=3"]
    words = [word.replace("find.hook.args", "+find.hook.args") for word in words]
    assert main([*words, f"paths.output_dir={tmp_path}", "sweep=birds", "trainer.processes=0"]) == 0
    table = (tmp_path / "birds" / "results.csv").read_text()
    assert "search_distances" in table
    assert ",early_bird," in table
    ticket, small = tmp_path / "ticket", tmp_path / "small"
    assert cli(["ticket", "export", str(tmp_path / "birds"), "level=1", "--to", str(ticket)]) == 0
    assert cli(["ticket", "slim", str(ticket), "--to", str(small), "--start", "10"]) == 0
    assert "multiply-accumulates" in capsys.readouterr().out
    x = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        wanted, got = load_ticket(ticket)(x), load_ticket(small)(x)
    assert float((wanted - got).abs().max() / wanted.abs().max()) <= TOLERANCE
    assert cli(["ticket", "verify", str(small)]) == 0
    assert cli(["ticket", "train", str(small), "--runs", str(tmp_path), "--accelerator", "cpu"]) == 0


def test_the_card_of_a_slim_ticket_is_of_that_ticket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = sweep(tmp_path, "prune.levels=1", "prune.unit=channel", "prune.rate=0.5")
    assert rows[-1]["status"] == "done"
    wide, small = tmp_path / "wide", tmp_path / "small"
    assert cli(["ticket", "export", str(tmp_path / "s"), "level=1", "--trained", "--to", str(wide)]) == 0
    assert cli(["ticket", "slim", str(wide), "--to", str(small)]) == 0
    assert cli(["ticket", "verify", str(small)]) == 0, "trained, its outputs are those of the wide network"
    assert "as promised" in capsys.readouterr().out
    told = json.loads((small / "card.json").read_text())
    assert told["weights"]["parameters"] == sum(p.numel() for p in load_ticket(small).parameters())
    assert told["weights"]["kept"] == sum(layer["kept"] for layer in told["layers"].values())
    assert cli(["ticket", "slim", str(wide), "--to", str(wide)]) == 2, "the ticket itself would be gone"
    assert "holds another ticket" in capsys.readouterr().err
    assert cli(["ticket", "verify", str(wide)]) == 0


def test_a_unit_of_one_s_own_is_pruned_whole(tmp_path: Path) -> None:
    """Columns: all that reads one input."""
    assert composed("prune.unit=broken.good_unit").levels[1] != composed().levels[1]
    mask = pruned(LENET, part("unit", "broken.good_unit", {}), 0.5, Store(tmp_path), groups="layerwise")["fc1.weight"]
    assert torch.equal(mask.any(dim=0), mask.all(dim=0))
    assert 0 < int(mask.any(dim=0).sum()) < 64


def test_a_score_that_is_not_a_number_is_refused_for_units_too() -> None:
    """The best unit of each layer is kept whatever the others: a NaN would come first among them."""
    whole = {"w": torch.ones(3, 2, dtype=torch.bool)}
    scores = {"w": torch.tensor([[1.0, 2.0], [torch.nan, 1.0], [3.0, 4.0]])}
    with pytest.raises(ValueError, match="not a number"):
        Units(Part("channel", 1), whole, {}).scores(scores, whole)
