"""Networks have the papers' sizes, draws follow their formulas and their seed alone, and any module can be built."""

from __future__ import annotations

import importlib.metadata
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from lt_sweeps import registry
from lt_sweeps.graph import Network, Part
from lt_sweeps.masks import PRUNABLE, dense, total
from lt_sweeps.networks.build import build, initial

CONF = Path(__file__).parent.parent / "conf"
MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
SHAPES = {"lenet_300_100": MNIST, "conv2": CIFAR, "resnet20": CIFAR, "vgg16": CIFAR}


def network(name: str, shape: tuple[int, ...] = (), initialiser: str = "", classes: int = 10, **args: Any) -> Network:
    """A registered network or an import path, on its paper's images."""
    drawn = registry.part("initialiser", initialiser, args) if initialiser else None
    return Network(registry.part("network", name), shape or SHAPES[name], classes, drawn)


def weights(module: nn.Module) -> dict[str, nn.Module]:
    """The layers with prunable weights."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, PRUNABLE)}


def excluded(model: str) -> tuple[str, ...]:
    """The patterns a model's file never prunes."""
    return tuple(OmegaConf.load(CONF / "model" / f"{model}.yaml").prune.get("exclude", ()))


# ------------------------------------------------------------------------------------- architectures


def test_the_shapes_cover_every_registered_network() -> None:
    assert set(SHAPES) == set(registry.catalogue("network"))


@pytest.mark.parametrize(
    ("name", "prunable", "left_out"),
    [
        ("lenet_300_100", 266_200, 0),
        ("conv2", 38_592 + 4_262_400, 0),
        ("resnet20", 267_696, 3_200),
        ("vgg16", 14_710_464, 5_120),
    ],
)
def test_prunable_counts_are_the_papers(name: str, prunable: int, left_out: int) -> None:
    mask, unpruned = dense(build(network(name)), excluded(name))
    assert (total(mask), unpruned) == (prunable, left_out)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("lenet_300_100", 266_200 + 410),
        ("conv2", 4_300_992 + 64 + 64 + 256 + 256 + 10),
        ("resnet20", 270_896 + 10 + 2 * (7 * 16 + 7 * 32 + 7 * 64)),
        ("vgg16", 14_710_464 + 5_130 + 3 * 4_224),
    ],
)
def test_all_parameters_are_accounted_for(name: str, parameters: int) -> None:
    assert sum(p.numel() for p in build(network(name)).parameters()) == parameters


def test_conv2_has_38k_convolution_weights_and_4_3m_in_all() -> None:
    layers = weights(build(network("conv2")))
    convolutions = sum(layer.weight.numel() for layer in layers.values() if isinstance(layer, nn.Conv2d))
    assert convolutions == 38_592
    assert round(sum(layer.weight.numel() for layer in layers.values()) / 1e6, 1) == 4.3


def test_resnet20_leaves_shortcuts_and_output_unpruned() -> None:
    layers = weights(build(network("resnet20")))
    shortcuts = sum(layer.weight.numel() for name, layer in layers.items() if ".shortcut." in name)
    assert (shortcuts, layers["output"].weight.numel()) == (2_560, 640)
    assert len([layer for layer in layers.values() if layer.weight.shape[-1] == 3]) == 19, "19 convolutions, one linear"


