"""The number that a text says, apart from numbers that it denies, lists or calculates with."""

from __future__ import annotations

import re

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+|/\d+)?|(?<![\w.])[-+]?\.\d+")
_HEDGED_BEFORE = re.compile(
    r"(?:\b(?:not|never|neither|nor|except)\b|n['’]t\b)(?:[ *_`]+(?!but\b)[a-z]+){0,2}[ *_`$(]*$"
    r"|(?<![\w.])\d[\d,.]*[ *_`$})]*(?:,| or| and| to|,? or)[ *_`${(]+(?:even |maybe |perhaps )?$"
    r"|\{[^{}]*\d[ *_`$]*,[ *_`$]*$",
    re.IGNORECASE,
)
_HEDGED_BEHIND = re.compile(
    r"[ *_`$.)]*(?:(?:is|was|would be)(?: not|n['’]t)|(?:is|was|would be) (?:wrong|incorrect))\b",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"\\(?:sqrt|[dt]?frac|pi|ln|log|sin|cos|tan)(?![A-Za-z])|\^(?!\\circ)")
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")


def last_number(text: str) -> str | None:
    """The last number in a text, as written."""
    numbers: list[str] = NUMBER.findall(text)
    return numbers[-1] if numbers else None


def hedged(text: str) -> bool:
    """Whether a text denies its last number, or names it as one of several.

    >>> hedged("not 5"), hedged("3 or 5"), hedged("not 3 but 5"), hedged("3 + 2 = 5")
    (True, True, False, False)
    """
    last = next(iter(reversed(list(NUMBER.finditer(text)))), None)
    if last is None:
        return False
    before, behind = text[: last.start()].rpartition("\n")[2], text[last.end() :]
    return _HEDGED_BEFORE.search(before) is not None or _HEDGED_BEHIND.match(behind) is not None


def said_number(text: str) -> str | None:
    """The last number in a text; where it is denied, one of several or part of a formula, what says so."""
    number = last_number(text)
    if number is None:
        return None
    line = next(line for line in reversed(text.splitlines()) if number in line)
    formula = line.rpartition("=")[2].strip(" $.*")
    if _FORMULA.search(formula) and not _PROSE.search(formula):
        return formula
    return line if hedged(text) else number
