"""Quotation: a model's text inside another prompt, so marked that it cannot end its own quotation."""

from __future__ import annotations

import hashlib

MARK_BYTES = 12


def marked(*texts: str) -> str:
    """The texts, with a mark on a line of its own before, between and behind them, which none of them
    holds. It is drawn from a hash of them all, again as often as needed.

    >>> print(marked("5", "6"))
    [[e1262f40]]
    5
    [[e1262f40]]
    6
    [[e1262f40]]
    """
    quoted = "\n".join(texts)
    mark = _mark(quoted.encode(errors="replace"))
    while mark in quoted:
        mark = _mark(mark.encode())
    return f"\n{mark}\n".join(("", *texts, "")).strip("\n")


def _mark(source: bytes) -> str:
    return f"[[{hashlib.sha256(source).hexdigest()[:8]}]]"
