"""Progress that a person can read: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.watcher import History
from lt_sweeps.graph import Train
from lt_sweeps.keys import Node
from lt_sweeps.output import printable
from lt_sweeps.store.store import Record

PLAIN_EVERY = 15.0  # seconds between lines of one training where there is no terminal


class Reporter:
    """Tells what is running, its level, step and accuracy, and the time that is left."""

    def __init__(self, names: Mapping[Node, str], out: TextIO | None = None) -> None:
        self._names = names
        self._out = out or sys.stdout
        self._live = self._out.isatty()
        self._jobs: list[Job] = []
        self._done = 0
        self._rates: dict[str, list[float]] = {}  # per network: iterations, seconds
        self._shown = self._began = 0.0

    def name(self, run: Train) -> str:
        """The cell and level that show a training, or what it is."""
        return self._names.get(run) or f"{run.ticket.network.build.name} level {run.level} (on the way)"

    def say(self, line: str) -> None:
        """A line that stays."""
        self._out.write(("\r\x1b[2K" if self._live else "") + printable(line) + "\n")
        self._out.flush()

    def expect(self, jobs: Sequence[Job]) -> None:
        """These are to be done, in this order."""
        self._jobs, self._done = list(jobs), 0

    def begin(self, job: Job) -> None:
        """This one is next."""
        self._job = job
        self._began = time.monotonic()
        self._shown = self._began if not self._live else 0.0
        self._first: int | None = None

    def step(self, step: int, history: History) -> None:
        """The training is at this step, and these are its evaluations so far."""
        accuracy = history[-1].get("val_accuracy") if history else None
        now = time.monotonic()
        if self._first is None:
            self._first = step
        if now - self._shown < (0.2 if self._live else PLAIN_EVERY):
            return
        self._shown = now
        taken = step - self._first
        left = self._left(step, (now - self._began) / taken if taken > 0 else None)
        line = f"{self._head()}  step {step:,}/{self._last():,}{self._percent(accuracy)}{left}"
        if self._live:
            self._out.write("\r\x1b[2K" + line[:160])
            self._out.flush()
        else:
            self.say(line)

    def skip(self) -> None:
        """The next job need not, or cannot, be done."""
        self._done += 1

    def fail(self, job: Job, reason: str) -> None:
        """A job failed; what depends on it cannot be done."""
        self.say(f"failed: {self.name(job.run)}: {reason}")

    def finish(self, job: Job, record: Record | None, seconds: float) -> None:
        """A job is done and committed."""
        self._done += 1
        rate = self._rates.setdefault(job.run.ticket.network.build.name, [0.0, 0.0])
        rate[0] += job.iterations
        rate[1] += seconds
        if record is None:
            self.say(f"{self._head(0)}  replayed to step {job.replay_to:,}  {seconds:.1f} s")
            return
        result = record["result"]
        if result["status"] != "done":
            at, emptied = result.get("diverged_at"), ", ".join(result.get("emptied", []))
            why = f"{emptied} empty" if at is None else f"at step {at:,}"
            self.say(f"{self._head(0)}  {result['status']}: {why}{self._left()}")
            return
        shown = result.get("early_stop", result["end"])["test_accuracy"]
        density = 100 * result["kept"] / result["total"]
        self.say(f"{self._head(0)}  {density:6.2f} % of weights  test {shown:6.2f} %  {seconds:6.1f} s{self._left()}")

    def _head(self, ahead: int = 1) -> str:
        width = len(str(len(self._jobs)))
        return f"[{self._done + ahead:{width}}/{len(self._jobs)}] {self.name(self._job.run)}"

    def _last(self) -> int:
        return self._job.run.recipe.steps if self._job.replay_to is None else self._job.replay_to

    @staticmethod
    def _percent(accuracy: float | None) -> str:
        return "" if accuracy is None else f"  validation {accuracy:.2f} %"

    def _left(self, step: int | None = None, now: float | None = None) -> str:
        """The time all remaining jobs should take, at the speed of each network so far."""
        known = {name: seconds / max(1.0, steps) for name, (steps, seconds) in self._rates.items()}
        if now is not None:
            known.setdefault(self._job.run.ticket.network.build.name, now)
        if not known:
            return ""
        usual = sum(known.values()) / len(known)

        def cost(job: Job) -> float:
            return known.get(job.run.ticket.network.build.name, usual)

        ahead = self._jobs[self._done + (step is not None) :]
        seconds = sum(job.iterations * cost(job) for job in ahead)
        if step is not None:
            seconds += (self._last() - step) * cost(self._job)
        return f"  {duration(seconds)} left" if seconds >= 1 else ""


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(7), duration(90), duration(3700)
    ('7 s', '1 min 30 s', '1 h 1 min')
    """
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {int(seconds) % 60} s" if minutes else f"{seconds:.0f} s"
