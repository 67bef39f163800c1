"""The documentation as a site: every page is in its contents, every link leads somewhere, nothing is fetched."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from test_readme import anchors, links

ROOT = Path(__file__).parent.parent
CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    build.lay_out(folder)
    return folder


def entries(nav: Any) -> Iterator[str]:
    for entry in nav:
        for content in entry.values():
            yield from [content] if isinstance(content, str) else entries(content)


def test_the_contents_list_every_page_once(build: ModuleType, pages: Path) -> None:
    """Tables of measured sweeps are linked from the page of sweeps; code is linked from wherever it is spoken of."""
    listed = list(entries(CONFIG["nav"]))
    assert len(listed) == len(set(listed))
    assert [name for name in listed if not (pages / name).is_file()] == []
    own = {build.place(path, pages).relative_to(pages) for path in build.sources()} | {Path("docs/ticket.md")}
    own |= {path.relative_to(pages) for path in (pages / "reference").iterdir()}
    assert {str(path) for path in own if len(path.parts) < 3} == {*listed}
    assert [title for entry in CONFIG["nav"] if "Guide" in entry for page in entry["Guide"] for title in page] == [
        "The first ticket",
        "Your own network, data, criterion",
        "Reading results",
        "Beyond one machine",
        "How it works",
    ]


def test_every_link_of_the_site_leads_somewhere(pages: Path) -> None:
    checked = 0
    for page in pages.rglob("*.md"):
        for link, target, anchor in links(page):
            assert target.is_file(), f"{page.relative_to(pages)} points to {link}"
            assert not anchor or anchor in anchors(target), f"{page.relative_to(pages)} points to {link}"
            checked += 1
    assert checked > 200


def test_the_reference_is_of_what_there_is(pages: Path) -> None:
    names = [n for page in (pages / "reference").iterdir() for n in re.findall("^::: (.+)$", page.read_text(), re.M)]
    assert len(names) > 20
    for name in names:
        try:
            import_module(name)
        except ModuleNotFoundError:
            module, _, function = name.rpartition(".")
            assert getattr(import_module(module), function).__doc__


def test_the_notebook_is_a_page_with_its_outputs(pages: Path) -> None:
    text = (pages / "docs" / "ticket.md").read_text()
    assert text.count('<img alt="The figure that this cell draws" src="data:image/png;base64,') == 2
    assert "the sparsest matching tickets keep" in text or "no level is matching" in text


def test_no_page_fetches_anything(pages: Path) -> None:
    """Pictures are the repository's own, and letters those of the reader."""
    assert CONFIG["theme"]["font"] is False
    for page in pages.rglob("*.md"):
        assert not re.search(
            r'(?:src=")?!\[[^\]]*\]\(https?:|<(?:img|script|iframe)[^>]*src="https?:', page.read_text()
        )
