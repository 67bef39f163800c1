"""Deployed forms compute what the network computes, run without this project, and are measured honestly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_sweep import sweep
from torch import Tensor, nn

import lt_sweeps as lt
from lt_sweeps.cli import main as cli
from lt_sweeps.deploy import command, compact, csr, measure, onnx, plain
from lt_sweeps.deploy.form import Form
from lt_sweeps.errors import Mistake
from lt_sweeps.networks.build import build
from lt_sweeps.specs import Network, Part
from lt_sweeps.store.tensors import encode
from lt_sweeps.ticket_files import card as cards
from lt_sweeps.training.sparse.chain import Unfit

LENET = ("lenet_300_100", {}, (1, 8, 8))
NORMALISED = ("lenet_300_100", {"batchnorm": True}, (1, 8, 8))
CONV = ("conv2", {"width": 0.25}, (3, 8, 8))
POOLED_FIRST = ("conv2", {"width": 0.25, "batchnorm": True}, (3, 8, 8))
VGG = ("vgg11", {"width": 0.125}, (3, 16, 16))
PLAIN = (LENET, NORMALISED, CONV, POOLED_FIRST, VGG)
RESNET = ("resnet20", {"width": 0.25}, (3, 8, 8))
Described = tuple[str, dict[str, object], tuple[int, ...]]
# Only where ONNX is not installed, and need not be, it is not tried.
KINDS = ("csr", "compact", "onnx")[: 3 if onnx.is_here() or os.environ.get("LT_SWEEPS_REQUIRE_ENGINES") else 2]


def sparse(described: Described, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """A network of which a third of the units has no weights, a third is not read, and most weights are zero."""
    name, args, shape = described
    torch.manual_seed(seed)
    network, x = build(Network(Part(name, 1, args), shape, 10)), torch.randn(40, *shape)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    network(x)  # running statistics
    layers = plain.weighted(network)
    for layer in layers:
        if layer.bias is not None:
            nn.init.normal_(layer.bias)
        layer.weight.data *= torch.rand(layer.weight.shape) < 0.3
        if layer is not layers[-1]:
            layer.weight.data[torch.rand(len(layer.weight)) < 0.3] = 0
        if layer is not layers[0]:
            layer.weight.data[:, torch.rand(layer.weight.shape[1]) < 0.3] = 0
    return network.eval(), x


def apart(form: Callable[[Tensor], Tensor], network: nn.Module, x: Tensor) -> float:
    """The largest difference of logits, in parts of the largest."""
    with torch.no_grad():
        wanted = network(x)
        return float((form(x) - wanted).abs().max() / wanted.abs().max())


# ------------------------------------------------------------------------------------------ dead units


@pytest.mark.parametrize("described", PLAIN, ids=lambda d: f"{d[0]} {d[1]}")
@pytest.mark.parametrize("seed", [0, 1])
def test_removal_of_dead_units_is_exact(described: Described, seed: int) -> None:
    network, x = sparse(described, seed)
    network, x = network.double(), x.double()
    small = compact.compact(plain.plain(network), x)
    assert apart(small, network, x) < 1e-12, "in double precision"
    before, after = ([len(layer.weight) for layer in plain.weighted(net)] for net in (network, small))
    assert after[-1] == before[-1]
    assert sum(after) < 0.75 * sum(before)


def test_no_dead_unit_is_left_in_a_chain() -> None:
    """Removing one makes others dead: units that only dead units read, units that only constants feed."""
    network, x = sparse(LENET)
    layers = plain.weighted(network)
    layers[1].weight.data[:50] = 0
    layers[2].weight.data[:, 50:90] = 0
    small = plain.weighted(compact.compact(plain.plain(network), x))
    assert all(layer.weight.any(dim=1).all() for layer in small[:-1]), "each unit has incoming weights"
    assert all(layer.weight.any(dim=0).all() for layer in small[1:]), "each unit is read"
    assert len(small[1].weight) < 10, "of 100"


@pytest.mark.parametrize(("padding", "left"), [(1, 2), (0, 1)])
def test_padding_keeps_a_channel_whose_constant_is_not_zero(padding: int, left: int) -> None:
    """Channel 1 is always 2, channel 2 always relu(-1) = 0; a convolution that pads sees zeros beyond the border."""
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(3, 2, 3, padding=padding, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    first = network[0]
    first.weight.data[1:], first.bias.data[1:] = 0, torch.tensor([2.0, -1.0])
    x = torch.randn(5, 1, 6, 6)
    small = compact.compact(plain.plain(network), x)
    assert len(plain.weighted(small)[0].weight) == left
    assert apart(small, network, x) < 1e-6


def test_an_emptied_layer_keeps_one_unit() -> None:
    network, x = sparse(LENET)
    plain.weighted(network)[1].weight.data.zero_()
    small = compact.compact(plain.plain(network), x)
    assert [len(layer.weight) for layer in plain.weighted(small)] == [1, 1, 10]
    assert apart(small, network, x) < 1e-6
    assert apart(csr.forms(plain.plain(network), x)[-1].run, network, x) < 1e-6


# ------------------------------------------------------------------------------------------ sparse rows


def by_c(*layers: nn.Linear) -> csr.CompiledCsr:
    """Layers by csr.c: there is a compiler wherever tests run."""
    library = csr.compiled(csr.SOURCE, "float")
    assert library is not None
    return csr.CompiledCsr(library.functions, *map(csr.sparse_rows, layers))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17, 31, 32, 33, 70])
def test_the_kernel_multiplies_any_number_of_examples(count: int) -> None:
    network = nn.Sequential(nn.Linear(33, 45), nn.ReLU(), nn.Linear(45, 19, bias=False), nn.ReLU(), nn.Linear(19, 17))
    for layer in plain.weighted(network):
        layer.weight.data *= torch.rand(layer.weight.shape) < 0.3
        layer.weight.data[3] = 0
    compiled = by_c(*plain.weighted(network))
    assert apart(compiled, network, torch.randn(count, 33)) < 1e-6
    assert apart(compiled, network, torch.randn(3, count, 33)) < 1e-6
    assert compiled(torch.randn(0, 33)).shape == (0, 17)


def test_the_kernel_lets_no_address_be_wrong() -> None:
    layer = by_c(nn.Linear(4, 3))
    with pytest.raises(ValueError, match="8 values, and the layer 4 inputs"):
        layer(torch.zeros(2, 8))
    columns, row_at, column, value, bias = layer.held[0]
    with pytest.raises(RuntimeError):
        csr.CompiledCsr(None, (columns, row_at, column + 1, value, bias))


def test_relu_hides_nothing() -> None:
    assert by_c(nn.Linear(4, 3), nn.Linear(3, 2))(torch.full((1, 4), torch.nan)).isnan().all()


def test_only_weights_that_are_not_zero_are_held() -> None:
    network, x = sparse(LENET)
    kept = sum(int(layer.weight.count_nonzero()) for layer in plain.weighted(network))
    for form in csr.forms(plain.plain(network), x):
        assert form.size == 8 * kept + 4 * (301 + 101 + 11) + 4 * 410
        assert len(form.files()["deploy.safetensors"]) < form.size + 2000


# ------------------------------------------------------------------------------------------ which networks


@pytest.mark.parametrize("described", PLAIN, ids=lambda d: f"{d[0]} {d[1]}")
@pytest.mark.parametrize("kind", KINDS)
def test_each_form_of_a_plain_network_computes_its_logits(described: Described, kind: str) -> None:
    network, x = sparse(described)
    for form in command.FORMS[kind](plain.plain(network), x):
        with torch.no_grad():
            assert apart(form.run, network, x) < command.TOLERANCE, form.name


def test_other_networks_have_sparse_rows_or_fewer_units(tmp_path: Path) -> None:
    network, x = sparse(RESNET)
    (small,) = compact.forms(network, x)
    assert apart(small.run, network, x) < command.TOLERANCE
    (tmp_path / "deploy.pt2").write_bytes(small.files()["deploy.pt2"])
    assert apart(torch.export.load(tmp_path / "deploy.pt2").module(), network, x) < command.TOLERANCE
    with pytest.raises(Unfit, match="do not simply follow one another"):
        plain.plain(network)
    for form in csr.forms(network, x):
        with torch.no_grad():
            assert apart(form.run, network, x) < command.TOLERANCE


@pytest.mark.parametrize(
    ("layer", "name"),
    [(nn.Tanh(), "Tanh"), (nn.Conv2d(3, 3, 1, groups=3), "Conv2d"), (nn.MaxPool2d(2, padding=1), "MaxPool2d")],
)
def test_what_is_not_known_is_named(layer: nn.Module, name: str) -> None:
    with pytest.raises(Unfit, match=rf"\({name}\)$"):
        plain.plain(nn.Sequential(layer, nn.Flatten(), nn.Linear(4, 2)))
    with pytest.raises(Unfit, match="no linear layers"):
        csr.forms(nn.Sequential(nn.Conv2d(1, 1, 1)), torch.zeros(1, 1, 1, 1))


class Reading(nn.Module):
    """A network that reads the weights of its layer itself."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.fc.weight.t()


