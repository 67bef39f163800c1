"""Random sequences of tokens with a rule: repeated strings, brackets, parities."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.datasets.distinct import distinct
from lt_sweeps.randomness import rng
from lt_sweeps.registry import register


@register("dataset", version=1, needs=("embedding",))
def repeats(
    data_dir: Path,
    train: int = 10000,
    test: int = 1000,
    length: int = 63,
    tokens: int = 64,
    shortest: int = 16,
    seed: int = 0,
) -> Arrays:
    """A string of uniform random tokens again and again, and the token after each place (after Olsson et al. 2022).

    The string is of `shortest` to (length + 1) / 2 tokens, uniformly: if it always had one length, a head that attends
    a fixed number of places back would do, without induction. Inputs and targets are int16 and int64 (N, length).
    Nothing foretells the first copy; task.args.skip=0.5 scores places that have a copy before them. No sequence is in
    both parts. Raises ValueError for an even length, and for no such string.

    >>> data = repeats(Path(), train=3, test=1, length=5, tokens=9, shortest=3)
    >>> x, y = data.train_x, data.train_y
    >>> x.shape, torch.equal(x[:, :2], x[:, 3:]), torch.equal(x[:, 1:], y[:, :-1]), torch.equal(x[:, 2], y[:, 4])
    (torch.Size([3, 5]), True, True, True)
    """
    half = (length + 1) // 2
    if length % 2 == 0 or not 1 <= shortest <= half:
        raise ValueError(f"dataset: length={length} shortest={shortest}: give an odd length, and 1 to {half} tokens")

    def draw(n: int, generator: torch.Generator) -> Tensor:
        strings = torch.randint(tokens, (n, half), generator=generator)
        period = torch.randint(shortest, half + 1, (n, 1), generator=generator)
        return strings.gather(1, torch.arange(length + 1) % period)

    return _followed(distinct(draw, train + test, "repeats", seed), test)


@register("dataset", version=1, needs=("embedding",))
def dyck(
    data_dir: Path,
    train: int = 10000,
    test: int = 1000,
    length: int = 31,
    kinds: int = 2,
    depth: int = 4,
    seed: int = 0,
) -> Arrays:
    """Balanced words of length + 1 brackets, and the bracket after each place (Dyck-(k, m) of Hewitt et al. 2020).

    Tokens 0 to kinds - 1 open, kinds to 2 kinds - 1 close them. Where both are possible, at most `depth` deep, a
    bracket opens or closes with probability 1/2, of a uniform kind. Inputs and targets are int16 and int64 (N, length).
    No word is in both parts. Differs: words of one length instead of words that end at random.

    >>> data = dyck(Path(), train=1, test=1, length=3, kinds=1)
    >>> sorted(data.train_x.tolist() + data.test_x.tolist())  # ()() and (()), without their last bracket
    [[0, 0, 1], [0, 1, 0]]
    """
    if length < 1 or length % 2 == 0:
        raise ValueError(f"dataset.shape=[{length}]: a balanced word, less its last bracket, has an odd length")
    if kinds < 1 or depth < 1:
        raise ValueError(f"dataset.args: kinds={kinds} depth={depth}: give 1 or more of both")
    words = distinct(lambda n, g: _balanced(n, length + 1, kinds, depth, g), train + test, "dyck", seed)
    return _followed(words, test)


@register("dataset", version=1, needs=("embedding",))
def parity(data_dir: Path, train: int = 2000, test: int = 1000, length: int = 20, k: int = 3, seed: int = 0) -> Arrays:
    """Random bits as tokens, int16 (N, length), and the parity of `k` of them, whose places `seed` draws: two classes.

    The (n, k)-parity of Barak et al. 2022, who take fresh examples at each step. No example is in both parts. Raises
    ValueError for other than 1 to `length` places.

    >>> data = parity(Path(), train=6, test=2, length=3, k=3)
    >>> torch.equal(data.train_y, data.train_x.sum(1) % 2)
    True
    """
    if not 1 <= k <= length:
        raise ValueError(f"dataset.args.k={k}: give 1 to {length} places")
    places = torch.randperm(length, generator=rng(seed, "parity", "places"))[:k]
    x = distinct(lambda n, g: torch.randint(2, (n, length), generator=g), train + test, "parity", seed)
    y = x[:, places].sum(1) % 2
    return Arrays(x[test:].short(), y[test:], x[:test].short(), y[:test])


def _followed(sequences: Tensor, test: int) -> Arrays:
    """Returns sequences (N, T + 1) as inputs and next tokens (N, T); the first `test` of them are the test set."""
    x, y = sequences[:, :-1].short(), sequences[:, 1:].contiguous()
    return Arrays(x[test:].contiguous(), y[test:], x[:test].contiguous(), y[:test])


def _balanced(count: int, length: int, kinds: int, depth: int, generator: torch.Generator) -> Tensor:
    """Returns words (count, length) of balanced brackets."""
    opens = torch.randint(2, (count, length), generator=generator).bool()
    kind = torch.randint(kinds, (count, length), generator=generator)
    deep, rows = torch.zeros(count, dtype=torch.long), torch.arange(count)
    stack, word = torch.zeros(count, depth + 1, dtype=torch.long), torch.zeros(count, length, dtype=torch.long)
    for place in range(length):
        opening = (opens[:, place] | (deep == 0)) & (deep < depth) & (deep < length - place)
        last = stack[rows, (deep - 1).clamp(min=0)]
        word[:, place] = torch.where(opening, kind[:, place], kinds + last)
        stack[rows, deep] = torch.where(opening, kind[:, place], stack[rows, deep])
        deep += 2 * opening.long() - 1
    return word
