"""`lt-sweeps store verify | gc | show`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lt_sweeps.output import printable
from lt_sweeps.parser import Parser
from lt_sweeps.store_tools.gc import collect
from lt_sweeps.store_tools.show import lines, show
from lt_sweeps.store_tools.survey import require, size
from lt_sweeps.store_tools.verify import verify

USAGE = """lt-sweeps store verify [STORE] [--json]             every checksum and every hash; changes nothing
       lt-sweeps store gc [STORE] [--dry-run] [--json]     remove what nothing can use any more
       lt-sweeps store show KEY [STORE] [--json]           what a record or a blob is, by the beginning of its name"""


def parser() -> Parser:
    """The parser of `lt-sweeps store`."""
    top = Parser("lt-sweeps store", usage=USAGE)
    verbs = top.add_subparsers(dest="verb", prog="lt-sweeps store", required=True, parser_class=Parser)
    check = verbs.add_parser("verify", help="read everything: exit code 0 if it is right, 1 if something is not")
    gc = verbs.add_parser("gc", help="remove what nothing can use any more, unless somebody is at work")
    shown = verbs.add_parser("show", help="what a record or a blob is, where it came from, and who shows it")
    shown.add_argument("key", metavar="KEY", help="the beginning of a record's key or of a blob's hash")
    for verb in (check, gc, shown):
        verb.add_argument("store", type=Path, nargs="?", default=Path("runs/store"), help="(default: runs/store)")
        verb.add_argument("--json", action="store_true", help="for a machine")
    gc.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    gc.add_argument("--older-than", type=float, default=1.0, metavar="HOURS", help="spare what is younger (default: 1)")
    gc.add_argument("--quarantine", action="store_true", help="damaged files that sweeps have set aside, too")
    return top


def main(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit code. Raises Mistake."""
    options = parser().parse_args(arguments)
    root = require(options.store)
    match options.verb:
        case "verify":
            checked = verify(root, _Progress())
            _tell(checked.plain() if options.json else checked.lines())
            return 1 if checked.findings else 0
        case "gc":
            removed = collect(root, dry=options.dry_run, older_than=options.older_than, quarantine=options.quarantine)
            _tell(removed.plain() if options.json else removed.lines())
            return 0
    description = show(root, options.key)
    _tell(description if options.json else lines(description))
    return 0


def _tell(output: object) -> None:
    if isinstance(output, list):
        for line in output:
            print(printable(line))
    else:
        print(json.dumps(output, indent=1))


class _Progress:
    """A live line on a terminal, and nothing elsewhere."""

    def __init__(self) -> None:
        self._live, self._shown = sys.stderr.isatty(), 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._live or (now - self._shown < 0.2 and done < total):
            return
        self._shown = now
        line = "" if done == total else f"{100 * done / max(1, total):3.0f} % of {size(total)}"
        sys.stderr.write(f"\r\x1b[2K{line}")
        sys.stderr.flush()
