"""`lt-sweeps log FOLDER --to LOGGER`: logs a stored sweep to the runs that it would have made while it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lt_sweeps.config import archive
from lt_sweeps.config.reading import LOGGERS
from lt_sweeps.config.schema import CONF, LoggerConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.execution import agent
from lt_sweeps.execution import plan as planning
from lt_sweeps.loggers import choose
from lt_sweeps.parser import Parser
from lt_sweeps.report import table
from lt_sweeps.store.store import Store
from lt_sweeps.sweeps.run import journals_of

EPILOG = """SETTING is one of the loggers, as on a command line without `logger.`. What was logged is not logged again.

  lt-sweeps log runs/demo --to wandb project=tickets mode=offline
  lt-sweeps log runs/demo --to wandb --to csv"""


def main(arguments: Sequence[str]) -> int:
    """Logs what is in the store; returns the exit code. It trains nothing. Raises Mistake."""
    parser = Parser(
        "lt-sweeps log",
        description=__doc__.partition(": ")[2],
        epilog=EPILOG,
    )
    parser.add_argument("folder", type=Path, help="of a sweep, finished or not")
    parser.add_argument("--to", choices=LOGGERS, required=True, action="append", help="for several, give it again")
    parser.add_argument("settings", nargs="*", metavar="SETTING")
    options = parser.parse_intermixed_args(list(arguments))
    folder, config = options.folder.absolute(), _logger(options.to, options.settings)
    choose.check(config)
    cells = [
        agent.rebuild(replace(past, settings={**past.settings, "logger": asdict(config)}))
        for past in archive.cells(folder)
    ]
    store = Store(folder.parent / "store", as_stored=True)
    plan, rows = planning.make(cells, store), table.read(folder)
    if plan.jobs:
        print(f"note: {len(plan.jobs)} trainings and measures are not done; what is done of their runs is logged")
    with journals_of(cells, folder, plan, store) as journals:
        journals.close(rows, plan, {}, folder / "report.html")
        return int(journals.has_failed)


def _logger(names: Sequence[str], settings: Sequence[str]) -> LoggerConfig:
    """Returns the settings of `logger=[NAMES]` under these overrides. Raises Mistake for an unknown one."""
    options = [OmegaConf.load(CONF / "logger" / f"{name}.yaml") for name in names]
    try:
        own = OmegaConf.merge(OmegaConf.structured(LoggerConfig), *options)
        config = OmegaConf.to_object(OmegaConf.merge(own, OmegaConf.from_dotlist(list(settings))))
    except OmegaConfBaseException as error:
        raise Mistake(f"log: {str(error).splitlines()[0]}; settings are such as project=NAME mode=offline") from None
    assert isinstance(config, LoggerConfig)
    return config
