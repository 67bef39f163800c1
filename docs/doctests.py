"""Lets the reference show the examples of docstrings as code: Markdown would take `>>>` for quotations."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"^>>> .*?(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)


class Doctests(Extension):
    """Puts each example of a docstring between fences."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Changes the docstring of what was loaded, if it has one."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """Returns a docstring whose examples, from `>>>` to the next empty line, are fenced.

    >>> print(fenced("Adds.\\n\\n>>> 1 + 1\\n2\\n\\nThat is all.").replace("`" * 3, "---"))
    Adds.
    <BLANKLINE>
    ---pycon
    >>> 1 + 1
    2
    ---
    <BLANKLINE>
    That is all.
    """
    return EXAMPLE.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```", text)
