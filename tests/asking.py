"""A process that has imported the command and composed once, and forks a child per command line: `python asking.py`.

It reads a JSON line per command, {"words", "folder"}, and answers with one, {"code", "imported"}: what the child was
told goes to the files `folder`.out and `folder`.err. A command of its own would import and warm up for a second.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import redirect_stderr
from io import StringIO

from lt_sweeps.main import main


def child(words: list[str], folder: str, left: int) -> None:
    """Answers as a process of its own would, and leaves the modules it has imported in the pipe `left`."""
    os.chdir(folder)
    for number, end in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}.{end}", os.O_WRONLY | os.O_CREAT), number)
    code = 70
    try:
        code = main(words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        with os.fdopen(left, "w") as pipe:
            json.dump({"code": code, "imported": sorted(sys.modules)}, pipe)
        os._exit(code)


def serve() -> None:
    """Warms up with a mistake, then forks a child per line."""
    with tempfile.TemporaryDirectory() as place, redirect_stderr(StringIO()):
        assert main(["seeds=0", f"paths.output_dir={place}"]) == 2
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        read, left = os.pipe()
        process = os.fork()
        if not process:
            os.close(read)
            child(asked["words"], asked["folder"], left)
        os.close(left)
        with os.fdopen(read) as pipe:
            told = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert told, f"exit code {code}"
        print(told, flush=True)


if __name__ == "__main__":
    serve()
