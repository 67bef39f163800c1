"""Tokens: data that needs no download, networks that read them, and that everything else works on both."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small import trained_state
from test_networks import TOKENS as NAMES
from test_sweep import cells_of
from torch import Tensor, nn

import lt_sweeps as lt
from lt_sweeps.check.example import half
from lt_sweeps.cli import main as cli
from lt_sweeps.criteria.gradient import grasp, snip
from lt_sweeps.criteria.probe import HeldExamples, Probe, Scores
from lt_sweeps.datasets import text as of_text
from lt_sweeps.datasets.arrays import Arrays, files_of, read
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.datasets.group_table import group_table
from lt_sweeps.datasets.sequences import dyck, parity, repeats
from lt_sweeps.datasets.text import text
from lt_sweeps.graph import Dense, Init, Ticket, Train, Treat
from lt_sweeps.main import main
from lt_sweeps.masks import TicketTensors, dense
from lt_sweeps.networks.build import build, initial
from lt_sweeps.registry import catalogue, part
from lt_sweeps.specs import Data, Network, Recipe
from lt_sweeps.survivors.rescaled import rescaled
from lt_sweeps.sweeps import reached
from lt_sweeps.tasks.task import task_of
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

NOWHERE = Path("nowhere")


def rows_of(x: Tensor) -> set[tuple[int, ...]]:
    return set(map(tuple, x.tolist()))


# ----------------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize(
    ("operation", "size", "ordered", "made"),
    [
        ("add", 7, False, lambda a, b: (a + b) % 7),
        ("add", 7, True, lambda a, b: (a + b) % 7),
        ("subtract", 7, True, lambda a, b: (a - b) % 7),
    ],
)
def test_a_table_has_each_pair_once_and_what_it_makes(
    operation: str, size: int, ordered: bool, made: Callable[[Tensor, Tensor], Tensor]
) -> None:
    pairs = size**2 if ordered else size * (size - 1) // 2
    data = group_table(NOWHERE, pairs - 5, 5, operation, size, ordered)
    x, y = torch.cat([data.train_x, data.test_x]).long(), torch.cat([data.train_y, data.test_y])
    assert len(rows_of(x)) == pairs
    assert torch.equal(y, made(x[:, 0], x[:, 1]))


def test_permutations_are_a_group_that_does_not_commute() -> None:
    data = group_table(NOWHERE, 30, 6, "compose", 3, ordered=True)
    x, y = torch.cat([data.train_x, data.test_x]), torch.cat([data.train_y, data.test_y])
    product = {tuple(pair): made for pair, made in zip(x.tolist(), y.tolist(), strict=True)}
    elements = range(6)
    assert all(product[0, a] == product[a, 0] == a for a in elements), "the first permutation changes nothing"
    assert all(
        product[product[a, b], c] == product[a, product[b, c]] for a in elements for b in elements for c in elements
    )
    assert any(product[a, b] != product[b, a] for a in elements for b in elements)
    # (1, 0, 2) after (0, 2, 1): 0 -> 0 -> 1, 1 -> 2 -> 2, 2 -> 1 -> 0, which is (1, 2, 0), the fourth in order
    assert product[2, 1] == 3


DRAWN: dict[str, Callable[..., Arrays]] = {
    "group_table": group_table,
    "repeats": repeats,
    "dyck": dyck,
    "parity": parity,
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_draw_is_its_seed_s_and_the_test_set_knows_nothing_of_the_number_to_train_on(name: str) -> None:
    more: dict[str, Any] = {"size": 14} if name == "group_table" else {}
    one, again, other = (DRAWN[name](NOWHERE, train=60, test=20, seed=seed, **more) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.test_x, other.test_x)
    fewer = DRAWN[name](NOWHERE, train=30, test=20, **more)
    assert torch.equal(fewer.test_x, one.test_x)
    assert torch.equal(fewer.train_x, one.train_x[:30])
    assert not rows_of(one.train_x) & rows_of(one.test_x)
    assert one.train_x.dtype == torch.int16, "bytes would be pixels"


def test_what_repeats_can_be_read_off_an_earlier_copy() -> None:
    data = repeats(NOWHERE, train=200, test=10, length=15, tokens=40, shortest=4)
    whole = torch.cat([data.train_x.long(), data.train_y[:, -1:]], 1)
    periods = [next(p for p in range(4, 17) if torch.equal(row[p:], row[:-p])) for row in whole]
    assert set(periods) == {4, 5, 6, 7, 8}
    assert torch.equal(data.train_x[:, 1:].long(), data.train_y[:, :-1])


@pytest.mark.parametrize(("kinds", "depth"), [(1, 2), (2, 3), (3, 8)])
def test_brackets_are_balanced_and_no_deeper_than_asked(kinds: int, depth: int) -> None:
    many = 20 if kinds == 1 else 300
    data = dyck(NOWHERE, train=many, test=5, length=15, kinds=kinds, depth=depth)
    deepest = 0
    for word in torch.cat([data.train_x.long(), data.train_y[:, -1:]], 1).tolist():
        open_: list[int] = []
        for token in word:
            if token < kinds:
                open_.append(token)
            else:
                assert open_.pop() == token - kinds
            deepest = max(deepest, len(open_))
        assert not open_
    assert deepest == min(depth, 8)


def test_the_parity_is_of_k_places() -> None:
    """Flipping one bit changes it for k of the places: it is linear over bits, so that it can be solved for."""
    data = parity(NOWHERE, train=500, test=10, length=9, k=4)
    found = [
        places
        for places in torch.cartesian_prod(*[torch.arange(2)] * 9)
        if torch.equal((data.train_x * places).sum(1) % 2, data.train_y)
    ]
    assert [int(places.sum()) for places in found] == [4]


def test_a_folder_of_text_is_read_in_order_and_its_hash_is_kept(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    for name, content in (("b.txt", b"second file"), ("a.txt", b"first one, longer")):
        (tmp_path / "books" / name).write_bytes(content)
    whole = b"first one, longer\nsecond file"
    source = part("dataset", "text", {"train": 4, "test": 2, "length": 4, "path": "books"})
    data = read(source, tmp_path, "tokens")
    assert isinstance(data, Arrays)
    assert [bytes(row.tolist()) for row in data.train_x] == [whole[n : n + 4] for n in (0, 4, 8, 12)]
    assert [bytes(row.tolist()) for row in data.train_y] == [whole[n + 1 : n + 5] for n in (0, 4, 8, 12)]
    assert [bytes(row.tolist()) for row in data.test_x] == [whole[n : n + 4] for n in (20, 24)]
    assert [path.name for path, _ in files_of(source, tmp_path)] == ["a.txt", "b.txt"]


def test_the_library_s_text_is_part_of_where_a_result_comes_from(tmp_path: Path) -> None:
    source = part("dataset", "text", {"train": 30, "test": 20, "length": 16})
    read(source, tmp_path, "tokens")
    names = {path.relative_to(of_text.LIBRARY.resolve()).as_posix() for path, _ in files_of(source, tmp_path)}
    assert names >= {f"{module}.py" for module in of_text.MODULES.split()}
    data = text(tmp_path, 30, 20, 16)
    assert torch.equal(data.train_x[1:, 0].long(), data.train_y[:-1, -1]), "runs follow one another"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: group_table(NOWHERE, 2000, 300), "add of size 67 has 2,211 pairs"),
        (lambda: group_table(NOWHERE, 2, 2, "subtract"), "subtract needs ordered=true"),
        (lambda: group_table(NOWHERE, 2, 2, "divide"), "choose one of add, subtract, compose"),
        (lambda: group_table(NOWHERE, 2, 2, "compose", 9, ordered=True), "permutations are of 1 to 6 objects"),
        (lambda: repeats(NOWHERE, length=8), "give an odd length"),
        (lambda: repeats(NOWHERE, length=7, shortest=5), "1 to 4 tokens"),
        (lambda: dyck(NOWHERE, length=4), "has an odd length"),
        (lambda: dyck(NOWHERE, 9, 9, length=3, kinds=1), "18 different examples are wanted, and there seem to be 2"),
        (lambda: parity(NOWHERE, k=21), "give 1 to 20 places"),
        (lambda: text(NOWHERE, path="../secrets"), "leads out of paths.data_dir"),
        (lambda: text(NOWHERE, path="none.txt"), "there is no such file or folder"),
        (lambda: text(NOWHERE, train=10**9), "the standard library has"),
        (lambda: task_of(part("task", "next_token", {"skip": 1.0})), "must be in [0, 1)"),
    ],
)
def test_what_cannot_be_drawn_is_told(call: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError) as told:  # noqa: PT011
        call()
    assert said in str(told.value)


# ------------------------------------------------------------------------------------------------------------- networks

T, D = 5, 8  # tokens in a sequence, dimensions
ARGS: dict[str, dict[str, Any]] = {
    "embedding_mlp": {"dim": D, "hidden": [6]},
    "lstm": {"dim": D},
    "transformer": {"dim": D, "heads": 2},
}
TABLES = {  # tokens 7, classes 7
    "embedding_mlp": {"fc1.weight": (6, D), "projection.weight": (D, 6), "output.weight": (7, D)},
    "lstm": {"recurrent.weight_ih_l0": (4 * D, D), "recurrent.weight_hh_l0": (4 * D, D), "output.weight": (7, D)},
    "transformer": {
        **{f"blocks.{n}.attention.{w}.weight": (D, D) for n in (0, 1) for w in ("query", "key", "value", "output")},
        **{f"blocks.{n}.mlp.fc1.weight": (4 * D, D) for n in (0, 1)},
        **{f"blocks.{n}.mlp.fc2.weight": (D, 4 * D) for n in (0, 1)},
        "output.weight": (7, D),
    },
}


def network(name: str, classes: int = 7, **args: Any) -> Network:
    return Network(part("network", name, ARGS[name] | args), (T,), classes)


def drawn(name: str, **args: Any) -> nn.Module:
    described = network(name, **args)
    module = build(described)
    module.load_state_dict(initial(described, 0))
    return module.eval()


@pytest.mark.parametrize("name", NAMES)
def test_layers_are_those_of_the_table_and_embeddings_only_if_asked(name: str) -> None:
    module = build(network(name))
    assert {layer: tuple(ones.shape) for layer, ones in dense(module)[0].items()} == TABLES[name]
    assert "embedding.weight" in dense(module, include=("embedding.weight",))[0]
    wide = dense(build(network(name, width=2.0)))[0]
    assert wide["output.weight"].shape == (7, 2 * D)
    assert build(network(name, width=1e-3))(torch.zeros(2, T, dtype=torch.long)).shape[-1] == 7


def test_patterns_choose_attention_or_mlps() -> None:
    module = drawn("transformer")
    attention = dense(module, exclude=("*.mlp.*", "output.weight"))[0]
    assert {name.split(".")[2] for name in attention} == {"attention"}
    assert {name.split(".")[2] for name in dense(module, exclude=("*.attention.*", "output.weight"))[0]} == {"mlp"}
    assert not any(".mlp." in name for name, _ in drawn("transformer", mlp=0).named_parameters())


def test_tied_weights_are_one_tensor_that_is_pruned_by_its_first_name() -> None:
    module = drawn("transformer", tied=True)
    assert "output.weight" not in dense(module)[0]
    assert "embedding.weight" in dense(module, include=("embedding.weight",))[0]


@pytest.mark.parametrize("name", ["transformer", "lstm"])
def test_no_place_sees_what_comes_later(name: str) -> None:
    module, x = drawn(name), torch.tensor([[0, 1, 2, 3, 4]])
    other = torch.tensor([[0, 1, 2, 6, 5]])
    assert torch.allclose(module(x)[:, :3], module(other)[:, :3], atol=1e-6)
    assert not torch.allclose(module(x)[:, 3:], module(other)[:, 3:], atol=1e-6)
    assert torch.allclose(drawn(name, last=True)(x), module(x)[:, -1], atol=1e-6)


def test_attention_is_torch_s() -> None:
    module = drawn("transformer", layers=1, mlp=0)
    attention = module.get_submodule("blocks.0.attention")
    x = torch.randn(3, T, D)
    q, k, v = (attention.get_submodule(n)(x).unflatten(2, (2, -1)).transpose(1, 2) for n in ("query", "key", "value"))
    usual = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(x), attention.get_submodule("output")(usual))


def test_an_mlp_adds_embeddings_up_or_keeps_their_order() -> None:
    x, turned = torch.tensor([[0, 1, 2, 3, 4]]), torch.tensor([[4, 3, 2, 1, 0]])
    assert torch.allclose(drawn("embedding_mlp")(x), drawn("embedding_mlp")(turned), atol=1e-6)
    joined = drawn("embedding_mlp", join="concat")
    assert not torch.allclose(joined(x), joined(turned), atol=1e-6)
    weights = dict(drawn("embedding_mlp").named_parameters())
    hidden = (weights["embedding.weight"][x[0]].sum(0) @ weights["fc1.weight"].T).relu()
    logits = hidden @ weights["projection.weight"].T @ weights["output.weight"].T
    torch.testing.assert_close(drawn("embedding_mlp")(x)[0], logits)


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("transformer", {"heads": 3}, "must be a multiple of heads=3"),
        ("transformer", {"layers": 0}, "give 1, 1 and 0 at least"),
        ("transformer", {"tied": True, "tokens": 9}, "there are 9 tokens and 7 classes"),
        ("embedding_mlp", {"join": "mean"}, "choose one of sum, concat"),
        ("embedding_mlp", {"hidden": []}, "one hidden layer or more"),
        ("lstm", {"layers": 0}, "give 1 or more"),
        ("lstm", {"tokens": 0}, "model.args.tokens=0"),
    ],
)
def test_what_does_not_fit_together_is_refused(name: str, args: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as told:  # noqa: PT011
        build(network(name, **args))
    assert said in str(told.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_masked_training_resumes_to_the_same_bits(name: str) -> None:
    task = None if name == "embedding_mlp" else part("task", "next_token", {"skip": 0.5})
    source = (
        ("parity", {"length": T, "train": 20, "test": 4})
        if task is None
        else ("dyck", {"length": T, "train": 20, "test": 4})
    )
    classes = 2 if task is None else 4
    data, described = Data(part("dataset", *source), classes, (T,), task=task), network(name, classes)
    recipe = Recipe(20, 10, part("optimizer", "torch.optim.AdamW", {"lr": 0.01}), eval_every=10)
    run = Train(Ticket(described, Init(described, 0), Dense(described)), data, recipe)
    start = TicketTensors(initial(described, 0), half(dense(build(described))[0], 0))
    saved: list[bytes] = []

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {}))

    def trained(**session: Any) -> Any:
        return fit(run, start, Examples(data, NOWHERE, torch.device("cpu")), Hardware("cpu", False), Session(**session))

    whole = trained(checkpoint=save, wait=lambda cost: 0.0)
    resumed = trained(progress=decode_progress(saved[0])[0])
    assert state_digest(trained_state(resumed)) == state_digest(trained_state(whole))


# ------------------------------------------------------------------------------------------------ as part of everything

SMALL = ("budget=smoke", "prune.levels=1", "prune.rate=0.5")
LITTLE = {
    "transformer": ("model=attention_only", "model.args.dim=8", "task.args.skip=0.5"),
    "embedding_mlp": ("model=embedding_mlp", "model.args.dim=8"),
}


def sweep(folder: Path, *words: str) -> list[dict[str, str]]:
    assert main(["-m", *SMALL, *words, "sweep=s", f"paths.output_dir={folder}"]) == 0
    return list(csv.DictReader((folder / "s" / "results.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]]]:
    """A sweep of a transformer, its folder and rows: rewound tickets, a control, a barrier and its heads' scores."""
    folder = tmp_path_factory.mktemp("transformer")
    measured = ("measure=induction", "measure.init.name=barrier", "measure.init.args.points=2")
    rewound = ("rewind=step", "rewind.step=2it", "control=none,dense_rescaled")
    return folder / "s", sweep(folder, *LITTLE["transformer"], *measured, *rewound)


