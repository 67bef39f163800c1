"""Inputs of a value beside other stored values: foreign functions, data sets, and the files that these read."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from lt_sweeps.graph import topological
from lt_sweeps.keys import Node, Spec
from lt_sweeps.registry import needs, source_of
from lt_sweeps.specs import Data, Network, Part, parts

PACKAGES = ("transformers",)  # that networks of ours register as a need: their versions are in no key


def foreign_parts(*nodes: Node) -> set[Part]:
    """Returns the functions in expressions that are neither ours nor torch's; their version identifies their code."""
    return {part for value in _specs(topological(nodes)) for part in parts(value) if part.is_foreign}


def own_parts(node: Node) -> set[Part]:
    """Returns the foreign parts whose code is a user's own, not an installed package's; imports nothing."""
    return {part for part in foreign_parts(node) if source_of(part.name) is not None}


def files(node: Node, data_dir: Path) -> dict[str, str]:
    """Returns the inputs of a value that this process has read, beside code, as name in records -> hash.

    Raises ValueError if an input has changed since it was read.
    """
    from lt_sweeps.datasets.arrays import files_of
    from lt_sweeps.foreign.files import named, package
    from lt_sweeps.foreign.watch import read_by

    specs = _specs(topological([node]))
    sources = {value.source for value in specs if isinstance(value, Data)}
    built = {part.name for value in specs if isinstance(value, Network) for part in parts(value)}
    packages = [name for name in PACKAGES if any(name in needs("network", network) for network in built)]
    read = read_by(file for part in own_parts(node) if (file := source_of(part.name)) is not None)
    files = dict(entry for source in sources for entry in files_of(source, data_dir)) | read.files
    places = [("data", data_dir.resolve()), *(("code", Path(entry).resolve()) for entry in sys.path)]
    places += [("code", Path(entry).absolute()) for entry in sys.path]  # also for paths of links
    return {
        **{named(path, places): content for path, content in sorted(files.items())},
        **{f"{named(path, places)}/": content for path, content in sorted(read.folders.items())},
        **{f"env:{name}": content for name, content in sorted(read.variables.items())},
        **{f"package:{name}": package(name) for name in packages},
    }


def _specs(nodes: Iterable[Node]) -> set[Spec]:
    values = (getattr(node, item.name) for node in nodes for item in fields(node))
    return {value for value in values if isinstance(value, Spec)}
