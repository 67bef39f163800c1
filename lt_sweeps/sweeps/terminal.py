"""`lt-sweeps status`: how far each cell is, and its accuracies as a row of bars. No torch here."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

from lt_sweeps.config import archive
from lt_sweeps.errors import Mistake
from lt_sweeps.execution.reporter import duration
from lt_sweeps.graph import Measure, Work
from lt_sweeps.metrics import Metric
from lt_sweeps.parser import Parser
from lt_sweeps.results import Finished
from lt_sweeps.sweeps.status import Status, status

MARKS = {"done": "#", "running": ">", "waiting": ".", "failed": "!", "diverged": "x", "collapsed": "x", "blocked": "-"}
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 80  # columns


def main(arguments: Sequence[str]) -> int:
    """`lt-sweeps status [FOLDER] [--watch] [--json]`; returns the exit code. Raises Mistake."""
    parser = Parser("lt-sweeps status", description="How far a sweep is.")
    parser.add_argument("folder", nargs="?", type=Path, help="of the sweep; the one last begun under runs/ if left out")
    parser.add_argument("--watch", action="store_true", help="look again every few seconds until nothing is left to do")
    parser.add_argument("--json", action="store_true", help="for a machine: every training by its key")
    options = parser.parse_args(list(arguments))
    folder = options.folder or _last(Path("runs"))
    while True:
        current = status(folder)
        text = json.dumps(current.as_json()) if options.json else "\n".join(lines(current, _bars()))
        if options.watch and sys.stdout.isatty() and not options.json:
            print("\x1b[H\x1b[2J", end="")
        print(text, flush=True)
        if not options.watch or {"running", "waiting"}.isdisjoint(current.states.values()):
            return 0
        time.sleep(5)


def _bars() -> str:
    """The bars of a curve; none where the terminal has no such characters."""
    try:
        BARS.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return ""
    return BARS


def _last(output: Path) -> Path:
    begun = sorted(output.glob(f"*/{archive.CELLS}"), key=lambda path: path.stat().st_mtime)
    if not begun:
        raise Mistake(f"no sweep under {output}; name its folder")
    return begun[-1].parent


def lines(of: Status, bars: str = BARS) -> Iterator[str]:
    """Yields lines of at most WIDTH columns; without `bars`, a done level is a mark like all others."""
    for line, hanging in _entries(of, bars):
        yield from wrap(line, WIDTH, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)


def _entries(of: Status, bars: str) -> Iterator[tuple[str, int]]:
    """Yields lines of any length, each with the column at which it goes on where it is too long."""
    counts = Counter(of.states.values())
    totals = ", ".join(f"{counts[state]} {state}" for state in MARKS if counts[state])
    measures = sum(isinstance(run, Measure) for run in of.states)
    work = f"{len(of.states) - measures} trainings" + (f", {measures} measures" if measures else "")
    cells = f"{len(of.cells)} cell" + ("s" if len(of.cells) != 1 else "")
    yield f"{of.folder}: {cells}, {work}: {totals}{_time_left(of)}", 4
    for run, holder in of.running.items():
        unit = "point" if isinstance(run, Measure) else "step"
        far = f"{unit} {holder.step:,}/{holder.steps:,}" if holder.step else "begun"
        ago = duration(max(0.0, time.time() - holder.seen))
        yield f"  running  {of.names[run]}  {far}  on {holder.host}, process {holder.pid}, {ago} ago", 11
    yield from ((f"  failed   {of.names[run]}: {reason}", 11) for run, reason in of.failed.items())
    metrics = {metric for done in of.finished.values() for metric in [done.shown.metric]} if bars else set()
    scale = _Scale(list(of.finished.values()), bars) if len(metrics) == 1 else None
    names = [name for name, _ in of.cells]
    rows = [_row(of, levels, scale) for _, levels in of.cells]
    results = ["  ".join(_summary(of, levels, scale)) for _, levels in of.cells]
    width, most, longest = (max(map(len, texts), default=0) for texts in (names, rows, results))
    beside = width + most + longest + len("      ") <= WIDTH
    if not beside:  # long names would push the rows off the screen
        names, shared = _without_shared(names)
        yield from [(f"  all cells: {shared}", 13)] if shared else []
    for name, row, result in zip(names, rows, results, strict=True):
        yield (f"  {name:{width}}  {row:{most}}  {result}" if beside else f"  {row:{most}}  {name}  {result}"), most + 4
    others = [f"{mark} {state}" for state, mark in MARKS.items() if scale is None or state != "done"]
    yield "  " + "  ".join(others), 4
    if scale is not None:
        yield f"  {scale.legend}", 4


def _time_left(of: Status) -> str:
    """The time that is left, and what it leaves out."""
    measures = f"{of.untimed} measure" + ("s" if of.untimed != 1 else "") + " of which no kind alike was timed yet"
    if of.seconds:
        return f"; about {duration(of.seconds)} left" + (f", not counting {measures}" if of.untimed else "")
    return f"; time left not known: {measures}" if of.running and of.untimed else ""


def _without_shared(names: Sequence[str]) -> tuple[list[str], str]:
    """Returns names without the words that all of them have, and these; one name stays what it is.

    >>> _without_shared(["lenet mnist seed=0 rate=0.2", "lenet mnist seed=0 rate=0.5"])
    (['rate=0.2', 'rate=0.5'], 'lenet mnist seed=0')
    """
    words = [name.split() for name in names]
    shared = [word for word in words[0] if all(word in others for others in words)] if len(names) > 1 else []
    return [" ".join(word for word in own if word not in shared) for own in words], " ".join(shared)


def _row(of: Status, levels: Sequence[Work], scale: _Scale | None) -> str:
    """A mark or a bar per level."""
    return "".join(
        MARKS[of.states[run]] if scale is None or run not in of.finished else scale.bar(of.finished[run])
        for run in levels
    )


def _summary(of: Status, levels: Sequence[Work], scale: _Scale | None) -> Iterator[str]:
    """Which layers are empty, or the best ticket."""
    empty = dict.fromkeys(of.emptied[run] for run in levels if run in of.emptied)
    yield from (f"collapsed: {layers}" for layers in empty)
    run = of.best(levels)
    if scale is not None and run is not None and not empty:
        best = of.finished[run]
        yield f"best {scale.metric.number(best.shown.value)} at {100 * best.kept.density:.3g} %"


class _Scale:
    """Bars of results: each step down is twice the distance to the best, so that differences near the best are seen."""

    def __init__(self, finished: Sequence[Finished], bars: str) -> None:
        self.metric: Metric = finished[0].shown.metric
        self._bars = bars
        early = {result.at_early_stop is not None for result in finished}
        self._when = (
            "at early stop"
            if early == {True}
            else "at the end"
            if early == {False}
            else "at early stop, else at the end"
        )
        self._best = max((result.shown.value for result in finished), key=self.metric.worth)
        self._unit = self.metric.margin_at(self._best) / 2

    def bar(self, finished: Finished) -> str:
        """Returns the bar of a result."""
        behind = self.metric.worth(self._best) - self.metric.worth(finished.shown.value)
        steps = math.floor(math.log2(1 + behind / self._unit)) if self._unit else 0
        return self._bars[max(len(self._bars) - 1 - steps, 0)]

    @property
    def legend(self) -> str:
        """What the bars are."""
        number, last = self.metric.number, len(self._bars) - 1
        near = ", ".join(number(self._unit * (2**steps - 1)) for steps in range(1, last + 1))
        best, top, low = number(self._best), self._bars[-1], self._bars[0]
        test = f"test {self.metric.title} {self._when}"
        return f"{top} to {low} {test} behind {best}: less than {near}, or more"
