"""Whether two expressions that ``math_verify`` read are equal, by bounded arithmetic alone.

SymPy's own comparisons simplify, which could take for ever, and nothing can interrupt them outside the main
thread. Here sets, intervals and equations are compared part by part, and numbers and formulas as
``router.claim`` does: at fixed points, exactly or in many digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from router.claim import Claim, Term
from router.exact_arithmetic import Undecided

MAX_MEMBERS = 30
"""Of a set or a matrix."""
DECIMAL_PRECISION = "0.000001"
"""Relative difference of equal numbers where one is a rounded decimal."""


def equal(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether one of SymPy's objects equals another, the known one; ``Undecided`` where that cannot be told
    within bounds. tolerance: greatest absolute difference of equal numbers."""
    import sympy

    one, other = assigned(one), assigned(other)
    if one == other:
        return True
    if isinstance(one, sympy.MatrixBase) and isinstance(other, sympy.MatrixBase):
        return one.shape == other.shape and _in_turn(one, other, tolerance)
    if any(isinstance(each, sympy.core.relational.Relational) for each in (one, other)):
        return _relations(one, other, tolerance)
    if any(isinstance(each, sympy.Set | sympy.Tuple) for each in (one, other)):
        return _collections(one, other, tolerance)
    return _numbers(one, other, tolerance)


def assigned(value: Any) -> Any:
    """Of ``x = value`` the value, of a set of one its member."""
    import sympy

    if isinstance(value, sympy.Eq) and isinstance(value.lhs, sympy.Symbol):
        value = value.rhs
    return value.args[0] if isinstance(value, sympy.FiniteSet) and len(value.args) == 1 else value


def _collections(one: Any, other: Any, tolerance: float) -> bool:
    import sympy

    if isinstance(one, sympy.Interval) and isinstance(other, sympy.Interval):
        alike = (one.left_open, one.right_open) == (other.left_open, other.right_open)
        return bool(alike) and _in_turn(one.args[:2], other.args[:2], tolerance)
    for pair, interval in ((one, other), (other, one)):  # (1, 2) is written for both
        if isinstance(pair, sympy.Tuple) and isinstance(interval, sympy.Interval):
            closed = interval.left_open is not sympy.true or interval.right_open is not sympy.true
            return not closed and _in_turn(pair.args, interval.args[:2], tolerance)
    if isinstance(one, sympy.Tuple) and isinstance(other, sympy.Tuple):
        return _in_turn(one.args, other.args, tolerance)
    for kind in (sympy.FiniteSet, sympy.Union):
        if isinstance(one, kind) and isinstance(other, kind):
            return _in_any_turn(list(one.args), list(other.args), tolerance)
    return False


def _in_turn(one: Iterable[Any], other: Iterable[Any], tolerance: float) -> bool:
    ones, others = list(one), list(other)
    _check_count(ones)
    return len(ones) == len(others) and all(
        equal(left, right, tolerance) for left, right in zip(ones, others, strict=True)
    )


def _in_any_turn(one: list[Any], other: list[Any], tolerance: float) -> bool:
    """Each member has its own equal one; the first that is free serves, since members of a set differ."""
    _check_count(one)
    if len(one) != len(other):
        return False
    for member in one:
        found = next((i for i, each in enumerate(other) if equal(member, each, tolerance)), None)
        if found is None:
            return False
        del other[found]
    return True


def _check_count(members: list[Any]) -> None:
    if len(members) > MAX_MEMBERS:
        raise Undecided(f"more than {MAX_MEMBERS} members")


def _relations(one: Any, other: Any, tolerance: float) -> bool:
    """True of relations that differ by their sides or signs only; whether others mean the same is not worked
    out."""
    import sympy

    if not all(isinstance(each, sympy.core.relational.Relational) for each in (one, other)):
        raise Undecided("a relation beside what is none")
    gaps = [
        sympy.Add(each.lhs, sympy.Mul(-1, each.rhs, evaluate=False), evaluate=False) for each in (one, other)
    ]
    back = sympy.Mul(-1, gaps[1], evaluate=False)
    if one.func == other.func and equal(gaps[0], gaps[1], tolerance):
        return True
    if (one.func == other.reversed.func or one.func == other.func == sympy.Eq) and equal(
        gaps[0], back, tolerance
    ):
        return True
    raise Undecided("equations that are put differently")


def _numbers(one: Any, other: Any, tolerance: float) -> bool:
    """Numbers and formulas. A percentage stands for its share and for its number, as it is often written."""
    import sympy

    if not (isinstance(one, sympy.Expr) and isinstance(other, sympy.Expr)):
        raise Undecided("it is no number and no formula")
    if _same(one, other, tolerance):
        return True
    percent = next((each for each in (one, other) if _of_percent(each) is not None), None)
    if percent is None:
        return False
    return _same(_of_percent(percent), other if percent is one else one, tolerance)


def _of_percent(value: Any) -> Any:
    """The 50 of 50 %, ``None`` of anything else."""
    import sympy

    hundredth = sympy.UnevaluatedExpr(sympy.Rational(1, 100))
    percent = isinstance(value, sympy.Mul) and len(value.args) == 2 and value.args[1] == hundredth
    return value.args[0] if percent else None


def _same(one: Any, other: Any, tolerance: float) -> bool:
    given, known = Term(str(one)), str(other)
    free = sorted({*given.symbols, *Term(known).symbols})
    if "i" in given.symbols ^ Term(known).symbols:
        raise Undecided("i may be the imaginary unit")
    if not Claim(f"answer == ({known})", "answer").holds(given, tolerance):
        return not free and _rounded(one, other) and _near(given, known)
    for symbol in free:  # so far for positive numbers
        negative = f"at(answer, {symbol}, -{symbol}) == at({known}, {symbol}, -{symbol})"
        if not Claim(negative, "answer").holds(given, tolerance):
            raise Undecided(f"equal for positive {symbol} only")
    return True


def _rounded(one: Any, other: Any) -> bool:
    import sympy

    return bool(one.atoms(sympy.Float) or other.atoms(sympy.Float))


def _near(given: Term, known: str) -> bool:
    try:
        return Claim(f"abs(answer - ({known})) <= {DECIMAL_PRECISION}*abs({known})", "answer").holds(given)
    except ZeroDivisionError as error:
        raise Undecided("it is not defined") from error
