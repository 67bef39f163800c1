"""`prune.include`: weights that usually stay whole, and weights that a network holds under several names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lt_sweeps as lt
from lt_sweeps.cli import main as cli
from lt_sweeps.main import main
from lt_sweeps.masks import aliases, dense, effective, kept, prunable

pytestmark = pytest.mark.sweeps


class Tied(nn.Module):
    """An embedding whose weight is also that of a layer, and a matrix of the network's own."""

    def __init__(self, shape: tuple[int, ...], classes: int, sparse: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(32, 8, sparse=sparse)
        self.place = nn.Parameter(torch.randn(64, 8))
        self.mix, self.head = nn.Linear(8, 8), nn.Linear(8, 32, bias=False)
        self.head.weight = self.embed.weight
        self.output = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Any:
        tokens = (x.flatten(1) // 8).long()
        return self.output(self.head(self.mix((self.embed(tokens) + self.place).mean(1)).relu()))


WORDS = [
    *("model=custom", "model._target_=test_include.Tied", "dataset=digits", "recipe.validation=237"),
    *("recipe.steps=40it", "recipe.eval_every=20it", "sweep=s", "trainer.processes=0"),
]


def test_what_is_included_is_pruned_under_its_first_name() -> None:
    network = Tied((1, 8, 8), 10)
    assert aliases(network) == {"head.weight": "embed.weight"}
    assert list(prunable(network)) == ["mix.weight", "output.weight"]
    for pattern in ("embed.*", "head.weight"):
        assert list(prunable(network, (pattern,))) == ["embed.weight", "mix.weight", "output.weight"]
    mask, excluded = dense(network, ("output.*",), ("head.*", "place"))
    assert list(mask) == ["place", "embed.weight", "mix.weight"]
    assert (kept(mask), excluded) == (64 * 8 + 32 * 8 + 8 * 8, 320)


@pytest.mark.parametrize(
    ("include", "told"),
    [
        (("embd.weight",), "matches none of place, embed.weight, head.weight; did you mean 'embed.weight'?"),
        (("mix.bias",), "matches none of"),
        (("mix.weight",), "matches none of"),
    ],
)
def test_a_pattern_that_adds_nothing_is_refused(include: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValueError, match=r"prune\.include") as caught:
        prunable(Tied((1, 8, 8), 10), include)
    assert told in str(caught.value)


def test_sparse_gradients_are_refused() -> None:
    with pytest.raises(ValueError, match="sparse gradients"):
        prunable(Tied((1, 8, 8), 10, sparse=True), ("embed.*",))


def test_where_nothing_can_be_added_the_plan_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["plan", "prune.include=[fc1.weight]", f"paths.output_dir={tmp_path}"]) == 2
    assert "every weight of two or more dimensions is prunable without it" in capsys.readouterr().err


def test_what_is_pruned_under_one_name_is_pruned_under_all() -> None:
    state = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([1.0, 2.0])}
    found = effective(state, {"a": torch.tensor([True, False])}, None, {"b": "a"})
    assert [found[name].tolist() for name in "ab"] == [[1, 0], [1, 0]]
    assert list(found) == ["a", "b"]


@pytest.mark.parametrize("survivors", ["rewind", "reinit", "shuffle"])
@pytest.mark.parametrize("criterion", ["magnitude", "snip"])
def test_a_shared_weight_goes_through_a_whole_experiment(survivors: str, criterion: str, tmp_path: Path) -> None:
    more = ["prune.include=[head.weight,place]", "rewind=step", "rewind.step=20it", "prune.levels=2"]
    more += [f"survivors={survivors}", f"criterion={criterion}", f"paths.output_dir={tmp_path}"]
    assert main([*WORDS, *more]) == 0
    sweep = lt.open(tmp_path / "s")
    run = sweep.ticket(level=2, seed=0, control="none")
    # 1,152 prunable weights, a fifth pruned twice, each count rounded.
    assert kept(run.mask) == 1152 - 230 - 184
    for step in (20, 40):
        state = run.state() if step == 40 else run.state(step)
        assert torch.equal(state["embed.weight"], state["head.weight"])
        assert not bool(state["embed.weight"][~run.mask["embed.weight"]].any())
    assert run.evaluate().accuracy == run.row["test_accuracy"]
    folder = run.export(tmp_path / "ticket")
    loaded = lt.load_ticket(folder, trust=True)
    assert torch.equal(loaded.embed.weight != 0, run.mask["embed.weight"])
    assert loaded.head.weight is loaded.embed.weight
    assert cli(["ticket", "train", str(folder), "--trust", "--runs", str(tmp_path / "again")]) == 0


def test_a_mask_of_included_weights_is_for_networks_that_include_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    include = "prune.include=[embed.weight]"
    assert main([*WORDS, include, "prune.levels=1", f"paths.output_dir={tmp_path}"]) == 0
    folder = lt.open(tmp_path / "s").ticket(level=1, seed=0, control="none").export(tmp_path / "ticket")
    given = [f"mask_from={folder}", "seed=1", f"paths.output_dir={tmp_path / 'other'}"]
    assert main([*WORDS, *given]) == 2
    assert "the given mask has a layer embed.weight that this network lacks" in capsys.readouterr().err
    assert main([*WORDS, include, *given]) == 0