def test_resnet20_has_270k_convolution_weights_and_274k_variables_in_all() -> None:
    """The paper's Figure 2; "in all" counts batch normalisation's running statistics, as TensorFlow does."""
    module = build(network("resnet20"))
    convolutions = [layer for layer in weights(module).values() if isinstance(layer, nn.Conv2d)]
    assert sum(layer.weight.numel() for layer in convolutions) == 270_256
    variables = {name: v for name, v in module.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert sum(value.numel() for value in variables.values()) == 274_042


def test_resnet20_reaches_the_papers_percentages_of_weights_remaining() -> None:
    """41.7, 27.1, 21.9 and 11.8 in Frankle & Carbin's Figure 8: 20 % of the prunable a level, the others counted."""
    mask, unpruned = dense(build(network("resnet20")), excluded("resnet20"))
    remaining, told = total(mask), {}
    for level in range(1, 11):
        remaining -= round(0.2 * remaining)
        told[level] = round(100 * (remaining + unpruned) / (total(mask) + unpruned), 1)
    assert [told[level] for level in (4, 6, 7, 10)] == [41.7, 27.1, 21.9, 11.8]


def test_vgg16_has_13_convolutions() -> None:
    convolutions = [layer for layer in weights(build(network("vgg16"))).values() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 13
    assert round(sum(layer.weight.numel() for layer in convolutions) / 1e6, 1) == 14.7


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize("classes", [2, 10])
def test_logits_and_gradients_have_their_shapes(name: str, classes: int) -> None:
    module = build(network(name, classes=classes))
    logits = module(torch.rand(2, *SHAPES[name], generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, classes)
    logits.square().sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert parameter.grad.shape == parameter.shape
        assert bool(parameter.grad.isfinite().all())


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_smallest_image_of_a_model_is_large_enough(name: str) -> None:
    side = OmegaConf.load(CONF / "model" / f"{name}.yaml").model.get("min_side", 1)
    module = build(network(name, shape=(1, side, side))).eval()
    assert module(torch.zeros(1, 1, side, side)).shape == (1, 10)


# --------------------------------------------------------------------------------------------- draws


def fans(weight: torch.Tensor) -> tuple[int, int]:
    """fan_in and fan_out: places that feed an output, and outputs that an input feeds."""
    field = math.prod(weight.shape[2:])
    return weight.shape[1] * field, weight.shape[0] * field


DEVIATIONS = {
    "glorot_normal": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),
    "kaiming_normal": lambda fan_in, fan_out: math.sqrt(2 / fan_in),
}


def test_the_formulas_cover_every_registered_initialiser() -> None:
    assert set(DEVIATIONS) == set(registry.catalogue("initialiser"))


@pytest.mark.parametrize("initialiser", sorted(DEVIATIONS))
@pytest.mark.parametrize("name", ["lenet_300_100", "conv2", "resnet20"])
def test_weights_are_normal_with_the_deviation_of_the_formula(name: str, initialiser: str) -> None:
    described = network(name, initialiser=initialiser)
    state = initial(described, seed=0)
    for layer, module in weights(build(described)).items():
        drawn = state[f"{layer}.weight"].double()
        deviation, n = DEVIATIONS[initialiser](*fans(drawn)), drawn.numel()
        assert abs(drawn.mean()) < 5 * deviation / math.sqrt(n), layer
        assert abs(drawn.std() / deviation - 1) < 5 / math.sqrt(2 * n), layer
        beyond = (drawn.abs() > 2 * deviation).double().mean()
        assert abs(beyond - 0.0455) < 5 * math.sqrt(0.0455 / n), f"{layer} is normal"
        if module.bias is not None:
            assert not state[f"{layer}.bias"].any(), "biases are zero"


@pytest.mark.parametrize("initialiser", sorted(DEVIATIONS))
def test_batch_normalisation_starts_at_ones_or_uniform(initialiser: str) -> None:
    norms = [name for name, m in build(network("vgg16")).named_modules() if isinstance(m, nn.BatchNorm2d)]
    ones = initial(network("vgg16", initialiser=initialiser), seed=0)
    uniform = initial(network("vgg16", initialiser=initialiser, batchnorm="uniform"), seed=0)
    assert all(bool((ones[f"{name}.weight"] == 1).all()) for name in norms)
    scales = torch.cat([uniform[f"{name}.weight"] for name in norms]).double()
    assert 0 <= scales.min() < 0.01
    assert 0.99 < scales.max() <= 1
    assert abs(scales.mean() - 0.5) < 5 * math.sqrt(1 / 12 / len(scales))
    assert abs(scales.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / len(scales))
    for state in (ones, uniform):
        assert not any(bool(state[f"{name}.bias"].any()) for name in norms)
        assert all(bool((state[f"{name}.running_var"] == 1).all()) for name in norms)


def test_an_initialiser_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="batchnorm=zeros: choose one of ones, uniform"):
        initial(network("vgg16", initialiser="glorot_normal", batchnorm="zeros"), seed=0)


@pytest.mark.parametrize("initialiser", ["", *sorted(DEVIATIONS)])
def test_a_draw_is_a_function_of_the_seed_alone(initialiser: str) -> None:
    described = network("lenet_300_100", initialiser=initialiser)
    first = initial(described, seed=3)
    torch.rand(7)  # whatever was drawn before
    again, other = initial(described, seed=3), initial(described, seed=4)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))


