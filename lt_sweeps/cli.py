"""`lt-sweeps`: what can be done with a sweep beside running it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

USAGE = """usage: lt-sweeps plan OVERRIDES...    what a sweep would train, and what is stored already; trains nothing
       lt-sweeps run OVERRIDES...     the same as python -m lt_sweeps.main -m OVERRIDES...
       lt-sweeps ticket VERB ...      export, verify, train and list tickets as folders; ticket --help says more

  lt-sweeps plan model=vgg16,resnet20 prune.rate=0.2,0.5 seed=0,1,2"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch a command; returns the exit code."""
    from lt_sweeps.main import answered
    from lt_sweeps.main import main as run
    from lt_sweeps.tickets import commands

    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: a user's own networks are found there
    verb, *rest = list(sys.argv[1:] if arguments is None else arguments) or [""]
    rest = [word for word in rest if word not in ("-m", "--multirun")]
    match verb:
        case "plan":
            return run(["-m", *rest, "hydra.launcher.only_plan=true"])
        case "run":
            return run(["-m", *rest])
        case "ticket":
            return answered(lambda: commands.main(rest))
        case "-h" | "--help" | "help":
            print(USAGE)
            return 0
    print(f"lt-sweeps: unknown command {verb!r}; there is plan, run and ticket" if verb else USAGE, file=sys.stderr)
    return 2
