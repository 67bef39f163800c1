"""Executes a notebook's cells in this process, as Jupyter shows them; `python tests/notebooks.py` writes them anew.

A kernel of Jupyter would be twenty packages and another process for what is one `exec` per cell.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parent.parent / "docs" / "ticket.ipynb"
FIGURE_DPI = 80

Output = dict[str, Any]


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of all its cells, in the working directory. Raises whatever a cell raises."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells, number = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            number += 1
            cell = {**cell, "execution_count": number, "outputs": outputs("".join(cell["source"]), names, number)}
        cells.append(cell)
    return {**notebook, "cells": cells}


def outputs(source: str, names: dict[str, Any], number: int) -> list[Output]:
    """What a cell prints, and its last expression."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        exec(compile(ast.Module(body, []), f"cell {number}", "exec"), names)
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
    printed: list[Output] = []
    if out.getvalue():
        printed.append({"output_type": "stream", "name": "stdout", "text": lines(out.getvalue())})
    if value is None:
        return printed
    data = shown(value)
    return [*printed, {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}]


def shown(value: Any) -> dict[str, Any]:
    """A value in the forms that Jupyter would show it in."""
    forms: dict[str, Any] = {"text/plain": lines(repr(value))}
    markup = value._repr_html_() if hasattr(value, "_repr_html_") else None
    if markup is not None:
        forms["text/html"] = lines(markup)
    if hasattr(value, "savefig"):
        picture = io.BytesIO()
        value.savefig(picture, format="png", dpi=FIGURE_DPI, bbox_inches="tight", metadata={"Software": None})
        forms["image/png"] = base64.b64encode(picture.getvalue()).decode()
    return forms


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    notebook = json.loads(NOTEBOOK.read_text())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ.pop("LT_SWEEPS_DATA", None)  # its path would be in the outputs, and nothing here needs it
        sys.path.insert(0, str(NOTEBOOK.parent.parent))
        done = executed(notebook)
        os.chdir("/")
    NOTEBOOK.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n")
