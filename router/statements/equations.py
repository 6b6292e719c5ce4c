"""Checks relations with SymPy, one a line, as a script of its own (see ``router.statements``).

``name = expression`` defines a name that is new; any other ``=``, ``==``, ``!=``, ``<``, ``<=``, ``>`` or
``>=`` must hold, for all values of the names that are not defined. Numbers with a point are exact.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

_SIGN = re.compile(r"(==|!=|<=|>=|=|<|>)")
_ALLOWED = re.compile(r"[\w\s+*/^().,%=<>!-]+")  # no attributes of attributes, no texts: nothing but formulas
_TRIALS = (2, 3, -1, 7, 0)
"""Values that are tried where SymPy cannot decide."""


def ruling(statement: str) -> str:
    """``holds`` where every relation does and there is one; else the first that does not, and why."""
    known: dict[str, Any] = {}
    checked = 0
    for line in filter(None, (line.partition("#")[0].strip() for line in statement.splitlines())):
        parts = [part.strip() for part in _SIGN.split(line)]
        if len(parts) < 3 or not all(parts) or not _ALLOWED.fullmatch(line) or "__" in line:
            return f"unknown: this is no relation: {line}"
        if len(parts) == 3 and parts[1] == "=" and parts[0].isidentifier() and parts[0] not in known:
            known[parts[0]] = _parsed(parts[2], known)
            continue
        checked += 1
        for left, sign, right in zip(parts[::2], parts[1::2], parts[2::2], strict=False):
            if why := _objection(_parsed(left, known), sign, _parsed(right, known)):
                return f"{why[0]}: {line} ({why[1]})"
    return "holds" if checked else "unknown: nothing was stated but definitions"


def _parsed(text: str, known: Mapping[str, Any]) -> Any:
    from sympy.parsing import sympy_parser as parser

    rules = (
        *parser.standard_transformations,
        parser.convert_xor,
        parser.implicit_multiplication,
        parser.rationalize,
    )
    return parser.parse_expr(text, dict(known), rules)


def _objection(left: Any, sign: str, right: Any) -> tuple[str, str] | None:
    """``None`` where the relation holds; else the ruling and the reason."""
    import sympy

    relation = sympy.Rel(left, right, "==" if sign == "=" else sign)
    decided = sympy.simplify(relation)
    if decided == sympy.true:
        return None
    if decided == sympy.false:
        return "fails", f"the left side is {left}, the right side {right}"
    for values in _trials(relation):
        if relation.subs(values) == sympy.false:
            told = ", ".join(f"{name} = {value}" for name, value in values.items())
            return "fails", f"not for {told}"
    return "unknown", "this could not be decided"


def _trials(relation: Any) -> Iterator[dict[Any, int]]:
    names = sorted(relation.free_symbols, key=str)
    for i in range(len(_TRIALS)):
        yield {name: _TRIALS[(i + k) % len(_TRIALS)] for k, name in enumerate(names)}


if __name__ == "__main__":
    sys.stdout.write(ruling(sys.stdin.read()) + "\n")
