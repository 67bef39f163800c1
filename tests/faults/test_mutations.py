"""Every mutation still breaks something: the line that it changes stands in the product, once."""

from __future__ import annotations

import pytest
from mutations import MUTATIONS, ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation[0] for mutation in MUTATIONS])
def test_what_a_mutation_changes_is_there_once(mutation: tuple[str, ...]) -> None:
    _, file, *changes = mutation
    text = (ROOT / file).read_text()
    for now, then in zip(changes[::2], changes[1::2], strict=True):
        assert text.count(now) == 1, now
        assert now != then
