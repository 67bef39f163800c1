"""Masks and tickets that are carried to other data, seeds, depths and widths: what is carried, and what is refused."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import torch
from test_recipes import composed

import lt_sweeps as lt
from lt_sweeps.graph import Carried, Fit, Init, Prune, Shuffle, Train, at, full, search_of
from lt_sweeps.main import main
from lt_sweeps.masks import State
from lt_sweeps.networks.build import build, holding, initial
from lt_sweeps.randomness import rng
from lt_sweeps.specs import Network, Part
from lt_sweeps.transfers.carry import Carry, Sides, carried, require_covered, shapes
from lt_sweeps.transfers.elastic import elastic
from lt_sweeps.transfers.permuted import activation_matching, random_units, weight_matching
from lt_sweeps.transfers.widths import narrow, widen

pytestmark = pytest.mark.sweeps

NARROW = {"width": 0.25}
NETWORKS = (
    Network(Part("lenet_300_100", 1, NARROW), (1, 8, 8), 10),
    Network(Part("resnet20", 1, NARROW), (3, 8, 8), 10),
    Network(Part("resnet20", 1, {**NARROW, "shortcut": "identity"}), (3, 8, 8), 10),
    Network(Part("vgg11", 1, {"width": 0.1}), (3, 16, 16), 10),
    Network(Part("conv4", 1, {"width": 0.1}), (3, 8, 8), 10),
    Network(Part("resnet18", 1, {"width": 0.1}), (3, 16, 16), 10),
)
NAMES = [network.build.name for network in NETWORKS]


def family(name: str, **args: object) -> Network:
    return Network(Part(name, 1, args), (3, 16, 16) if name != "mlp" else (1, 4, 4), 10)


def rough(network: Network, seed: int = 0) -> State:
    """Weights in double precision whose normalisation is no identity."""
    generator = rng(seed, "rough")
    return {
        name: value.double() + torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in initial(network, seed).items()
    }


def between(source: Network, target: Network, ends: tuple[State, State] | None = None, seed: int = 0) -> Sides:
    return Sides(
        shapes(initial(source, 0)),
        shapes(initial(target, 0)),
        make_network=lambda: build(target),
        read_ends=None if ends is None else lambda: ends,
        read_examples=lambda count: torch.rand(min(count, 64), *target.shape, generator=rng(0, "x")).double(),
        generator=rng(seed, "transfer"),
    )


def computed(network: Network, state: State) -> torch.Tensor:
    x = torch.rand(4, *network.shape, generator=rng(1, "x")).double()
    with torch.no_grad():
        output: torch.Tensor = holding(build(network), state).eval()(x)
    return output


# ------------------------------------------------------------------------------------ between draws


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_a_network_with_its_units_permuted_computes_the_same(network: Network) -> None:
    state, there = rough(network), between(network, network)
    carry = random_units(there)
    require_covered(carry, there)
    permuted = carried(state, carry, state)
    assert any(not torch.equal(permuted[name], value) for name, value in state.items())
    torch.testing.assert_close(computed(network, permuted), computed(network, state), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_weight_matching_finds_a_permutation_again(network: Network) -> None:
    state = rough(network)
    permuted = carried(state, random_units(between(network, network)), state)
    again = carried(state, weight_matching(between(network, network, (state, permuted))), state)
    assert all(torch.equal(again[name], value) for name, value in permuted.items())


def test_activation_matching_finds_a_permutation_again() -> None:
    network = NETWORKS[0]
    state = rough(network)
    permuted = carried(state, random_units(between(network, network)), state)
    again = carried(state, activation_matching(between(network, network, (state, permuted))), state)
    assert all(torch.equal(again[name], value) for name, value in permuted.items())


def test_a_random_permutation_keeps_the_degrees_of_all_units() -> None:
    network = NETWORKS[0]
    there = between(network, network)
    mask = {name: torch.rand(shape, generator=rng(0, "mask")) < 0.3 for name, shape in there.source.items()}
    moved = carried(mask, random_units(there), mask)
    inner, outer = ("fc1.weight", 1), ("fc2.weight", 0)  # into and out of the first hidden units
    before, after = (torch.stack([m[name].sum(dimension) for name, dimension in (inner, outer)]) for m in (mask, moved))
    assert not torch.equal(before, after)
    assert sorted(map(tuple, before.T.tolist())) == sorted(map(tuple, after.T.tolist()))


# ------------------------------------------------------------------------------------ between sizes


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("resnet20", "resnet32"),
        ("resnet32", "resnet20"),
        ("resnet20", "resnet56"),
        ("vgg13", "vgg16"),
        ("vgg16", "vgg13"),
        ("vgg13", "vgg19"),
    ],
)
def test_an_elastic_ticket_covers_each_tensor_of_its_family(source: str, target: str) -> None:
    """Batch normalisation and its statistics too, and no tensor twice; first blocks, stem and output are their own."""
    narrow_one, deep_one = family(source, width=0.1), family(target, width=0.1)
    there = between(narrow_one, deep_one)
    carry = elastic(there)
    require_covered(carry, there)
    assert carry.keys() == there.target.keys()
    ends = ("conv.", "bn.", "blocks.0.", "features.0.", "features.1.", "output.")
    assert all(place.name == name for name, place in carry.items() if name.startswith(ends))
    if source == "resnet20" and target == "resnet32":
        stem = {name.split(".")[1]: place.name.split(".")[1] for name, place in carry.items() if "blocks" in name}
        assert " ".join(stem[str(block)] for block in range(15)) == "0 1 2 1 2 3 4 5 4 5 6 7 8 7 8"


MLPS = [family("mlp", hidden=[8] * inner + [5]) for inner in range(5)]
VGGS = [family("vgg16", width=0.1), family("vgg19", width=0.1)]


@pytest.mark.parametrize(
    ("left_out", "before", "now", "fits"),
    [
        ("fc1", MLPS[3], MLPS[4], False),  # the mask of fc4 would come from fc3, its weights from fc2
        ("fc2", MLPS[3], MLPS[4], False),
        ("fc2", MLPS[4], MLPS[3], False),
        ("fc1", MLPS[4], MLPS[3], True),  # the last one is dropped in any case
        ("fc2", MLPS[4], MLPS[4], True),
        ("output", MLPS[3], MLPS[4], True),
        ("features.0", *VGGS, True),
        ("features.14", *VGGS, False),
        ("features.17", *VGGS, False),
    ],
)
def test_masks_of_blocks_come_from_where_weights_do(left_out: str, before: Network, now: Network, fits: bool) -> None:
    whole = between(before, now)
    weights = {name: place.name for name, place in elastic(whole).items()}
    pruned = Sides(
        *(
            {name: shape for name, shape in side.items() if len(shape) > 1 and name != f"{left_out}.weight"}
            for side in (whole.source, whole.target)
        )
    )
    if fits:
        assert {n: place.name for n, place in elastic(pruned).items()} == {n: weights[n] for n in pruned.target}
    else:
        with pytest.raises(ValueError, match=r"prune\.exclude"):
            elastic(pruned)


def test_an_mlp_is_stretched_by_its_inner_layers() -> None:
    two, four = (family("mlp", hidden=[8] * n + [5], batchnorm=True) for n in (2, 4))
    carry = elastic(between(two, four))
    layers = {name.split(".")[0]: place.name.split(".")[0] for name, place in carry.items()}
    assert layers | {"output": "output"} == {
        "fc1": "fc1",
        "fc2": "fc2",
        "fc3": "fc2",
        "fc4": "fc2",
        "fc5": "fc3",
        "output": "output",
        "fc1_bn": "fc1_bn",
        "fc2_bn": "fc2_bn",
        "fc3_bn": "fc2_bn",
        "fc4_bn": "fc2_bn",
        "fc5_bn": "fc3_bn",
    }


@pytest.mark.parametrize(
    ("source", "target", "args", "message"),
    [
        (family("vgg11", width=0.1), family("vgg13", width=0.1), {}, "features.3.weight is 6x6x3x3 here"),
        (family("resnet20"), family("mlp", hidden=[4]), {}, "stages"),
        (family("lenet_300_100"), family("resnet18", width=0.1), {}, "ResNet, VGG and MLP"),
        (family("resnet20"), family("resnet32"), {"order": "twice"}, "transfer.args.order=twice: choose one of"),
        (family("resnet20"), family("resnet32"), {"blocks": [[0, 1]]}, "give 5 blocks of 0 to 2"),
        (family("resnet20"), family("resnet32"), {"blocks": [[0, 1, 2, 2, 3]]}, "give 5 blocks of 0 to 2"),
    ],
)
def test_what_cannot_be_stretched_names_the_layer_or_the_setting(
    source: Network, target: Network, args: dict[str, object], message: str
) -> None:
    there = between(source, target)
    with pytest.raises(ValueError, match=re.escape(message)):
        require_covered(elastic(there, **args), there)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", ["append", "interpolate"])
@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_a_widened_network_computes_the_same(network: Network, order: str) -> None:
    """But where channels are padded: then nothing is known of them, and a wider stage does not fit."""
    width = network.build.args["width"]
    assert isinstance(width, float)
    wide = Network(Part(network.build.name, 1, {**network.build.args, "width": 1.6 * width}), network.shape, 10)
    there, state = between(network, wide), rough(network)

    def widened() -> Carry:
        carry = widen(there, order)
        require_covered(carry, there)
        return carry

    if network.build.args.get("shortcut") == "identity":
        with pytest.raises(ValueError, match=r"conv\.weight"):
            widened()
        return
    after = carried(state, widened(), rough(wide))
    torch.testing.assert_close(computed(wide, after), computed(network, state), rtol=1e-9, atol=1e-12)
    back = between(wide, network, (after, state))
    require_covered(narrow(back), back)


def test_widths_are_refused_the_wrong_way_round() -> None:
    small, large = family("lenet_300_100", width=0.1), family("lenet_300_100", width=0.2)
    with pytest.raises(ValueError, match=r"fc1.weight has 30 units here, and 60 there: transfer=narrow"):
        widen(between(large, small))
    with pytest.raises(ValueError, match=r"fc1.weight has 60 units here, and 30 there: transfer=widen"):
        narrow(between(small, large))


# -------------------------------------------------------------------------------------- expressions


def search(run: Train) -> Train:
    found = search_of(run)
    assert found is not None
    return found


def test_masks_of_another_seed_come_from_the_chain_that_this_seed_trains_itself() -> None:
    native, other = composed("seed=3", "prune.levels=2"), composed("seed=2", "prune.levels=2", "find.seeds.offset=1")
    assert [run.ticket.mask for run in other.levels[1:]] == [run.ticket.mask for run in native.levels[1:]]
    assert search(other.levels[2]) == native.levels[1]
    assert {run.ticket.weights for run in other.levels} == {composed("seed=2").levels[0].ticket.weights}


def test_a_mask_of_other_data_is_the_mask_itself_where_the_network_is_the_same() -> None:
    words = ("model=lenet_300_100", "prune.levels=1")
    here, there = composed(*words), composed(*words, "dataset=cifar10_grey")
    moved = composed(*words, "find.dataset.name=cifar10_grey")
    assert moved.levels[0] == here.levels[0]
    assert moved.levels[1].ticket.mask == there.levels[1].ticket.mask
    assert moved.levels[1].data == here.levels[1].data


def test_start_weights_are_carried_where_they_are_asked_for() -> None:
    words = ("find.seeds.offset=1", "prune.levels=1", "rewind=step", "rewind.step=40it")
    dense = composed("seed=1").levels[0]
    assert composed(*words).levels[1].ticket.weights == at(composed("seed=0").levels[0], 40)
    assert composed(*words, "transfer.weights=true").levels[1].ticket.weights == at(dense, 40)


def test_a_deeper_network_has_its_own_dense_level_and_controls_of_the_carried_mask() -> None:
    words = ("model=mlp", "model.args.hidden=[9,9,9,5]", "++find.model.args.hidden=[9,9,5]", "prune.levels=1")
    cell = composed(*words, "transfer=elastic")
    mask, weights = cell.levels[1].ticket.mask, cell.levels[1].ticket.weights
    assert isinstance(mask, Fit)
    assert isinstance(weights, Carried)
    assert isinstance(mask.mask, Prune)
    assert full(mask).network == cell.levels[0].ticket.network
    assert isinstance(weights.weights, Init)
    assert weights.weights.network.build.args["hidden"] == [9, 9, 5]
    shuffled = composed(*words, "transfer=elastic", "control=mask_shuffle").levels[1].ticket
    assert isinstance(shuffled.mask, Shuffle)
    assert (shuffled.mask.mask, shuffled.weights) == (mask, weights)


def test_only_shown_levels_of_carried_masks_are_trained() -> None:
    every = composed("prune.levels=3", "find.seeds.offset=1")
    last = composed("prune.levels=3", "prune.shown=[3]", "find.seeds.offset=1")
    assert last.levels == (every.levels[0], every.levels[3])
    assert last.numbers == (0, 3)


# ---------------------------------------------------------------------------------- the command line

SMALL = ("-m", "budget=smoke", "prune.levels=1", "sweep=s", "trainer.processes=0")


def sweep(folder: Path, *words: str, code: int = 0) -> list[dict[str, str]]:
    assert main([*SMALL, f"paths.output_dir={folder}", *words]) == code
    with (folder / "s" / "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_sweep_of_transfers_trains_what_they_share_once_and_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("find.seeds.offset=1", "transfer=none,random_units,weight_matching,activation_matching")
    rows = sweep(tmp_path, *words)
    assert "12 trainings asked, 6 distinct" in capsys.readouterr().out
    assert {row["status"] for row in rows} == {"done"}
    assert len({row["density"] for row in rows}) == 2
    sweep(tmp_path, *words)
    assert "0 to train" in capsys.readouterr().out


def test_an_output_layer_of_other_classes_is_drawn_anew_and_dense_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("model=mlp", "model.args.hidden=[20]", "recipe=planted", "dataset=teacher", "dataset.classes=3")
    dense, ticket = sweep(tmp_path, *words, "find.dataset=teacher", "transfer.weights=true")
    assert "output layer: masks come from a network of 4 classes; with 3 here it is drawn" in capsys.readouterr().out
    assert (dense["redrawn"], ticket["redrawn"]) == ("", "output layer of 4 classes")
    run = lt.open(tmp_path / "s").ticket(level=1)
    assert run.mask["output.weight"].all()
    assert not run.mask["fc1.weight"].all()
    own = initial(run.expression.ticket.network, 0)
    state = run.state(0)
    assert torch.equal(state["output.weight"], own["output.weight"])
    assert torch.equal(state["output.bias"], own["output.bias"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("transfer=elastic",), "transfer=elastic: masks are found on this very network"),
        (("transfer.weights=true",), "transfer.weights=true: masks are found on this very network"),
        (("find.dataset=minst",), "find.dataset=minst: there is"),
        (("find.dataset=minst",), "did you mean 'mnist'?"),
        (("find.model=../x",), "find.model=../x: there is"),
        (("find.model=mlp", "transfer=elastic", "survivors=keep"), "transfer=elastic carries start weights"),
        (("find.seeds.offset=1", "prune.shown=[2]"), "prune.shown=[2]: give levels from 1 to prune.levels=1"),
        (("find.model=mlp", "find.gate=powerpropagation"), "such masks are found on the network they are for"),
        (("find.model.width=2",), "the given mask has 600x64 places for fc1.weight, this network 300x64"),
        (("find.model.width=2", "transfer=widen"), "fc1.weight has 300 units here, and 600 there: transfer=narrow"),
        (("find.model.width=2", "transfer=weight_matching"), "fc1.weight is 300x64 here, and would come from fc1"),
        (("find.seeds.offset=1", "transfer=random_units", "+transfer.args.a=1"), "takes no argument 'a'"),
    ],
)
def test_what_cannot_be_carried_is_said_in_one_line(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, f"paths.output_dir={tmp_path}", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_ticket_is_stretched_by_key_and_by_folder_to_the_same_bits(tmp_path: Path) -> None:
    sweep(tmp_path, "model=mlp", "dataset=digits", "recipe=lenet_digits", "model.args.hidden=[9,9,5]")
    found = lt.open(tmp_path / "s").ticket(level=1)
    folder = found.export(tmp_path / "ticket")
    deeper = ("model=mlp", "dataset=digits", "recipe=lenet_digits", "model.args.hidden=[9,9,9,5]", "transfer=elastic")
    (tmp_path / "s").rename(tmp_path / "first")
    begun = []
    for where in (found.key[:12], str(folder)):
        for setting in ("ticket", "mask_from"):
            rows = sweep(tmp_path, *deeper, f"{setting}={where}", "prune.levels=1", "rewind.step=0it")
            level = 0 if setting == "ticket" else 1
            run = lt.open(tmp_path / "s").ticket(level=level)
            assert rows[level]["status"] == "done"
            begun.append(run.state(run.expression.ticket.start))
            (tmp_path / "s").rename(tmp_path / f"s{len(begun)}")
    first = begun[0]
    assert all(torch.equal(state[name], value) for state in begun for name, value in first.items())
    source = found.state(0)
    assert torch.equal(first["fc3.weight"], source["fc2.weight"])
    assert torch.equal(first["fc4.bias"], source["fc3.bias"])
