"""Image files: what is decoded is torchvision's to the bit, and a batch is a function of the step, not of workers."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from composed import composed
from PIL import Image
from small import OPTIMIZERS
from test_data import same, take
from torch import Tensor
from torchvision.transforms import v2

from lt_sweeps.datasets.augment import random_resized_crop
from lt_sweeps.datasets.examples import Batch, Examples
from lt_sweeps.datasets.folder import CHUNK, Folder, central
from lt_sweeps.datasets.loader import Loader, loader
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.main import main
from lt_sweeps.masks import TicketTensors, dense
from lt_sweeps.networks.build import build, initial
from lt_sweeps.randomness import rng
from lt_sweeps.registry import load, part
from lt_sweeps.specs import Data, Network, Part, Recipe
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

pytestmark = [
    pytest.mark.sweeps,
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
]  # more workers than this machine has cores
CPU = torch.device("cpu")
CLASSES = ("ant", "bee", "cow")
SIDE, RESIZE = 16, 20
TRAIN, TEST = 26, 9
WINDOW = part("augmentation", "random_resized_crop", {"scale": [0.2, 1.0]})
SIZES = ((40, 30), (30, 40), (16, 16), (25, 61), (90, 20))  # width, height


def write_images(folder: Path, part: str, count: int) -> None:
    """JPEG and PNG images of many sizes: smooth noise, with grey, palette and transparent ones among them."""
    draw = np.random.default_rng(count)
    for n in range(count):
        target = folder / part / CLASSES[n % 3]
        target.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(draw.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        image = coarse.resize(SIZES[n % len(SIZES)], Image.Resampling.BICUBIC)
        mode = {5: "L", 7: "P", 8: "RGBA"}.get(n, "RGB")
        image.convert(mode).save(target / (f"{n:03}.png" if mode != "RGB" or n % 2 else f"{n:03}.JPEG"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "farm", "train", TRAIN)
    write_images(folder / "farm", "val", TEST)
    return folder


SOURCE = part("dataset", "image_folder", {"folder": "farm", "resize": RESIZE})
DATA = Data(SOURCE, 3, (3, SIDE, SIDE), validation=6, augment=(WINDOW, "flip"))


def opened(tree: Path, workers: int = 0, **more: Any) -> Loader:
    return loader(replace(DATA, **more), tree, CPU, workers)


def paths(tree: Path, part: str) -> list[Path]:
    return [path for name in CLASSES for path in sorted((tree / "farm" / part / name).iterdir())]


def pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def contents(batches: list[Batch]) -> Tensor:
    return torch.cat([x for x, _ in batches])


# ---------------------------------------------------------------------------------------- evaluation


def test_the_test_images_are_torchvisions_resized_centres(tree: Path) -> None:
    theirs = v2.Compose([v2.Resize(RESIZE), v2.CenterCrop(SIDE)])
    expected = torch.stack([pixels(theirs(Image.open(path).convert("RGB"))) for path in paths(tree, "val")])
    ours = opened(tree)
    assert isinstance(ours, Folder)
    x, y = (torch.cat(parts) for parts in zip(*ours.chunks("test"), strict=True))
    assert torch.allclose(x, expected, atol=1e-6, rtol=0)
    assert y.tolist() == [CLASSES.index(path.parent.name) for path in paths(tree, "val")]
    assert ours.published == (TRAIN, TEST)
    mean, std = (0.5, 0.4, 0.3), (0.25, 0.2, 0.1)
    (seen, _), *_ = opened(tree, mean=mean, std=std).chunks("test")
    per_channel = [torch.tensor(values).view(3, 1, 1) for values in (mean, std)]
    assert torch.allclose(seen, (expected - per_channel[0]) / per_channel[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (256, 256), (224, 1000), (333, 334)])
def test_the_centre_is_torchvisions_at_imagenets_size(size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*reversed(size), 3), dtype=np.uint8))
    theirs = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(image)
    assert np.array_equal(np.array(central(image, 256, 224, 224)), np.array(theirs))


def test_evaluation_is_in_chunks_and_the_same_with_workers(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = contents(list(opened(tree).chunks("test")))
    monkeypatch.setattr("lt_sweeps.datasets.folder.CHUNK", 4)
    cut = list(opened(tree, workers=2).chunks("test"))
    assert [len(x) for x, _ in cut] == [4, 4, 1]
    assert CHUNK > TEST
    assert torch.equal(contents(cut), whole)


def test_a_split_parts_the_training_files(tree: Path) -> None:
    parts = [contents(list(opened(tree).chunks(name))) for name in ("train", "validation")]
    assert [len(part) for part in parts] == [20, 6]
    everything = contents(list(opened(tree, validation=0).chunks("train")))
    assert {row.numpy().tobytes() for row in torch.cat(parts)} == {row.numpy().tobytes() for row in everything}
    other = contents(list(opened(tree, split_seed=1).chunks("validation")))
    assert not torch.equal(other, parts[1])
    limited = opened(tree, train_limit=5, eval_limit=2)
    assert [len(contents(list(limited.chunks(name)))) for name in ("train", "validation", "test")] == [5, 2, 2]


# ----------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("last_batch", ["drop", "keep"])
def test_batches_are_the_same_with_any_number_of_workers_and_from_any_start(tree: Path, last_batch: str) -> None:
    alone = opened(tree)
    assert alone.per_epoch(8, last_batch) == {"drop": 2, "keep": 3}[last_batch]
    seeds = {"order": 1, "augment": 2, "level": 3}

    def batches(source: Loader, steps: range) -> list[Batch]:
        return take(source, steps, 8, last_batch, **seeds)

    whole = batches(alone, range(8))
    for workers in (1, 3):
        assert same(batches(opened(tree, workers), range(8)), whole)
    for start in range(1, 8):
        assert same(batches(alone, range(start, 8)), whole[start:])
    assert same(batches(opened(tree, 2), range(5, 8)), whole[5:])


def test_an_epoch_sees_each_image_once_and_each_epoch_anew(tree: Path) -> None:
    labels = [y for _, y in take(opened(tree, validation=0), range(4), 13)]
    for epoch in (labels[:2], labels[2:]):
        assert torch.cat(epoch).bincount().tolist() == [9, 9, 8]
    assert not torch.equal(torch.cat(labels[:2]), torch.cat(labels[2:]))


def test_training_images_are_windows_drawn_anew_and_mirrored_in_half(tree: Path) -> None:
    only_four: dict[str, Any] = {"train_limit": 4, "validation": 0, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    source, plain = opened(tree, **only_four), opened(tree, **only_four, augment=(WINDOW,))
    batches, windows = (take(one, range(12), 4, augment=4) for one in (source, plain))
    pairs = [pair for (x, _), (still, _) in zip(batches, windows, strict=True) for pair in zip(x, still, strict=True)]
    mirrored = [torch.equal(x, still.flip(2)) for x, still in pairs]
    assert all(flipped or torch.equal(x, still) for (x, still), flipped in zip(pairs, mirrored, strict=True))
    assert 12 < sum(mirrored) < 36
    assert len({x.numpy().tobytes() for x, _ in windows}) == 12
    other = take(plain, range(12), 4, augment=5)
    assert not any(torch.equal(x, y) for (x, _), (y, _) in zip(windows, other, strict=True))


def test_a_window_is_cut_as_torchvision_cuts_it(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lt_sweeps.datasets.augment.random_resized_crop", lambda height, width, *_, **__: (2, 3, 9, 11))
    source = opened(tree, validation=0, augment=(WINDOW,))
    (x, _), *_ = take(source, range(1), TRAIN)
    theirs = [
        v2.functional.resized_crop(Image.open(path).convert("RGB"), 2, 3, 9, 11, [SIDE, SIDE])
        for path in paths(tree, "train")
    ]
    expected = {np.array(image).tobytes() for image in theirs}
    assert {(image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy().tobytes() for image in x} == expected


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 333), (40, 400), (1, 1)])
def test_windows_lie_in_their_image_and_have_the_shares_and_shapes_asked_for(height: int, width: int) -> None:
    generator = rng(0, "windows")
    windows = [random_resized_crop(height, width, generator, (0.1, 1.0), (0.8, 1.25)) for _ in range(2000)]
    for top, left, h, w in windows:
        assert 0 <= top <= top + h <= height
        assert 0 <= left <= left + w <= width
        assert h > 0 < w
    shares = torch.tensor([h * w / (height * width) for _, _, h, w in windows])
    shapes = torch.tensor([math.log(w / h) for _, _, h, w in windows])
    if height > 300:  # where most windows fit
        assert 0.095 < float(shares.min()) < 0.13
        assert float(shapes.abs().max()) < math.log(1.25) + 0.02
        assert abs(float(shapes.mean())) < 0.05, "a window that does not fit is drawn again, so its image's shape shows"
        assert len({top for top, *_ in windows}) > 100


def test_without_a_window_training_sees_the_centres(tree: Path) -> None:
    source = opened(tree, validation=0, augment=())
    (x, _), *_ = take(source, range(1), TRAIN)
    rows = {row.numpy().tobytes() for row in contents(list(source.chunks("train")))}
    assert {row.numpy().tobytes() for row in x} == rows


def test_reading_batches_leaves_the_global_generator_as_it_was(tree: Path) -> None:
    before = torch.get_rng_state()
    take(opened(tree, workers=1), range(2), 8)
    assert torch.equal(torch.get_rng_state(), before)


def test_grey_images_are_one_channel_where_the_data_is(tree: Path) -> None:
    (x, _), *_ = opened(tree, shape=(1, SIDE, SIDE), augment=()).chunks("test")
    assert tuple(x.shape) == (TEST, 1, SIDE, SIDE)


# ------------------------------------------------------------------------------ corruption, mistakes


def test_labels_of_files_are_corrupted_and_pixels_are_not(tree: Path) -> None:
    clean = torch.cat([y for _, y in opened(tree).chunks("train")])
    flipped = opened(tree, corruption=part("corruption", "label_flip", {"fraction": 0.5}))
    assert int((torch.cat([y for _, y in flipped.chunks("train")]) != clean).sum()) == 10
    for name in ("validation", "test"):
        pairs = zip(flipped.chunks(name), opened(tree).chunks(name), strict=True)
        assert all(torch.equal(y, y_clean) for (_, y), (_, y_clean) in pairs)
    halved = opened(tree, corruption=part("corruption", "half"))
    assert sum(len(y) for _, y in halved.chunks("train")) == 10
    with pytest.raises(ValueError, match="pixel_permutation changes images in memory, not image files"):
        opened(tree, corruption=part("corruption", "pixel_permutation"))


def test_windows_are_cut_of_files_only(tree: Path) -> None:
    data = Data(part("dataset", "digits"), 10, (1, 8, 8), augment=(WINDOW,))
    with pytest.raises(ValueError, match="random_resized_crop cuts windows out of image files"):
        Examples(data, tree, CPU)
    with pytest.raises(ValueError, match="image_folder is read from files"):
        Examples(DATA, tree, CPU)
    with pytest.raises(ValueError, match=r"dataset\.args\.resize=20 leaves no 24x16 to cut out"):
        opened(tree, shape=(3, 24, 16))
    with pytest.raises(ValueError, match="both choose a window"):
        opened(tree, augment=(WINDOW, WINDOW))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_read_is_named(workers: int, tmp_path: Path) -> None:
    write_images(tmp_path / "farm", "train", 9)
    write_images(tmp_path / "farm", "val", 3)
    broken = tmp_path / "farm" / "train" / "bee" / "001.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(ValueError, match=rf"^{broken}: [^\n]*$"):
        list(opened(tmp_path, workers, validation=0).chunks("train"))


def test_an_image_of_more_bits_is_refused(tmp_path: Path) -> None:
    """Pillow makes all of its pixels above 255 white."""
    write_images(tmp_path / "farm", "train", 9)
    write_images(tmp_path / "farm", "val", 3)
    deep = tmp_path / "farm" / "train" / "bee" / "001.png"
    Image.fromarray(np.full((40, 40), 30_000, np.uint16)).save(deep)
    with pytest.raises(ValueError, match=rf"^{deep}: has more than 8 bits per pixel"):
        list(opened(tmp_path, validation=0).chunks("train"))


def test_classes_of_train_and_val_must_agree(tmp_path: Path) -> None:
    write_images(tmp_path / "farm", "train", 9)
    write_images(tmp_path / "farm", "val", 2)
    with pytest.raises(ValueError, match="'cow' is a class of train or of val, not of both"):
        load("dataset", "image_folder")(tmp_path, "farm", RESIZE)


# ---------------------------------------------------------------------------------------- whole runs


def test_a_training_from_files_resumes_to_the_same_bits_inside_an_epoch(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lt_sweeps.training.recorder.LOOK_EVERY", 3)
    network = Network(Part("small.Net"), (3, SIDE, SIDE), 3)
    recipe = Recipe(12, 4, OPTIMIZERS["sgd"], eval_every=5)  # 5 steps an epoch
    run = Train(Ticket(network, Init(network, 0), Dense(network)), DATA, recipe)
    start, mask = initial(network, 0), dense(build(network))[0]
    saved: list[bytes] = []

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {}))

    whole = fit(
        run, TicketTensors(start, mask), opened(tree), Hardware(), Session(checkpoint=save, wait=lambda cost: 0.0)
    )
    assert whole.state is not None
    assert [decode_progress(content)[0].step for content in saved] == [3, 6, 9]
    for content, workers in zip(saved, itertools.cycle((0, 2)), strict=False):
        resumed = fit(
            run,
            TicketTensors(start, mask),
            opened(tree, workers),
            Hardware(),
            Session(progress=decode_progress(content)[0]),
        )
        assert resumed.state is not None
        assert state_digest(resumed.state) == state_digest(whole.state)
        assert (resumed.progress.history, resumed.end) == (whole.progress.history, whole.end)


def test_a_sweep_over_an_image_folder_gives_the_same_bytes_with_any_number_of_workers(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dataset=image_folder", "dataset.args.folder=farm", f"dataset.args.resize={RESIZE}", "dataset.classes=3"]
    words += [f"dataset.shape=[3,{SIDE},{SIDE}]", f"dataset.train={TRAIN}", f"dataset.test={TEST}"]
    words += ["recipe.validation=6", "recipe.augment=[{name: random_resized_crop, args: {scale: [0.1, 1]}}, flip]"]
    words += ["budget=smoke", "recipe.batch_size=8", "prune.levels=1", "sweep=s", f"paths.data_dir={tree}"]
    tables = []
    for workers in (0, 2):
        place = tmp_path / str(workers)
        assert main([*words, f"trainer.workers={workers}", f"paths.output_dir={place}"]) == 0, capsys.readouterr().err
        tables.append((place / "s" / "results.csv").read_bytes())
    assert tables[0] == tables[1]
    assert tables[0].count(b",done,") == 2
    capsys.readouterr()
    assert main([*words, f"dataset.train={TRAIN + 1}", f"paths.output_dir={tmp_path / 'wrong'}"]) == 2
    assert f"dataset.train={TRAIN + 1}: image_folder has {TRAIN} such examples" in capsys.readouterr().err


def test_a_limit_that_leaves_classes_out_is_told() -> None:
    """Test images are in the order of their folders, and the first of them are taken."""
    told = "(test images of the first classes alone, in the order of their folders)"
    for words, is_cut in ((("dataset=imagenet", "budget.eval_examples=5000"), True), (("dataset=imagenet",), False)):
        assert (told in composed(*words, "recipe.validation=9000").budget) is is_cut
    assert told not in composed("dataset=imagenet", "budget.eval_examples=50000", "recipe.validation=60000").budget
    assert told not in composed("budget.eval_examples=300").budget


def test_what_does_not_go_with_files_or_with_memory_is_refused_when_it_is_composed() -> None:
    from test_sweep import cells_of

    windowed = "recipe.augment=[random_resized_crop]"
    assert cells_of("dataset=imagenet", windowed)[0].levels[0].data.augment == ("random_resized_crop",)
    for words, said in (
        ((windowed,), "cuts windows out of image files, and dataset=digits lies in memory"),
        (("dataset=imagenet", "corruption=pixel_permutation"), "corruption=pixel_permutation changes images in memory"),
        (("recipe.augment=[{nme: flip}]",), "is neither a name nor"),
    ):
        with pytest.raises(Mistake, match=said):
            cells_of(*words)
