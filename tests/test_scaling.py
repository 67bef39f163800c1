"""The smallest matching density over a number: per seed, its slope with an interval, in a table and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_report import row

from lt_sweeps import cli
from lt_sweeps.errors import Mistake
from lt_sweeps.report import scaling
from lt_sweeps.report.curves import curves
from lt_sweeps.report.table import as_csv

WIDTHS = (0.5, 1.0, 2.0)


def rows(smallest: Any, seeds: int = 3, **labels: Any) -> list[dict[str, Any]]:
    """Five levels, each of half the weights before; `smallest(width, seed)` is the last one that matches."""
    made = []
    for width in WIDTHS:
        for seed in range(seeds):
            made.append(row(0, seed, 98.0, **{"model.width": str(width), **labels}))
            for level in range(1, 6):
                value = 97.9 if level <= smallest(width, seed) else 97.0
                made.append(row(level, seed, value, **{"model.width": str(width), **labels}))
    for number, one in enumerate(made):
        one["weights_remaining"], one["key"] = 100 * 0.5 ** one["level"], f"{number:064x}"
    return made


def test_twice_the_width_halves_the_smallest_density() -> None:
    """50, 25 and 12.5 % of the weights: a slope of -1 in every seed, and an interval of no width."""
    [line] = scaling.scalings(curves(rows(lambda width, seed: {0.5: 1, 1.0: 2, 2.0: 3}[width])), "model.width")
    assert {width: {*by_seed.values()} for width, by_seed in line.densities.items()} == {
        0.5: {50.0},
        1.0: {25.0},
        2: {12.5},
    }
    assert line.slope is not None
    assert (line.slope.mean, line.slope.low, line.slope.n) == (pytest.approx(-1), pytest.approx(-1), 3)
    assert not line.bounded
    assert scaling.table([line], "model.width")[-1] == (
        "tickets: density goes as model.width to the -1.00 [-1.00, -1.00], n = 3"
    )


def test_each_seed_has_its_slope_and_bounds_are_said() -> None:
    """Slopes -1, 0 and 0: mean -1/3 and half width t * s / sqrt(n) = 4.303 * 0.577 / 1.732. Level 5 is the last."""
    found = scaling.scalings(
        curves(rows(lambda width, seed: {0.5: 3, 1.0: 4, 2.0: 5}[width] if not seed else 3)), "model.width"
    )
    mean = found[0].slope
    assert mean is not None
    assert mean.mean == pytest.approx(-1 / 3)
    assert mean.half == pytest.approx(4.302653 / 3, rel=1e-5)
    assert found[0].bounded == {2.0}
    text = scaling.table(found, "model.width")
    assert "| tickets | 2 | 3.12, 12.5, 12.5 | at most 7.87 |" in text
    assert text[-1].endswith("n = 3; some densities are only bounds")


def test_one_seed_has_no_interval_and_nothing_that_matches_is_the_dense_network() -> None:
    [line] = scaling.scalings(curves(rows(lambda width, seed: 0, seeds=1)), "model.width")
    assert {*line.densities[1.0].values()} == {100.0}
    assert "to the 0.00, no interval, n = 1" in scaling.table([line], "model.width")[-1]


def test_kinds_are_lines_of_their_own_and_the_command_draws_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = rows(lambda width, seed: {0.5: 1, 1.0: 2, 2.0: 3}[width])
    worse = rows(lambda width, seed: 1, control="reinit")
    for number, one in enumerate(worse):
        one["key"] = f"{number + 1000:064x}"
    (tmp_path / "results.csv").write_text(as_csv([*good, *worse]))
    assert cli.main(["scaling", str(tmp_path), "--over", "model.width", "--format", "png"]) == 0
    out = capsys.readouterr().out
    assert "control=none: density goes as model.width to the -1.00 [-1.00, -1.00], n = 3" in out
    assert "control=reinit: density goes as model.width to the 0.00" in out
    assert (tmp_path / "scaling.png").read_bytes()[1:4] == b"PNG"
    assert (
        cli.main(["scaling", str(tmp_path), "--over", "model.width", "control=none", "--out", f"{tmp_path}/a.svg"]) == 0
    )
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--over", "depth"), "--over depth: no label of these results; choose one of"),
        (("--over", "control"), "--over control: none is no number from 0 to 1e+15"),
        (("--over", "model.width", "model.width=1.0"), "two values or more, and there is 1"),
        (("--over", "model.width", "accuracy"), "accuracy: no folder"),
    ],
)
def test_what_cannot_be_is_answered_in_a_line(
    words: tuple[str, ...], answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.csv").write_text(as_csv(rows(lambda width, seed: 2)))
    assert cli.main(["scaling", str(tmp_path), *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert answer in line


def test_densities_of_nothing_have_no_slope() -> None:
    with pytest.raises(Mistake, match="0 has no logarithm"):
        scaling.scalings(curves(rows(lambda width, seed: 1, noise="0.0")), "noise")
