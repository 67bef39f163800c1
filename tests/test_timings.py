"""On what days a sweep was computed: in its page and summary, from what the store notes beside results."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pandas as pd
import pytest

from lt_sweeps.cli import main as cli
from lt_sweeps.errors import Mistake
from lt_sweeps.main import main
from lt_sweeps.report import timings
from lt_sweeps.store.formats import signed

pytestmark = pytest.mark.sweeps

ENDED = {0: 1_790_000_000.5, 1: 1_790_200_000.25}  # Unix time of levels 0 and 1: 2026-09-21 and 23 in UTC


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a sweep of two trainings."""
    words = ["recipe.steps=2it", "recipe.eval_every=2it", "trainer.processes=0", "sweep=s", "dataset=digits"]
    assert main([*words, f"paths.output_dir={tmp_path}", "prune.levels=1"]) == 0
    return tmp_path / "s"


def end(folder: Path, ended: dict[int, float]) -> None:
    """Notes in the store when trainings ended; none for a level that is not given, as in stores of before."""
    for row in pd.read_csv(folder / "timings.csv").itertuples():
        timing = {"seconds": 1.5, **({"ended": ended[row.level]} if row.level in ended else {})}
        path = folder.parent / "store" / "timing" / str(row.key)[:2] / f"{row.key}.json"
        assert {*json.loads(path.read_bytes())} == {"seconds", "ended", "checksum"}
        path.write_text(json.dumps(signed(timing)))
    assert cli(["report", str(folder)]) == 0


def dates(folder: Path) -> list[str]:
    """What page and summary say of days."""
    texts = [(folder / name).read_text() for name in ("report.html", "summary.md")]
    return [days for text in texts for days in re.findall(r"Date: (.*?) \(UTC\)\.", text)]


def test_a_page_has_the_day_of_its_trainings(folder: Path) -> None:
    today = [time.strftime("%Y-%m-%d", time.gmtime(time.time() - ago)) for ago in (60, 0)]  # it may be midnight
    assert {day for days in dates(folder) for day in days.split(" to ")} <= {*today}
    assert len(dates(folder)) == 2


@pytest.mark.parametrize(
    ("ended", "days"),
    [
        (ENDED, "2026-09-21 to 2026-09-23"),
        ({0: ENDED[0]}, "2026-09-21"),
        ({1: ENDED[1]}, "2026-09-23"),
        ({}, None),
    ],
)
def test_what_is_not_known_is_not_said(ended: dict[int, float], days: str | None, folder: Path, tmp_path: Path) -> None:
    end(folder, ended)
    assert dates(folder) == [days] * 2 if days else dates(folder) == []
    assert [*pd.read_csv(folder / "timings.csv")["seconds"]] == [1.5, 1.5]
    assert cli(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    assert f"Date: {days} (UTC)." in (tmp_path / "page.html").read_text() or days is None


def test_a_day_that_is_none_is_refused_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = folder / "timings.csv"
    table.write_text(re.sub(r"\d{4}-\d\d-\d\d", "2026-13-41", table.read_text()))
    assert cli(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 2
    assert "timings.csv: " in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("ended", "days"),
    [
        ("2026-11-30T23:30:00-05:00", "2026-12-01"),
        ("2026-11-30T09:58:12Z", "2026-11-30"),
        ("2026-11-30 or so", None),
        ("2026-11-30", None),
        ("2026-W48-1", None),
        ("0001-01-01T00:00:00+05:00", None),
    ],
)
def test_a_day_is_that_of_the_whole_moment_in_utc(ended: str, days: str | None) -> None:
    if days:
        assert timings.days([{"ended": ended}]) == days
    else:
        with pytest.raises(Mistake, match=r"timings\.csv: "):
            timings.days([{"ended": ended}])
