"""Networks have the papers' layers and sizes, at any width, and any module can be built."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from omegaconf import OmegaConf
from test_sweep import cells_of
from torch import nn

from lt_sweeps import registry
from lt_sweeps.foreign import reach
from lt_sweeps.masks import LAYERS, dense, prunable, total
from lt_sweeps.networks.build import build, draw_network, initial
from lt_sweeps.specs import Network, Part
from lt_sweeps.sweeps import run as sweep

CONF = Path(__file__).parent.parent / "conf"
MNIST, CIFAR, IMAGENET = (1, 28, 28), (3, 32, 32), (3, 224, 224)
THERE = {
    n: e for n, e in registry.catalogue("network").items() if "transformers" not in e.needs
}  # test_hugging_face.py
TOKENS = sorted(name for name, entry in THERE.items() if "tokens" in entry.needs)
MAPS = sorted(name for name, entry in THERE.items() if "maps" in entry.needs)
NAMES = sorted({*THERE} - {*TOKENS} - {*MAPS})  # the others: test_tokens.py, test_maps.py
RESNETS = {20: "resnet20", 32: "resnet32", 44: "resnet44", 56: "resnet56", 110: "resnet110"}


def shape_of(name: str) -> tuple[int, ...]:
    """The images of the data set that a model's file chooses."""
    chosen = OmegaConf.load(CONF / "model" / f"{name}.yaml").defaults[0]["override /dataset"]
    return tuple(OmegaConf.load(CONF / "dataset" / f"{chosen}.yaml").shape)


def network(name: str, shape: tuple[int, ...] = (), classes: int = 10, **args: Any) -> Network:
    """A registered network or an import path, on its model's images."""
    return Network(registry.part("network", name, args), shape or shape_of(name), classes)


def skeleton(name: str, shape: tuple[int, ...] = (), classes: int = 10, **args: Any) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return build(network(name, shape, classes, **args))


def weights(module: nn.Module) -> dict[str, nn.Module]:
    """The layers with prunable weights."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, LAYERS)}


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def excluded(model: str) -> tuple[str, ...]:
    """The patterns a model's file never prunes."""
    return tuple(OmegaConf.load(CONF / "model" / f"{model}.yaml").prune.get("exclude", ()))


# ------------------------------------------------------------------------------------- layer tables

Layer = tuple[int, int]  # channels, and pixels a side that come out; a linear layer's units, and 0


def resnet_table(n: int, times: int = 1) -> list[Layer]:
    """He et al. 2016, section 4.2: a stem of 16, then 2n layers of each size."""
    stages = [(16 * times, 32), (32 * times, 16), (64 * times, 8)]
    return [(16, 32), *(layer for stage in stages for layer in [stage] * 2 * n), (10, 0)]


def bottlenecks() -> list[Layer]:
    """He et al. 2016, Table 1, 50 layers: a stage's stride is in the 3x3 convolution, as torchvision has it."""
    found, before = [(64, 112)], 56
    for planes, side, depth in [(64, 56, 3), (128, 28, 4), (256, 14, 6), (512, 7, 3)]:
        found += [(planes, before), (planes, side), (4 * planes, side)]
        found += [(planes, side), (planes, side), (4 * planes, side)] * (depth - 1)
        before = side
    return [*found, (1000, 0)]


def plain(*stages: tuple[int, int, int]) -> list[Layer]:
    """`(how many, channels, pixels a side)`."""
    return [(channels, side) for n, channels, side in stages for _ in range(n)]


