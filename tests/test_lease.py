"""Leases: one holder at a time, the dead and the silent are replaced, and nobody loses what he took."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lt_sweeps.store.lease import Leases

HOLD = """
import sys, time
from pathlib import Path
from lt_sweeps.store.lease import Leases
leases = Leases(Path(sys.argv[1]), beat=0.05)
print(leases.take("ab", "a training", 100), flush=True)
time.sleep(60)
"""


def holder(root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "True\n"
    return process


def test_a_lease_has_one_holder_until_it_is_released(tmp_path: Path) -> None:
    with Leases(tmp_path) as one, Leases(tmp_path) as other:
        assert one.take("ab", "a training", 100)
        assert not other.take("ab", "a training")
        assert other.take("cd", "another")
        one.tell("ab", 7)
        held = other.holders()
        assert {key: (h.name, h.step, h.steps, h.alive) for key, h in held.items()} == {
            "ab": ("a training", 7, 100, True),
            "cd": ("another", 0, 0, True),
        }
        one.release("ab")
        assert other.take("ab", "a training")
    assert not list((tmp_path / "lease").iterdir())


def test_an_interruption_before_the_heart_beats_releases_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), Leases(tmp_path) as leases:
        leases.take("ab", "a training")
    assert not list((tmp_path / "lease").iterdir())


def test_the_lease_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    process = holder(tmp_path)
    with Leases(tmp_path) as leases:
        assert not leases.take("ab", "mine")
        process.kill()
        process.wait()
        assert not leases.holders()["ab"].alive
        assert leases.take("ab", "mine")
        assert leases.holders()["ab"].name == "mine"


def test_a_frozen_holder_is_replaced_and_does_no_harm_when_it_wakes(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        with Leases(tmp_path, beat=0.05, patience=0.5) as leases:
            time.sleep(0.6)
            assert not leases.take("ab", "mine")  # it is alive, however long we look
            time.sleep(0.6)
            assert not leases.take("ab", "mine")
            os.kill(process.pid, signal.SIGSTOP)
            until = time.monotonic() + 20
            while not leases.take("ab", "mine"):
                assert time.monotonic() < until
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGCONT)
            time.sleep(0.3)  # it writes its signs of life into a file that is no more
            assert leases.holders()["ab"].name == "mine"
            process.terminate()
            process.wait()
            assert leases.holders()["ab"].name == "mine"
    finally:
        process.kill()
        process.wait()


def test_a_number_of_a_process_that_is_given_again_is_not_its_holder(tmp_path: Path) -> None:
    with Leases(tmp_path) as leases:
        assert leases.take("ab", "mine")
        me = leases.holders()["ab"]
        path = tmp_path / "lease" / "ab"
        path.write_text(path.read_text().replace(f'"born": {me.born}', '"born": 1'))
        assert leases.holders()["ab"].dead


def test_a_lease_that_is_being_made_belongs_to_whoever_makes_it(tmp_path: Path) -> None:
    (tmp_path / "lease").mkdir()
    (tmp_path / "lease" / "ab").touch()
    with Leases(tmp_path, beat=0.2) as leases:
        assert not leases.take("ab", "mine")
        assert leases.holders() == {}
        time.sleep(0.3)
        assert leases.take("ab", "mine")  # nobody finished making it, and a silent holder would have a minute


@pytest.mark.parametrize("name", ["ü" * 200, "\U0001f39f" * 200, '"' * 500, "x" * 2000])
def test_a_name_that_is_too_long_is_cut_and_the_lease_stays_readable(name: str, tmp_path: Path) -> None:
    with Leases(tmp_path) as leases:
        assert leases.take("ab", name, steps=10**12)
        leases.tell("ab", 10**12)
        holder = leases.holders()["ab"]
        assert holder.alive
        assert holder.step == 10**12
        assert 0 < len(holder.name) < len(name)
        assert name.startswith(holder.name)
