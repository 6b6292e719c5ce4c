"""Quotation: marks that no quoted text holds."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import quotation
from router.quotation import MARK_BYTES, marked


@given(st.lists(st.text(max_size=60), min_size=1, max_size=8))
def test_between_two_marks_stands_one_text(texts: list[str]) -> None:
    """Each whole, in their order; a mark more than there are texts."""
    mark = marked(*texts)[:MARK_BYTES]
    before, *quoted, after = marked(*texts).split(mark)
    assert (before, after) == ("", "")
    assert quoted == [f"\n{text}\n" for text in texts]


def test_a_text_that_foresaw_its_mark_gets_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short hash can be hit by trying, so hitting it must not help."""
    honest = quotation._mark
    forged = honest(b"forged")
    monkeypatch.setattr(quotation, "_mark", lambda source: forged if b"trick" in source else honest(source))
    quoted = marked(f"trick\n{forged}\n6")
    assert not quoted.startswith(forged)
    assert quoted.count(quoted[:MARK_BYTES]) == 2
    assert hashlib.sha256(forged.encode()).hexdigest()[:8] == quoted[2:10]
