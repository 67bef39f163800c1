"""Data sets that are not on every machine, read from small files in exactly the formats they are published in."""

from __future__ import annotations

import gzip
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from composed import composed
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image
from scipy.io import savemat

from lt_sweeps.config.datafiles import require
from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.errors import Mistake
from lt_sweeps.main import CONF
from lt_sweeps.registry import catalogue, load

Pixels = NDArray[np.uint8]
N = {"train": 12, "test": 7}
# shape, classes, training and test examples, as published
FACTS = {
    "digits": ([1, 8, 8], 10, 1437, 360),
    "mnist": ([1, 28, 28], 10, 60_000, 10_000),
    "fashion_mnist": ([1, 28, 28], 10, 60_000, 10_000),
    "kmnist": ([1, 28, 28], 10, 60_000, 10_000),
    "cifar10": ([3, 32, 32], 10, 50_000, 10_000),
    "cifar10_grey": ([1, 28, 28], 10, 50_000, 10_000),
    "cifar100": ([3, 32, 32], 100, 50_000, 10_000),
    "svhn": ([3, 32, 32], 10, 73_257, 26_032),
    "tiny_imagenet": ([3, 64, 64], 200, 100_000, 10_000),
    "imagenet": ([3, 224, 224], 1000, 1_281_167, 50_000),
}

OTHERS = {  # tests/test_tokens.py, tests/test_maps.py
    name for name, entry in catalogue("dataset").items() if {"embedding", "maps"} & {*entry.needs}
}


def drawn(shape: list[int], classes: int, part: str) -> tuple[Pixels, list[int]]:
    """Noise and labels of which the first and the last class are among."""
    draw = np.random.default_rng(len(part))
    x = draw.integers(0, 256, (N[part], *shape), dtype=np.uint8)
    return x, [0, classes - 1, *draw.integers(0, classes, N[part] - 2).tolist()]


def write_idx(folder: Path, name: str, content: Callable[[str], tuple[Pixels, list[int]]]) -> None:
    """Four gzip archives: a magic number that says type and dimensions, each dimension, then the bytes."""
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for part, prefix in (("train", "train"), ("test", "t10k")):
        x, y = content(part)
        header = b"".join(n.to_bytes(4, "big") for n in (0x0803, len(x), 28, 28))
        (raw / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + x.tobytes()))
        header = b"".join(n.to_bytes(4, "big") for n in (0x0801, len(y)))
        (raw / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + bytes(y)))


def write_cifar100(folder: Path, _: str, content: Callable[[str], tuple[Pixels, list[int]]]) -> None:
    """Pickled rows of 3,072 values with coarse and fine labels, in an archive."""
    inside = folder / "cifar-100-python"
    inside.mkdir()
    for part in ("train", "test"):
        x, y = content(part)
        coarse = [label // 5 for label in y]
        entry = {"data": x.reshape(len(x), 3072), "fine_labels": y, "coarse_labels": coarse, "batch_label": part}
        (inside / part).write_bytes(pickle.dumps(entry, protocol=2))
    (inside / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"c{n}" for n in range(100)]}, protocol=2))
    with tarfile.open(folder / "cifar-100-python.tar.gz", "w:gz") as archive:
        archive.add(inside, inside.name)
    for path in inside.iterdir():
        path.unlink()
    inside.rmdir()


def write_svhn(folder: Path, _: str, content: Callable[[str], tuple[Pixels, list[int]]]) -> None:
    """MATLAB files with images as (32, 32, 3, N) and the digit 0 called 10."""
    for part in ("train", "test"):
        x, y = content(part)
        labels = np.array([label or 10 for label in y], np.uint8)[:, None]
        savemat(folder / f"{part}_32x32.mat", {"X": x.transpose(2, 3, 1, 0), "y": labels})


WRITERS: dict[str, tuple[str, Callable[..., None]]] = {
    "fashion_mnist": ("FashionMNIST", write_idx),
    "kmnist": ("KMNIST", write_idx),
    "cifar100": ("", write_cifar100),
    "svhn": ("", write_svhn),
}


def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of ours have not the published MD5: only that they are there is checked."""
    for module in (torchvision.datasets.utils, torchvision.datasets.cifar, torchvision.datasets.svhn):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: Path(path).is_file())


@pytest.mark.parametrize("name", WRITERS)
def test_published_files_are_read_to_the_last_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, classes = FACTS[name][:2]
    subfolder, write = WRITERS[name]
    write(tmp_path, subfolder, lambda part: drawn(shape, classes, part))
    unchecked(monkeypatch)
    for _ in range(2):  # from the archives, then from what was unpacked
        found: Arrays = load("dataset", name)(tmp_path)
        for part, x, y in (("train", found.train_x, found.train_y), ("test", found.test_x, found.test_y)):
            images, labels = drawn(shape, classes, part)
            assert (x.dtype, y.dtype) == (torch.uint8, torch.int64)
            assert x.is_contiguous()
            assert torch.equal(x, torch.from_numpy(images))
            assert y.tolist() == labels


@pytest.mark.parametrize("name", WRITERS)
def test_files_that_are_not_the_published_ones_are_refused(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    """By torchvision's MD5, before anything is unpickled; it then tries the network, which is not there."""
    shape, classes = FACTS[name][:2]
    subfolder, write = WRITERS[name]
    write(tmp_path, subfolder, lambda part: drawn(shape, classes, part))

    def offline(*_: Any, **__: Any) -> None:
        raise RuntimeError("Error downloading: no network")

    monkeypatch.setattr(torchvision.datasets.utils, "_get_redirect_url", offline)
    with pytest.raises(RuntimeError, match=r"Error downloading|not found or corrupted"):
        load("dataset", name)(tmp_path)


