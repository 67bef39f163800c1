"""The plan shows what is pruned of each network, and a pattern that names nothing is told before anything trains."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lt_sweeps as lt
from lt_sweeps import registry
from lt_sweeps.cli import main as lt_sweeps
from lt_sweeps.config.methods import PruneConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.forecast.layers import tables
from lt_sweeps.main import main
from lt_sweeps.specs import Network, Part
from lt_sweeps.ticket_files.card import BadTicket

pytestmark = pytest.mark.sweeps

LENET = """\
lenet_300_100, 1x8x8, 10 classes: 50,610 parameters, 50,200 prunable, 0 excluded, 410 others
  weights of     shape    number  pruned per level (layerwise)
  fc1.weight     300x64   19,200  20 %
  fc2.weight     100x300  30,000  20 %
  output.weight  10x100    1,000  10 %"""
RESNET = """\
resnet20, 3x32x32, 10 classes: 272,474 parameters, 267,696 prunable, 3,200 excluded, 1,578 others
  weights of                                       shape            number  pruned per level (global)
  conv.weight                                      16x3x3x3            432  20 %
  blocks.0.conv1.weight ... blocks.2.conv2.weight  6 of 16x16x3x3   13,824  20 %
  blocks.3.conv1.weight                            32x16x3x3         4,608  20 %
  blocks.3.conv2.weight                            32x32x3x3         9,216  20 %
  blocks.3.shortcut.0.weight                       32x16x1x1           512  never (prune.exclude)
  blocks.4.conv1.weight ... blocks.5.conv2.weight  4 of 32x32x3x3   36,864  20 %
  blocks.6.conv1.weight                            64x32x3x3        18,432  20 %
  blocks.6.conv2.weight                            64x64x3x3        36,864  20 %
  blocks.6.shortcut.0.weight                       64x32x1x1         2,048  never (prune.exclude)
  blocks.7.conv1.weight ... blocks.8.conv2.weight  4 of 64x64x3x3  147,456  20 %
  output.weight                                    10x64               640  never (prune.exclude)"""


def network(name: str, shape: tuple[int, ...] = (3, 32, 32), **args: object) -> Network:
    return Network(registry.part("network", name, args), shape, 10)


def prune(rate: float = 0.2, groups: str = "global", **given: object) -> PruneConfig:
    return PruneConfig("imp", rate, 1, groups, **given)  # type: ignore[arg-type]


class Attention(nn.Module):
    """Matrices of its own, layers, one weight that two layers share, and a look at its own weights."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2)
        self.tied, self.again = nn.Linear(4, 4), nn.Linear(4, 4)
        self.again.weight = self.tied.weight
        self.output = nn.Linear(4, classes)
        self.scale = float(self.output.weight.abs().max())  # which the meta device cannot tell

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.again(self.tied(self.attention(x, x, x)[0])))


def test_a_table_says_what_a_level_prunes_of_each_layer() -> None:
    lenet = prune(groups="layerwise", factors={"output.weight": 0.5})
    resnet = prune(exclude=["*.shortcut.*", "output.weight"])
    assert tables([(network("lenet_300_100", (1, 8, 8)), lenet), (network("resnet20"), resnet)]) == [LENET, RESNET]


def test_cells_that_differ_in_the_rate_share_a_table_and_others_have_their_own() -> None:
    net = network("lenet_300_100", (1, 8, 8))
    factors = {"fc1.weight": 0.75, "output.weight": 0.0}
    asked = [(net, prune(rate, factors=factors)) for rate in (0.2, 0.5, 0.2)]
    (table,) = tables(asked)
    assert re.findall(r"\S+ {2}(?=\S+ %|never)(.*)", table) == [
        "15 % or 37.5 %",
        "20 % or 50 %",
        "never (prune.factors)",
    ]
    assert len(tables([*asked, (net, prune()), (network("mlp"), prune()), (net, prune(groups="layerwise"))])) == 4


def test_a_hundred_and_ten_layers_are_a_dozen_lines() -> None:
    (table,) = tables([(network("resnet110"), prune())])
    lines = table.splitlines()[2:]
    assert len(lines) == 11
    numbers = [re.split(r" {2,}", line.strip()) for line in lines]
    assert sum(int(number.replace(",", "")) for *_, number, _ in numbers) == 1_722_416
    assert sum(int(shape.partition(" of ")[0]) if " of " in shape else 1 for _, shape, *_ in numbers) == 110 + 2


