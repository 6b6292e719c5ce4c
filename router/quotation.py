"""Quotation: a model's text inside another prompt, so marked that it cannot end its own quotation."""

from __future__ import annotations

import hashlib

MARK_BYTES = 12


def marked(text: str) -> str:
    """The text between two marks of a line each. A mark is drawn from a hash of the text, which therefore
    cannot hold it.

    >>> print(marked("5"))
    [[ef2d127d]]
    5
    [[ef2d127d]]
    """
    mark = f"[[{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}]]"
    return f"{mark}\n{text}\n{mark}"
