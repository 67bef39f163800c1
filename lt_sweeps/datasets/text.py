"""Bytes of text: the sources of Python's standard library, or any file or folder of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lt_sweeps.datasets.arrays import LIBRARY, Arrays
from lt_sweeps.registry import register

# Sources that every installation has and no build step writes, in this order; together 4.6 MB in Python 3.11.
MODULES = """
argparse ast asyncio/base_events asyncio/events asyncio/streams asyncio/tasks bdb calendar cmd code codecs
configparser contextlib copy csv dataclasses difflib dis doctest email/_header_value_parser email/header email/message
enum filecmp fileinput fractions ftplib functools getopt gettext glob gzip heapq hmac html/parser http/client
http/cookiejar http/server imaplib inspect ipaddress json/decoder json/encoder keyword linecache locale
logging/__init__ logging/config logging/handlers lzma mailbox mimetypes multiprocessing/connection
multiprocessing/managers multiprocessing/pool ntpath numbers opcode operator optparse os pdb pickle pickletools
pkgutil platform plistlib poplib posixpath pprint profile pstats pydoc queue quopri random reprlib sched selectors
shelve shlex shutil smtplib socket socketserver ssl stat statistics string subprocess tarfile tempfile textwrap
threading timeit token tokenize trace traceback tracemalloc types typing unittest/case unittest/loader unittest/mock
unittest/suite urllib/parse urllib/request uuid warnings wave weakref xml/dom/minidom xml/etree/ElementTree
xml/sax/saxutils xmlrpc/client
"""


@register("dataset", version=1, needs=("embedding", "library"))
def text(data_dir: Path, train: int = 16384, test: int = 2048, length: int = 64, path: str | None = None) -> Arrays:
    """Runs of bytes as 256 tokens, int16 (N, length), and the byte after each place, int64 (N, length).

    `path` is a file, or a folder whose files are read in the order of their names, below `paths.data_dir`; without it
    these are 116 modules of the running Python's standard library, whose text differs a little between versions of
    Python: results are stale where it does. All bytes in a row are cut every `length` bytes; the first `train` runs
    and the last `test` ones are taken, so that the test set is text from other places, mostly other files.

    Raises ValueError for a path that leads out of `paths.data_dir`, for one without files, and for too little text.
    """
    content = b"\n".join(file.read_bytes() for file in _files(data_dir, path))
    runs = (len(content) - 1) // length
    if train + test > runs:
        raise ValueError(
            f"dataset.train={train} and dataset.test={test}: {path or 'the standard library'} has {runs:,} runs of "
            f"{length} bytes"
        )
    tokens = torch.from_numpy(np.frombuffer(content, np.uint8).astype(np.int16))
    places = torch.cat([torch.arange(train), torch.arange(runs - test, runs)])
    x, y = (tokens[first : first + runs * length].view(runs, length)[places] for first in (0, 1))
    return Arrays(x[:train], y[:train].long(), x[train:], y[train:].long())


def _files(data_dir: Path, path: str | None) -> list[Path]:
    """Returns the files to read, in order."""
    if path is None:
        return [LIBRARY / f"{module}.py" for module in MODULES.split()]
    place, folder = (data_dir / path).resolve(), data_dir.resolve()
    if not place.is_relative_to(folder):
        raise ValueError(f"dataset.args.path={path}: leads out of paths.data_dir={data_dir}, which it is relative to")
    files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
    if not files or not files[0].is_file():
        raise ValueError(f"dataset.args.path={path}: there is no such file or folder with files in {data_dir}")
    return files