def test_a_draw_leaves_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    initial(network("lenet_300_100", initialiser="glorot_normal"), seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_draw_is_a_copy_that_nothing_else_holds() -> None:
    described = network("lenet_300_100")
    initial(described, seed=0)["fc1.weight"].zero_()
    assert bool(initial(described, seed=0)["fc1.weight"].any())
    assert not any(value.requires_grad for value in initial(described, seed=0).values())


# --------------------------------------------------------------------------------- anybody's networks

TINY = '''
import torch

def tiny(shape, classes, width=4):
    """A network of one's own."""
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[0] * shape[1] * shape[2], classes * width))
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which a user's modules can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.provenance.cache_clear()
    yield tmp_path
    registry.provenance.cache_clear()
    for name in [name for name in sys.modules if name.startswith("of_a_user")]:
        del sys.modules[name]


def version(path: str) -> int | str:
    """What stands for the code behind an import path, looked up anew as a new process does."""
    registry.provenance.cache_clear()
    return registry.part("network", path).version


def test_a_function_of_ones_own_is_built_with_what_it_takes(mine: Path) -> None:
    (mine / "of_a_user.py").write_text(TINY)
    module = build(network("of_a_user.tiny", shape=(1, 2, 3), classes=5))
    assert module(torch.zeros(2, 1, 2, 3)).shape == (2, 20)
    wide = Network(registry.part("network", "of_a_user.tiny", {"width": 1}), (1, 2, 3), 5)
    assert build(wide)(torch.zeros(2, 1, 2, 3)).shape == (2, 5)


def test_torchvisions_constructors_get_the_number_of_classes() -> None:
    module = build(network("torchvision.models.resnet18", shape=CIFAR, classes=7))
    assert module.eval()(torch.zeros(1, *CIFAR)).shape == (1, 7)


def test_what_makes_no_module_is_refused(mine: Path) -> None:
    (mine / "of_a_user.py").write_text("def tiny():\n    return {}\n")
    with pytest.raises(ValueError, match=r"of_a_user\.tiny made a dict, not a torch\.nn\.Module"):
        build(network("of_a_user.tiny", shape=MNIST))


def test_source_code_is_found_and_hashed_without_being_run(mine: Path) -> None:
    (mine / "of_a_user.py").write_text(TINY + "raise RuntimeError('it was run')\n")
    assert isinstance(version("of_a_user.tiny"), str)
    assert "of_a_user" not in sys.modules


def test_changed_source_is_another_version(mine: Path) -> None:
    (mine / "of_a_user.py").write_text(TINY)
    before = version("of_a_user.tiny")
    assert version("of_a_user.tiny") == before
    (mine / "of_a_user.py").write_text(TINY.replace("width=4", "width=5"))
    assert version("of_a_user.tiny") != before
    (mine / "of_a_user.py").write_text(TINY)
    assert version("of_a_user.tiny") == before


@pytest.mark.parametrize("changed", ["blocks.py", "nets/blocks.py", "nets/small.py"])
def test_any_file_of_a_package_changes_its_version(mine: Path, changed: str) -> None:
    package = mine / "of_a_user_package"
    (package / "nets").mkdir(parents=True)
    for name in ("__init__.py", "blocks.py", "nets/__init__.py", "nets/blocks.py"):
        (package / name).write_text("")
    (package / "nets" / "small.py").write_text(TINY)
    before = version("of_a_user_package.nets.small.tiny")
    (package / changed).write_text(TINY + "WIDTH = 2\n")
    assert version("of_a_user_package.nets.small.tiny") != before
    assert not any(name.startswith("of_a_user") for name in sys.modules)


def test_a_neighbouring_module_does_not_change_the_version_of_a_single_file(mine: Path) -> None:
    (mine / "of_a_user.py").write_text(TINY)
    before = version("of_a_user.tiny")
    (mine / "of_a_user_too.py").write_text("WIDTH = 2\n")
    assert version("of_a_user.tiny") == before


def test_an_installed_package_is_known_by_its_distributions_version() -> None:
    assert version("sklearn.datasets.load_digits") == importlib.metadata.version("scikit-learn")


@pytest.mark.parametrize(
    ("kind", "path"), [("optimizer", "torch.optim.Adam"), ("network", "torchvision.models.resnet18")]
)
def test_torchs_own_names_are_version_0(kind: str, path: str) -> None:
    assert registry.part(kind, path) == Part(path, 0)


@pytest.mark.parametrize(
    ("kind", "path", "told"),
    [
        ("network", "lenet_300_10", "there is no network 'lenet_300_10'; did you mean 'lenet_300_100'?"),
        ("network", "nothing_like_it", "there is no network 'nothing_like_it'"),
        ("initialiser", "glorot_norml", "did you mean 'glorot_normal'?"),
        ("network", "no_such_module.Net", "no module 'no_such_module'"),
        ("network", "torchvision.modls.resnet18", "no module 'modls'"),
        ("network", "torchvision.models.resnet81", "'resnet81' is not in .*did you mean 'resnet18'?"),
        ("network", "torchvision.models.resnet.resnet81", "did you mean 'resnet18'?"),
        ("network", "of_a_user.tinny", "'tinny' is not in of_a_user.py; did you mean 'tiny'?"),
        ("optimizer", "torch.optim.Adm", "did you mean 'Adam'?"),
    ],
)
def test_a_misspelt_name_is_told_with_the_nearest(mine: Path, kind: str, path: str, told: str) -> None:
    (mine / "of_a_user.py").write_text(TINY)
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        registry.part(kind, path)


def test_what_a_users_module_imports_beside_it_is_part_of_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "width_of_net.py").write_text("WIDTH = 20\n")
    (tmp_path / "net_of_user.py").write_text("from width_of_net import WIDTH\nclass Net: ...\n")
    before = registry.provenance("net_of_user.Net", "network")
    (tmp_path / "width_of_net.py").write_text("WIDTH = 40\n")
    registry.provenance.cache_clear()
    assert registry.provenance("net_of_user.Net", "network") != before