def test_a_transformer_is_pruned_and_reported_in_its_metric(swept: tuple[Path, list[dict[str, str]]]) -> None:
    folder, rows = swept
    assert {row["status"] for row in rows} == {"done"}
    assert "test perplexity" in (folder / "summary.md").read_text()
    assert all(0 <= float(row["induction_trained"]) <= 1 for row in rows)
    kept = {row["control"]: float(row["weights_remaining"]) for row in rows if row["level"] == "1"}
    assert kept == {"none": 50.0, "dense_rescaled": 100.0}
    assert all(float(row["barrier_init"]) >= 0 for row in rows)
    run = lt.open(folder).ticket(level=1, control="none")
    assert run.evaluate().metrics["perplexity"] == run.row["test_perplexity"]


def test_its_ticket_is_exported_verified_and_loaded_to_the_same_bits(
    swept: tuple[Path, list[dict[str, str]]], tmp_path: Path
) -> None:
    folder, chosen = swept[0], [str(swept[0]), "level=1", "control=none"]
    ticket = tmp_path / "ticket"
    assert cli(["ticket", "export", *chosen, "--trained", "--to", str(ticket)]) == 0
    assert cli(["ticket", "verify", str(ticket)]) == 0
    state = lt.open(folder).ticket(level=1, control="none").state()
    assert state_digest(lt.load_ticket(ticket).state_dict()) == state_digest(state)


