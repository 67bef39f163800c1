"""Prints the progress of a sweep: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping
from statistics import median
from typing import TextIO

from lt_sweeps import results
from lt_sweeps.execution.chains import chains
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.watcher import History
from lt_sweeps.graph import Measure, Work
from lt_sweeps.metrics import ACCURACY, of_row
from lt_sweeps.output import printable
from lt_sweeps.results import Collapsed, Diverged, Evaluated, Finished
from lt_sweeps.store.store import Record

PLAIN_EVERY = 15.0  # seconds between two lines about running trainings without a terminal
LIVE_EVERY = 0.2
ESTIMATE_EVERY = 2.0
LONG = 3 * 3600.0  # seconds from which a sweep is announced to be long


class Reporter:
    """Prints what is running, its level, step and accuracy, and the time that is left."""

    def __init__(self, names: Mapping[Work, str], out: TextIO | None = None) -> None:
        self._names = names
        self._out = out or sys.stdout
        self._live = self._out.isatty()
        self._jobs: dict[Work, Job] = {}  # not done yet
        self._done = 0
        self._running: dict[Work, tuple[float, int | None, int]] = {}  # start time, first step seen, current step
        self._rates: dict[str, list[float]] = {}  # by pace: seconds per iteration of each finished job
        self._shown = 0.0
        self._estimate = -ESTIMATE_EVERY, ""
        self._warned = False

    def name(self, run: Work) -> str:
        """The name of a training or measure: the cell and level that show it, or a description."""
        return self._names.get(run) or describe(run)

    def say(self, line: str) -> None:
        """Prints a permanent line."""
        self._out.write(("\r\x1b[2K" if self._live else "") + printable(line) + "\n")
        self._out.flush()

    def expect(self, jobs: Collection[Job]) -> None:
        """Sets the jobs that are still to be done."""
        self._jobs = {job.run: job for job in jobs}
        self._running = {run: state for run, state in self._running.items() if run in self._jobs}

    def begin(self, job: Job) -> None:
        """Notes that a job begins."""
        now = time.monotonic()
        self._running[job.run] = now, None, job.first
        if len(self._running) == 1:
            self._shown = now if not self._live else 0.0

    def step(self, job: Job, step: int, history: History) -> None:
        """Prints a job's step, speed and last validation accuracy, if a line is due."""
        now = time.monotonic()
        since, first, _ = self._running.get(job.run, (now, None, 0))
        self._running[job.run] = (now, step, step) if first is None else (since, first, step)
        if now - self._shown < (LIVE_EVERY if self._live else PLAIN_EVERY):
            return
        self._shown = now
        metric = of_row(history[-1] if history else {}, "val")
        value = history[-1].get(f"val_{metric.name}") if history else None
        validation = "" if value is None else f"  validation {metric.shown(value)}"
        beside = f"  and {len(self._running) - 1} more" if len(self._running) > 1 else ""
        unit = "point" if isinstance(job.run, Measure) else "step"
        pace = f" ({(step - first) / (now - since):.3g} {unit}s/s)" if first is not None and step > first else ""
        line = f"{self._head(job, 1)}  {unit} {step:,}/{job.last:,}{pace}{validation}{beside}{self._time_left()}"
        if self._live:
            self._out.write("\r\x1b[2K" + line[:160])
            self._out.flush()
        else:
            self.say(line)

    def fail(self, job: Job, reason: str) -> None:
        """Prints why a job failed."""
        self._running.pop(job.run, None)
        self.say(f"failed: {self.name(job.run)}: {reason}")

    def finish(self, job: Job, record: Record | None, seconds: float | None) -> None:
        """Prints the result of a committed job."""
        self._running.pop(job.run, None)
        self._jobs.pop(job.run, None)
        self._done += 1
        if seconds is not None:
            self._rates.setdefault(_pace(job.run), []).append(seconds / max(1, job.iterations))
        self._estimate = -ESTIMATE_EVERY, ""
        took = "by another process" if seconds is None else f"{seconds:6.1f} s"
        if record is None:
            self.say(f"{self._head(job)}  replayed to step {job.replay_to:,}  {took.strip()}")
            return
        if isinstance(job.run, Measure):
            value = results.measured(record)[job.run.what.word]
            self.say(f"{self._head(job)}  {value:6.2f}  {took}{self._time_left()}")
            return
        match results.outcome(record):
            case Diverged(step=step) as outcome:
                summary = f"{outcome.status}: at step {step:,}"
            case Collapsed(emptied=emptied) as outcome:
                summary = f"{outcome.status}: {', '.join(emptied)} empty"
            case Finished(kept=kept, shown=shown):
                summary = f"{100 * kept.density:6.2f} % of weights  test {_formatted(shown)}  {took}"
        self.say(f"{self._head(job)}  {summary}{self._time_left()}")

    def _head(self, job: Job, ahead: int = 0) -> str:
        total = self._done + len(self._jobs)
        return f"[{self._done + ahead:{len(str(total))}}/{total}] {self.name(job.run)}"

    def _time_left(self) -> str:
        """The time left, as text: from the speed of each network so far, with as many jobs at once as now."""
        now = time.monotonic()
        when, text = self._estimate
        if now - when < ESTIMATE_EVERY:
            return text
        paces = {name: median(rates) for name, rates in self._rates.items()}  # the median, as first jobs are slower
        for run, (since, first, step) in self._running.items():
            if first is not None and step > first:
                paces.setdefault(_pace(run), (now - since) / (step - first))
        seconds = self._seconds(paces) if paces else 0.0
        self._estimate = now, f"  {duration(seconds)} left" if seconds >= 1 else ""
        if seconds > LONG and not self._warned:
            self._warned = True
            self.say(
                f"note: this takes about {duration(seconds)}; it can be interrupted at any time, "
                "and the same command goes on where it was"
            )
        return self._estimate[1]

    def _seconds(self, paces: Mapping[str, float]) -> float:
        usual = sum(paces.values()) / len(paces)

        def cost(job: Job) -> float:
            begun = self._running[job.run][2] if job.run in self._running else job.first
            return max(0, job.last - begun) * paces.get(_pace(job.run), usual)

        jobs = self._jobs.values()
        longest = max(chains(jobs, cost).values(), default=0.0)
        return max(longest, sum(map(cost, jobs)) / max(1, len(self._running)))


def _formatted(shown: Evaluated) -> str:
    """A test result; accuracies stand below one another."""
    return f"{shown.value:6.2f} %" if shown.metric is ACCURACY else shown.metric.shown(shown.value)


def describe(run: Work) -> str:
    """Describes a run that no cell shows and in which no cell's mask was found."""
    if isinstance(run, Measure):
        return _pace(run)
    changed_by = "".join(f" {part.word}" for part in (run.gate, *run.hooks) if part is not None)
    return f"{run.ticket.network.build.name}{changed_by} level {run.level} (on the way)"


def _pace(run: Work) -> str:
    """A name that runs of about equal speed share."""
    if isinstance(run, Measure):
        return f"{run.what.word} of {run.of[0].network.build.name}"
    return run.ticket.network.build.name


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(7), duration(90), duration(3700)
    ('7 s', '1 min 30 s', '1 h 1 min')
    """
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {int(seconds) % 60} s" if minutes else f"{seconds:.0f} s"