# ------------------------------------------------------------------------------------------ measuring


class Clock:
    """A clock that only forms move."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def form(self, name: str, ms: float) -> Form:
        """A form that takes this long."""

        def run(x: Tensor) -> Tensor:
            self.now += ms / 1000
            return x

        return Form(name, run, 0, dict)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(measure, "time", clock := Clock())
    return clock


def test_forms_take_turns_by_so_many_threads() -> None:
    turns, before = list[str](), torch.get_num_threads()
    with measure.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    forms = [Form(name, lambda x, name=name: turns.append(name), 0, dict) for name in "abc"]
    taken = measure.times(forms, torch.zeros(1), rounds=3)
    assert [len(ms) for ms in taken.values()] == [3, 3, 3]
    order = [name for name, before in zip(turns, [None, *turns], strict=False) if name != before]
    assert "".join(order).endswith("abcbcacab"), "nobody is always first"


def test_a_call_that_is_interrupted_does_not_count(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "TURN", 10)
    calls = iter([1, 1, 1, *[1, 1, 50, 1, 1, 1, 1, 1, 1, 1] * 3])

    def run(x: Tensor) -> Tensor:
        clock.now += next(calls) / 1000
        return x

    taken = measure.times([Form("form", run, 0, dict)], torch.zeros(1), rounds=3)
    assert taken["form"] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (9, "SLOWER than the best dense form (dense): it takes 3.00 x its time"),
        (1, "3.00 x faster than the best dense form (dense)"),
        (3.1, "about as fast as the best dense form (dense): 1.03 x its time"),
    ],
)
def test_it_is_said_which_is_slower(ms: float, words: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    rivals = [clock.form("dense", 3), clock.form("worse dense", 20)]
    monkeypatch.setattr(measure, "dense", lambda network, x: (rivals, []))
    lines: list[str] = []
    forms = [clock.form("form", ms), clock.form("worse form", 30)]
    fastest, verdicts = command._measured(nn.Linear(1, 1), forms, torch.zeros(1, 1), [2], lines.append)
    assert fastest is forms[0]
    assert verdicts == [f"batch 2: form is {words}"]
    rows = {line[:22].strip(): line[22:].split() for line in lines}
    assert rows["form"][:4] == ["2", f"{ms:.4f}", f"{ms / 3:.3f}", "x"]
    assert rows["dense"][2] == "1.000"


def test_the_break_even_density_is_where_the_times_meet(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A form that takes 40 times its density in milliseconds beside a dense one of 5 ms breaks even at an eighth."""
    monkeypatch.setattr(measure, "dense", lambda network, x: ([clock.form("dense", 5)], []))

    def make(network: nn.Sequential, x: Tensor) -> Form:
        (layer,) = plain.weighted(network)
        return clock.form("form", 40 * int(layer.weight.count_nonzero()) / (100 * 400))

    for units in (True, False):
        density = measure.break_even(nn.Linear(400, 100), torch.zeros(1, 400), make, units=units)
        assert density == pytest.approx(0.125, abs=0.001)


