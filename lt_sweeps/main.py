"""`python -m lt_sweeps.main`: runs a sweep from a Hydra command line, which it checks before it imports torch."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from lt_sweeps.cell import cell_of
from lt_sweeps.config import measuring
from lt_sweeps.config.reading import read
from lt_sweeps.config.schema import CONF
from lt_sweeps.config.words import counting, hydra_word
from lt_sweeps.ending import Terminated, leave, run_and_exit
from lt_sweeps.errors import Mistake
from lt_sweeps.output import Unbreakable
from lt_sweeps.store.disk import full_message, is_full
from lt_sweeps.store.store import Damaged
from lt_sweeps.sweeps import run as sweep

MULTIRUN = ("-m", "--multirun")
ELSEWHERE = {  # Hydra settings that this project replaces -> what to use instead
    "hydra.mode": "-m makes a command a sweep",
    "hydra.job.chdir": "paths are relative to where the command is given",
    "hydra.run.dir": "a sweep's folder is paths.output_dir/sweep: set these two",
    "hydra.sweep.dir": "a sweep's folder is paths.output_dir/sweep: set these two",
    "hydra.sweep.subdir": "a sweep has one folder for all its cells, paths.output_dir/sweep",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code.

    It is 0, 1 if a training failed, 2 for a mistake, 130 if interrupted, 143 or 129 if terminated by SIGTERM or SIGHUP.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    words = [word for word in typed if word not in MULTIRUN]
    launched = any(word.lstrip("+").startswith("hydra.launcher.") for word in words) and "--cfg" not in words
    if launched or len(words) < len(typed):  # only sweeps have a launcher; -m may stand anywhere
        words.insert(0, "-m")

    def run() -> int:
        run_words(words)
        return 0

    return exit_code_of(run)


def exit_code_of(run: Callable[[], int]) -> int:
    """Calls `run` and returns its exit code; turns expected errors into one line on stderr and an exit code."""
    try:
        with (
            contextlib.redirect_stdout(Unbreakable(sys.stdout)),  # type: ignore[type-var]
            _leaving_in_order(),
            _damage_in_one_line(),
        ):
            code = run()
            sys.stdout.flush()
        return code
    except Mistake as mistake:
        return _refuse(str(mistake))
    except sweep.Failed as failure:
        print(f"lt_sweeps: {failure}; the same command tries them again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues where this one was", file=sys.stderr)
        return 130
    except Terminated as left:
        print("\nterminated; the same command continues where this one was", file=sys.stderr)
        return left.code
    except OSError as error:
        if is_full(error):
            return _refuse(full_message(error))
        if error.filename is None:
            raise
        return _refuse(f"{error.filename}: {error.strerror}; can paths.output_dir be written to?")


@contextlib.contextmanager
def _leaving_in_order() -> Iterator[None]:
    """Context manager: SIGTERM and SIGHUP raise Terminated, so that running work is cleaned up as after Ctrl-C."""

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as under nohup
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _damage_in_one_line() -> Iterator[None]:
    """Formats a warning about the store as one note, without the line of source that Python adds."""
    before = warnings.formatwarning

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        return f"note: {message}\n" if category is Damaged else before(message, category, filename, lineno, line)

    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = before


def _refuse(line: str) -> int:
    print(f"lt_sweeps: {line}", file=sys.stderr)
    return 2


def run_words(arguments: list[str]) -> list[Path]:
    """Runs a command line; returns the folders of the sweeps that it trained, none where it only shows something."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from lt_sweeps.config.composing import register_schema

    _check_flags(arguments)
    arguments, overridden = counting(arguments)  # what is typed after a script of multirun/ overrides its words
    for word in overridden:
        print(f"note: {word} does not count: a later word gives other values", file=sys.stderr)
    register_schema()
    _prefer_our_files()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing a trace and exiting
    raised: list[Mistake | sweep.Failed] = []
    folders: list[Path] = []
    is_sweep = False

    def task(composed: Any) -> None:
        nonlocal is_sweep
        is_sweep = bool(HydraConfig.get().sweeper.get("params"))  # set by an experiment file
        if is_sweep:
            return
        try:
            if folder := sweep.run([cell_of(read(composed), {})], command(arguments)):
                folders.append(folder)
        except (Mistake, sweep.Failed) as error:  # Hydra would print lines of its own
            raised.append(error)

    vars(task)["folders"] = folders  # Hydra gives the task to the launcher, which knows a multirun's folder
    started = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)
    before = sys.argv
    sys.argv = [sys.argv[0], *map(hydra_word, arguments)]
    try:
        with _mode_as_typed():
            started()
            if is_sweep:
                sys.argv.insert(1, "--multirun")
                started()
    except (HydraException, OmegaConfBaseException) as error:
        from lt_sweeps.config import mistakes

        raise Mistake(mistakes.explain(error)) from None
    finally:
        sys.argv = before
    if raised:
        raise raised[0]
    return folders


