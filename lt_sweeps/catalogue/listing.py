"""`lt-sweeps list`: prints the options, read from `conf/` and docstrings without composing a configuration."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lt_sweeps.config.schema import CONF, RecipeConfig
from lt_sweeps.config.usual import inherited
from lt_sweeps.errors import Mistake
from lt_sweeps.foreign.reach import parse_source
from lt_sweeps.registry import FOLDERS, HERE, Entry, catalogue, nearest

USAGE = "lt-sweeps list [GROUP [OPTION]] [--json]"
WIDTH = 100
KINDS = {  # group -> its registry kind, where the names differ
    "model": "network",
    "prune": "method",
}
SLOTS = {"measure": "measure.sibling"}  # group -> where its function is configured, if not there
PROSE = ("name", "source", "open", "differs")  # keys of a recipe that do not change the training


def main(words: Sequence[str]) -> int:
    """Prints the options that `[GROUP [OPTION]] [--json]` selects; returns the exit code. Raises Mistake."""
    if {"-h", "--help"} & {*words}:
        print(f"usage: {USAGE}")
        return 0
    names = [word for word in words if word != "--json"]
    groups = options(*names)
    print(json.dumps(groups, indent=1) if "--json" in words else "\n".join(_lines(groups, len(names))))
    return 0


def options(group: str | None = None, name: str | None = None, *more: str) -> dict[str, dict[str, Any]]:
    """Returns group -> option -> description; a recipe's has `source`, `fields`, `open`, `differs`. Raises Mistake."""
    if more or any(word.startswith("-") for word in (group, name) if word):
        raise Mistake(f"list: write {USAGE}")
    paths: dict[str, dict[str, Path]] = {}
    for path in [*sorted(CONF.glob("*/*.yaml")), *sorted(CONF.glob("hydra/*/*.yaml"))]:
        paths.setdefault(path.parent.relative_to(CONF).as_posix(), {})[path.stem] = path
    groups = [_one_of(paths, group, "group")] if group else list(paths)
    return {
        g: {n: _described(paths[g][n]) for n in ([_one_of(paths[g], name, g)] if name else paths[g])} for g in groups
    }


def _one_of(choices: Mapping[str, Any], word: str, what: str) -> str:
    if word not in choices:
        raise Mistake(f"there is no {what} {word!r}{nearest(word, choices) or '; there is ' + ', '.join(choices)}")
    return word


def _described(path: Path) -> dict[str, Any]:
    entry = entry_of(path)
    doc = docstring(entry)
    description: dict[str, Any] = {"about": _comment(path) or doc.partition("\n")[0]}
    if entry is not None:
        description |= {"doc": re.split(r"\n\s*>>>", doc)[0].strip(), "arguments": _arguments(entry)}
    if path.parent.name == "recipe":
        recipe = inherited(path)
        description |= {"source": recipe["source"], "fields": flat(recipe)}
        description |= {notes: recipe.get(notes, {}) for notes in ("open", "differs")}
    return description


