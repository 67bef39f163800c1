"""Compiles C, such as kernel.c, with the machine's C compiler, once for a processor, and loads it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

SOURCE = Path(__file__).parent / "kernel.c"
DENSE = SOURCE.with_name("dense.c")
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-std=gnu11", "-fPIC", "-shared")
REALS = {torch.float32: "float", torch.float64: "double"}


class Library(NamedTuple):
    """The compiled functions, and a name: equal for equal source, compiler and processor, so for equal bits."""

    functions: ctypes.CDLL
    name: str


@cache
def library(dtype: torch.dtype, *, dense: bool = False) -> Library | None:
    """Returns the kernel for weights of this type; None without a C compiler that makes one which runs here."""
    if dtype not in REALS or (kernel := compiled(DENSE if dense else SOURCE, REALS[dtype])) is None:
        return None
    functions, value = kernel.functions, ctypes.c_float if dtype == torch.float32 else ctypes.c_double
    functions.sparse_slopes.restype = functions.sparse_slopes_of_pixels.restype = value
    if dense:
        functions.dense_slopes.restype = functions.dense_slopes_of_pixels.restype = value
    at, counts, double = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
    functions.sparse_sgd.argtypes = [at, at, at, counts, value, value, value, value, ctypes.c_int]
    functions.sparse_adam.argtypes = [at, at, at, at, counts, *[double] * 5, ctypes.c_int, double]
    return kernel


def vector_bytes(library: Library) -> int:
    """The size of the vectors that a kernel computes with: of the processor's registers."""
    return ctypes.c_int.in_dll(library.functions, "sparse_vector_bytes").value


def compiled(source: Path, real: str, *flags: str) -> Library | None:
    """Returns the functions of a C file for REAL = `real`; None without a C compiler that makes what runs here.

    `flags` are added to `FLAGS`.
    """
    compiler = shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    try:
        version = _output([compiler, "--version"]).splitlines()[0]
        parts = [*_texts(source), *FLAGS, *flags, real, version, _processor()]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lt_sweeps"
        place = folder / f"{source.stem}-{digest[:32]}.so"
        if not place.exists():
            _compile([compiler, *FLAGS, *flags, f"-DREAL={real}", str(source)], place)
        return Library(ctypes.CDLL(str(place)), f"{digest[:8]}, {version}")
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


def _texts(source: Path) -> list[str]:
    """The text of a C file, and of those beside it that it includes."""
    text = source.read_text()
    included = re.findall(r'^#include "(.+)"$', text, re.MULTILINE)
    return [text, *((source.parent / name).read_text() for name in included)]


def _compile(command: list[str], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(dir=place.parent) as work:
        output = Path(work) / place.name
        _output([*command, "-o", str(output), "-lm"])
        os.replace(output, place)  # whole or not at all, however many processes compile it


def _processor() -> str:
    """What -march=native depends on: a home folder may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    prefixes = ("model name", "flags", "Features", "CPU part", "CPU implementer")
    return "\n".join(sorted({line for line in lines if line.startswith(prefixes)}))


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
