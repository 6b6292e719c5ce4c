"""Expressions in a model's text, read by ``math_verify`` where that is known to end."""

from __future__ import annotations

import logging
import re
from typing import Any

MAX_EXPRESSION_CHARACTERS = 200
_EXPLOSIVE = re.compile(
    r"(\^|\*\*)\s*[{(]?\s*-?\w{3,}|(\^|\*\*).*(\^|\*\*).*(\^|\*\*)|!|\\(?:sum|prod|int)\b"
)
"""Towers of powers, factorials and iterations: short to write, endless to evaluate."""
_MATHEMATICAL = re.compile(r"[\\^_{}]")  # signs of LaTeX: without them the text is prose with a number in it


def evaluable(text: str) -> bool:
    """Whether a text is short, and nothing in it could take for ever to evaluate."""
    return 0 < len(text) <= MAX_EXPRESSION_CHARACTERS and not _EXPLOSIVE.search(text)


def parsed(text: str) -> list[Any]:
    """The SymPy expression in a text of LaTeX or prose, with its source; empty where there is none."""
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns once that its time-out is off
    marked = "$" in text or "\\boxed" in text or not _MATHEMATICAL.search(text)
    found: list[Any] = math_verify.parse(text if marked else f"${text}$", parsing_timeout=None)
    return found
