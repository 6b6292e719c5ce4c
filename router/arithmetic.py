"""Arithmetic: the equations that a text states, worked out again. A wrong one betrays a wrong answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import add, mul, neg, sub, truediv

MOST_EQUATIONS = 40
"""Equations are read up to this number, so that no reply takes long."""
MOST_TERMS = 30
RELATIVE_TOLERANCE = 0.006
"""Texts round as they like: 1/3 = 0.33, 12.495 = 12.5."""

_MARKED = re.compile(r"<<([^<>=\n]{1,80})=([^<>=\n]{1,40})>>")  # a calculator's marks, as in GSM8K
_SIGNS = str.maketrans({"×": "*", "÷": "/", "·": "*", "−": "-", "$": None, "£": None, "€": None})
_TIMES = re.compile(r"(?<=[\d)\s])x(?=[\d(\s])")
_UNIT = re.compile(r"(?<=[\d)%]) ?[a-zA-Z]{2,}(?:[ /][a-zA-Z]+){0,3} ?(?=[-+*/=)])")
_PERCENT = re.compile(r"(\d+\.?\d*) ?%")
_RUN = re.compile(r"[\d.,+\-*/() ]*")
_INSIDE = re.compile(r"[\w^{}_|\[\]]")  # next to an expression: it is a part of a larger one
_TOKEN = re.compile(r"\d[\d,]*\.?\d*|\.\d+|[-+*/()]")
_OPERATORS = {"+": add, "-": sub, "*": mul, "/": truediv}
_READ_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Equation:
    """A stated equation by the values of its sides."""

    left: float
    right: float

    @property
    def holds(self) -> bool:
        """Up to rounding, and to a factor of 100 between shares and percentages."""
        return any(_near(self.left * factor, self.right) for factor in (1.0, 100.0, 0.01))


def equations(text: str) -> list[Equation]:
    """The equations of a text that have numbers and operators only, on either side; units are left out.

    >>> [equation.holds for equation in equations("6 boxes * 12 = 72 eggs, and 72 / 5 = 14.5")]
    [True, False]
    """
    found = []
    for left, right in _sides(text):
        if (first := value_of(left)) is not None and (second := value_of(right)) is not None:
            found.append(Equation(first, second))
            if len(found) == MOST_EQUATIONS:
                break
    return found


def value_of(expression: str) -> float | None:
    """The value of numbers under + - * / and parentheses; ``None`` where that is not what it is.

    >>> value_of("2 * (3 + 4) / 7"), value_of("2 apples")
    (2.0, None)
    """
    tokens = _TOKEN.findall(expression)
    if not 0 < len(tokens) <= MOST_TERMS or sum(map(len, tokens)) != len(expression.replace(" ", "")):
        return None
    tokens.reverse()
    try:
        value = _sum(tokens)
    except (ArithmeticError, ValueError, LookupError):
        return None
    return None if tokens else value


def _sides(text: str) -> Iterator[tuple[str, str]]:
    """Both sides of every equals sign that has an operator on one of them."""
    text = text[-_READ_CHARACTERS:].replace("\\*", "*").replace("\\$", "")
    if "<<" in text:
        yield from _MARKED.findall(text)
        text = _MARKED.sub("", text)
    for line in text.split("\n"):
        if "=" in line and "\\" not in line:  # LaTeX is not read
            parts = _plain(line).split("=")
            for left, right in pairwise(parts):
                sides = _ending(left), _beginning(right)
                if any(operator in side[1:] for side in sides for operator in _OPERATORS):
                    yield sides


def _plain(line: str) -> str:
    line = _UNIT.sub("", _TIMES.sub("*", line.translate(_SIGNS)))
    return _PERCENT.sub(r"(\1/100)", line) if "%" in line else line


def _ending(left: str) -> str:
    """The expression that a text ends with, empty where it is a part of a larger one."""
    left = left.rstrip()
    run = _RUN.match(left[::-1])
    size = run.end() if run else 0
    expression = left[len(left) - size :]
    before = left[: len(left) - size]
    whole = not _INSIDE.match(before[-1:]) or expression.startswith(" ")
    return expression.strip(" ,.") if whole and expression.lstrip()[:2] != "- " else ""


def _beginning(right: str) -> str:
    """The expression that a text begins with, empty where it is a part of a larger one."""
    run = _RUN.match(right)
    expression = run[0] if run else ""
    whole = not _INSIDE.match(right[len(expression) :]) or expression.endswith((" ", ".", ","))
    return expression.strip(" ,.") if whole else ""


def _sum(tokens: list[str]) -> float:
    value = _product(tokens)
    while tokens and tokens[-1] in "+-":
        value = _OPERATORS[tokens.pop()](value, _product(tokens))
    return value


def _product(tokens: list[str]) -> float:
    value = _factor(tokens)
    while tokens and tokens[-1] in "*/(":
        operator = mul if tokens[-1] == "(" else _OPERATORS[tokens.pop()]
        value = operator(value, _factor(tokens))
    return value


def _factor(tokens: list[str]) -> float:
    first = tokens.pop()
    if first == "-":
        return neg(_factor(tokens))
    if first != "(":
        return float(first.replace(",", ""))
    value = _sum(tokens)
    if tokens.pop() != ")":
        raise ValueError
    return value


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= RELATIVE_TOLERANCE * (1 + abs(b))
