"""The laws of a data set: four tensors, equal at each reading, without test examples in the training set."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from lt_sweeps import registry
from lt_sweeps.check.laws import Broken, Doubt, Stages, surroundings
from lt_sweeps.datasets.arrays import Arrays, Files
from lt_sweeps.datasets.examples import Batch, Examples
from lt_sweeps.datasets.validate import validated
from lt_sweeps.errors import Mistake
from lt_sweeps.specs import Batching, Data, Part
from lt_sweeps.tasks.task import Task, task_of

TOLERATED = 0.1  # share of test examples that may be in the training set: published sets have a few


@dataclass(frozen=True)
class Source:
    """The data set under test, and its declared shape, classes and sizes; None: not declared."""

    part: Part
    data_dir: Path
    shape: tuple[int, ...] | None = None
    classes: int | None = None
    train: int | None = None
    test: int | None = None
    task: Part | None = None  # what its targets are for; None: classification

    def read(self, seed: int) -> Arrays:
        """Reads the data set, with global generators seeded with `seed`.

        Raises Broken if it is not examples and classes, Mistake for image files.
        """
        with surroundings(seed):
            returned = registry.load("dataset", self.part.name)(self.data_dir, **self.part.args)
        if isinstance(returned, Files):
            raise Mistake(f"check: {self.part.name} is read from image files; the laws look at data sets in memory")
        try:
            return Arrays(*validated(returned, self.loaded_task.targets))
        except ValueError as error:
            raise Broken(str(error)) from None

    @cached_property
    def arrays(self) -> Arrays:
        """The data set, read once."""
        return self.read(0)

    @property
    def loaded_task(self) -> Task:
        """The task."""
        return task_of(self.task)

    @property
    def labels(self) -> int:
        """The number of classes or outputs, as declared, or counted in the training set."""
        y = self.arrays.train_y
        return self.classes or (y.shape[1] if y.is_floating_point() else int(self.loaded_task.counted(y).max()) + 1)


def it_gives_examples_and_classes(source: Source) -> str:
    """It returns examples (N, ...), uint8 pixels or floats, and classes (N,) or other targets, for both parts."""
    arrays = source.arrays
    return f"{len(arrays.train_x):,} and {len(arrays.test_x):,} of {list(arrays.train_x.shape[1:])}"


def classes_are_counted_from_zero(source: Source) -> str:
    """Labels are 0 <= y < classes, as cross-entropy needs them."""
    classes = source.labels
    if source.arrays.train_y.is_floating_point():
        return f"{classes} outputs"
    for what, y in (("train_y", source.arrays.train_y), ("test_y", source.arrays.test_y)):
        y = source.loaded_task.counted(y)
        outside = int(((y < 0) | (y >= classes)).sum())
        if outside:
            raise Broken(
                f"{what}, {outside} of {y.numel()} lie outside 0 to {classes - 1}, "
                f"from {int(y.min())} to {int(y.max())}: count classes from 0, or declare classes: {int(y.max()) + 1}"
            )
    return f"{classes} classes"


def every_class_can_be_learnt(source: Source) -> str:
    """The training set has examples of each class; a class missing from the test set is a warning."""
    if not source.loaded_task.of_classes:
        return ""
    train, test = (y.bincount(minlength=source.labels) for y in (source.arrays.train_y, source.arrays.test_y))
    missing = (train == 0).nonzero().flatten().tolist()
    if missing:
        raise Broken(f"no example of class {missing[0]} to train on ({len(missing)} such): declare fewer classes")
    balance = f"train {_span(train)} examples a class, test {_span(test)}"
    return balance if bool(test.all()) else Doubt(f"{balance}: the test has none of some class")


def _span(counts: Tensor) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def sizes_are_as_declared(source: Source) -> str:
    """Its sizes are the `shape`, `train` and `test` of its yaml, by which epochs are counted before it is read."""
    arrays = source.arrays
    sizes = {"shape": list(arrays.train_x.shape[1:]), "train": len(arrays.train_x), "test": len(arrays.test_x)}
    declared = {"shape": list(source.shape) if source.shape else None, "train": source.train, "test": source.test}
    for what, value in sizes.items():
        if declared[what] not in (None, value):
            raise Broken(f"{what} is declared as {declared[what]} and is {value}: write {what}: {value}")
    undeclared = [f"{what}: {value}" for what, value in sizes.items() if declared[what] is None]
    return f"for its yaml: {', '.join(undeclared)}" if undeclared else ""


def a_reading_gives_the_same_again(source: Source) -> str:
    """Two readings are bit-equal and do not depend on global generators: every job reads for itself."""
    for what, first, second in zip(Arrays._fields, source.arrays, source.read(1), strict=True):
        if not torch.equal(first, second):
            raise Broken(
                f"{what} differs between two readings: draw with torch.Generator().manual_seed(...), sort files"
            )
    return ""


def the_test_is_not_trained_on(source: Source) -> str:
    """No test image is in the training set; up to a tenth is only a warning, since published sets have a few."""
    seen = set(_contents(source.arrays.train_x))
    twice = sum(image in seen for image in _contents(source.arrays.test_x))
    overlap = f"{twice} of {len(source.arrays.test_x)} test images are also trained on, pixel for pixel"
    if twice > TOLERATED * len(source.arrays.test_x):
        raise Broken(f"{overlap}: take them out of the training set")
    return Doubt(overlap) if twice else ""


def _contents(images: Tensor) -> list[bytes]:
    return [image.tobytes() for image in images.contiguous().numpy()]


def a_split_parts_the_training_examples(source: Source) -> str:
    """With a random tenth held out, every training example is in exactly one part, unchanged."""
    held = len(source.arrays.train_x) // 10
    examples = _examples(source, held)
    if len(examples.validation[0]) != held:
        raise Broken(f"{held} examples were to be held out and {len(examples.validation[0])} are")
    parts = Counter[tuple[bytes, bytes]]()
    for x, y in (examples.train, examples.validation):
        parts.update(zip(_contents(x), _contents(y), strict=True))
    if parts != Counter(zip(_contents(source.arrays.train_x), _contents(source.arrays.train_y), strict=True)):
        raise Broken(
            "the parts are not the whole: return plain tensors, whose rows are the same whenever they are taken"
        )
    return f"{len(examples.train[0]):,} to train on, {held:,} held out"


def _examples(source: Source, held: int = 0) -> Examples:
    shape = tuple(source.arrays.train_x.shape[1:])
    data = Data(source.part, source.labels, shape, held, task=source.task)
    return Examples(data, source.data_dir, torch.device("cpu"))


def a_batch_is_a_function_of_the_step(source: Source) -> str:
    """A training that starts at a step gets the same batches as one that passes it."""
    examples = _examples(source)
    size = min(64, len(examples.train[0]))

    def batches(start: int) -> list[Batch]:
        with surroundings(start):
            return list(itertools.islice(examples.batches(start, Batching(size)), 4 - start))

    passing = batches(0)
    for start in (1, 2):
        for (x1, y1), (x2, y2) in zip(passing[start:], batches(start), strict=True):
            if not torch.equal(x1, x2) or not torch.equal(y1, y2):
                raise Broken(f"the batches from step {start} on differ for who begins there: return plain tensors")
    return ""


STAGES: Stages[Source] = (
    (it_gives_examples_and_classes,),
    (classes_are_counted_from_zero,),
    (every_class_can_be_learnt, sizes_are_as_declared, a_reading_gives_the_same_again, the_test_is_not_trained_on),
    (a_split_parts_the_training_examples,),
    (a_batch_is_a_function_of_the_step,),
)
