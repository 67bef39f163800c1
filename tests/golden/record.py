"""What must not change unseen: keys, and the code behind each version. Run this file to record what is there now.

Record only after raising the version of what computes differently now, or after making sure that it computes the
same bits. A key that changes orphans every stored result: that is never done without a note in the changelog.
"""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path

from lt_sweeps import graph
from lt_sweeps.graph import (
    Carried,
    Dense,
    Fit,
    Init,
    Measure,
    Planted,
    Prune,
    Score,
    Shuffle,
    Ticket,
    Train,
    Treat,
    at,
    end,
)
from lt_sweeps.keys import Node
from lt_sweeps.registry import FOLDERS, HERE, catalogue, registered
from lt_sweeps.specs import Data, Network, Part, Recipe

GOLDEN = Path(__file__).with_suffix(".json")
# The code that gives each kind of node its value, beside registered functions.
BEHIND = {
    "Init": ["networks/build.py", "networks/layers.py", "networks/width.py"],
    "Dense": ["masks.py"],
    "Prune": ["allocation.py", "units/unit.py", "units/beside.py"],
    "Shuffle": ["masks.py", "randomness.py"],
    "Planted": ["networks/planted.py", "networks/targets.py"],
    "Fit": ["masks.py", "transfers/carry.py"],
    "Carried": ["transfers/carry.py", "transfers/blocks.py", "transfers/units.py"],
    "Train": [
        "training/fit.py",
        "training/module.py",
        "training/step.py",
        "training/dynamics.py",
        "gates/gate.py",
        "hooks/moment.py",
        "training/masking.py",
        "training/optim.py",
        "training/recorder.py",
        "training/batchnorm.py",
        "training/ranks.py",
        "datasets/examples.py",
        "datasets/folder.py",
        "datasets/order.py",
        "datasets/split.py",
        "datasets/view.py",
        "measures/accuracy.py",
        "randomness.py",
    ],
    "Measure": ["measures/accuracy.py", "measures/ends.py", "masks.py"],
}


def expressions() -> dict[str, Node]:
    """One of each kind, with and without defaults."""
    network = Network(Part("lenet_300_100", 1), (1, 28, 28), 10, Part("glorot_normal", 1))
    data = Data(Part("mnist", 1), 10, (1, 28, 28), validation=5000)
    recipe = Recipe(50000, 60, Part("torch.optim.Adam", args={"lr": 1.2e-3}))
    dense = Train(Ticket(network, Init(network, 0), Dense(network)), data, recipe)
    score = Score(Part("magnitude", 1), end(dense))
    mask = Prune(score, dense.ticket.mask, 0.2, "layerwise", {"output.weight": 0.5})
    ticket = Train(Ticket(network, at(dense, 500), mask, start=500), data, recipe, level=1)
    wide = Dense(Network(Part("lenet_300_100", 1, {"width": 2}), (1, 28, 28), 10))
    matched = Part("weight_matching", 1), None, (end(dense).weights, end(dense).weights)
    return {
        "fitted": Fit(mask, Dense(network, ("output.weight",))),
        "widened": Fit(mask, wide, Part("widen", 1), classes=4, seed=3),
        "aligned": Fit(mask, dense.ticket.mask, *matched),
        "carried": Carried(at(dense, 500), Init(wide.network, 0), wide, Part("widen", 1)),
        "init": dense.ticket.weights,
        "dense mask": dense.ticket.mask,
        "dense run": dense,
        "score": score,
        "mask": mask,
        "planted": Planted(Init(network, 0), Dense(network)),
        "shuffled": Shuffle(mask, 3),
        "shuffled anywhere": Shuffle(mask, 3, "global"),
        "treated": Treat(Part("shuffle", 1), mask, at(dense, 500), end(dense).weights, 5),
        "ticket run": ticket,
        "frozen": Ticket(network, dense.ticket.weights, mask, fill=dense.ticket.weights),
        "measure": Measure(Part("barrier", 1, {"points": 30}), (end(dense), end(ticket)), data),
    }


def hashes(kind: str) -> dict[str, str]:
    """A hash of the code of each registered function of a kind, and of the other code of its file."""
    found = {}
    for path in (HERE / FOLDERS[kind]).glob("*.py"):
        body = ast.parse(path.read_text()).body
        functions = [(item, ast.literal_eval(mark.args[0])) for item, mark in registered(body)]
        shared = code_hash([item for item in body if item not in [function for function, _ in functions]])
        found |= {item.name: shared[:8] + code_hash([item])[:8] for item, of in functions if of == kind}
    return found


def code_hash(body: list[ast.stmt]) -> str:
    """Returns a hash of statements that ignores comments, docstrings, layout, imports and `register`."""
    kept = []
    for item in body:
        if isinstance(item, (ast.Import, ast.ImportFrom)):
            continue
        for node in ast.walk(item):
            inner = getattr(node, "body", None)
            if isinstance(inner, list) and inner and _is_text(inner[0]):
                del inner[0]
            if isinstance(node, ast.FunctionDef):
                node.decorator_list = [d for d in node.decorator_list if "register" not in ast.dump(d)]
        if not _is_text(item):
            kept.append(ast.dump(item).replace(", type_params=[]", ""))  # added by Python 3.12
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()


def _is_text(item: ast.stmt) -> bool:
    return isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) and isinstance(item.value.value, str)


def current() -> dict[str, dict[str, str]]:
    """Keys of expressions, and hashes of code by name and version."""
    code = {
        f"{kind} {entry.name} version {entry.version}": of_kind[entry.name]
        for kind in FOLDERS
        for of_kind in [hashes(kind)]
        for entry in catalogue(kind).values()
    }
    for name, files in BEHIND.items():
        body = [item for file in files for item in ast.parse((HERE / file).read_text()).body]
        code[f"{name} version {getattr(graph, name).version}"] = code_hash(body)[:16]
    return {"keys": {name: node.key for name, node in expressions().items()}, "code": code}


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(current(), indent=1) + "\n")
    print(f"recorded {GOLDEN}")