def _comment(path: Path) -> str:
    """Returns the first sentence of a file's first comment."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("# ") or line.startswith("#   "):  # no comment, or a command
            break
        if not line.startswith("# @package"):
            lines.append(line[2:])
    return re.split(r"(?<=\.)\s+(?=[A-Z])", " ".join(lines))[0].rstrip(":")


def entry_of(path: Path) -> Entry | None:
    """Returns the registered function that an option names, or None."""
    own: Any = OmegaConf.load(path)
    group = path.parent.name
    kind = KINDS.get(group, group)
    name = own["name"] if "name" in own else own.get(group, {}).get("name")  # of a file that sets other groups too
    if kind == "control" and name not in catalogue(kind):
        kind = "survivors"  # options of survivors= are controls too
    return catalogue(kind).get(name) if kind in FOLDERS else None


def docstring(entry: Entry | None) -> str:
    """Returns the docstring of a registered function without importing it."""
    return "" if entry is None else ast.get_docstring(_source(entry)) or ""


def _arguments(entry: Entry) -> dict[str, str]:
    """Returns the arguments that a user can give a registered function, as `type = default`.

    >>> _arguments(catalogue("hook")["rigl"])
    {'fraction': 'float = 0.3'}
    """
    taken = _source(entry).args
    plain = zip(reversed(taken.args), reversed(taken.defaults), strict=False)
    defaults = {p.arg: d for p, d in (*plain, *zip(taken.kwonlyargs, taken.kw_defaults, strict=True))}
    arguments = {}
    for parameter in (*taken.args, *taken.kwonlyargs):
        if parameter.arg in entry.parameters:
            kind, default = parameter.annotation, defaults.get(parameter.arg)
            words = [ast.unparse(kind)] if kind else []
            arguments[parameter.arg] = " ".join([*words, *(["=", ast.unparse(default)] if default else [])])
    return arguments


def _source(entry: Entry) -> ast.FunctionDef:
    """Returns the definition of a registered function."""
    file = (HERE.parent / entry.module.replace(".", "/")).with_suffix(".py")
    return next(
        i for i in parse_source(file.read_text()).body if isinstance(i, ast.FunctionDef) and i.name == entry.name
    )


def flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Returns every field of a recipe that changes the training, with the schema's defaults for missing ones.

    >>> nine = {"steps": "9it", "optimizer": {"_target_": "torch.optim.SGD", "args": {"lr": 0.1}}}
    >>> flat(nine)["steps"], flat(nine)["optimizer.lr"], flat(nine)["last_batch"]
    ('9it', 0.1, 'drop')
    """
    fields: dict[str, Any] = {}
    for name, silent in asdict(RecipeConfig()).items():
        value = recipe.get(name, silent)
        if name in ("optimizer", "schedule"):
            fields[name] = value["_target_"]
            fields |= {f"{name}.{argument}": setting for argument, setting in value.get("args", {}).items()}
        elif name not in PROSE:
            fields[name] = value
    return fields


def _lines(groups: Mapping[str, Mapping[str, Any]], depth: int) -> Iterator[str]:
    """Yields the lines of a listing for people: the options of the groups, or (depth 2) one option in full."""
    for group, described in groups.items():
        if depth == 2:
            for name, option in described.items():
                yield from _wrapped(f"{group}={name}: {option['about']}", "", 0)
                yield from _fields(option) if "fields" in option else _function(group, name, option)
            continue
        yield group
        for name, option in described.items():
            yield from _wrapped(option["about"], f"  {name:<24}", 26)
            if depth == 1 and "fields" in option:
                details = [_in_one_line(option["fields"]), option["source"]]
                details += [f"{notes}: {', '.join(option[notes])}" for notes in ("open", "differs") if option[notes]]
                yield from (line for text in details for line in _wrapped(text, " " * 26, 26))
        yield ""


def _fields(option: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of a recipe: each field, and below it what its source leaves open or does differently."""
    yield from _wrapped(option["source"], "source: ", 8)
    yield ""
    for field, value in option["fields"].items():
        if value is None:
            continue
        words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield f"  {field:<24}{words or 'none'}"
        for notes in ("open", "differs"):
            if field in option[notes]:
                yield from _wrapped(f"{notes}: {option[notes][field]}", " " * 28, 28)


def _function(group: str, name: str, option: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of any other option: what its function does, its arguments with defaults, and its file."""
    sentences, *paragraphs = option.get("doc", "").split("\n\n")
    if sentences != option["about"]:
        paragraphs.insert(0, sentences)
    for paragraph in filter(None, paragraphs):
        yield from ["", *_wrapped(paragraph, "", 0)]
    if arguments := option.get("arguments"):
        yield f"\narguments, as {SLOTS.get(group, group)}.args.{next(iter(arguments))}=...:"
        yield from (f"  {argument:<24}{value}" for argument, value in arguments.items())
    yield from ["", (CONF / group / f"{name}.yaml").read_text()]


def _in_one_line(values: Mapping[str, Any]) -> str:
    """Returns a summary like `30000it of batch 128, SGD lr 0.1, MultiStepLR 20000it 25000it`."""
    words = [f"{values['steps']} of batch {values['batch_size']}"]
    words.append(f"{values['optimizer'].rpartition('.')[2]} lr {values['optimizer.lr']}")
    if values["schedule"]:
        points = values.get("schedule.milestones", [])
        words.append(" ".join([values["schedule"].rpartition(".")[2], *points]))
    return ", ".join(words)


def _wrapped(text: str, first: str, indent: int) -> list[str]:
    filled = textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * indent, break_on_hyphens=False)
    return filled or [first.rstrip()]
