"""The contents of a page: links to its sections, and to the parts of each."""

from __future__ import annotations

import re
from collections.abc import Sequence

HEAD = re.compile(r"<h([23])(?: id=\"([^\"]*)\")?>(.*?)</h[23]>")
FEWEST = 3  # parts for which contents are worth their place


def with_links(section: str, name: str) -> str:
    """Returns a section whose headings have names that links can point to.

    >>> with_links("<h2>a</h2><h3>b</h3>", "place-1")
    '<h2 id="place-1-0">a</h2><h3 id="place-1-1">b</h3>'
    """
    pieces = HEAD.split(section)  # text, level, id, title, text ...
    parts = [pieces[0]]
    for number, place in enumerate(range(1, len(pieces), 4)):
        level, _, title, after = pieces[place : place + 4]
        parts.append(f'<h{level} id="{name}-{number}">{title}</h{level}>{after}')
    return "".join(parts)


def contents(sections: Sequence[str]) -> str:
    """Returns links to the parts of sections, a line per section, closed until opened; empty for less than FEWEST."""
    heads = [[(level, name, title) for level, name, title in HEAD.findall(section) if name] for section in sections]
    lines = ["".join(f'<a href="#{name}">{title}</a>' for _, name, title in parts) for parts in heads if parts]
    if sum(map(len, heads)) < FEWEST:
        return ""
    links = "".join(f"<p>{line}</p>" for line in lines)
    return f'<details>\n<summary>Contents</summary>\n<nav aria-label="Contents">{links}</nav>\n</details>'