def test_what_no_layer_holds_alone_is_never_pruned_and_is_shown() -> None:
    small = Network(Part("test_layers.Attention"), (4,), 3)
    (table,) = tables([(small, prune())])
    rows = [re.split(r" {2,}", line.strip()) for line in table.splitlines()[2:]]
    assert [(name, told) for name, *_, told in rows] == [
        ("attention.in_proj_weight", "20 %"),
        ("attention.out_proj.weight", "20 %"),
        ("tied.weight", "never (shared with again.weight)"),
        ("output.weight", "20 %"),
    ]
    assert "76 prunable, 0 excluded, 43 others" in table


class Rest(nn.Module):
    """Layers that stay whole, each for a reason of its own."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(4, 6), nn.LayerNorm((6, 6), bias=False)
        self.normal = nn.utils.parametrizations.weight_norm(nn.Linear(6, 6))
        self.output = nn.Linear(6, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.normal(self.words(x.long()).mean(1)))


def test_a_table_says_why_something_stays_whole() -> None:
    (table,) = tables([(Network(Part("test_layers.Rest"), (4,), 3), prune())])
    told = {line.split()[0]: line.rpartition("  ")[2] for line in table.splitlines()[2:]}
    assert told == {
        "words.weight": "never (Embedding)",
        "norm.weight": "never (LayerNorm)",
        "normal.parametrizations.weight.original0": "never (made of others by a parametrization)",
        "normal.parametrizations.weight.original1": "never (made of others by a parametrization)",
        "output.weight": "20 %",
    }


def test_a_large_network_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    seen = "lt_sweeps.forecast.layers.prunable"
    monkeypatch.setattr(seen, lambda module, _: built.append(module) or {"w": module.fc.weight})
    tables([(network("resnet50", (3, 224, 224)), prune())])
    assert {p.device.type for p in built[0].parameters()} == {"meta"}


def test_the_global_generator_stays_as_it_was() -> None:
    before = torch.get_rng_state()
    tables([(Network(Part("test_layers.Attention"), (4,), 3), prune())])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("net", "pruned", "told"),
    [
        (network("conv2"), prune(exclude=["fc3.weight"]), r"prune.exclude='fc3.weight' matches none of conv1.weight.*"
         r"did you mean 'fc2.weight'\? \(network conv2\)"),
        (network("conv2"), prune(factors={"convs*": 0.5}), r"prune.factors='convs\*' matches none of conv1.weight"),
        (network("conv2"), prune(exclude=["fc1*"], factors={"fc1*": 0.5}), r"prune.factors='fc1\*' matches none of"),
        (network("conv2"), prune(exclude=["*"]), "prune.exclude leaves no prunable weight"),
        (network("resnet110"), prune(exclude=["x"]), "conv.weight, .*, blocks.2.conv1.weight and 106 more"),
        (network("resnet20", shortcut="x"), prune(), r"network resnet20\(shortcut=x\): .* one of conv, identity"),
        (Network(Part("small.Net", args={"width": 2}), (1, 8, 8), 3), prune(), r"small.Net\(width=2\): .*'width'"),
        (Network(Part("torch.nn.Linear"), (4,), 3), prune(), r"network torch.nn.Linear: TypeError: "),
    ],
)  # fmt: skip
def test_what_names_nothing_or_cannot_be_built_is_a_mistake_of_one_line(
    net: Network, pruned: PruneConfig, told: str
) -> None:
    with pytest.raises(Mistake, match=told) as raised:
        tables([(net, pruned)])
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_the_plan_names_the_levels_that_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prune=one_shot", "allocation=uniform", "prune.levels=4", "prune.rate=0.5", "prune.shown=[2,4]"]
    assert lt_sweeps(["plan", *words, f"paths.output_dir={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "kept at level 2 ... 4 (allocation=uniform)" in out
    assert "25 % ... 6.25 %" in out


def test_the_plan_prints_the_table_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lt_sweeps(["plan", "prune.rate=0.2,0.5", "seed=0,1", f"paths.output_dir={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert out.count("50,200 prunable") == 1
    assert "output.weight  10x100    1,000  10 % or 25 %" in out
    assert not list(tmp_path.rglob("results.csv"))


@pytest.mark.parametrize(
    "words",
    [
        ("prune=at_init", "criterion=random", "allocation=erk"),
        ("prune=imp", "allocation=uniform_plus"),
        ("prune=learned", "gate=edge_popup"),
        ("prune=learned", "gate=edge_popup", "gate.args.ranking=global", "prune.levels=1"),
        ("prune=learned", "gate=bernoulli", "prune.levels=1"),
    ],
)
def test_the_plan_says_what_is_kept_in_the_end_or_that_nobody_knows(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = [*words, "budget=smoke", "prune.rate=0.5", "sweep=s", "trainer.processes=0", f"paths.output_dir={tmp_path}"]
    assert lt_sweeps(["plan", *here]) == 0
    lines = [re.split(r" {2,}", line.strip()) for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    ((*_, head), *table) = lines
    assert main(["-m", *here]) == 0
    rows = list(csv.DictReader((tmp_path / "s" / "layers.csv").read_text().splitlines()))
    sparsest = max(row["level"] for row in rows)
    ended = {row["layer"]: float(row["density"]) for row in rows if row["level"] == sparsest}
    foretold = {name: told for name, *_, told in table}
    assert foretold.keys() == ended.keys()
    if words[-1] == "prune.levels=1":
        assert set(foretold.values()) == {"known only afterwards"}
        assert ("50 % of all layers together" in head) is ("gate.args.ranking=global" in words)
    else:
        last = {name: float(told.split(" ... ")[-1].removesuffix(" %")) for name, told in foretold.items()}
        assert last == pytest.approx({name: 100 * density for name, density in ended.items()}, abs=0.01)


@pytest.mark.parametrize("verb", ["plan", "run"])
@pytest.mark.parametrize("given", ["prune.exclude=[fc9.weight]", "++prune.factors={fc9.weight:0.5}"])
def test_a_pattern_that_names_nothing_is_told_before_the_first_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str, given: str
) -> None:
    assert lt_sweeps([verb, given, "budget=smoke", f"paths.output_dir={tmp_path}"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert re.fullmatch(r"lt_sweeps: prune\.\w+='fc9.*' matches none of fc1.weight, .*\n", told.err)
    assert not list(tmp_path.rglob("*.json"))


# ------------------------------------------------------------------------------- anybody's networks


def test_a_timm_network_nobody_prepared_for_is_pruned_trained_and_handed_on(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """EdgeNeXt: depthwise convolutions, cross-covariance attention, layer normalisation and layer scales."""
    words = ["model=custom", "model._target_=timm.create_model", "+model.args.model_name=edgenext_xx_small"]
    words += ["dataset=cifar10", "recipe=resnet20_cifar10", "budget=smoke", "prune.levels=1"]
    assert main([*words, f"paths.output_dir={tmp_path}", f"paths.data_dir={data_dir}"]) == 0
    (results,) = tmp_path.glob("edgenext_xx_small-smoke-*/results.csv")
    dense, ticket = csv.DictReader(results.read_text().splitlines())
    assert (dense["model"], ticket["status"]) == ("edgenext_xx_small", "done")
    with torch.device("meta"):
        import timm

        module = timm.create_model("edgenext_xx_small", num_classes=10)
    layers = [m.weight.numel() for m in module.modules() if type(m) in (nn.Linear, nn.Conv2d)]
    assert float(ticket["density"]) == pytest.approx(
        1 - round(0.2 * sum(layers)) / sum(layers), abs=1e-8
    )  # one weight is 9e-7
    capsys.readouterr()
    assert lt_sweeps(["plan", *words, f"paths.output_dir={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert f"{sum(layers):,} prunable" in out
    assert re.search(r"xca\.temperature .*never", out)
    assert "2 in the store, 0 to train" in out

    run = lt.open(results.parent).ticket(level=1)
    for trained in (False, True):
        folder = run.export(tmp_path / f"trained={trained}", trained=trained)
        with pytest.raises(BadTicket, match=r"is of timm\.create_model, which is code, not data"):
            lt.load_ticket(folder)
        loaded, state = lt.load_ticket(folder, trust=True).state_dict(), run.state() if trained else run.state(0)
        assert loaded.keys() == state.keys() == module.state_dict().keys()
        assert all(torch.equal(loaded[name], value) for name, value in state.items())
        assert all(not bool(loaded[name][~ones].any()) for name, ones in run.mask.items())
    verify = ["ticket", "verify", str(tmp_path / "trained=False"), str(folder), "--data", str(data_dir)]
    capsys.readouterr()
    assert lt_sweeps(verify) == 1
    assert capsys.readouterr().out.count("which is code, not data") == 2
    assert lt_sweeps([*verify, "--trust"]) == 0
    size = sum(p.numel() for p in module.parameters())
    told = capsys.readouterr().out
    assert told.count(f"files hold; {size:,} parameters fit the network") == 2
    assert f"test accuracy {float(ticket['test_accuracy']):.2f} %, as promised" in told