DENSE = [(256, 0), (256, 0), (10, 0)]
BASIC = [(64, 56), (128, 28), (256, 14), (512, 7)]
TABLES: list[tuple[str, tuple[int, ...], list[Layer]]] = [
    # Frankle & Carbin 2019, Figure 2
    ("lenet_300_100", MNIST, [(300, 0), (100, 0), (10, 0)]),
    ("mlp", MNIST, [(10, 0)]),
    ("conv2", CIFAR, plain((2, 64, 32)) + DENSE),
    ("conv4", CIFAR, plain((2, 64, 32), (2, 128, 16)) + DENSE),
    ("conv6", CIFAR, plain((2, 64, 32), (2, 128, 16), (2, 256, 8)) + DENSE),
    ("vgg19", CIFAR, [*plain((2, 64, 32), (2, 128, 16), (4, 256, 8), (4, 512, 4), (4, 512, 2)), (10, 0)]),
    # Ramanujan et al. 2020
    ("conv8", CIFAR, plain((2, 64, 32), (2, 128, 16), (2, 256, 8), (2, 512, 4)) + DENSE),
    # Simonyan & Zisserman 2014, Table 1, columns A, B and D
    ("vgg11", CIFAR, [*plain((1, 64, 32), (1, 128, 16), (2, 256, 8), (2, 512, 4), (2, 512, 2)), (10, 0)]),
    ("slim", CIFAR, [*plain((1, 64, 32), (1, 128, 16), (2, 256, 8), (2, 512, 4), (2, 512, 2)), (10, 0)]),
    ("vgg13", CIFAR, [*plain((2, 64, 32), (2, 128, 16), (2, 256, 8), (2, 512, 4), (2, 512, 2)), (10, 0)]),
    ("vgg16", CIFAR, [*plain((2, 64, 32), (2, 128, 16), (3, 256, 8), (3, 512, 4), (3, 512, 2)), (10, 0)]),
    *((name, CIFAR, resnet_table((layers - 2) // 6)) for layers, name in RESNETS.items()),
    # Zagoruyko & Komodakis 2016, Table 1, with N = (22 - 4) / 6 and k = 2
    ("wrn_22_2", CIFAR, resnet_table(3, times=2)),
    # He et al. 2016, Table 1, and the same with a stem that keeps the size of CIFAR's images
    ("resnet18", IMAGENET, [(64, 112), *(layer for layer in BASIC for _ in range(4)), (1000, 0)]),
    ("resnet18", CIFAR, [*plain((5, 64, 32), (4, 128, 16), (4, 256, 8), (4, 512, 4)), (10, 0)]),
    ("resnet50", IMAGENET, bottlenecks()),
]


def test_the_tables_cover_every_registered_network() -> None:
    assert {name for name, _, _ in TABLES} == set(NAMES)


@pytest.mark.parametrize(("name", "shape", "table"), TABLES, ids=[f"{name} {shape[1]}" for name, shape, _ in TABLES])
def test_layers_and_sizes_are_the_papers(name: str, shape: tuple[int, ...], table: list[Layer]) -> None:
    module, seen = skeleton(name, shape, classes=table[-1][0]), []
    for path, layer in weights(module).items():
        if "shortcut" not in path and "downsample" not in path:
            layer.register_forward_hook(lambda _, __, out: seen.append((out.shape[1], *out.shape[3:])))
    module(torch.zeros(2, *shape, device="meta"))
    assert [(found[0], found[1] if len(found) > 1 else 0) for found in seen] == table


# -------------------------------------------------------------------------------------------- counts


def chain(*channels: int, field: int = 9) -> int:
    """Weights of convolutions one after the other."""
    return sum(field * i * o for i, o in pairwise(channels))


def resnet_weights(n: int) -> int:
    """Of a CIFAR ResNet of 6n + 2 layers, without shortcuts: a stem, three stages, and the linear layer."""
    stages = chain(16, 16) * 2 * n + chain(16, 32) + chain(32, 32) * (2 * n - 1) + chain(32, 64)
    return chain(3, 16) + stages + chain(64, 64) * (2 * n - 1) + 640


SHORTCUTS = 16 * 32 + 32 * 64
WRN = chain(3, 16) + sum(chain(i, *[o] * 6) + i * o for i, o in [(16, 32), (32, 64), (64, 128)]) + 1_280


@pytest.mark.parametrize(
    ("name", "prunable", "left_out"),
    [
        ("lenet_300_100", 784 * 300 + 300 * 100 + 100 * 10, 0),
        ("conv2", chain(3, 64, 64) + chain(64 * 16 * 16, 256, 256, 10, field=1), 0),
        ("conv4", chain(3, 64, 64, 128, 128) + chain(128 * 8 * 8, 256, 256, 10, field=1), 0),
        ("conv6", chain(3, 64, 64, 128, 128, 256, 256) + chain(256 * 4 * 4, 256, 256, 10, field=1), 0),
        ("conv8", chain(3, 64, 64, 128, 128, 256, 256, 512, 512) + chain(512 * 2 * 2, 256, 256, 10, field=1), 0),
        ("vgg11", chain(3, 64, 128, 256, 256, *[512] * 4), 5_120),
        ("vgg13", chain(3, 64, 64, 128, 128, 256, 256, *[512] * 4), 5_120),
        ("vgg16", chain(3, 64, 64, 128, 128, *[256] * 3, *[512] * 6), 5_120),
        ("vgg19", chain(3, 64, 64, 128, 128, *[256] * 4, *[512] * 8), 5_120),
        ("resnet20", resnet_weights(3) - 640, 3_200),
        *((name, resnet_weights((layers - 2) // 6) + SHORTCUTS, 0) for layers, name in RESNETS.items() if layers > 20),
        ("wrn_22_2", WRN - 432, 432),
    ],
)
def test_prunable_counts_are_the_papers(name: str, prunable: int, left_out: int) -> None:
    mask, unpruned = dense(skeleton(name), excluded(name))
    assert (total(mask), unpruned) == (prunable, left_out)


@pytest.mark.parametrize(
    ("name", "all_weights", "convolutions"),
    [
        ("lenet_300_100", "0.266", None),
        ("conv2", "4.3", "0.039"),  # the paper cuts 38,592 to 38K
        ("conv4", "2.4", "0.260"),
        ("conv6", "2.3", "1.1"),  # the paper prints 1.7, which 256x4x4 inputs of its first linear layer rule out
        ("vgg19", "20.0", None),
    ],
)
def test_sizes_are_those_of_frankle_and_carbins_figure_2(name: str, all_weights: str, convolutions: str | None) -> None:
    """In millions, as many digits as are printed there."""

    def printed(count: int, like: str) -> str:
        return f"{count / 1e6:.{len(like.partition('.')[2])}f}"

    layers = weights(skeleton(name)).values()
    assert printed(sum(layer.weight.numel() for layer in layers), all_weights) == all_weights
    if convolutions is not None:
        found = sum(layer.weight.numel() for layer in layers if isinstance(layer, nn.Conv2d))
        assert printed(found, convolutions) == convolutions


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("lenet_300_100", 266_200 + 410),
        ("conv2", 4_300_992 + 64 + 64 + 256 + 256 + 10),
        ("resnet20", 270_896 + 10 + 2 * (7 * 16 + 7 * 32 + 7 * 64)),
        ("vgg16", 14_710_464 + 5_130 + 3 * 4_224),
        ("wrn_22_2", WRN + 10 + 2 * (16 + 6 * 32 + 6 * 64 + 6 * 128)),
    ],
)
def test_all_parameters_are_accounted_for(name: str, parameters: int) -> None:
    assert size(skeleton(name)) == parameters


@pytest.mark.parametrize(("layers", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_resnets_without_weights_in_shortcuts_have_he_et_als_sizes(layers: int, millions: float) -> None:
    """He et al. 2016, Table 6, which prints two digits."""
    module = skeleton(RESNETS[layers], shortcut="identity")
    n = (layers - 2) // 6
    assert total(dense(module)[0]) == resnet_weights(n)
    norms = 2 * (16 * (2 * n + 1) + 32 * 2 * n + 64 * 2 * n)
    assert size(module) == resnet_weights(n) + 10 + norms
    # 0.464 and 0.659 are printed as 0.46 and 0.66, 1.728 as 1.7: within one of the last digit printed
    assert abs(size(module) / 1e6 - millions) < (0.05 if layers == 110 else 0.005)


def test_an_identity_shortcut_keeps_every_second_pixel_and_pads_channels_on_both_sides() -> None:
    block = build(network("resnet20", shortcut="identity")).get_submodule("blocks.3.shortcut")
    x = torch.rand(2, 16, 6, 6)
    y = block(x)
    assert y.shape == (2, 32, 3, 3)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_an_unknown_shortcut_is_refused() -> None:
    with pytest.raises(ValueError, match="shortcut=identit: choose one of conv, identity"):
        skeleton("resnet20", shortcut="identit")


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_imagenets_resnets_are_torchvisions(name: str) -> None:
    """Parameter counts as torchvision documents them; names, draws and logits as its constructors give them."""
    documented = getattr(torchvision.models, f"ResNet{name[6:]}_Weights").DEFAULT.meta["num_params"]
    assert size(skeleton(name, IMAGENET, 1000)) == documented
    assert round(documented / 1e6, 1) == {"resnet18": 11.7, "resnet50": 25.6}[name]
    shape = (3, 65, 65)
    torch.manual_seed(3)
    theirs = getattr(torchvision.models, name)(num_classes=10).eval()
    torch.manual_seed(3)
    ours = draw_network(network(name, shape)).eval()
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    assert all(torch.equal(state[key], value) for key, value in theirs.state_dict().items())
    x = torch.rand(1, *shape)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(("side", "kernel", "out"), [(32, 3, 4), (64, 3, 8), (65, 7, 3), (224, 7, 7)])
def test_small_images_keep_their_size_in_the_stem(side: int, kernel: int, out: int) -> None:
    module, seen = skeleton("resnet18", (1, side, side)), []
    module.layer4.register_forward_hook(lambda *given: seen.append(given[2].shape[2:]))
    module(torch.zeros(2, 1, side, side, device="meta"))
    assert module.conv1.kernel_size == (kernel, kernel)
    assert seen == [(out, out)]


@pytest.mark.parametrize("hidden", [(), (7,), (20, 10, 5)])
def test_an_mlp_has_any_shape(hidden: tuple[int, ...]) -> None:
    state = build(network("mlp", hidden=list(hidden))).state_dict()
    units = (784, *hidden, 10)
    assert [tuple(w.shape) for name, w in state.items() if name.endswith("weight")] == [
        (out, into) for into, out in pairwise(units)
    ]
    lenet, same = (
        initial(network(name, **args), 3) for name, args in [("lenet_300_100", {}), ("mlp", {"hidden": [300, 100]})]
    )
    assert list(lenet) == list(same)
    assert all(torch.equal(lenet[key], same[key]) for key in lenet)


def test_resnet20_leaves_shortcuts_and_output_unpruned() -> None:
    layers = weights(skeleton("resnet20"))
    shortcuts = sum(layer.weight.numel() for name, layer in layers.items() if ".shortcut." in name)
    assert (shortcuts, layers["output"].weight.numel()) == (2_560, 640)
    assert len([layer for layer in layers.values() if layer.weight.shape[-1] == 3]) == 19, "19 convolutions, one linear"


def test_resnet20_has_270k_convolution_weights_and_274k_variables_in_all() -> None:
    """The paper's Figure 2; "in all" counts batch normalisation's running statistics, as TensorFlow does."""
    module = skeleton("resnet20")
    convolutions = [layer for layer in weights(module).values() if isinstance(layer, nn.Conv2d)]
    assert sum(layer.weight.numel() for layer in convolutions) == 270_256
    variables = {name: v for name, v in module.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert sum(value.numel() for value in variables.values()) == 274_042


def test_resnet20_reaches_the_papers_percentages_of_weights_remaining() -> None:
    """41.7, 27.1, 21.9 and 11.8 in Frankle & Carbin's Figure 8: 20 % of the prunable a level, the others counted."""
    mask, unpruned = dense(skeleton("resnet20"), excluded("resnet20"))
    remaining, told = total(mask), {}
    for level in range(1, 11):
        remaining -= round(0.2 * remaining)
        told[level] = round(100 * (remaining + unpruned) / (total(mask) + unpruned), 1)
    assert [told[level] for level in (4, 6, 7, 10)] == [41.7, 27.1, 21.9, 11.8]


# ------------------------------------------------------------------------------------- what passes through


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_gradients_have_their_shapes(name: str) -> None:
    module = build(network(name, classes=7))
    logits = module(torch.rand(2, *shape_of(name), generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert parameter.grad.shape == parameter.shape
        assert bool(parameter.grad.isfinite().all())


@pytest.mark.parametrize("shape", [MNIST, CIFAR, (3, 64, 64), IMAGENET], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_any_image_of_the_papers_passes(name: str, shape: tuple[int, ...]) -> None:
    module = skeleton(name, shape, classes=100)
    assert module(torch.zeros(2, *shape, device="meta")).shape == (2, 100)


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_image_of_a_model_is_the_smallest_that_every_pool_and_stride_still_shrinks(name: str) -> None:
    side = OmegaConf.load(CONF / "model" / f"{name}.yaml").model.get("min_side", 1)
    module, seen = skeleton(name, (1, side, side)), [(side, side)]
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda *given: seen.append(tuple(given[2].shape[2:])))
    assert module(torch.zeros(2, 1, side, side, device="meta")).shape == (2, 10)
    pooled_after = 2 if name.startswith("conv") else 1
    assert seen[-1] == (pooled_after, pooled_after), "one pixel is left"
    if name.startswith(("conv", "vgg")):  # what ends in a pool has nothing left of a smaller one
        with pytest.raises((RuntimeError, UserWarning)):  # an empty image, or linear layers without inputs
            skeleton(name, (1, side - 1, side - 1))(torch.zeros(2, 1, side - 1, side - 1, device="meta"))


# --------------------------------------------------------------------------------------------- width


@pytest.mark.parametrize("width", [0.5, 2.0])
@pytest.mark.parametrize("name", NAMES)
def test_width_scales_all_channels_but_those_of_images_and_classes(name: str, width: float) -> None:
    hidden = {"hidden": [30, 20]} if name == "mlp" else {}
    usual = prunable(skeleton(name, **hidden))
    wide = prunable(skeleton(name, width=width, **hidden))
    assert list(usual) == list(wide)
    first, last = next(iter(usual)), list(usual)[-1]
    for key, before in usual.items():
        out, into, *field = before.shape
        after = (out if key == last else out * width, into if key == first else into * width, *field)
        assert wide[key].shape == after, key


@pytest.mark.parametrize("name", NAMES)
def test_one_channel_is_the_least(name: str) -> None:
    module = build(network(name, width=1e-3))
    assert module(torch.rand(2, *shape_of(name))).shape == (2, 10)


def test_the_usual_width_is_in_no_key_and_another_is() -> None:
    words = ("model=conv2", "dataset=digits", "recipe=lenet_digits")
    usual, same, wide, also = (
        cells_of(*words, *more)[0].levels[0].key
        for more in ((), ("model.width=1",), ("model.width=2",), ("+model.args.width=2",))
    )
    assert usual == same
    assert wide == also != usual


def test_a_registered_function_takes_the_arguments_it_names() -> None:
    assert registry.catalogue("network")["resnet20"].parameters == ("shortcut", "width", "bias", "affine")
    with pytest.raises(ValueError, match=r"network conv2 takes no argument 'widht'; did you mean 'width'\?"):
        registry.part("network", "conv2", {"widht": 2})
    with pytest.raises(ValueError, match="initialiser glorot_normal takes no argument 'width'"):
        registry.part("initialiser", "glorot_normal", {"width": 2})


# ---------------------------------------------------------------------------------- what is prunable


def test_a_weight_that_two_layers_share_is_not_prunable() -> None:
    """What is done to one of its names would not be done to the other."""
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    tied[1].weight = tied[0].weight
    assert list(prunable(tied)) == ["2.weight"]
    twice = nn.Linear(3, 3)
    assert list(prunable(nn.Sequential(twice, nn.ReLU(), twice, nn.Linear(3, 2)))) == ["3.weight"]


def test_of_torchs_attention_all_projections_are_prunable_and_no_bias() -> None:
    assert sorted(prunable(nn.MultiheadAttention(4, 2, add_bias_kv=True))) == ["in_proj_weight", "out_proj.weight"]


def test_a_network_without_any_prunable_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no prunable weight"):
        dense(nn.BatchNorm1d(3))


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


@pytest.mark.parametrize(
    ("factory", "given", "label", "folder"),
    [
        (
            "timm.create_model",
            "model_name=hf-hub:timm/resnet18.a1",
            "hf-hub:timm/resnet18.a1",
            "hf-hub_timm_resnet18.a1",
        ),
        ("torchvision.models.get_model", "name=resnet18", "resnet18", "resnet18"),
        ("torchvision.models.resnet18", "zero_init_residual=true", "resnet18", "resnet18"),
    ],
)
def test_a_network_is_told_by_the_name_a_factory_is_given(factory: str, given: str, label: str, folder: str) -> None:
    words = ["model=custom", f"model._target_={factory}", f"+model.args.{given}", "budget=smoke", "sweep=null"]
    cells = cells_of(*words)
    assert cells[0].labels["model"] == label
    assert sweep._name(cells).startswith(f"{folder}-smoke-")


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


IMPORTS = """
import of_a_user_beside
from of_a_user_package import blocks
from . import near
from ..far import *

def late():
    from .deferred.deeper import something
"""
REACHED = [
    "of_a_user_beside.py",
    "of_a_user_package/__init__.py",
    "of_a_user_package/blocks.py",
    "of_a_user_package/far.py",
    "of_a_user_package/nets/__init__.py",
    "of_a_user_package/nets/near.py",
    "of_a_user_package/nets/small.py",
    "of_a_user_package/nets/deferred/__init__.py",
    "of_a_user_package/nets/deferred/deeper.py",
]
NOT_REACHED = ["of_a_user_plots.py", "of_a_user_package/plots.py", "of_a_user_package/nets/deferred/other.py"]


def packaged(mine: Path) -> int | str:
    """The version of a function in a package, of which not every file is imported."""
    for name in (*REACHED, *NOT_REACHED):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text("")
    (mine / "of_a_user_package/nets/small.py").write_text(TINY + IMPORTS)
    return version("of_a_user_package.nets.small.tiny")


@pytest.mark.parametrize("changed", REACHED)
def test_code_that_can_be_reached_changes_the_version(mine: Path, changed: str) -> None:
    before = packaged(mine)
    with (mine / changed).open("a") as file:
        file.write("WIDTH = 2\n")
    assert version("of_a_user_package.nets.small.tiny") != before
    assert not any(name.startswith("of_a_user") for name in sys.modules)


@pytest.mark.parametrize("changed", NOT_REACHED)
def test_other_files_of_a_package_do_not_change_the_version(mine: Path, changed: str) -> None:
    before = packaged(mine)
    (mine / changed).write_text("WIDTH = 2\n")
    assert version("of_a_user_package.nets.small.tiny") == before


def test_comments_layout_and_another_place_do_not_change_the_version(
    mine: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = packaged(mine)
    small = mine / "of_a_user_package/nets/small.py"
    small.write_text("# why\n\n" + small.read_text().replace("width=4", "width = 4"))
    assert version("of_a_user_package.nets.small.tiny") == before
    small.write_text(small.read_text().replace("width = 4", "width = 5"))
    assert version("of_a_user_package.nets.small.tiny") != before


def test_files_of_one_name_that_change_places_change_the_version(mine: Path) -> None:
    packaged(mine)
    one, two = mine / "of_a_user_package/nets/__init__.py", mine / "of_a_user_package/nets/deferred/__init__.py"
    one.write_text("A = 1\n")
    before = version("of_a_user_package.nets.small.tiny")
    one.write_text("")
    two.write_text("A = 1\n")
    assert version("of_a_user_package.nets.small.tiny") != before


def test_a_module_of_the_users_site_folder_is_known_by_its_code(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to no distribution that would say its version."""
    monkeypatch.setattr(reach, "INSTALLED", (*reach.INSTALLED, str(mine.resolve())))
    reach.is_foreign.cache_clear()
    seen = []
    for width in (4, 5):
        (mine / "of_a_user.py").write_text(TINY.replace("width=4", f"width={width}"))
        seen.append(version("of_a_user.tiny"))
    (mine / "of_a_user_package").mkdir()
    for text in ("", "A = 1\n"):
        (mine / "of_a_user_package" / "__init__.py").write_text(TINY)
        (mine / "of_a_user_package" / "more.py").write_text(text)
        seen.append(version("of_a_user_package.tiny"))
    reach.is_foreign.cache_clear()
    assert len(set(seen)) == 4


def test_a_function_of_ours_that_is_not_registered_is_known_by_our_code() -> None:
    nothing = hashlib.sha256(b"").hexdigest()[:16]
    assert version("lt_sweeps.networks.width.scaled") != nothing


def test_a_version_of_ones_own_stands_for_the_code(mine: Path) -> None:
    mark = "from lt_sweeps.registry import register\n\n@register('network', version={})\ndef "
    for number, width, expected in ((1, 4, "version 1"), (1, 5, "version 1"), (2, 5, "version 2")):
        text = TINY.replace("def ", mark.format(number)).replace("width=4", f"width={width}")
        (mine / "of_a_user.py").write_text(text)
        assert version("of_a_user.tiny") == expected


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
