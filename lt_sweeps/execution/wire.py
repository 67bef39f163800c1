"""Expressions as JSON, for worker processes: encoding and decoding.

>>> from lt_sweeps.graph import Dense, Init
>>> from lt_sweeps.specs import Network, Part
>>> draw = Init(Network(Part("lenet_300_100", 1), shape=(1, 8, 8), classes=10), seed=1)
>>> decoded(encoded([draw]))[draw.key] == draw
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_type_hints

from lt_sweeps import graph
from lt_sweeps.graph import topological
from lt_sweeps.keys import Node, restored

Table = dict[str, dict[str, Any]]  # key -> what the node is, with the keys of its children; children first


def encoded(nodes: Iterable[Node]) -> Table:
    """Returns the descriptions of all nodes of these expressions, by key."""
    return {node.key: node.describe() for node in topological(nodes)}


def decoded(table: Mapping[str, Mapping[str, Any]]) -> dict[str, Node]:
    """Returns the nodes of a table by key. Raises ValueError if a rebuilt node has another key."""
    nodes: dict[str, Node] = {}
    for key, entry in table.items():
        kind, hints = _kind(entry["node"])
        fields = {
            name: _field(value, hints[name], nodes) for name, value in entry.items() if name not in ("node", "version")
        }
        nodes[key] = kind(**fields)
        if nodes[key].key != key:
            raise ValueError(f"{entry['node']} {key[:8]} was described by other code than is here")
    return nodes


def _field(value: Any, hint: Any, nodes: Mapping[str, Node]) -> Any:
    """A field's value: a node, several nodes, or plain."""
    if _is_node(value):
        return nodes[value["key"]]
    if isinstance(value, list) and value and all(map(_is_node, value)):
        return tuple(nodes[item["key"]] for item in value)
    return restored(value, hint)


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "key" in value


@cache
def _kind(name: str) -> tuple[type[Node], dict[str, Any]]:
    kind = getattr(graph, name)
    return kind, get_type_hints(kind)
