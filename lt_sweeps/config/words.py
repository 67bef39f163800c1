"""Rewrites words of a command line for Hydra: free arguments such as `recipe.optimizer.lr` become keys in `args`."""

from __future__ import annotations

import re
from collections.abc import Sequence

TARGETS = re.compile(r"(\+{0,2}|~)(recipe\.(?:optimizer|schedule))\.(?!_target_\b|args\b)([\w.]+(?:=.*|$))", re.DOTALL)
APART = re.compile(r"^(\+*(?:find\.(?:gate|hook|dataset|recipe|model)|train\.hook))=(?!\{)")
OPEN = re.compile(r"(?!hydra\b)(?:[\w.]+\.args\.[\w.]+=|[\w.]+\.args=\{|prune\.factors=\{|measure\.of(?:\.\w+)?=\{)")
FOREIGN = re.compile(r"([\w.+]+)=(?=.*[^\0-\x7f])([^'\"\\{}\[\](),=]*)", re.DOTALL)  # value with non-ASCII letters
SEVERAL = re.compile(r"[^={\[]+=([^{\[(]*,|\w+\().*", re.DOTALL)  # a,b or range(...)
KEYS = ("ticket=", "mask_from=")


def hydra_word(word: str) -> str:
    """Returns a word of a command line as Hydra must read it.

    >>> hydra_word("recipe.optimizer.lr=0.1,0.2"), hydra_word("recipe.schedule.milestones=[1,2]")
    ('++recipe.optimizer.args.lr=0.1,0.2', '++recipe.schedule.args.milestones=[1,2]')
    >>> hydra_word("model.args.width=2"), hydra_word("prune.factors={fc1.weight:0.5}"), hydra_word("seed=1")
    ('++model.args.width=2', '++prune.factors={fc1.weight:0.5}', 'seed=1')

    What is chosen apart by its name alone is the name.

    >>> hydra_word("find.hook=none,early_bird"), hydra_word("find.hook.every=1ep")
    ('find.hook.name=none,early_bird', 'find.hook.every=1ep')

    Hydra accepts non-ASCII letters only in quotes.

    >>> hydra_word("paths.output_dir=Übung/läufe"), hydra_word("sweep='é'")
    ("paths.output_dir='Übung/läufe'", "sweep='é'")

    A key that begins with digits around an e is quoted: Hydra would read a number, most likely infinite.

    >>> hydra_word("mask_from=1e234567,66ec2123")
    "mask_from='1e234567',66ec2123"
    """
    if word.startswith(KEYS):
        return re.sub(r"(?<=[=,])\d+e\d+(?=,|$)", r"'\g<0>'", word)
    word = APART.sub(r"\1.name=", word)
    if match := TARGETS.match(word):
        prefix, target, rest = match.groups()
        return f"{'~' if prefix == '~' else '++'}{target}.args.{rest}"
    if match := FOREIGN.fullmatch(word):
        key, value = match.groups()
        return f"{key}='{value}'"
    return f"++{word}" if OPEN.match(word) else word


def counting(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the words that count, and those that do not: a later word has the key, and one gives several values.

    Hydra would make cells of each pair of the two, in which the last counts: the same cells again and again.

    >>> counting(["seed=0,1", "control=none", "++gate.args.keep=0.1,0.2", "seed=2,3", "gate.args.keep=0.5"])
    (['control=none', 'seed=2,3', 'gate.args.keep=0.5'], ['seed=0,1', '++gate.args.keep=0.1,0.2'])
    """
    later: dict[str, str] = {}
    counted, overridden = list[str](), list[str]()
    for word in reversed(words):
        key = hydra_word(word).lstrip("+").partition("=")[0]
        several = key in later and any(map(SEVERAL.fullmatch, (word, later[key])))
        (overridden if several else counted).insert(0, word)
        later.setdefault(key, word)
    return counted, overridden
