"""CIFAR-shaped images, flipped and cropped: by whole batches, and one by one through PIL."""

from __future__ import annotations

from itertools import islice
from statistics import median

from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.rounds import Contender, race
from benchmarks.stand_in import BATCH, cifar
from benchmarks.table import Row
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.specs import Batching

GOAL = 10.0


class Images(Dataset[tuple[Tensor, int]]):
    """As torchvision's CIFAR10 with the augmentation of every tutorial."""

    def __init__(self, examples: Examples) -> None:
        self._x = examples.train[0].permute(0, 2, 3, 1).contiguous().numpy()
        self._y = examples.train[1].tolist()
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(examples.data.mean, examples.data.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._x[index])), self._y[index]


def rows(rounds: int) -> list[Row]:
    """Images per second, as a multiple of PIL's."""
    examples = cifar(("flip", "crop"))
    loader = DataLoader(Images(examples), BATCH, shuffle=True, num_workers=0)

    def one_by_one(batches: int) -> None:
        for _ in islice(loader, batches):
            pass

    def whole(batches: int) -> None:
        for _ in islice(examples.batches(0, Batching(BATCH)), batches):
            pass

    pil, ours = race(Contender("PIL", one_by_one, 5, 45), [Contender("lt_sweeps", whole, 50, 450)], rounds)
    faster = [1 / ratio for ratio in ours.cpu_ratios]
    value = median(faster)
    speed = [1e3 * BATCH / ms for ms in (median(pil.cpu), median(ours.cpu))]
    detail = f"{speed[1]:,.0f} against {speed[0]:,.0f} images per CPU second"
    goal = f">= {GOAL:.0f}"
    return [Row("flip and crop", "lt_sweeps", min(faster), value, "x PIL, DataLoader", detail, goal, value >= GOAL)]