def write_tiny(root: Path) -> dict[str, tuple[int, int, int]]:
    """Two classes of one colour each, of three images each; the first is grey, as some published ones are."""
    colours = {"n02": (200, 40, 90), "n01": (70, 70, 70)}
    annotations = []
    for n, (name, colour) in enumerate(colours.items()):
        images = root / "train" / name / "images"
        images.mkdir(parents=True)
        (root / "train" / name / f"{name}_boxes.txt").write_text("")
        (root / "val" / "images").mkdir(parents=True, exist_ok=True)
        plain = Image.new("RGB", (64, 64), colour)
        image = plain.convert("L") if name == "n01" else plain
        for i in range(3):
            image.save(images / f"{name}_{i}.JPEG")
        for i in (n, n + 2):
            image.save(root / "val" / "images" / f"val_{i}.JPEG")
            annotations.append((i, f"val_{i}.JPEG\t{name}\t0\t0\t62\t62"))
    (root / "val" / "val_annotations.txt").write_text("\n".join(line for _, line in sorted(annotations)) + "\n")
    return colours


def test_tiny_imagenet_is_read_from_its_folders(tmp_path: Path) -> None:
    colours = write_tiny(tmp_path / "tiny-imagenet-200")
    found: Arrays = load("dataset", "tiny_imagenet")(tmp_path)
    assert found.train_y.tolist() == [0, 0, 0, 1, 1, 1], "classes are numbered by their sorted names"
    assert found.test_y.tolist() == [1, 0, 1, 0]
    in_order = [colours["n01"], colours["n02"]]
    for x, y in ((found.train_x, found.train_y), (found.test_x, found.test_y)):
        assert tuple(x.shape[1:]) == (3, 64, 64)
        assert x.dtype == torch.uint8
        expected = torch.tensor(in_order)[y][:, :, None, None]
        assert int((x.int() - expected).abs().max()) <= 3, "a JPEG of one colour, but for rounding"


def test_what_a_yaml_says_is_what_is_published() -> None:
    made = {"few_classes", "image_folder", "circle", "helix", "relu", "teacher"}
    assert set(FACTS) | made | OTHERS == set(catalogue("dataset"))
    for name, facts in FACTS.items():
        said: Any = OmegaConf.to_container(OmegaConf.load(CONF / "dataset" / f"{name}.yaml"))
        assert (said["name"], said["shape"], said["classes"], said["train"], said["test"]) == (name, *facts)


@pytest.mark.parametrize("name", sorted(set(FACTS) - {"digits"}))
def test_a_missing_data_set_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    from test_sweep import cells_of

    words = [f"dataset={name}", "recipe=lenet_digits", "dataset.host=null", f"paths.data_dir={tmp_path}"]
    config = cells_of(*words)[0].config
    with pytest.raises(Mistake, match=rf"^dataset={name}: \S+ is not under paths.data_dir=.*LT_SWEEPS_DATA") as told:
        require(config.dataset, config.paths.data_dir)
    assert "\n" not in str(told.value)
    for file in config.dataset.files:  # every alternative will do
        place = tmp_path / file.split("|")[-1]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    require(config.dataset, config.paths.data_dir)


@pytest.mark.parametrize("classes", [2, 4, 10])
def test_fewer_classes_are_the_first_with_as_many_examples(classes: int) -> None:
    whole, few = load("dataset", "digits")(Path()), load("dataset", "few_classes")
    found = few(Path(), of="digits", classes=classes, train=200, test=60)
    assert (len(found.train_x), len(found.test_x)) == (200, 60)
    assert {*found.train_y.tolist()} == {*found.test_y.tolist()} == {*range(classes)}
    first = (whole.train_y < classes).nonzero().flatten()[:200]
    assert torch.equal(found.train_x, whole.train_x[first])
    assert torch.equal(found.train_y, whole.train_y[first])
    with pytest.raises(ValueError, match=r"digits has \d+ such examples of its first 2 classes, not 300"):
        few(Path(), of="digits", classes=2, train=200, test=60 * 5)


def test_few_classes_are_of_what_is_here_in_memory_and_has_classes() -> None:
    """What one's own code returns may change, and no key would say so."""
    known = catalogue("dataset")
    plain = {name for name, entry in known.items() if not entry.needs} - {"few_classes", "relu", "helix"}
    assert {*known["few_classes"].choices["of"]} == plain
    with pytest.raises(Mistake, match=r"few_classes: of=my\.data: choose one of mnist"):
        composed("dataset=few_classes", "dataset.args.of=my.data")
