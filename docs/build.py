"""Lays out the repository's pages for the site, and builds it: `make docs` leaves .site/html/index.html.

Every page stays what it is on GitHub. What a page links to and is no page becomes one: code is shown as code. The
notebook becomes the first page of the guide, with the outputs that were committed.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = ROOT / ".site" / "pages"
FENCED = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(\]\()(?!https?:|#)([^)\s#]+)(#[^)\s]*)?(\))")
CODE = {".py": "python", ".sh": "bash", ".yaml": "yaml", ".cff": "yaml", "": "text"}
HOME, NOTEBOOK = "README.md", "docs/ticket.ipynb"
TITLES = {
    "lt_sweeps": "import lt_sweeps",
    "expressions": "Expressions",
    "masks": "Masks and counts",
    "parts": "Parts of a method",
    "measures": "Measures",
    "training": "Training",
}
REFERENCE = {
    "lt_sweeps": ["starting.sweep", "sweeps.notebook", "tickets.load.load_ticket", "errors"],
    "expressions": ["cell", "graph", "specs", "keys", "results", "methods.imp", "methods.choices"],
    "masks": ["masks", "allocation", "allocations.layerwise", "units.unit"],
    "parts": ["registry", "criteria.probe", "criteria.magnitude", "criteria.gradient", "gates.gate", "hooks.moment"],
    "measures": ["measures.ends", "measures.overlap", "report.statistics", "metrics"],
    "training": ["training.step", "training.masking", "training.dynamics", "tasks.task", "transfers.carry"],
}


def main() -> int:
    """Builds the site strictly; returns the exit code."""
    shutil.rmtree(PAGES.parent, ignore_errors=True)
    lay_out(PAGES)
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=ROOT).returncode


def lay_out(pages: Path) -> None:
    """Writes all pages of the site to a folder."""
    for path in sources():
        write(path, path.read_text(), pages)
    write(ROOT / "docs" / "ticket.md", page_of(json.loads((ROOT / NOTEBOOK).read_text())), pages)
    (pages / "reference").mkdir(exist_ok=True)
    for name, modules in REFERENCE.items():
        blocks = "\n\n".join(f"::: lt_sweeps.{module}" for module in modules)
        (pages / "reference" / f"{name}.md").write_text(f"# {TITLES[name]}\n\n{blocks}\n")


def sources() -> Iterator[Path]:
    """Yields the pages of the repository."""
    for pattern in ("*.md", "docs/*.md", "multirun/*.md", "multirun/*/*.md"):
        yield from sorted(ROOT.glob(pattern))


def write(source: Path, text: str, pages: Path) -> None:
    """Writes a page where it lies in the repository, and whatever it links to that is no page."""
    there = place(source, pages)
    there.parent.mkdir(parents=True, exist_ok=True)
    parts = FENCED.split(text)

    def found(link: re.Match[str]) -> str:
        return linked(source, link, pages)

    there.write_text("".join(part if part.startswith("```") else LINK.sub(found, part) for part in parts))


def place(source: Path, pages: Path) -> Path:
    """The file of the site that a page of the repository becomes."""
    inside = source.relative_to(ROOT)
    return pages / ("index.md" if str(inside) == HOME else inside)


def linked(source: Path, link: re.Match[str], pages: Path) -> str:
    """Returns a link as the site has it, and lays out what it leads to."""
    target = Path(os.path.normpath(source.parent / link[2]))
    at = place(target, pages)
    at.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".ipynb":
        at = at.with_suffix(".md")
    elif target.is_dir() or target.suffix in CODE:
        at = at.with_name(f"{at.name}.md")
        at.write_text(shown(target))
    elif target.suffix != ".md":
        shutil.copy(target, at)
    return f"{link[1]}{os.path.relpath(at, place(source, pages).parent)}{link[3] or ''})"


def shown(path: Path) -> str:
    """The page of a file of code, or of a folder."""
    name = path.relative_to(ROOT)
    if path.is_dir():
        return f"# {name}/\n\n" + "".join(f"* `{file.name}`\n" for file in sorted(path.iterdir()) if file.is_file())
    return f"# {name}\n\n````{CODE[path.suffix]}\n{path.read_text()}\n````\n"


def page_of(notebook: dict[str, Any]) -> str:
    """A notebook as a page: its text, its code, and what the code shows."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts += [f"```python\n{source}\n```", *map(shown_output, cell["outputs"])]
    return "\n\n".join(parts) + "\n"


def shown_output(output: dict[str, Any]) -> str:
    """What a cell of a notebook shows, as HTML: without empty lines, at which Markdown would go on."""
    data = output.get("data", {"text/plain": output.get("text", [])})
    if "image/png" in data:
        return f'<img alt="The figure that this cell draws" src="data:image/png;base64,{data["image/png"]}">'
    if "text/html" in data:
        table = re.sub(r"\n\s*", "\n", "".join(data["text/html"])).replace(' border="1" class="dataframe"', "")
        return f'<div style="overflow-x: auto" markdown="0">{table}</div>'
    return f'<pre style="white-space: pre-wrap; font-size: .8em">{html.escape("".join(data["text/plain"]))}</pre>'


if __name__ == "__main__":
    sys.exit(main())
