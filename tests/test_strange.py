"""Networks that are not as ours are: what simply works, and what is refused before anything trains."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lt_sweeps.cli import main as cli
from lt_sweeps.datasets.arrays import read
from lt_sweeps.main import main
from lt_sweeps.masks import dense
from lt_sweeps.networks.build import build, initial
from lt_sweeps.registry import part
from lt_sweeps.specs import Network

pytestmark = pytest.mark.sweeps

SGD = "{_target_:torch.optim.SGD}"
BY_PATTERN = "model=lenet_digits recipe.optimizer._target_=by_pattern"
WORDS = ["model=custom", "dataset=digits", "recipe.validation=237", "budget=smoke", "prune.levels=1", "sweep=s"]


class Plain(nn.Module):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Any:
        return self.fc(x.flatten(1))


@dataclasses.dataclass
class Output:
    logits: Tensor
    loss: None = None


class GivesDict(Plain):
    def forward(self, x: Tensor) -> Any:
        return {"logits": super().forward(x), "aux": 1}


class GivesDataclass(Plain):
    def forward(self, x: Tensor) -> Any:
        return Output(super().forward(x))


class Lazy(nn.Sequential):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(classes))


class WithoutElements(Plain):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        self.empty, self.nothing = nn.Parameter(torch.zeros(0)), nn.Conv2d(1, 0, 1, bias=False)


class ReadsValues(Plain):
    """Cannot be tried without values."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x if x.sum().item() < 1e9 else -x)


class Attends(nn.Module):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.cross = nn.MultiheadAttention(8, 2, kdim=4, vdim=4)
        self.recur = nn.LSTM(8, 16, batch_first=True)
        self.up = nn.ConvTranspose1d(16, 8, 1)
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Any:
        x = x.flatten(1).view(len(x), 8, 8)
        x = self.recur(self.attend(x, x, x)[0])[0]
        return self.fc(self.norm(self.up(x[:, -1:].transpose(1, 2)).flatten(1)))


class GivesTuple(Plain):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


class GivesNothing(Plain):
    def forward(self, x: Tensor) -> Any:
        super().forward(x)


class TooManyClasses(Plain):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes + 1)


class OnePerBatch(Plain):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).mean(0)


class Raises(Plain):
    def forward(self, x: Tensor) -> Any:
        raise KeyError("no such thing")


class Exits(Plain):
    def forward(self, x: Tensor) -> Any:
        raise SystemExit(0)


class DrawsAnew(Plain):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        with torch.no_grad():
            self.fc.weight.mul_(1 + os.urandom(1)[0] * 256 + os.urandom(1)[0])


class Counts(Plain):
    calls = 0

    def forward(self, x: Tensor) -> Any:
        Counts.calls += 1
        return super().forward(x) * Counts.calls


class TrainsInHalf(Plain):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.half() if self.training else x)


class Embeds(nn.Module):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.words, self.fc = nn.Embedding(300, 8), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.words(x).flatten(1, -2).mean(1))


def numbers(data_dir: Path) -> Any:
    """The digits as int16, which are no pixels."""
    x = torch.randint(0, 17, (1797, 1, 8, 8), generator=torch.Generator().manual_seed(0)).short()
    y = x.flatten(1)[:, 20].long() % 10
    return x[:1437], y[:1437], x[1437:], y[1437:]


def scores_anew(probe: Any) -> Any:
    return {name: torch.full(ones.shape, float(os.urandom(1)[0])) for name, ones in probe.mask.items()}


def draws_anew(mask: Any, ref: Any, end: Any, generator: Any) -> Any:
    return {name: torch.rand(value.shape) for name, value in ref.items()}


def forgets(mask: Any, ref: Any, end: Any, generator: Any) -> Any:
    return {name: ref[name] for name in mask}


def one_row(rows: Tensor, cols: Tensor, generator: Any) -> Any:
    return rows[:, :1], cols


def no_scores(probe: Any) -> Any:
    assert probe.examples[0].shape[1:] == probe.shape


def whole_numbers(data_dir: Path) -> Any:
    x, y, *held = numbers(data_dir)
    return x.long(), y, held[0].long(), held[1]


class Writes(Embeds):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x if self.training else x.add_(1))


