"""The parser of each `lt-sweeps VERB`: help as it is written, and a mistake in one line."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from lt_sweeps.errors import Mistake


class Parser(argparse.ArgumentParser):
    """A parser whose `prog` is the command, such as `lt-sweeps best`. Raises Mistake where argparse would exit."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Raises Mistake, which is answered in one line.

        >>> Parser("lt-sweeps best").parse_args(["--worst"])
        Traceback (most recent call last):
        lt_sweeps.errors.Mistake: best: unrecognized arguments: --worst; lt-sweeps best --help shows what there is
        """
        raise Mistake(f"{self.prog.removeprefix('lt-sweeps ')}: {message}; {self.prog} --help shows what there is")
