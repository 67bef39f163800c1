"""The page METHODS.md, made from `conf/` and docstrings: `python -m lt_sweeps.catalogue.methods_table > METHODS.md`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lt_sweeps.catalogue.listing import docstring, entry_of, options
from lt_sweeps.config.schema import CONF
from lt_sweeps.registry import catalogue

GROUPS = {
    "prune": "Methods: when and how often is pruned",
    "criterion": "Criteria: which weights are kept",
    "allocation": "Allocations: how many of each layer",
    "survivors": "Survivors: what kept weights become",
    "pruned": "Pruned: what the others become",
    "control": "Controls: what is shown instead of the ticket",
    "gate": "Gates: how weights are seen while a mask, or other coordinates, are learned",
    "hook": "Hooks: what changes the mask of a training under way",
    "rewind": "Rewinding: where training begins again",
    "find": "Finding: how a mask is found, if otherwise than its ticket is trained",
    "transfer": "Transfers: how a mask that was found elsewhere is carried to the network that is trained",
    "train": "Training: how what is shown is trained, if otherwise than its chain",
    "measure": "Measures: what is between networks, and in one",
    "corruption": "Corruptions of the training examples",
    "task": "Tasks: what a network is asked",
}
NEEDS = {
    "ref": "start weights",
    "data": "examples, gradients",
    "seed": "a seed",
    "training": "training",
    "slopes": "gradients",
    "search": "`prune=learned`",
    "ends": "both dense networks, trained",
    "before": "the training before",
    "images": "images",
    "validation": "validation examples",
    "classes": "one class per example",
    "probabilities": "probabilities of classes",
    "first_layer": "a first layer on pixels",
    "units": "units that can be permuted",
}
CITED = re.compile(r"(?:de )?[A-Z][\w-]+(?:, [A-Z]\w+)*(?: et al\.| & [A-Z]\w+)? (?:19|20)\d\d(?:/20\d\d)?")
HEAD = """# What there is, and where it comes from

Made from the code by `make catalogue`; a test holds them together. Every line is one word of a command line, and words
of different tables combine. *Start weights* are those that the scored training began with: at the first level the
initial ones, afterwards those that were rewound to, or treated:

    python -m lt_sweeps.main -m prune=at_init criterion=snip,synflow control=none,mask_shuffle
"""


def text() -> str:
    """Returns the whole page."""
    tables = (line for group, title in GROUPS.items() for line in _table(group, title))
    return "\n".join([HEAD, *tables, *_units()])


def _table(group: str, title: str) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| word | what it is | from | needs | differs from its authors' code |"
    yield "|---|---|---|---|---|"
    for name, option in options(group)[group].items():
        path = CONF / group / f"{name}.yaml"
        entry = entry_of(path)
        doc = " ".join(re.split(r"\n\s*>>>", docstring(entry))[0].split())
        comment = " ".join(line[2:] for line in path.read_text().splitlines() if line.startswith("# "))
        needs = ", ".join(NEEDS[need] for need in entry.needs if need in NEEDS) if entry else ""
        cells = (f"`{group}={name}`", option["about"], _papers(f"{comment} {doc}"), needs, _differs(doc))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _units() -> Iterator[str]:
    yield "## Units: what is pruned as a whole\n"
    yield "| word | what it is | from |"
    yield "|---|---|---|"
    yield "| `prune.unit=weight` | Each weight. | |"
    for name, entry in catalogue("unit").items():
        doc = " ".join(re.split(r"\n\s*>>>", docstring(entry))[0].split())
        yield f"| `prune.unit={name}` | {doc} | {_papers(doc)} |"
    yield ""


def _papers(prose: str) -> str:
    """Returns the papers that a text cites, each once."""
    return "; ".join(dict.fromkeys(CITED.findall(prose)))


def _differs(doc: str) -> str:
    """Returns the sentence of a docstring after "Differs"."""
    _, _, rest = doc.partition("Differs")
    return rest.removeprefix(":").strip().partition(". ")[0].rstrip(".")


if __name__ == "__main__":
    print(text(), end="")