# ------------------------------------------------------------------------------------------ as a command


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sweep of LeNet on digits."""
    folder = tmp_path_factory.mktemp("runs")
    sweep(folder, "prune.levels=2", "prune.rate=0.7")
    return folder / "s"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer turns: what is measured is not what is tested here."""
    monkeypatch.setattr(measure, "TURN", 0.1)
    monkeypatch.setattr(measure, "ROUNDS", 3)


def export(runs: Path, to: Path, *words: str) -> int:
    return cli(["ticket", "export", str(runs), "level=2", "seed=0", "control=none", "--to", str(to), *words])


OUTSIDE = """
import os, sys, warnings
sys.modules["lt_sweeps"] = None  # whoever imports it fails
warnings.simplefilter("ignore")
import torch, safetensors.torch as st
for folder in sys.argv[1:]:
    os.chdir(folder)
    inside = {}
    exec(open("README.md").read().split("```python\\n")[1].split("```")[0], inside)
    x = st.load_file("../examples")["x"]
    logits = inside["network"](x.numpy() if "onnxruntime" in inside else x)
    st.save_file({"logits": torch.as_tensor(logits).detach().contiguous()}, "logits")
"""


def test_deployed_tickets_run_without_this_project(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = csr.forms
    capsys.readouterr()
    for name in (*KINDS, "torch"):
        # Which rows are chosen must not depend on how busy the machine is.
        monkeypatch.setitem(command.FORMS, "csr", lambda net, x, at=name: [real(net, x)[0 if at == "torch" else -1]])
        assert export(runs, tmp_path / name, "--for", "csr" if name == "torch" else name, "--batch", "2,3") == 0
        out = capsys.readouterr().out
        for form in ("torch dense", "torch dense, oneDNN", "ONNX Runtime dense")[: len(KINDS)]:
            assert out.count(f"\n{form:22} ") == 2, "at two batches"
        assert out.count("\nbatch 2: ") == out.count("\nbatch 3: ") == 1
        assert out.count("break-even density of the largest layer") == 1
        assert (tmp_path / name / "csr.c").exists() == (name == "csr")
        assert cli(["ticket", "verify", str(tmp_path / name)]) == 0, "beside the ordinary ticket, which is trained"
        assert "as promised" in capsys.readouterr().out
    network, x = lt.load_ticket(tmp_path / "csr"), torch.rand(5, 1, 8, 8)
    save_file({"x": x}, tmp_path / "examples")
    folders = [str(tmp_path / name) for name in (*KINDS, "torch")]
    subprocess.run([sys.executable, "-c", OUTSIDE, *folders], check=True)
    for folder in folders:
        logits = load_file(Path(folder) / "logits")["logits"]
        assert apart(lambda _, logits=logits: logits, network, x) < command.TOLERANCE


def test_another_form_takes_the_place_of_the_first(runs: Path, tmp_path: Path) -> None:
    assert export(runs, tmp_path, "--trained") == 0
    ticket = {path.name for path in tmp_path.iterdir()}
    (tmp_path / "csr.c").write_text("of an earlier export")
    assert export(runs, tmp_path, "--for", "compact", "--batch", "32") == 0
    assert {path.name for path in tmp_path.iterdir()} == ticket | {"deploy.safetensors", "README.md"}
    assert (tmp_path / "README.md").read_text().startswith("# A ticket, deployed as compact\n")


def test_a_form_of_other_weights_goes_with_them(runs: Path, tmp_path: Path) -> None:
    assert export(runs, tmp_path, "--for", "compact", "--batch", "32") == 0
    assert export(runs, tmp_path, "--trained") == 0
    assert (tmp_path / "deploy.safetensors").exists(), "of the same weights"
    card = cards.read(tmp_path)
    values, name = load_file(tmp_path / cards.WEIGHTS), "fc1.weight"
    again = encode(values | {name: 2 * values[name]})  # as if it was trained again
    fields = {n: v for n, v in card.fields.items() if n not in ("format", "files", "checksum")}
    cards.write(tmp_path, fields, again, card.mask, as_seed=False)
    assert {path.name for path in tmp_path.iterdir()} == {cards.CARD, cards.WEIGHTS, cards.MASK}


def test_a_form_whose_logits_differ_is_not_written(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forms(network: nn.Module, x: Tensor) -> list[Form]:
        return [Form("wrong", lambda x: network(x) * (1 + 3e-5), 0, dict)]

    monkeypatch.setitem(command.FORMS, "csr", forms)
    with pytest.raises(Mistake, match=r"wrong: its logits differ by 3.0e-05 .* nothing is written"):
        command.prepare(sparse(LENET)[0], torch.rand(9, 1, 8, 8), "csr", [1], 1, print)
    assert export(runs, tmp_path / "t", "--for", "csr") == 2
    assert not (tmp_path / "t").exists()


def test_a_network_of_tokens_has_sparse_rows() -> None:
    network = build(Network(Part("transformer", 1, {"layers": 1, "dim": 8, "heads": 2}), (6,), 5)).eval()
    with torch.no_grad():
        network.get_submodule("output").weight *= torch.rand(5, 8) < 0.5
    tokens = torch.randint(0, 5, (9, 6))
    form = command.prepare(network, tokens, "csr", [1], 1, print)
    with torch.no_grad():
        assert apart(form.run, network, tokens) < command.TOLERANCE
    with pytest.raises(Mistake, match=r"\Aticket export --for compact: not for this network: .+\Z"):
        command.prepare(network, tokens, "compact", [1], 1, print)


class OnlySingle(nn.Module):
    """Computes in single precision alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.float().mean(dim=(1, 2)))


def test_what_cannot_be_deployed_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = sparse(RESNET)
    with pytest.raises(Mistake, match=r"^ticket export --for onnx: not for this network: its operations"):
        command.prepare(network, x, "onnx", [1], 1, print)
    with pytest.raises(Mistake, match=r"\Aticket export --for csr: not for this network: .+\Z"):
        command.prepare(Reading(), x[:, :1], "csr", [1], 1, print)
    with pytest.raises(Mistake, match=r"\Aticket export --for csr: not for this network: .+\Z"):
        command.prepare(OnlySingle(), x, "csr", [1], 1, print)
    monkeypatch.setattr(onnx, "is_here", lambda: False)
    with pytest.raises(Mistake, match=r"pip install 'lt_sweeps\[onnx\]'"):
        command.prepare(sparse(LENET)[0], x[:, :1], "onnx", [1], 1, print)
    lines: list[str] = []
    command.prepare(sparse(LENET)[0], x[:, :1], "compact", [1], 1, lines.append)
    assert any("not measured, onnx and onnxruntime are not installed" in line for line in lines)


@pytest.mark.parametrize("words", [("--batch", "0"), ("--batch", "1,x"), ("--threads", "-1"), ("--for", "gguf")])
def test_mistakes_on_the_command_line_are_one_line(
    words: tuple[str, ...], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(runs, tmp_path / "t", *words) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "t").exists()
