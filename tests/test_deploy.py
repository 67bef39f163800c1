"""Deployed forms compute what the network computes, run without this project, and are measured honestly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
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
from lt_sweeps.training.sparse.chain import Unfit

LENET = ("lenet_300_100", {}, (1, 8, 8))
NORMALISED = ("lenet_300_100", {"batchnorm": True}, (1, 8, 8))
CONV = ("conv2", {"width": 0.25}, (3, 8, 8))
POOLED_FIRST = ("conv2", {"width": 0.25, "batchnorm": True}, (3, 8, 8))
VGG = ("vgg11", {"width": 0.125}, (3, 16, 16))
PLAIN = (LENET, NORMALISED, CONV, POOLED_FIRST, VGG)
RESNET = ("resnet20", {"width": 0.25}, (3, 8, 8))
Described = tuple[str, dict[str, object], tuple[int, ...]]
KINDS = ("csr", "compact", "onnx")


def needs(kind: str) -> None:
    """Skips a test of ONNX where it is not installed, unless everything must be here."""
    missing = [name for name in ("onnx", "onnxruntime") if kind == "onnx" and find_spec(name) is None]
    if missing and not os.environ.get("LT_SWEEPS_REQUIRE_ENGINES"):
        pytest.skip(f"needs {missing[0]}")
    assert not missing


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
    for layer in small[:-1]:
        assert layer.weight.any(dim=1).all(), "each unit has incoming weights"
    for layer in small[1:]:
        assert layer.weight.any(dim=0).all(), "each unit is read"
    assert len(small[1].weight) < 10, "of 100"


@pytest.mark.parametrize(("padding", "left"), [(1, 2), (0, 1)])
def test_padding_keeps_a_channel_whose_constant_is_not_zero(padding: int, left: int) -> None:
    """Channel 1 is always 2, channel 2 always relu(-1) = 0; a convolution that pads sees zeros beyond the border."""
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(3, 2, 3, padding=padding),
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


@pytest.fixture(scope="module")
def functions() -> object:
    """csr.c, compiled: there is a compiler wherever tests run."""
    library = csr.compiled(csr.SOURCE, "float")
    assert library is not None
    return library.functions


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17, 31, 32, 33, 70])
def test_the_kernel_multiplies_any_number_of_examples(count: int, functions: object) -> None:
    network = nn.Sequential(nn.Linear(33, 45), nn.ReLU(), nn.Linear(45, 19, bias=False), nn.ReLU(), nn.Linear(19, 17))
    for layer in plain.weighted(network):
        layer.weight.data *= torch.rand(layer.weight.shape) < 0.3
        layer.weight.data[3] = 0
    compiled = csr.CompiledCsr(functions, *map(csr.sparse_rows, plain.weighted(network)))
    assert apart(compiled, network, torch.randn(count, 33)) < 1e-6
    assert apart(compiled, network, torch.randn(3, count, 33)) < 1e-6
    assert compiled(torch.randn(0, 33)).shape == (0, 17)


def test_the_kernel_lets_no_address_be_wrong(functions: object) -> None:
    columns, row_at, column, value, bias = csr.sparse_rows(nn.Linear(4, 3))
    layer = csr.CompiledCsr(functions, (columns, row_at, column, value, bias))
    with pytest.raises(ValueError, match="8 values, and the layer 4 inputs"):
        layer(torch.zeros(2, 8))
    with pytest.raises(RuntimeError):
        csr.CompiledCsr(functions, (columns, row_at, column + 1, value, bias))
    assert layer(torch.full((1, 4), torch.nan)).isnan().all()
    both = csr.CompiledCsr(functions, csr.sparse_rows(nn.Linear(4, 3)), csr.sparse_rows(nn.Linear(3, 2)))
    assert both(torch.full((1, 4), torch.nan)).isnan().all(), "ReLU hides nothing"


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
    needs(kind)
    network, x = sparse(described)
    for form in command.FORMS[kind](plain.plain(network), x):
        with torch.no_grad():
            assert apart(form.run, network, x) < command.TOLERANCE, form.name


def test_other_networks_have_sparse_rows_alone() -> None:
    network, x = sparse(RESNET)
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


# ------------------------------------------------------------------------------------------ measuring


def waiting(name: str, ms: float) -> Form:
    """A form that takes this long."""

    def run(x: Tensor) -> Tensor:
        time.sleep(ms / 1000)
        return x

    return Form(name, run, 0, dict)


def test_times_are_those_of_the_forms() -> None:
    taken = measure.times([waiting("slow", 6), waiting("fast", 2)], torch.zeros(1), rounds=3)
    assert [len(ms) for ms in taken.values()] == [3, 3]
    assert all(6 <= ms < 12 for ms in sorted(taken["slow"])[:2])
    assert all(2 <= ms < 6 for ms in sorted(taken["fast"])[:2])


@pytest.mark.parametrize(("ms", "words"), [(9, "SLOWER than the best dense form (dense)"), (1, "x faster than")])
def test_it_is_said_which_is_slower(ms: float, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rivals = [waiting("dense", 3), waiting("worse dense", 20)]
    monkeypatch.setattr(measure, "dense", lambda network, x: (rivals, []))
    lines: list[str] = []
    forms = [waiting("form", ms), waiting("worse form", 30)]
    fastest, (verdict,) = command._measured(nn.Linear(1, 1), forms, torch.zeros(1, 1), [2], lines.append)
    assert fastest is forms[0]
    assert verdict.startswith("batch 2: form is ")
    assert words in verdict
    assert "worse" not in verdict
    rows = {line[:22].strip(): line[22:].split() for line in lines}
    assert abs(float(rows["form"][2]) - ms / 3) < 0.3 * ms / 3, "its ratio to the best dense"
    assert float(rows["dense"][2]) == 1


def test_the_break_even_density_is_where_the_times_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form that takes 50 times its density in milliseconds beside a dense one of 5 ms breaks even at 0.1."""
    monkeypatch.setattr(measure, "dense", lambda network, x: ([waiting("dense", 5)], []))

    def make(network: nn.Sequential, x: Tensor) -> Form:
        (layer,) = plain.weighted(network)
        return waiting("form", 50 * float((layer.weight != 0).double().mean()))

    density = measure.break_even(nn.Linear(200, 50), torch.zeros(1, 200), make, units=False)
    assert density is not None
    assert 0.08 < density < 0.12


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with measure.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


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
import sys, warnings
sys.modules["lt_sweeps"] = None  # whoever imports it fails
warnings.simplefilter("ignore")
code = open("README.md").read().split("```python\\n")[1].split("```")[0]
exec(code)
import torch, safetensors.torch as st
x = st.load_file("examples")["x"]
logits = torch.from_numpy(network(x.numpy())) if "onnxruntime" in sys.modules else network(x)
st.save_file({"logits": logits.detach().contiguous()}, "logits")
"""


@pytest.mark.parametrize("kind", ["csr", "csr without a compiler", "compact", "onnx"])
def test_a_deployed_ticket_runs_without_this_project(
    kind: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, _, without = kind.partition(" ")
    needs(kind)
    if without:
        monkeypatch.setattr(csr, "compiled", lambda source, real: None)
    else:  # so that the compiled rows are chosen, however busy the machine is
        real = csr.forms
        monkeypatch.setitem(command.FORMS, "csr", lambda network, x: real(network, x)[-1:])
    capsys.readouterr()
    assert export(runs, tmp_path / "t", "--for", kind, "--batch", "2,3") == 0
    out = capsys.readouterr().out
    for form in ("torch dense", "torch dense, oneDNN", "ONNX Runtime dense"):
        assert out.count(f"\n{form:22} ") == 2 or form.startswith("ONNX"), "at two batches"
    assert "batch 2: " in out
    assert "batch 3: " in out
    assert out.count("break-even density of the largest layer") == 1
    network, x = lt.load_ticket(tmp_path / "t"), torch.rand(5, 1, 8, 8)
    save_file({"x": x}, tmp_path / "t" / "examples")
    subprocess.run([sys.executable, "-c", OUTSIDE], cwd=tmp_path / "t", check=True)
    logits = load_file(tmp_path / "t" / "logits")["logits"]
    assert apart(lambda _: logits, network, x) < command.TOLERANCE
    assert (tmp_path / "t" / "csr.c").exists() == (kind == "csr" and not without)
    assert cli(["ticket", "verify", str(tmp_path / "t")]) == 0, "beside the ordinary ticket, which is trained"
    assert "as promised" in capsys.readouterr().out


def test_another_form_takes_the_place_of_the_first(runs: Path, tmp_path: Path) -> None:
    assert export(runs, tmp_path / "t", "--trained") == 0
    ticket = {path.name for path in (tmp_path / "t").iterdir()}
    for kind, files in (
        ("csr", {"deploy.safetensors", "README.md", "csr.c"}),
        ("compact", {"deploy.safetensors", "README.md"}),
    ):
        assert export(runs, tmp_path / "t", "--for", kind, "--batch", "32") == 0
        written = {path.name for path in (tmp_path / "t").iterdir()} - ticket
        assert written - {"csr.c"} == files - {"csr.c"}
        assert ("csr.c" in written) <= ("csr.c" in files)
        assert kind in (tmp_path / "t" / "README.md").read_text().splitlines()[0]


def test_a_form_whose_logits_differ_is_not_written(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forms(network: nn.Module, x: Tensor) -> list[Form]:
        return [Form("wrong", lambda x: network(x) * (1 + 3e-5), 0, dict)]

    monkeypatch.setitem(command.FORMS, "csr", forms)
    with pytest.raises(Mistake, match=r"wrong: its logits differ by 3.0e-05 .* nothing is written"):
        command.prepare(sparse(LENET)[0], torch.rand(9, 1, 8, 8), "csr", [1], 1, print)
    assert export(runs, tmp_path / "t", "--for", "csr") == 2
    assert not (tmp_path / "t").exists()


def test_what_cannot_be_deployed_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = sparse(RESNET)
    for kind in ("compact", "onnx"):
        with pytest.raises(Mistake, match=f"^ticket export --for {kind}: not for this network: its operations"):
            command.prepare(network, x, kind, [1], 1, print)
    monkeypatch.setattr(onnx, "is_here", lambda: False)
    with pytest.raises(Mistake, match=r"pip install 'lt_sweeps\[onnx\]'"):
        command.prepare(sparse(LENET)[0], x[:, :1], "onnx", [1], 1, print)
    lines: list[str] = []
    command.prepare(sparse(LENET)[0], x[:, :1], "compact", [1], 1, lines.append)
    assert any(line.startswith("ONNX Runtime dense: onnx and onnxruntime are not installed") for line in lines)


@pytest.mark.parametrize("words", [("--batch", "0"), ("--batch", "1,x"), ("--threads", "-1"), ("--for", "gguf")])
def test_mistakes_on_the_command_line_are_one_line(
    words: tuple[str, ...], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(runs, tmp_path / "t", *words) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "t").exists()