def test_a_plan_lists_its_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["plan", *SMALL, *LITTLE["transformer"], f"paths.output_dir={tmp_path}"]) == 0
    assert "blocks.0.attention.query.weight" in capsys.readouterr().out


def test_the_step_at_which_a_value_is_reached_is_told_per_seed(swept: tuple[Path, list[dict[str, str]]]) -> None:
    folder = str(swept[0])
    assert "| none | 0 | 4 | 4 |" in reached.table(folder, "val_perplexity", 1000.0)
    assert "| dense_rescaled | 1 | never | never in 1 |" in reached.table(folder, "val_token_accuracy", 100.1)
    assert cli(["reached", folder, "val_loss", "1000"]) == 0
    assert cli(["reached", folder, "no_such", "1"]) == 2


@pytest.mark.parametrize("criterion", [snip, grasp])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_score_the_weights_of_a_network_of_tokens(name: str, criterion: Callable[[Probe], Scores]) -> None:
    described = network(name)
    module, weights = build(described), initial(described, 0)
    x = torch.randint(7, (12, T), generator=torch.Generator().manual_seed(0))
    probe = Probe(
        weights=weights,
        unmasked=weights,
        mask=dense(module)[0],
        ref=None,
        generator=torch.Generator().manual_seed(0),
        make_network=lambda: build(described),
        make_source=lambda: HeldExamples(x, x[:, 0] if name == "embedding_mlp" else x),
        shape=(T,),
        task=None if name == "embedding_mlp" else part("task", "next_token"),
    )
    scores = criterion(probe)
    assert {layer: tuple(score.shape) for layer, score in scores.items()} == TABLES[name]
    assert all(bool(score.isfinite().all()) and bool(score.any()) for score in scores.values())


