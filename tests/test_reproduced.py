"""The table "Published against ours" is what its script makes of the committed rows, and is complete."""

from __future__ import annotations

import csv
import doctest
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from lt_sweeps.report.published import papers, read

MULTIRUN = Path(__file__).parent.parent / "multirun"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("published", MULTIRUN / "published.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listed() -> list[dict[str, str]]:
    with (MULTIRUN / "published.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_is_what_the_script_makes(script: ModuleType) -> None:
    page = script.PAGE.read_text()
    assert script.text(page) == page, "python multirun/published.py writes the table of RESULTS.md"
    assert doctest.testmod(script).failed == 0


def test_a_table_that_is_not_there_is_not_lost_in_silence(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="no table"):
        script.text("# Results\n")


def test_a_number_that_does_not_come_out_stays_with_what_was_tried(script: ModuleType) -> None:
    table = [dict(zip(script.HEADS, cells, strict=True)) for cells in script.rows()]
    for cells in table:
        assert bool(cells[script.HEADS[-1]]) == (cells["inside"] not in script.AGREES), cells
    assert {cells["inside"] for cells in table} > {"yes", "no"}, "both kinds are shown"


def test_each_number_of_a_paper_is_compared_once(script: ModuleType) -> None:
    table = [dict(zip(script.HEADS, cells, strict=True)) for cells in script.rows()]
    told = []
    for cells in table:
        bound = cells["published"].startswith(
            ("<", ">")
        )  # holds over a range of sparsities: compared at each of its ends
        ours = cells["weights remaining (%)"] if bound else None
        told.append((cells["paper"], cells["what"], cells["published"], ours))
    assert len(told) == len(set(told))


def test_sweeps_and_quantities_are_there_to_be_compared() -> None:
    for entry in listed():
        assert (MULTIRUN / f"{entry['sweep']}.sh").exists()
        assert entry["paper"] in papers()
        assert entry["quantity"] in {number.quantity for number in read(entry["paper"])}
