"""Biases, batch normalisation and activations of networks: what their arguments change, and what they leave."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_networks import MAPS, NAMES, network, skeleton, weights
from torch import Tensor, nn

from lt_sweeps.main import main
from lt_sweeps.networks.build import build, initial
from lt_sweeps.networks.layers import Sign
from lt_sweeps.registry import catalogue

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
PLAIN = [name for name in NAMES if "batchnorm" in catalogue("network")[name].parameters]  # not normalised by default
SMALL: dict[str, dict[str, Any]] = {"mlp": {"hidden": [20, 10]}}


def named(module: nn.Module, *kinds: type[nn.Module]) -> dict[str, nn.Module]:
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)}


OWN = [name for name in (*NAMES, *MAPS) if name != "slim"]  # slim takes those of the network that it is cut from


@pytest.mark.parametrize("name", OWN)
def test_without_biases_no_layer_has_one_and_the_weights_are_the_same(name: str) -> None:
    args = SMALL.get(name, {})
    module, usual = skeleton(name, bias=False, **args), skeleton(name, **args)
    assert all(layer.bias is None for layer in weights(module).values())
    assert any(layer.bias is not None for layer in weights(usual).values())
    shapes = [{layer: tuple(found.weight.shape) for layer, found in weights(m).items()} for m in (module, usual)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", OWN)
def test_batch_normalisation_without_parameters_has_statistics_alone(name: str) -> None:
    args = SMALL.get(name, {}) | ({"batchnorm": True} if name in PLAIN else {})
    module, usual = skeleton(name, affine=False, **args), skeleton(name, **args)
    norms = named(module, *NORMS)
    assert norms.keys() == named(usual, *NORMS).keys() != set()
    assert all(norm.weight is None and norm.bias is None and norm.track_running_stats for norm in norms.values())
    assert all(norm.weight is not None for norm in named(usual, *NORMS).values())
    left = dict(module.named_parameters())
    assert left.keys() == {n for n in dict(usual.named_parameters()) if n.rpartition(".")[0] not in norms}


@pytest.mark.parametrize("name", [*NAMES, *MAPS])
def test_arguments_at_their_defaults_leave_names_and_draws_as_they_are(name: str) -> None:
    args = SMALL.get(name, {}) | ({"width": 0.1} if "hidden" not in SMALL.get(name, {}) else {})
    taken = catalogue("network")[name].parameters
    given = {"bias": True, "batchnorm": False, "affine": True, "activation": "relu"}
    usual = initial(network(name, **args), 1)
    said = initial(network(name, **args, **{key: value for key, value in given.items() if key in taken}), 1)
    assert list(said) == list(usual)
    assert all(torch.equal(value, usual[key]) for key, value in said.items())


@pytest.mark.parametrize("name", PLAIN)
def test_each_hidden_layer_is_normalised_and_the_output_is_not(name: str) -> None:
    module = skeleton(name, batchnorm=True, **SMALL.get(name, {}))
    hidden = [layer for layer in weights(module) if layer != "output"]
    assert [layer.removesuffix("_bn") for layer in named(module, *NORMS)] == hidden
    assert not named(skeleton(name, **SMALL.get(name, {})), *NORMS)


@pytest.mark.parametrize("name", ["conv2", "conv4", "vgg11"])
def test_before_a_sign_stand_convolution_pool_and_batch_normalisation(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Diffenderfer & Kailkhura 2021: a pool after the sign would see 1 nearly everywhere."""
    order, pool = list[str](), nn.functional.max_pool2d
    monkeypatch.setattr(
        nn.functional, "max_pool2d", lambda *args, **more: (order.append("pool"), pool(*args, **more))[1]
    )
    module = skeleton(
        name, activation="sign", bias=False, affine=False, **({"batchnorm": True} if name in PLAIN else {})
    )
    for kind, word in (
        (nn.Conv2d, "conv"),
        (nn.BatchNorm2d, "bn"),
        (nn.BatchNorm1d, "bn"),
        (Sign, "sign"),
        (nn.Linear, "fc"),
    ):
        for layer in named(module, kind).values():
            layer.register_forward_hook(lambda *_, word=word: order.append(word))
    module(torch.zeros(2, 3, 32, 32, device="meta"))
    told = " ".join(order)
    assert "pool" in order
    for layer in told.replace("pool bn sign", "bn sign").split(" sign ")[:-1]:
        assert layer in ("conv bn", "fc bn"), told
    assert order[-1] == "fc"


def test_a_conv_network_computes_what_its_layers_do_one_after_the_other() -> None:
    """A ReLU before the pool, as in Frankle & Carbin's code, gives the same bits, gradients included."""
    module = build(network("conv4", width=0.1))
    layers = dict(module.named_children())
    x = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def plain(x: Tensor) -> Tensor:
        for number in range(1, 5):
            x = layers[f"conv{number}"](x).relu()
            x = x if number % 2 else nn.functional.max_pool2d(x, 2)
        return layers["output"](layers["fc2"](layers["fc1"](x.flatten(1)).relu()).relu())

    found = [torch.autograd.grad(f(x).square().sum(), list(module.parameters())) for f in (module, plain)]
    assert torch.equal(module(x), plain(x))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_the_gradient_of_a_sign_is_the_spline_and_has_a_gradient_itself() -> None:
    x = torch.linspace(-2, 2, 41, dtype=torch.float64).requires_grad_()
    y = Sign()(x)
    assert torch.equal(y, x.detach().sign())
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    expected = (2 * (1 - x.detach().abs())).clamp(min=0)
    assert torch.allclose(slope, expected, atol=1e-12)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    inside = x.detach().abs().clamp(1e-9, 1) % 1 > 1e-6
    assert torch.allclose(bend[inside], (-2 * x.detach().sign() * (x.detach().abs() < 1))[inside], atol=1e-12)
    assert Sign()(torch.tensor([float("nan"), float("inf")])).isnan().tolist() == [True, False], (
        "a loss stays not finite"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("model=lenet_digits +model.args.affine=false", "model.args.affine=false: nothing is normalised"),
        ("model=lenet_digits +model.args.activation=sing", "activation=sing: choose one of relu, sign"),
        ("model=lenet_digits +model.args.bias=no", "network lenet_300_100: bias=no: give true or false"),
        ("model=mlp model.args.hidden=[] +model.args.activation=sign", "without hidden layers nothing is"),
        ("model=resnet20 +model.args.activation=sign", "network resnet20 takes no argument 'activation'"),
        ("model=lenet_digits +model.args.biases=false", "takes no argument 'biases'; did you mean 'bias'?"),
    ],
)
def test_what_cannot_be_is_answered_before_anything_trains(
    words: str, told: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["dataset=digits", "budget=smoke", "prune.levels=1", f"paths.output_dir={tmp_path}", "trainer.processes=0"]
    assert main(["-m", *words.split(), *there, "recipe=lenet_digits"]) == 2
    answer = capsys.readouterr().err
    assert told in answer
    assert answer.count("\n") == 1
    assert not list(tmp_path.rglob("*.json"))
