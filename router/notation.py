"""Notation: one way of writing each number, so that equal numbers are equal texts."""

from __future__ import annotations

import re
from fractions import Fraction

_PLAIN_NUMBER = re.compile(r"([-+]?)(\d{1,3}(?:,\d{3})+|\d*)(?:\.(\d*))?(%?)")
_FRACTION = re.compile(
    r"([-+]?)(?:\\[dt]?frac ?(?:\{ ?([-+]?\d{1,15}) ?\} ?\{ ?(\d{1,15}) ?\}|(\d) ?(\d))"
    r"|(\d{1,15}) ?/ ?(\d{1,15}))"
)


def one_notation(text: str) -> str | None:
    """A number in the one way of writing it: without separators, needless zeros and a plus sign, a
    fraction as a decimal where that ends, else in lowest terms; ``None`` where the text is no number.

    >>> one_notation("+01,000.50"), one_notation("3/6"), one_notation("-4/6"), one_notation("x")
    ('1000.5', '0.5', '-2/3', None)
    """
    return _plain_number(text) or _plain_fraction(text)


def _plain_number(text: str) -> str | None:
    """A number without separators, leading zeros, trailing zeros or a plus sign; else ``None``."""
    match = _PLAIN_NUMBER.fullmatch(text)
    if match is None or not any(character.isdigit() for character in text):
        return None
    sign, whole, decimals, percent = match.groups()
    digits = whole.replace(",", "").lstrip("0") or "0"
    fraction = (decimals or "").rstrip("0")
    value = f"{digits}.{fraction}" if fraction else digits
    return ("-" if sign == "-" and value != "0" else "") + value + percent


def _plain_fraction(text: str) -> str | None:
    """A fraction of whole numbers as a decimal where that ends, else in lowest terms; else ``None``."""
    match = _FRACTION.fullmatch(text)
    if match is None:
        return None
    sign, *parts = match.groups()
    above, below = (int(part) for part in parts if part is not None)
    if below == 0:
        return None
    value = Fraction(-above if sign == "-" else above, below)
    return _decimal(value) or str(value)


def _decimal(value: Fraction) -> str | None:
    """The decimal notation of a fraction; ``None`` where it never ends. It ends after as many places
    as the denominator has factors of 2 or of 5, whichever are more."""
    rest, factors = value.denominator, {2: 0, 5: 0}
    for prime in factors:
        while rest % prime == 0:
            rest, factors[prime] = rest // prime, factors[prime] + 1
    if rest != 1:
        return None
    places = max(factors.values())
    digits = f"{abs(value.numerator) * 10**places // value.denominator:0{places + 1}}"
    shown = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{shown}" if value < 0 else shown
