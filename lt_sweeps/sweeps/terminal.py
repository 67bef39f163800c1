"""`lt-sweeps status`: how far each cell is, and its accuracies as a row of bars. No torch here."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

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
    """Yields lines; without `bars`, a done level is a mark like all others."""
    counts = Counter(of.states.values())
    totals = ", ".join(f"{counts[state]} {state}" for state in MARKS if counts[state])
    measures = sum(isinstance(run, Measure) for run in of.states)
    work = f"{len(of.states) - measures} trainings" + (f", {measures} measures" if measures else "")
    left = f"; about {duration(of.seconds)} left" if of.seconds else ""
    cells = f"{len(of.cells)} cell" + ("s" if len(of.cells) != 1 else "")
    yield f"{of.folder}: {cells}, {work}: {totals}{left}"
    for run, holder in of.running.items():
        unit = "point" if isinstance(run, Measure) else "step"
        far = f"{unit} {holder.step:,}/{holder.steps:,}" if holder.step else "begun"
        ago = duration(max(0.0, time.time() - holder.seen))
        yield f"  running  {of.names[run]}  {far}  on {holder.host}, process {holder.pid}, {ago} ago"
    yield from (f"  failed   {of.names[run]}: {reason}" for run, reason in of.failed.items())
    drawn = {metric for done in of.finished.values() for metric in [done.shown.metric]} if bars else set()
    scale = _Scale(list(of.finished.values()), bars) if len(drawn) == 1 else None
    width = max((len(name) for name, _ in of.cells), default=0)
    most = max((len(levels) for _, levels in of.cells), default=0)
    room = WIDTH - most - len("    ") - width
    for name, levels in of.cells:
        row = _row(of, levels, scale)
        said = "  ".join(_said(of, levels, scale))
        if room < 0:  # long names would push the rows off the screen
            yield f"  {row:{most}}  {name}  {said}".rstrip()
        else:
            yield f"  {name:{width}}  {row:{most}}  {said}".rstrip()
    others = [f"{mark} {state}" for state, mark in MARKS.items() if scale is None or state != "done"]
    yield "  " + "  ".join(others)
    if scale is not None:
        yield f"  {scale.legend}"


def _row(of: Status, levels: Sequence[Work], scale: _Scale | None) -> str:
    """A mark or a bar per level."""
    return "".join(
        MARKS[of.states[run]] if scale is None or run not in of.finished else scale.bar(of.finished[run])
        for run in levels
    )


def _said(of: Status, levels: Sequence[Work], scale: _Scale | None) -> Iterator[str]:
    """Which layers are empty, or the best ticket."""
    empty = dict.fromkeys(of.emptied[run] for run in levels if run in of.emptied)
    yield from (f"collapsed: {layers}" for layers in empty)
    tickets = [of.finished[run] for run in levels[1:] if run in of.finished]
    if scale is not None and tickets and not empty:
        best = max(tickets, key=lambda one: scale.metric.worth(one.shown.value))
        yield f"best {scale.metric.number(best.shown.value)} at {100 * best.kept.density:.3g} %"


class _Scale:
    """Bars that tell small differences near the best result apart: each is of twice the distance of the one above."""

    def __init__(self, finished: Sequence[Finished], bars: str) -> None:
        self.metric: Metric = finished[0].shown.metric
        self._bars = bars
        self._best = max((one.shown.value for one in finished), key=self.metric.worth)
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
        return f"{top} to {low} test {self.metric.title} behind {best}: less than {near}, or more"