@contextlib.contextmanager
def _mode_as_typed() -> Iterator[None]:
    """Context manager: `-m` alone decides between a run and a sweep.

    Hydra composes the whole configuration once more to look for `hydra.mode` in it: a third of the time it takes.
    """
    from hydra._internal.hydra import Hydra

    before = Hydra.get_mode
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = before  # type: ignore[method-assign]


def _prefer_our_files() -> None:
    """Removes other plugins' configs that have the name of ours, such as `hydra/launcher=ray` of Hydra's Ray plugin."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()  # makes installed plugins register their configs
    for path in CONF.glob("hydra/*/*.yaml"):
        ConfigStore.instance().repo["hydra"].get(path.parent.name, {}).pop(path.name, None)


def _check_flags(arguments: Sequence[str]) -> None:
    from hydra._internal.utils import get_args_parser

    def refuse(reason: str) -> NoReturn:
        raise Mistake(f"{reason}; --help shows what there is")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign, assignment]
    if not {"--help", "-h", "--hydra-help", "--version"} & {*arguments}:
        flags = parser.parse_args(arguments)
        if flags.multirun and flags.cfg:
            raise Mistake("--cfg shows one configuration: leave out -m, and give one value for each key")
        chosen = [word for word in arguments if word.startswith(("hydra/launcher=", "hydra/sweeper="))]
        if chosen and not flags.multirun and not flags.cfg:
            raise Mistake(f"{chosen[0]}: is for sweeps; put -m before it")
    if {"-sc", "--shell-completion"} & {*arguments}:
        raise Mistake("--shell-completion: Hydra completes scripts, not modules; lt-sweeps list shows what there is")
    for word in arguments:
        if not word.isascii() and re.search("[\udc80-\udcff]", word):
            raise Mistake(f"{word}: this locale has no such letters; set LC_ALL=C.UTF-8")
        setting, _, value = word.lstrip("+").partition("=")
        if setting in ELSEWHERE and value.lower() != "false":
            raise Mistake(f"{word}: {ELSEWHERE[setting]}")
        if word == "hydra/sweeper=optuna" and find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
            raise Mistake(f"{word}: it is not installed: pip install 'lt_sweeps[optuna]'")
        if re.fullmatch(r"[\w./]+=\{\}", word):
            raise Mistake(f"{word} changes nothing, because mappings are merged: give each entry its value")
        group, _, options = word.partition("=")
        added = group.removeprefix("+")
        if group == f"+{added}" and (CONF / added).is_dir() and not options.startswith("{"):
            raise Mistake(f"{word}: {added} is in the defaults list already; write {added}={options}")
        if "null" in options.split(",") and (CONF / group).is_dir():
            raise Mistake(f"{word}: null is no option of {group}; leave it out, or write ~{group}")
        if options.startswith("[") and (CONF / group).is_dir():  # Hydra would merge them, and the last would win
            if group == "measure":
                measuring.require_mergeable(options.strip("[]").split(","))
            if group in ("measure", "logger"):
                continue
            raise Mistake(f"{word}: choose one option of {group}; to sweep over several, write -m {group}=a,b")


def command(arguments: Sequence[str]) -> str:
    """Returns the command line as text that can be pasted into a shell."""
    return shlex.join(["python", "-m", "lt_sweeps.main", *arguments])


if __name__ == "__main__":
    run_and_exit(main)
