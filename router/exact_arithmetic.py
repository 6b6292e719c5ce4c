"""Exact arithmetic where it is possible, of many digits where not, and bounded in either case."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeAlias

Number: TypeAlias = Any
"""A ``Fraction``, or mpmath's ``mpf`` or ``mpc``."""

DIGITS = 100
MAX_OPERATIONS = 5_000
MAX_S = 2.0
"""Whichever comes first; each operation takes at most some milliseconds."""
MAX_BITS = 4_000
"""Of a fraction's parts, and of the size of any other number."""
MAX_FACTORIAL = 300
MAX_ANGLE_BITS = 40
"""A larger angle has lost its digits."""
MAX_EXPONENT_BITS = 12
MAX_PRIME_BITS = 128

ROUNDING = ("floor", "ceiling")
SMOOTH = ("sqrt", "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh")
WHOLE = ("gcd", "lcm", "factorial", "binomial", "isprime")
_OPERATORS = ("add", "sub", "mul", "truediv", "neg", "abs")


class Undecided(ValueError):
    """An expression that cannot be read, or cannot be computed within bounds; the message says why."""


def _precise() -> Any:
    import mpmath

    mp = mpmath.MPContext()  # its own: the precision of the shared one may be anything
    mp.dps = DIGITS
    return mp


@dataclass(slots=True)
class Arithmetic:
    """Operations by name, counted; ``Undecided`` where one leaves the bounds, ``ZeroDivisionError`` where it
    is not defined."""

    mp: Any = field(default_factory=_precise)
    operations: int = 0
    until: float = field(default_factory=lambda: time.monotonic() + MAX_S)

    def apply(self, name: str, *values: Number) -> Number:
        """The result of one operation."""
        self.operations += 1
        if self.operations > MAX_OPERATIONS or time.monotonic() > self.until:
            raise Undecided("too many operations")
        try:
            return self._bounded(self._applied(name, values))
        except Undecided:
            raise
        except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
            raise Undecided(f"{name} cannot be computed: {error}") from error

    def derivative(self, function: Callable[[Number], Number], where: Number, order: int) -> Number:
        """Of a function of one number, by differences in multiple precision."""
        moved = lambda value: self.inexact(function(value))
        return self._bounded(self.mp.diff(moved, self.inexact(where), order))

    def constant(self, name: str) -> Number:
        """``pi``, ``e`` or ``j``, the imaginary unit."""
        return self.mp.mpc(0, 1) if name == "j" else +getattr(self.mp, name)

    def inexact(self, value: Number) -> Number:
        """A fraction in ``DIGITS`` digits."""
        return self.mp.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value

    def _applied(self, name: str, values: tuple[Number, ...]) -> Number:
        if name == "pow":
            return self._power(*values)
        if name in SMOOTH:
            return self._smooth(name, values)
        if name not in _OPERATORS:
            return _exact(name, values)
        if not all(isinstance(value, Fraction) for value in values):
            values = tuple(map(self.inexact, values))
        return getattr(operator, name)(*values)

    def _power(self, base: Number, exponent: Number) -> Number:
        if not (isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1):
            return self._approximate_power(base, exponent)
        if abs(exponent) * _bits(base) > MAX_BITS:
            raise Undecided("a power beyond bounds")
        return base**exponent.numerator

    def _approximate_power(self, base: Number, exponent: Number) -> Number:
        if isinstance(base, Fraction) and exponent == Fraction(1, 2) and (root := _root(base)) is not None:
            return root
        if base == 0 and exponent.real <= 0:
            raise ZeroDivisionError
        return self.mp.power(self.inexact(base), self.inexact(exponent))

    def _smooth(self, name: str, values: tuple[Number, ...]) -> Number:
        if name == "sqrt":
            return self._approximate_power(values[0], Fraction(1, 2)) if values[0] != 0 else Fraction(0)
        if name == "log" and values[0] == 0:
            raise ZeroDivisionError
        given = [self.inexact(value) for value in values]
        most = {"log": MAX_BITS, "exp": MAX_EXPONENT_BITS}.get(name, MAX_ANGLE_BITS)
        if given[0] != 0 and self.mp.mag(given[0]) > most:
            raise Undecided(f"{name} of a number beyond bounds")
        return getattr(self.mp, name)(*given)

    def _bounded(self, value: Number) -> Number:
        if isinstance(value, int | Fraction):
            value = Fraction(value)
            beyond = _bits(value) > MAX_BITS
        else:
            beyond = not self.mp.isfinite(value) or (value != 0 and abs(self.mp.mag(value)) > MAX_BITS)
        if beyond:
            raise Undecided("a number beyond bounds")
        return value


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _root(value: Fraction) -> Fraction | None:
    """The square root where it is a fraction."""
    if value < 0:
        return None
    root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    return root if root * root == value else None


def _exact(name: str, values: tuple[Number, ...]) -> Fraction:
    """Operations on fractions, most of them on whole numbers alone."""
    if not all(isinstance(value, Fraction) for value in values):
        raise Undecided(f"{name} takes exact numbers only")
    if name == "mod":
        return Fraction(values[0] % values[1])
    if name in ROUNDING:
        return Fraction(math.floor(*values) if name == "floor" else math.ceil(*values))
    if any(value.denominator != 1 for value in values):
        raise Undecided(f"{name} takes whole numbers only")
    return Fraction(_whole(name, [value.numerator for value in values]))


def _whole(name: str, values: list[int]) -> int:
    if name in ("factorial", "binomial") and max(values) > MAX_FACTORIAL:
        raise Undecided(f"{name} beyond {MAX_FACTORIAL}")
    return _WHOLE_FUNCTIONS[name](*values)


def _is_prime(number: int) -> bool:
    import sympy

    if number.bit_length() > MAX_PRIME_BITS:
        raise Undecided("isprime of a number beyond bounds")
    return bool(sympy.isprime(number))


_WHOLE_FUNCTIONS: Mapping[str, Callable[..., int]] = {
    "gcd": math.gcd,
    "lcm": math.lcm,
    "factorial": math.factorial,
    "binomial": math.comb,
    "isprime": _is_prime,
}