def pixels(data_dir: Path) -> Any:
    x = torch.randint(0, 256, (1797, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    y = (x.flatten(1)[:, :32].float().mean(1) > 128).long() + 2 * (x.flatten(1)[:, 32:].float().mean(1) > 128).long()
    return x[:1437], y[:1437], x[1437:], y[1437:]


def floats(data_dir: Path) -> Any:
    x, y, *held = pixels(data_dir)
    return x.numpy().astype("float32") / 255, y.numpy().astype("int32"), held[0].float() / 255, held[1].short()


class Pairs(torch.utils.data.Dataset[Any]):
    """As torchvision's: images of PIL, one part at a time."""

    def __init__(self, root: str, train: bool = True, transform: None = None) -> None:
        x, y, *held = pixels(Path(root))
        self.x, self.y = (x[:, 0].numpy(), y) if train else (held[0][:, 0].numpy(), held[1])

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, number: int) -> Any:
        return Image.fromarray(self.x[number]), int(self.y[number])


def two(data_dir: Path, size: int = 1797) -> Any:
    return Pairs(str(data_dir)), Pairs(str(data_dir), train=False)


def split_at_random(data_dir: Path) -> Any:
    """As scikit-learn and torch split by default, and noise of Python's own."""
    images, classes = pixels(data_dir)[:2]
    torch_order, numpy_order = torch.randperm(len(images)), torch.from_numpy(np.random.permutation(len(images)))
    order = torch_order[numpy_order].roll(random.randrange(len(images)))
    return images[order[:900]], classes[order[:900]], images[order[900:]], classes[order[900:]]


def uneven(data_dir: Path) -> Any:
    return [(torch.zeros(1, 8, 8), 0), (torch.zeros(1, 9, 9), 1)], [(torch.zeros(1, 8, 8), 0)]


def labelled(label: Any) -> Any:
    return [(torch.zeros(1, 8, 8), label)] * 5, [(torch.zeros(1, 8, 8), 0)]


def half_labels(data_dir: Path) -> Any:
    return labelled(0.9)


def texts(data_dir: Path) -> Any:
    return labelled("3")


def one_hot(data_dir: Path) -> Any:
    return labelled(torch.tensor([0, 1]))


def far(data_dir: Path) -> Any:
    return labelled(2**40)


def none_at_all(data_dir: Path) -> Any:
    return [], []


def mixed(data_dir: Path) -> Any:
    return [(torch.zeros(1, 8, 8), 0), (torch.zeros(1, 8, 8, dtype=torch.uint8), 1)], [(torch.zeros(1, 8, 8), 0)]


def flat(data_dir: Path) -> Any:
    return torch.zeros(4, 1, 0, 8), torch.zeros(4).long(), torch.zeros(4, 1, 0, 8), torch.zeros(4).long()


def leaves(data_dir: Path) -> Any:
    raise SystemExit(3)


def unpaired(data_dir: Path) -> Any:
    return [3, 4], [5]


class TooLarge(Plain):
    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        self.fc = nn.Linear(65, classes)


def run(folder: Path, name: str, *words: str) -> int:
    return main([*WORDS, f"model._target_=test_strange.{name}", f"paths.output_dir={folder}", *words])


@pytest.mark.filterwarnings("ignore:Lazy modules", "ignore:Initializing zero-element")
@pytest.mark.parametrize("name", ["GivesDict", "GivesDataclass", "Lazy", "WithoutElements", "ReadsValues", "Attends"])
def test_it_simply_works(name: str, tmp_path: Path) -> None:
    assert run(tmp_path, name) == 0
    rows = list(csv.DictReader((tmp_path / "s" / "results.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["done", "done"]
    assert 0.75 < float(rows[1]["density"]) < 0.85


REFUSED = {
    "GivesTuple": "the network returns a tuple: return the logits alone, or something that has `logits`",
    "GivesNothing": "the network returns a NoneType",
    "TooManyClasses": "for 2 examples it gives [2, 11]: return logits, [2, 10]",
    "OnePerBatch": "for 2 examples it gives [10]: return logits, [2, 10]",
    "Raises": "KeyError: 'no such thing' (",
    "Exits": "SystemExit: 0 (",
    "TooLarge": "mat1 and mat2 shapes cannot be multiplied",
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_before_anything_trains(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, name) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"lt_sweeps: network test_strange.{name}: ")
    assert error.count("\n") == 1
    assert REFUSED[name] in error
    assert not (tmp_path / "store").exists()


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_layers_are_drawn_by_the_seed() -> None:
    described = Network(part("network", "test_strange.Lazy"), (1, 8, 8), 10)
    one, again, other = (initial(described, seed) for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["0.weight"], other["0.weight"])
    build(described).load_state_dict(one)


def test_projections_of_attention_and_recurrent_and_transposed_layers_are_prunable() -> None:
    mask, _ = dense(Attends((1, 8, 8), 10))
    assert sorted(mask) == [
        "attend.in_proj_weight",
        "attend.out_proj.weight",
        "cross.k_proj_weight",
        "cross.out_proj.weight",
        "cross.q_proj_weight",
        "cross.v_proj_weight",
        "fc.weight",
        "recur.weight_hh_l0",
        "recur.weight_ih_l0",
        "up.weight",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("model._target_=test_strange.DrawsAnew", "fc.weight differs each time it is drawn with the same seed"),
        ("model._target_=test_strange.Counts", "its output in training is another each time"),
        ("model._target_=test_strange.TrainsInHalf", "a first step of test_strange.TrainsInHalf with Adam fails"),
        ("model=lenet_digits recipe.optimizer._target_=torch.optim.Muon", "with Muon fails: ValueError: Muon only"),
        ("model=lenet_digits recipe.optimizer._target_=torch.optim.SparseAdam", "with SparseAdam fails: RuntimeError"),
        ("model=lenet_digits recipe.optimizer.args.lr=-1", "with Adam fails: ValueError: Invalid learning rate"),
        ("model=lenet_digits model.width=1000000", "needs 360,000,247 GB of memory or more, this machine has"),
        ("model=lenet_digits criterion.name=numpy.abs", "criterion numpy.abs fails on lenet_300_100: TypeError"),
        ("model=lenet_digits criterion.name=test_strange.no_scores", "gave a NoneType, not a score for each weight"),
        ("model=lenet_digits recipe.optimizer.momentun=1", "unexpected keyword argument 'momentun'"),
        ("model=lenet_digits +recipe.optimizer.args.betas=[2,3]", "with Adam fails: ValueError: Invalid beta"),
        ("model=lenet_digits criterion.name=test_strange.scores_anew", "gets other scores in a second call"),
        ("model=lenet_digits survivors.name=test_strange.draws_anew", "differs in a second call: draw with the gen"),
        ("model=lenet_digits survivors.name=test_strange.forgets", "return all names of ref"),
        ("model=lenet_digits pruned.name=test_strange.forgets", "pruned=test_strange.forgets on lenet_300_100: "),
        (
            "model=lenet_digits recipe.augment=[test_strange.one_row]",
            "rows are not int64 of [64, 8] after it: keep both",
        ),
        (f"{BY_PATTERN}", "give recipe.optimizer.groups={PATTERN: {_target_: torch.optim.X, lr: 0.1}}"),
        (f"{BY_PATTERN} recipe.optimizer.groups={{x*:{SGD},*:{SGD}}}", "no parameter is in group 'x*'"),
        (f"{BY_PATTERN} recipe.optimizer.groups={{fc*:{SGD}}}", "output.weight is in no group; call the rest '*'"),
        (f"{BY_PATTERN} recipe.optimizer.groups={{*.weight:{SGD},f*:{SGD}}}", "is in the groups '*.weight' and 'f*'"),
        (f"{BY_PATTERN} recipe.optimizer.groups={{*:{{_target_:os.system}}}}", "a _target_ of torch.optim.*, this one"),
        (f"{BY_PATTERN} recipe.optimizer.groups={{*:1}}", "each group is a mapping with a _target_, this one is 1"),
        (
            "model=lenet_digits recipe.schedule._target_=warmup_multistep recipe.schedule.milestones=[600it,300it]",
            "]: give them in ascending order",
        ),
        (
            "model=lenet_digits recipe.schedule._target_=torch.optim.lr_scheduler.CyclicLR",
            "CyclicLR.__init__() missing 2 required",
        ),
    ],
)
def test_what_would_fail_in_every_training_is_found_before_the_first(
    words: str, told: str, refusal: Callable[[list[str]], str]
) -> None:
    assert told in refusal([*WORDS, *words.split()])


def test_integers_stay_integers(tmp_path: Path) -> None:
    words = ["dataset.name=test_strange.numbers", "dataset.files=[]", "recipe.mean=[]", "recipe.std=[]"]
    assert run(tmp_path, "Embeds", *words) == 0
    rows = list(csv.DictReader((tmp_path / "s" / "results.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["done", "done"]


def of_data(folder: Path, name: str, *words: str) -> list[dict[str, str]]:
    words = (f"dataset.name=test_strange.{name}", "dataset.files=[]", "sweep=s", *words)
    assert run(folder, "Plain", "recipe.steps=200it", "budget=paper", *words) == 0
    return list(csv.DictReader((folder / "s" / "results.csv").read_text().splitlines()))


def test_floats_are_the_same_pixels_and_nothing_is_scaled_twice(tmp_path: Path) -> None:
    """The same images as bytes and as floats, in numpy and in tensors, with many evaluations on the way."""
    words = ("dataset.classes=4", "recipe.mean=[0.5]", "recipe.std=[0.25]", "recipe.eval_every=10it")
    bytes_, floats_ = (of_data(tmp_path / name, name, *words) for name in ("pixels", "floats"))
    for one, two in zip(bytes_, floats_, strict=True):
        assert float(one["test_accuracy"]) > 60
        assert abs(float(one["test_accuracy"]) - float(two["test_accuracy"])) < 1


def test_a_network_that_writes_into_held_out_examples_gives_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dataset.name=test_strange.whole_numbers", "dataset.files=[]", "recipe.mean=[]", "recipe.std=[]"]
    assert run(tmp_path, "Writes", *words) == 1
    assert "validation or test examples were changed in place" in capsys.readouterr().out
    assert not list((tmp_path / "store/record").rglob("*.json"))


def test_data_that_are_split_at_random_are_the_same_in_every_process() -> None:
    """Else a mask would be found on examples that its ticket is tested on, in another process."""
    torch.manual_seed(1)
    source, before = part("dataset", "test_strange.split_at_random"), torch.random.get_rng_state()
    one, other = read(source, Path("here")), read(source, Path("there"))  # two places: each is read anew
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", ["pixels", "Pairs", "two"])
def test_data_of_ones_own_are_counted(name: str, tmp_path: Path) -> None:
    words = ["model=mlp", "dataset=custom", f"dataset._target_=test_strange.{name}", "recipe=lenet_digits", "sweep=s"]
    assert main([*words, "budget=smoke", "prune.levels=1", f"paths.output_dir={tmp_path}"]) == 0
    (cell,) = json.loads((tmp_path / "s/cells.json").read_text())
    told = {key: cell["config"]["dataset"][key] for key in ("shape", "classes", "train", "test")}
    assert told == {"shape": [1, 8, 8], "classes": 4, "train": 1437, "test": 360}
    rows = list(csv.DictReader((tmp_path / "s/results.csv").read_text().splitlines()))
    assert [(row["status"], row["dataset"]) for row in rows] == [("done", f"test_strange.{name}")] * 2
    assert cli(["status", str(tmp_path / "s")]) == 0
    assert cli(["report", str(tmp_path / "s")]) == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("uneven", "the training Dataset has images of [1, 8, 8] and of [1, 9, 9]: give all one size"),
        ("unpaired", "the training Dataset gives a int: give pairs of an image and a label"),
        ("nothing_of_the_kind", "test_strange has no 'nothing_of_the_kind'"),
        ("Plain", "TypeError"),
        ("half_labels", "the training Dataset gives the label '0.9': give an integer"),
        ("texts", "gives the label '3': give an integer"),
        ("one_hot", "gives the label 'tensor([0, 1])': give an integer"),
        ("far", "its labels go up to 1,099,511,627,776, with 5 examples"),
        ("none_at_all", "the training Dataset is empty"),
        ("mixed", "has images of float32 and of uint8: give all one type"),
        ("flat", "its examples hold nothing"),
        ("leaves", "SystemExit: 3"),
    ],
)
def test_data_that_cannot_be_counted_are_refused_in_one_line(
    name: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model=mlp", "dataset=custom", f"dataset._target_=test_strange.{name}", "recipe=lenet_digits"]
    assert main([*words, f"paths.output_dir={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
