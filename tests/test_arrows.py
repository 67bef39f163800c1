"""Imports point one way, graph <- methods <- cell <- execution <- loggers <- sweep <- main; first the light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*(ROOT / "lt_sweeps").rglob("*.py"), *(ROOT / "hydra_plugins").rglob("*.py")])
IDS = [str(path.relative_to(ROOT)) for path in FILES]

# From the ground up: what a line names may import what is named above it, its own line too, never what is below. A room
# is on the line of its name, a file of it that is named by itself on its own.
LAYERS = (
    ("keys", "specs", "randomness", "results", "errors"),
    ("graph",),
    ("methods", "config.archive", "ticket_files.card", "ticket_files.header", "ticket_files.seed"),
    ("ticket_files.origins",),
    ("cell",),
    ("realise",),
    ("execution", "engines", "ticket_files.export", "ticket_files.as_seed"),
    ("loggers",),
    ("cells", "config.composing"),
    ("forecast", "sweeps.results"),
    ("deploy",),
    ("sweeps", "tickets", "check", "store_tools"),
    ("theorem",),
    ("main", "cli"),
)
TENSOR_FUNCTIONS = ("masks", "allocation", "criteria", "survivors", "pruned", "gates", "hooks", "transfers")
TENSOR_FUNCTIONS_NEVER_IMPORT = (
    "pytorch_lightning",
    *(f"lt_sweeps.{part}" for part in ("training", "execution", "store", "cell", "sweep", "config", "main", "cli")),
)
WITHOUT_TORCH = (
    "lt_sweeps",
    "lt_sweeps.ticket_files.card",
    "lt_sweeps.ticket_files.seed",
    "lt_sweeps.tickets.promise",
    "lt_sweeps.tickets.commands",
    "lt_sweeps.config.archive",
    "lt_sweeps.ticket_files.origins",
    "lt_sweeps.store.store",
    "lt_sweeps.graph",
    "lt_sweeps.registry",
    "lt_sweeps.cell",
    "lt_sweeps.execution.failures",
    "lt_sweeps.config.composing",
    "lt_sweeps.execution.chains",
    "lt_sweeps.forecast.disk",
    "lt_sweeps.execution.estimate",
    "lt_sweeps.execution.plan",
    "lt_sweeps.execution.rates",
    "lt_sweeps.engines.supervise",
    "lt_sweeps.engines.choose",
    "lt_sweeps.engines.submitit_slurm",
    "lt_sweeps.engines.ray",
    "lt_sweeps.engines.joblib",
    "lt_sweeps.sweeps.search",
    "lt_sweeps.report.table",
    "lt_sweeps.loggers.journal",
    "lt_sweeps.loggers.wandb",
    "lt_sweeps.loggers.lightning",
    "lt_sweeps.loggers.mlflow",
    "lt_sweeps.loggers.trackio",
    "lt_sweeps.forecast.lines",
    "lt_sweeps.sweeps.results",
    "lt_sweeps.foreign.files",
    "lt_sweeps.foreign.watch",
    "lt_sweeps.provenance.made_from",
    "lt_sweeps.provenance.ownership",
    "lt_sweeps.sweeps.run",
    "lt_sweeps.check.command",
    "lt_sweeps.main",
    "lt_sweeps.cli",
    "lt_sweeps.catalogue.listing",
    "lt_sweeps.store_tools.commands",
)


def module_name(path: Path) -> str:
    """`lt_sweeps.store.store` for its file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every module a file imports, anywhere in it, in full; for `from a import b` both `a` and `a.b`."""
    package = module_name(path).split(".")[: None if path.name == "__init__.py" else -1]
    found = []
    for item in ast.walk(tree(path)):
        if isinstance(item, ast.Import):
            found += [alias.name for alias in item.names]
        elif isinstance(item, ast.ImportFrom):
            near = package[: len(package) - item.level + 1] if item.level else []
            start = ".".join([*near, *([item.module] if item.module else [])])
            found += [start, *(f"{start}.{alias.name}" for alias in item.names)]
    return tuple(found)


def within(module: str, *places: str) -> bool:
    """Whether a module is one of these or lies in one of them."""
    return any(module == place or module.startswith(f"{place}.") for place in places)


def part_of(module: str) -> str:
    """`store` for `lt_sweeps.store.store`; nothing for what is not ours."""
    return module.split(".")[1] if module.startswith("lt_sweeps.") else ""


def files_of(*parts: str) -> Iterator[Path]:
    """The files of some parts of the project, at least one each."""
    for part in parts:
        found = [path for path in FILES if part_of(module_name(path)) == part]
        assert found, f"there is no lt_sweeps.{part}"
        yield from found


def height(module: str) -> int | None:
    """The line of the longest name that a module lies in."""
    found = {name: level for level, names in enumerate(LAYERS) for name in names if within(module, f"lt_sweeps.{name}")}
    return found[max(found, key=len)] if found else None


def test_arrows_point_one_way() -> None:
    for name in (name for names in LAYERS for name in names):
        place = ROOT / "lt_sweeps" / name.replace(".", "/")
        assert place.is_dir() or place.with_suffix(".py").exists(), f"there is no lt_sweeps.{name}"
    for path in FILES:
        own = height(module_name(path))
        for other in imports(path) if own is not None else ():
            is_room = (ROOT / other.replace(".", "/")).is_dir()  # of which a file is imported, named beside it
            below = None if is_room else height(other)
            assert below is None or below <= own, f"{path.relative_to(ROOT)} imports {other}"


def test_there_is_no_circle_of_rooms() -> None:
    """What a room imports, at any distance, never imports it."""
    rooms: dict[str, set[str]] = {}
    for path in FILES:
        own = rooms.setdefault(part_of(module_name(path)), set())
        places = [other for other in imports(path) if within(other, "lt_sweeps") and other != "lt_sweeps"]
        own |= {part_of(other) for other in places if is_there(other)}
    for room in rooms:
        reached, frontier = set[str](), [room]
        while frontier:
            for other in rooms.get(frontier.pop(), set()) - {room} - reached:
                reached.add(other)
                frontier.append(other)
        back = sorted(other for other in reached if room in rooms.get(other, set()))
        assert not back, f"{room} imports {back[0]}, which imports {room}"


def is_there(module: str) -> bool:
    """Whether this is a file or a room of ours, not a name in one."""
    place = ROOT / module.replace(".", "/")
    return place.is_dir() or place.with_suffix(".py").exists()


def test_expressions_are_built_by_what_computes_nothing() -> None:
    computing = [f"lt_sweeps.{part}" for part in ("masks", "allocation", "training", "execution", "store", "report")]
    for path in files_of("graph", "methods", "cell"):
        for other in imports(path):
            assert not within(other, "torch", "pytorch_lightning", *computing), f"{path.relative_to(ROOT)}: {other}"


def test_the_store_knows_nothing_of_the_rest() -> None:
    """But for what holds for any file."""
    for path in files_of("store"):
        for other in imports(path):
            known = within(other, "lt_sweeps.store", "lt_sweeps.foreign.files")
            assert not within(other, "lt_sweeps") or known, f"{path.name} imports {other}"


def test_only_the_tensor_file_of_the_store_knows_torch() -> None:
    for path in files_of("store"):
        if path.name != "tensors.py":
            assert not any(within(other, "torch", "numpy", "safetensors") for other in imports(path)), path.name


def test_tensor_functions_know_nothing_of_lightning_or_of_what_runs_them() -> None:
    for path in files_of(*TENSOR_FUNCTIONS):
        for other in imports(path):
            assert not within(other, *TENSOR_FUNCTIONS_NEVER_IMPORT), f"{path.relative_to(ROOT)} imports {other}"


def test_networks_and_data_know_nothing_of_what_runs_them() -> None:
    for path in files_of("networks", "datasets", "measures"):
        for other in imports(path):
            assert not within(other, *TENSOR_FUNCTIONS_NEVER_IMPORT), f"{path.relative_to(ROOT)} imports {other}"


def test_nobody_reads_the_mask_of_a_run_off_its_ticket() -> None:
    """A run whose mask moves has another one at each step: it is asked with `seen(run, step)` or `end(run)`."""
    for path in FILES:
        if part_of(module_name(path)) not in ("graph", "methods"):
            for item in ast.walk(tree(path)):
                chained = (
                    isinstance(item, ast.Attribute) and item.attr == "mask" and isinstance(item.value, ast.Attribute)
                )
                assert not (chained and item.value.attr == "ticket"), f"{path.relative_to(ROOT)}:{item.lineno}"


def test_nobody_imports_main_but_the_other_entrances() -> None:
    for path in FILES:
        entrance = part_of(module_name(path)) in ("cli", "main", "starting")
        if not entrance and not within(module_name(path), "hydra_plugins"):
            assert not any(within(other, "lt_sweeps.main", "lt_sweeps.cli") for other in imports(path)), path.name


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_lightning_is_imported_by_its_one_name(path: Path) -> None:
    assert not any(within(other, "lightning", "lightning_fabric") for other in imports(path))


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_nothing_is_unpickled(path: Path) -> None:
    never = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "torch.load", "torch.save")
    if module_name(path) == "lt_sweeps.engines.joblib":  # whose pool sends a folder's name to its own processes
        never = tuple(name for name in never if name != "joblib")
    assert not any(within(other, *never) for other in imports(path))
    for item in ast.walk(tree(path)):
        if isinstance(item, ast.Attribute) and isinstance(item.value, ast.Name):
            assert f"{item.value.id}.{item.attr}" not in never, f"line {item.lineno}"
        assert not (isinstance(item, ast.keyword) and item.arg == "allow_pickle"), "numpy reads arrays only"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_what_a_command_needs_first_does_not_import_torch() -> None:
    """In one process, one after the other: the first that does is named."""
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n  importlib.import_module(name)\n"
    code += "  assert not {'torch', 'pytorch_lightning'} & {*sys.modules}, name"
    done = subprocess.run(
        [sys.executable, "-c", code, *WITHOUT_TORCH],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
