"""The values that a reply gives to named variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from router.answers import MAX_READ_CHARACTERS, extract_answer, find_json, normalise
from router.query import Query
from router.smt import Sort, Value

_NUMBER = re.compile(r"[-+]?\d{1,40}(?:\.\d{1,40}|/0{0,20}[1-9]\d{0,39})?")
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


def values_in(query: Query, text: str, variables: Mapping[str, Sort]) -> dict[str, Value] | None:
    """A value of its sort for each variable: from the last JSON object that has them all, else of a single
    variable the final answer, of several the last ``name = value`` of each. ``None`` where one is missing."""
    text = text[-MAX_READ_CHARACTERS:]
    said = find_json(text)
    if isinstance(said, dict) and said.keys() >= variables.keys():
        given = {name: said[name] for name in variables}
    else:
        answer = extract_answer(query, text) if len(variables) == 1 else None
        given = {name: _equated(name, text) or answer for name in variables}
    values = {name: value_of(given[name], sort) for name, sort in variables.items()}
    known = {name: value for name, value in values.items() if value is not None}
    return known if len(known) == len(values) else None


def value_of(said: Any, sort: Sort) -> Value | None:
    """A JSON value or a text as a value of a sort; ``None`` where it is none.

    >>> value_of("1,200.0", "Int"), value_of(0.1, "Real"), value_of("Yes.", "Bool"), value_of(2.5, "Int")
    (1200, Fraction(1, 10), True, None)
    """
    if isinstance(said, bool):
        return said if sort == "Bool" else None
    plain = normalise(str(said)) if isinstance(said, str | int | float) else ""
    if sort == "Bool":
        return _TRUTHS.get(plain)
    if not _NUMBER.fullmatch(plain):
        return None
    number = Fraction(plain)
    if sort == "Real":
        return number
    return number.numerator if number.denominator == 1 else None


def _equated(name: str, text: str) -> str | None:
    pattern = rf"(?<![\w.]){re.escape(name)}[*_`]* *(?:=|:) *[*_`]*([-+]?[\d.,/]*\d|[A-Za-z]+)(?!\w)"
    found: list[str] = re.findall(pattern, text)
    return found[-1] if found else None
