"""Maps: a class for each place of an image. Drawn shapes, a U-Net, and that everything else works on both."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import OPTIMIZERS, trained_state
from test_networks import MAPS
from test_sweep import cells_of
from torch import Tensor, nn
from torchmetrics.classification import MulticlassJaccardIndex

import lt_sweeps as lt
from lt_sweeps.check.example import half
from lt_sweeps.cli import main as cli
from lt_sweeps.config.counting import counted
from lt_sweeps.criteria.flow import synflow
from lt_sweeps.criteria.gradient import grasp, snip
from lt_sweeps.criteria.probe import HeldExamples, Probe, Scores
from lt_sweeps.datasets import shapes as of_shapes
from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.datasets.shapes import KINDS, shapes
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.main import main
from lt_sweeps.masks import TicketTensors, dense, prunable
from lt_sweeps.networks.build import build, initial
from lt_sweeps.networks.work import operations
from lt_sweeps.registry import part
from lt_sweeps.specs import Data, Network, Part, Recipe
from lt_sweeps.tasks.task import task_of
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

pytestmark = pytest.mark.sweeps

NOWHERE = Path("nowhere")
TASK = part("task", "dense_prediction")
IGNORING = part("task", "dense_prediction", {"ignore": 255})

# ---------------------------------------------------------------------------------------------------- loss and metrics

CLASSES = torch.tensor([[[0, 0], [0, 1]], [[255, 255], [255, 1]], [[255, 255], [255, 255]]])


def answering(classes: Tensor, sure: float = 20.0, kinds: int = 3) -> Tensor:
    """Logits (N, kinds, H, W) of which each place is `sure` of a class."""
    return sure * nn.functional.one_hot(classes, kinds).movedim(-1, 1).float()


def test_the_loss_is_the_mean_over_examples_of_the_mean_of_their_places_by_hand() -> None:
    """Logits of log 3 for class 0 and 0 for two others: class 0 has 3/5, class 1 has 1/5."""
    logits = math.log(3) * answering(torch.zeros(3, 2, 2, dtype=torch.long), 1.0)
    zero, one = -math.log(3 / 5), -math.log(1 / 5)
    each = [(3 * zero + one) / 4, one, 0.0]  # four places, one place, none
    loss = task_of(IGNORING).loss
    assert loss(logits, CLASSES).item() == pytest.approx(sum(each) / 3, rel=1e-6)
    for number, wanted in enumerate(each):
        alone = logits[number : number + 1], CLASSES[number : number + 1]
        assert loss(*alone).item() == pytest.approx(wanted, rel=1e-6)
        assert loss(*alone, reduction="sum").item() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("task", [TASK, IGNORING], ids=["all places", "some places"])
def test_sums_of_unequal_parts_add_up_to_the_mean_of_all(task: Part) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 4, 6, 5, generator=generator, dtype=torch.float64)
    classes = torch.randint(4, (9, 6, 5), generator=generator)
    if task is IGNORING:
        classes[torch.rand(9, 6, 5, generator=generator) < 0.4] = 255
        classes[3] = 255
    loss = task_of(task).loss
    parts = [loss(logits[at], classes[at], reduction="sum") for at in (slice(0, 4), slice(4, 9), slice(9, 9))]
    assert float(sum(parts)) / 9 == pytest.approx(float(loss(logits, classes)), rel=1e-12)
    assert float(parts[-1]) == 0.0


def test_without_places_that_do_not_count_it_is_torch_s_cross_entropy_of_maps() -> None:
    logits, classes = torch.randn(3, 4, 6, 5), torch.randint(4, (3, 6, 5))
    wanted = nn.functional.cross_entropy(logits, classes)
    for task in (TASK, IGNORING):
        torch.testing.assert_close(task_of(task).loss(logits, classes), wanted)


def test_a_place_that_does_not_count_has_no_gradient() -> None:
    logits = torch.randn(3, 3, 2, 2, requires_grad=True)
    task_of(IGNORING).loss(logits, CLASSES).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad.abs().sum(1) > 0, CLASSES != 255)


def measured(task: Part, outputs: int, *batches: tuple[Tensor, Tensor]) -> dict[str, float]:
    metrics = task_of(task).metrics(outputs)
    for batch in batches:
        for metric in metrics.values():
            metric.update(*batch)
    return {name: metric.compute().item() for name, metric in metrics.items()}


def test_mean_iou_by_hand_leaves_out_classes_that_are_nowhere() -> None:
    """Of the five places that count class 0 has 2 of 4 in the union, class 1 one of 3; class 2 is nowhere."""
    answers = torch.tensor([[[0, 0], [1, 1]], [[2, 2], [2, 0]], [[2, 0], [1, 2]]])
    found = measured(IGNORING, 3, (answering(answers), CLASSES))
    assert found["mean_iou"] == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert found["pixel_accuracy"] == pytest.approx(3 / 5)
    answers[0, 0, 0] = 2  # now class 2 is answered, and right nowhere
    assert measured(IGNORING, 3, (answering(answers), CLASSES))["mean_iou"] == pytest.approx((1 / 4 + 1 / 3 + 0) / 3)


@pytest.mark.parametrize("task", [TASK, IGNORING], ids=["all places", "some places"])
def test_it_is_torchmetrics_jaccard_index_however_examples_are_cut(task: Part) -> None:
    generator = torch.Generator().manual_seed(1)
    logits, classes = torch.randn(12, 6, 5, 7, generator=generator), torch.randint(5, (12, 5, 7), generator=generator)
    logits[:, 5] = -9.0  # a class that is nowhere
    if task is IGNORING:
        classes[torch.rand(12, 5, 7, generator=generator) < 0.3] = 255
    theirs = MulticlassJaccardIndex(6, ignore_index=255 if task is IGNORING else None)
    theirs.update(logits, classes)
    whole = measured(task, 6, (logits, classes))
    assert whole["mean_iou"] == pytest.approx(theirs.compute().item(), rel=1e-6)
    assert measured(task, 6, (logits[:5], classes[:5]), (logits[5:], classes[5:])) == whole


# ----------------------------------------------------------------------------------------------------------------- data


def test_a_draw_is_its_seed_s_and_the_number_of_one_part_changes_none_of_the_other() -> None:
    one, again, other = (shapes(NOWHERE, train=300, test=20, side=16, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.test_x, other.test_x)
    fewer = shapes(NOWHERE, train=30, test=20, side=16)
    assert torch.equal(fewer.test_x, one.test_x)
    assert torch.equal(fewer.train_x, one.train_x[:30])
    assert torch.equal(fewer.train_y, one.train_y[:30])
    assert one.train_x.dtype == torch.uint8


def test_all_kinds_have_the_area_of_a_disc() -> None:
    places = torch.linspace(-2, 2, 2001, dtype=torch.float64)
    for name, holds in KINDS.items():
        area = float(holds(places[None], places[:, None]).double().mean()) * 16
        assert area == pytest.approx(math.pi, rel=2e-3), name


def test_shapes_are_lighter_or_darker_than_the_background_and_every_class_is_there() -> None:
    data = shapes(NOWHERE, train=200, test=1, noise=0)
    away = (data.train_x[:, 0].int() - of_shapes.BACKGROUND).abs()
    assert not away[data.train_y == 0].any()
    assert bool((away[data.train_y > 0] >= of_shapes.LEAST).all())
    shares = data.train_y.flatten().bincount().double()[1:]
    assert len(shares) == 4
    assert float(shares.max() / shares.min()) < 1.3, "no kind is more frequent"
    assert int(shapes(NOWHERE, train=50, test=1, classes=3).train_y.max()) == 2


def test_noise_is_uniform_around_what_is_drawn() -> None:
    clean, noisy = (shapes(NOWHERE, train=50, test=1, noise=noise) for noise in (0, 20))
    assert torch.equal(clean.train_y, shapes(NOWHERE, train=50, test=1, noise=0).train_y)
    assert int((noisy.train_x[noisy.train_y[:, None] == 0].int() - of_shapes.BACKGROUND).abs().max()) == 20


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: shapes(NOWHERE, classes=6), "give 2 to 5, background and disc, square, triangle, cross"),
        (lambda: shapes(NOWHERE, objects=0), "give 1 or more objects"),
        (
            lambda: task_of(part("task", "dense_prediction", {"ignore": 0.5})),
            "dense_prediction: ignore=0.5: give a whole number",
        ),
    ],
)
def test_what_cannot_be_drawn_is_told(call: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError) as told:  # noqa: PT011
        call()
    assert said in str(told.value)


def streets(data_dir: Path, highest: int = 255) -> Arrays:
    """One's own: two classes by the brightness of a pixel; a frame has none."""
    x = torch.randint(256, (60, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    y = (x[:, 0] > 127).long()
    y[:, 0], y[:, -1] = highest, highest
    return Arrays(x[:50], y[:50], x[50:], y[50:])


def test_classes_of_one_s_own_maps_are_counted_without_the_places_that_have_none() -> None:
    dataset: dict[str, Any] = {"_target_": "test_maps.streets", "args": {}}
    task: dict[str, Any] = {"name": "dense_prediction", "args": {"ignore": 255}}
    found = counted(dataset, task, "nowhere")
    assert (found["shape"], found["classes"], found["train"], found["test"]) == ([1, 8, 8], 2, 50, 10)
    with pytest.raises(Mistake, match=r"3 classes, up to 255: .* named by task.args.ignore=255"):
        counted(dataset, {"name": "dense_prediction", "args": {}}, "nowhere")


@pytest.mark.parametrize(
    ("task", "highest", "said"),
    [
        (TASK, 7, "dataset.classes=2, but there are labels up to 7; task.args.ignore=NUMBER is for places without"),
        (TASK, -1, "labels begin at -1: count classes from 0; task.args.ignore=-1 is for places without"),
    ],
)
def test_labels_that_are_no_classes_are_refused(task: Part, highest: int, said: str) -> None:
    data = Data(part("dataset", "test_maps.streets", {"highest": highest}), 2, (1, 8, 8), task=task)
    with pytest.raises(ValueError) as told:  # noqa: PT011
        Examples(data, NOWHERE, torch.device("cpu"))
    assert said in str(told.value)
    with pytest.raises(ValueError, match="moves images, and not their maps"):
        Examples(replace(data, augment=("flip",)), NOWHERE, torch.device("cpu"))


# -------------------------------------------------------------------------------------------------------------- network


def network(classes: int = 5, side: int = 8, channels_in: int = 1, **args: Any) -> Network:
    return Network(part("network", "unet", {"depth": 2, "channels": 4, **args}), (channels_in, side, side), classes)


def test_the_network_of_maps_is_the_unet() -> None:
    assert MAPS == ["unet"]


def test_layers_are_those_of_ronneberger_et_al_s_figure_1() -> None:
    """Its defaults are the paper's: 64 to 1024 channels and back, 23 convolutions; 31.0M weights."""
    with torch.device("meta"):
        module = build(Network(part("network", "unet"), (1, 32, 32), 2))
    seen: list[tuple[int, int]] = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, out: seen.append((out.shape[1], out.shape[3])))
    assert module(torch.zeros(2, 1, 32, 32, device="meta")).shape == (2, 2, 32, 32)
    down = [(64 * 2**stage, 32 // 2**stage) for stage in range(5) for _ in range(2)]
    up = [(64 * 2**stage, 32 // 2**stage) for stage in (3, 2, 1, 0) for _ in range(3)]
    assert seen == [*down, *up, (2, 32)]
    weights = sum(weight.numel() for weight in prunable(module).values())
    pairs = 9 * (
        1 * 64 + sum(64 * 2**n * 64 * 2 ** (n + 1) for n in range(4)) + sum((64 * 2**n) ** 2 for n in range(5))
    )
    ups = sum(4 * 2 * c * c + 9 * 2 * c * c + 9 * c * c for c in (512, 256, 128, 64))
    assert weights == pairs + ups + 64 * 2


def test_its_work_is_counted_by_hand() -> None:
    """depth 1 on 4x4: pairs 1-2-2 on 16 places and 2-4-4 on 4, up 4-2, pair 4-2-2 and output on 16."""
    module = build(network(classes=3, side=4, depth=1, channels=2))
    down = 9 * (2 + 4) * 16 + 9 * (8 + 16) * 4
    assert operations(module, torch.zeros(1, 1, 4, 4)) == down + (4 * 8 + 9 * (8 + 4) + 2 * 3) * 16


@pytest.mark.parametrize("side", [4, 8, 12, 36])
def test_any_side_that_can_be_halved_passes_and_keeps_its_size(side: int) -> None:
    module = build(network(side=side))
    assert module(torch.rand(2, 1, side, side)).shape == (2, 5, side, side)
    wide = build(Network(part("network", "unet", {"depth": 2, "channels": 4}), (3, side, 2 * side), 5))
    assert wide(torch.rand(2, 3, side, 2 * side)).shape == (2, 5, side, 2 * side)


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_width_scales_all_channels_but_those_of_images_and_classes(width: float) -> None:
    usual, wide = prunable(build(network())), prunable(build(network(width=width)))
    first, last = next(iter(usual)), list(usual)[-1]
    assert (first, last) == ("down.0.conv1.weight", "output.weight")
    for key, before in usual.items():
        out, into, *field = before.shape
        assert wide[key].shape == (
            out if key == last else out * width,
            into if key == first else into * width,
            *field,
        ), key
    assert build(network(width=1e-3))(torch.rand(2, 1, 8, 8)).shape == (2, 5, 8, 8)


def test_what_was_kept_on_the_way_down_is_used_on_the_way_up() -> None:
    module = build(network()).eval()
    x = torch.rand(1, 1, 8, 8)
    before = module(x)
    with torch.no_grad():
        for up in module.up:
            up.conv.weight.zero_()  # nothing comes from below
            up.conv.bias.zero_()
    assert not torch.equal(module(x), before)
    assert float(module(x).detach().std()) > 0, "the highest stage alone still tells places apart"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (network(side=6), "halves 6x6 2 times, and leaves a rest"),
        (network(depth=0), "give 1 or more of both"),
        (Network(part("network", "unet"), (5,), 2), "it takes images, (C, H, W)"),
    ],
)
def test_what_does_not_fit_is_refused(made: Network, said: str) -> None:
    with pytest.raises(ValueError) as told:  # noqa: PT011
        build(made)
    assert said in str(told.value)


def test_a_masked_training_with_ignored_places_resumes_to_the_same_bits() -> None:
    data = Data(part("dataset", "test_maps.streets"), 2, (1, 8, 8), 10, task=IGNORING)
    described = network(2)
    run = Train(
        Ticket(described, Init(described, 0), Dense(described)), data, Recipe(20, 10, OPTIMIZERS["adamw"], eval_every=5)
    )
    start = TicketTensors(initial(described, 0), half(dense(build(described))[0], 0))
    saved: list[bytes] = []

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {}))

    def trained(**session: Any) -> Any:
        return fit(run, start, Examples(data, NOWHERE, torch.device("cpu")), Hardware("cpu", False), Session(**session))

    whole = trained(checkpoint=save, wait=lambda cost: 0.0)
    assert whole.progress.history[-1]["val_loss"] < whole.progress.history[0]["val_loss"]
    for content in saved:
        resumed = trained(progress=decode_progress(content)[0])
        assert state_digest(trained_state(resumed)) == state_digest(trained_state(whole))
        assert resumed.progress.history == whole.progress.history


@pytest.mark.parametrize("criterion", [snip, grasp, synflow])
def test_criteria_score_the_weights_of_a_unet(criterion: Callable[[Probe], Scores]) -> None:
    described = network()
    module, weights = build(described), initial(described, 0)
    drawn = shapes(NOWHERE, train=60, test=1, side=8)
    probe = Probe(
        weights=weights,
        unmasked=weights,
        mask=dense(module)[0],
        ref=None,
        generator=torch.Generator().manual_seed(0),
        make_network=lambda: build(described),
        make_source=lambda: HeldExamples(drawn.train_x.float() / 255, drawn.train_y),
        shape=(1, 8, 8),
        task=TASK,
    )
    scores = criterion(probe)
    assert {name: score.shape for name, score in scores.items()} == {n: w.shape for n, w in prunable(module).items()}
    assert all(bool(score.isfinite().all()) and bool(score.any()) for score in scores.values())


def test_grasp_takes_some_examples_of_each_class_not_of_each_place(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    class Counting(HeldExamples):
        def picked(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
            taken.append(len(chosen))
            return super().picked(chosen)

    described = network(2)
    data = streets(NOWHERE)
    weights = initial(described, 0)
    probe = Probe(
        weights=weights,
        unmasked=weights,
        mask=dense(build(described))[0],
        ref=None,
        generator=torch.Generator().manual_seed(0),
        make_network=lambda: build(described),
        make_source=lambda: Counting(data.train_x.float() / 255, data.train_y),
        shape=(1, 8, 8),
        task=IGNORING,
    )
    grasp(probe, per_class=7)
    assert taken == [14]


# ------------------------------------------------------------------------------------------------ as part of everything

SMALL = (
    *("model=unet", "model.args.channels=4", "dataset.shape=[1,16,16]", "dataset.train=120", "dataset.test=20"),
    *("recipe.validation=20", "budget=smoke", "prune.levels=1", "prune.rate=0.5"),
)


def sweep(folder: Path, *words: str) -> list[dict[str, str]]:
    assert main(["-m", *SMALL, *words, "sweep=s", f"paths.output_dir={folder}"]) == 0
    return list(csv.DictReader((folder / "s" / "results.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]]]:
    """Rewound tickets and controls, a barrier and a size, two seeds, and the logs."""
    folder = tmp_path_factory.mktemp("unet")
    words = ("rewind=step", "rewind.step=2it", "control=none,reinit,mask_shuffle", "seed=0,1", "logger=csv")
    return folder / "s", sweep(folder, *words, "measure=[barrier,size]", "measure.sibling.args.points=2")


def test_every_table_is_in_the_metric_of_the_task(
    swept: tuple[Path, list[dict[str, str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, rows = swept
    assert {(row["task"], row["status"]) for row in rows} == {("dense_prediction", "done")}
    assert {row["control"] for row in rows} == {"none", "reinit", "mask_shuffle"}
    for row in rows:
        assert (row["test_accuracy"], row["early_stop_test_accuracy"]) == ("", "")
        assert 0 < float(row["test_mean_iou"]) < float(row["test_pixel_accuracy"]) <= 100
        assert float(row["early_stop_test_mean_iou"]) > 0
        assert float(row["barrier"]) >= -100
    assert "test mean IoU" in (folder / "summary.md").read_text()
    page = (folder / "report.html").read_text()
    assert "Mean IoU</h3>" in page or "mean IoU" in page
    assert "Test accuracy" not in page
    logged = "".join(path.read_text() for path in folder.glob("csv/**/metrics.csv"))
    assert "level/test_mean_iou" in logged
    assert "val/mean_iou" in logged
    for words, said in (
        (["best", str(folder)], "test mean IoU"),
        (["compare", str(folder), "control=reinit"], "test mean IoU"),
        (["status", str(folder)], "mean IoU"),
        (["table", str(folder)], "mean IoU"),
    ):
        assert cli(words) == 0
        assert said in capsys.readouterr().out, words
    opened = lt.open(folder)
    assert {"mean_iou", "deviation", "minus_dense"} <= {*opened.curve().columns}
    run = opened.ticket(level=1, seed=0, control="none")
    assert run.evaluate().metrics["mean_iou"] == run.row["test_mean_iou"]


def test_a_figure_is_drawn_in_the_metric(swept: tuple[Path, list[dict[str, str]]], tmp_path: Path) -> None:
    assert cli(["figure", str(swept[0]), "--out", str(tmp_path / "figure.svg")]) == 0
    assert "mean IoU" in (tmp_path / "figure.svg").read_text()


def test_its_ticket_is_exported_verified_and_loaded_to_the_same_bits(
    swept: tuple[Path, list[dict[str, str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, chosen = swept[0], [str(swept[0]), "level=1", "control=none", "seed=0"]
    for flags in (["--trained"], []):
        ticket = tmp_path / f"ticket{len(flags)}"
        assert cli(["ticket", "export", *chosen, *flags, "--to", str(ticket)]) == 0
        assert cli(["ticket", "verify", str(ticket)]) == 0
        assert "mean" in capsys.readouterr().out
    state = lt.open(folder).ticket(level=1, control="none", seed=0).state()
    assert state_digest(lt.load_ticket(tmp_path / "ticket1").state_dict()) == state_digest(state)
    assert cli(["ticket", "export", *chosen, "--for", "csr", "--to", str(tmp_path / "csr")]) == 2
    assert "it has no linear layers" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("prune=at_init", "criterion=snip,synflow,grasp"),
        ("prune=at_init", "criterion=random", "allocation=erk", "hook=rigl", "hook.every=2it"),
        ("prune.unit=channel",),
        ("prune=learned", "gate=edge_popup"),
        ("gate=tangent",),
        ("trainer.kernel=sparse",),
        ("trainer.kernel=channels_last",),
        ("measure=gradient_flow", "measure.trained.name=live_density"),
    ],
    ids=lambda words: " ".join(words),
)
def test_methods_gates_units_kernels_and_measures_take_it(words: tuple[str, ...], tmp_path: Path) -> None:
    rows = sweep(tmp_path, *words)
    assert {row["status"] for row in rows} <= {"done", "collapsed"}
    assert all(row["test_mean_iou"] for row in rows if row["status"] == "done")


def test_one_s_own_data_and_network_are_trained(tmp_path: Path) -> None:
    own = ("dataset=custom", "dataset._target_=test_maps.streets", "model=custom", "model._target_=test_maps.Pixels")
    words = (*own, "task=dense_prediction", "task.args.ignore=255", "recipe.validation=10", "recipe.batch_size=10")
    assert main([*words, "prune.levels=1", "budget=smoke", "sweep=s", f"paths.output_dir={tmp_path}"]) == 0
    rows = list(csv.DictReader((tmp_path / "s" / "results.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["done", "done"]
    assert all(0 < float(row["test_mean_iou"]) <= 100 for row in rows)


class Pixels(nn.Module):
    """Logits of each pixel, or of every `stride`-th one."""

    def __init__(self, shape: tuple[int, ...], classes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(shape[0], 4, 3, padding=1, stride=stride)
        self.output = nn.Conv2d(4, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(self.conv(x).relu())
        return logits


REFUSED = [
    (("model=lenet_digits", "dataset=shapes"), "gives no class of each place, and task=dense_prediction asks for one"),
    (("model=conv2", "dataset=shapes", "recipe=unet_shapes"), "model=conv2: gives no class of each place"),
    (("model=unet", "dataset=digits", "task=classification"), "model=unet: gives the class of each place"),
    (("model=unet", "dataset=digits", "task=dense_prediction"), "dataset=digits: has no maps of classes"),
    (("model=unet", "task=next_token"), "dataset=shapes: has maps of classes"),
    (("model=unet", "recipe.augment=[flip]"), "moves images, and not the maps"),
    (("model=unet", "corruption=pixel_permutation"), "is of one class per example"),
    (("model=unet", "find=random_labels"), "is of one class per example"),
    (("model=unet", "measure=corruption_accuracy"), "needs one class per example, and task=dense_prediction has none"),
    (("model=unet", "measure=class_accuracy"), "needs one class per example, and task=dense_prediction has none"),
    (("model=unet", "dataset.shape=[1,30,30]"), "halves 30x30 2 times, and leaves a rest"),
    (("model=unet", "task.args.ignore=half"), "ignore=half: give a whole number"),
    (
        ("dataset=shapes", "model=custom", "model._target_=test_maps.Pixels", "+model.args.stride=2"),
        "return logits, [2, 5], or [2, 5, 32, 32] of maps",
    ),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_does_not_fit_maps_is_refused_in_one_line_before_anything_is_trained(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "budget=smoke", "prune.levels=1", f"paths.output_dir={tmp_path}"]) != 0
    told = capsys.readouterr()
    assert said in told.err + told.out
    assert not list((tmp_path / "store").glob("record/*/*"))


def test_the_task_is_in_the_key_and_ignored_places_too() -> None:
    [plain], [ignoring] = cells_of("model=unet"), cells_of("model=unet", "++task.args.ignore=255")
    assert plain.levels[0].data.task == TASK
    assert ignoring.levels[0].data.task == IGNORING
    assert plain.levels[0].ticket == ignoring.levels[0].ticket


def test_the_laws_of_networks_and_data_sets_hold_for_maps(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--shape", "1", "8", "8", "--classes", "3"]
    assert cli(["check", "test_maps.Pixels", *args]) == 0
    assert cli(["check", "test_maps.Pixels", *args, "--args", "stride=2"]) == 1
    assert "return logits, [2, 3, 8, 8]" in capsys.readouterr().out
    assert cli(["check", "shapes"]) == 0
