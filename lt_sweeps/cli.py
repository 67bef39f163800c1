"""The command `lt-sweeps`: dispatches its subcommands (plan, run, status, report, ...)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from lt_sweeps.ending import run_and_exit

USAGE = """usage: lt-sweeps plan OVERRIDES...    what a sweep would train and prune, hours and disk; trains nothing
                                      (with --calibrate it measures how fast this machine is, for some seconds)
       lt-sweeps run OVERRIDES...     the same as python -m lt_sweeps.main -m OVERRIDES...
       lt-sweeps status [FOLDER] [--watch] [--json]    how far a sweep is, while it runs and after
       lt-sweeps report FOLDER... [NAME=VALUE...] [--facet LABEL] [--color LABEL] [--out FILE]    what is done so far;
                with --facet side by side; with --out, of several sweeps
       lt-sweeps figure FOLDER... [QUANTITY] [NAME=VALUE...]    a figure for a paper: PDF, SVG or PNG, and its data
       lt-sweeps table FOLDER... [QUANTITY] [NAME=VALUE...]     a table for a paper: LaTeX, Markdown or CSV
       lt-sweeps measure FOLDER MEASURE... [--between seed]    more measures of a finished sweep; trains nothing
       lt-sweeps best FOLDER          the best density of each setting, chosen on validation examples, over seeds
       lt-sweeps compare FOLDER... NAME=VALUE...    each setting against the one with these values, paired by seed
       lt-sweeps reached FOLDER COLUMN NUMBER    when each training gets to a value, such as val_accuracy 95
       lt-sweeps scaling FOLDER --over NAME    the smallest matching density over a number, such as the width: a figure
       lt-sweeps dashboard FOLDER [--dry-run]    a W&B workspace and report of a sweep, accuracy over sparsity first
       lt-sweeps log FOLDER --to wandb|mlflow|trackio|tensorboard|csv    a stored sweep, to the runs that live logging
                would have made; several with --to again
       lt-sweeps list [GROUP [OPTION]]    what can be chosen; recipes say their source and what it leaves open; --json
       lt-sweeps ticket VERB ...      export, verify, train and list tickets as folders; ticket --help says more
       lt-sweeps store VERB ...       verify every byte, gc what nothing can use, show what a key is; --json
       lt-sweeps check NAME           the laws, on a network, criterion, allocation, treatment, data set ...
       lt-sweeps theorem [TARGET]     a trained network rebuilt as a mask on random weights, and run

  lt-sweeps plan model=vgg16,resnet20 prune.rate=0.2,0.5 seed=0,1,2
  lt-sweeps check my.pkg.Net --shape 3 32 32 --classes 10"""
HELP = {
    "plan": """usage: lt-sweeps plan [--calibrate] [OVERRIDE...]

What a sweep would train and prune, its hours and its disk. It trains nothing.

  --calibrate  measure for some seconds how fast this machine is, if no training has been timed yet
  OVERRIDE     group=option, key=value, or several values with commas: model=vgg16,resnet20 prune.rate=0.2,0.5;
               lt-sweeps list shows the groups, and python -m lt_sweeps.main --help every key""",
    "run": """usage: lt-sweeps run [OVERRIDE...]

Train a sweep: the same as python -m lt_sweeps.main -m OVERRIDE...

  OVERRIDE     group=option, key=value, or several values with commas: model=vgg16,resnet20 prune.rate=0.2,0.5;
               lt-sweeps list shows the groups, and python -m lt_sweeps.main --help every key""",
}
COMMANDS = {  # verb -> module with its `main`
    "status": "sweeps.terminal",
    "report": "sweeps.results",
    "figure": "report.figure",
    "table": "report.tabular",
    "dashboard": "loggers.dashboard",
    "best": "report.best",
    "measure": "sweeps.measure",
    "log": "sweeps.log",
    "compare": "report.compare",
    "reached": "sweeps.reached",
    "scaling": "report.scaling",
    "list": "catalogue.listing",
    "ticket": "tickets.commands",
    "store": "store_tools.commands",
    "check": "check.command",
    "theorem": "theorem.command",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the subcommand that the first argument names and returns its exit code."""
    from lt_sweeps.main import exit_code_of
    from lt_sweeps.main import main as run

    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does, so that a user's own modules can be imported
    verb, *rest = list(sys.argv[1:] if arguments is None else arguments) or [""]
    if verb in COMMANDS:
        return exit_code_of(lambda: import_module(f"lt_sweeps.{COMMANDS[verb]}").main(rest))
    if verb in HELP and {"-h", "--help"} & {*rest}:
        print(HELP[verb])
        return 0
    match verb:
        case "plan":
            measured = ["hydra.launcher.calibrate=true"] if "--calibrate" in rest else []
            words = [word for word in rest if word != "--calibrate"]
            return run(["-m", *words, "hydra.launcher.only_plan=true", *measured])
        case "run":
            return run(["-m", *rest])
        case "-h" | "--help" | "help":
            print(USAGE)
            return 0
    commands = ", ".join(["plan", "run", *COMMANDS])
    print(f"lt-sweeps: unknown command {verb!r}; there is {commands}" if verb else USAGE, file=sys.stderr)
    return 2


def command() -> NoReturn:
    """The script `lt-sweeps`."""
    run_and_exit(main)


if __name__ == "__main__":
    command()