def test_the_rescaled_dense_network_has_the_ticket_s_norm() -> None:
    [cell] = cells_of(*SMALL, *LITTLE["embedding_mlp"], "control=dense_rescaled")
    shown, plain = cell.levels[1].ticket, cell.levels[0].ticket
    assert shown.mask == plain.mask
    assert isinstance(shown.weights, Treat)
    assert shown.weights.ref == plain.weights
    ref = {"a": torch.randn(4, 3), "b": torch.randn(5)}
    mask = {name: torch.rand(value.shape) < 0.5 for name, value in ref.items()}
    for p in (1, 2):
        out = rescaled(mask, ref, {}, torch.Generator(), p=p)  # type: ignore[arg-type]
        norms = [
            torch.cat([x.flatten() for x in state.values()]).norm(p)
            for state in (out, {n: ref[n] * mask[n] for n in ref})
        ]
        assert float(norms[0]) == pytest.approx(float(norms[1]), rel=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model=transformer", "dataset=digits"), "its examples are no tokens, and model=transformer takes no others"),
        (("dataset=dyck",), "its examples are tokens, and model=lenet_300_100 has no embedding for them"),
        (("model=transformer", "prune=at_init", "criterion=synflow"), "criterion=synflow: sends numbers"),
        (("model=transformer", "corruption=pixel_permutation"), "moves pixels, and dataset=text has tokens"),
        (("model=transformer", "recipe.augment=[flip]"), "augments or normalises pixels"),
        (("model=transformer", "prune.unit=channel"), "finds layers by an image"),
        (("model=lstm", "measure=induction"), "looks at heads of attention, and model=lstm has none"),
    ],
)
def test_what_is_of_images_alone_is_refused_before_anything_is_trained(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(Exception, match=said.replace("(", r"\(")):
        cells_of(*words)


def test_every_network_of_tokens_says_so() -> None:
    said = {name for name, entry in catalogue("network").items() if "tokens" in entry.needs}
    assert {*NAMES} == {*ARGS} == said - {"hf_causal", "hf_classifier"}  # whose tests are in test_hugging_face.py
