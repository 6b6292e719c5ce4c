"""Arithmetic, worked out by itself: no name, attribute or statement of Python's is reached."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from router.tools import failed

MAX_CHARACTERS = 500
MAX_BITS = 4_096
"""Of a whole number on the way: what the next step would be larger than is refused before it is taken."""
MAX_DIGITS = 50

Number: TypeAlias = int | float

_CONSTANTS: Mapping[str, Number] = {"pi": math.pi, "e": math.e, "tau": math.tau}
_SIGNS = str.maketrans({"×": "*", "÷": "/", "·": "*", "−": "-", "^": "**"})
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_CALL = re.compile(r"\w\s*\(")


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        _check_bits(base.bit_length() * exponent)
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("the result is no real number")
    return result


def _factorial(number: Number) -> int:
    whole = operator.index(number)  # type: ignore[arg-type]  # a TypeError is what a fraction deserves
    _check_bits(whole * max(whole, 1).bit_length())
    return math.factorial(whole)


def _round(number: Number, digits: int = 0) -> Number:
    if abs(digits) > MAX_DIGITS:
        raise ValueError(f"round takes at most {MAX_DIGITS} digits")
    return round(number, digits)


def _check_bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise OverflowError("a number on the way has too many digits")


_BINARY: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Number], Number]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    "abs": abs, "min": min, "max": max, "round": _round, "floor": math.floor, "ceil": math.ceil,
    "sqrt": math.sqrt, "exp": math.exp, "log": math.log, "log2": math.log2, "log10": math.log10,
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "asin": math.asin, "acos": math.acos,
    "atan": math.atan, "degrees": math.degrees, "radians": math.radians, "hypot": math.hypot,
    "gcd": math.gcd, "lcm": math.lcm, "factorial": _factorial,
}  # fmt: skip
_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Calculator:
    """Works out one expression of numbers, + - * / // % ** (also ^), parentheses, and the functions and
    constants that its description names. Commas between thousands are left out where no function
    is called."""

    name: ClassVar[str] = "calculator"
    summary: ClassVar[str] = "works out an arithmetic expression"

    @property
    def description(self) -> str:
        """What the model is told about it."""
        functions = ", ".join([*_FUNCTIONS, *_CONSTANTS])
        return f"Works out an arithmetic expression with + - * / // % ** ( ) and {functions}."

    @property
    def schema(self) -> Mapping[str, Any]:
        """An expression."""
        return {"type": "string", "description": "the expression, such as 3 * (2 + 4) ** 2"}

    async def use(self, argument: str) -> str:
        """The expression's value; ``error: ...`` where it has none."""
        try:
            return _told(_value_of(argument))
        except (ArithmeticError, ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
            return failed(str(error) or type(error).__name__)


def _value_of(argument: str) -> Number:
    """The value of an expression; raises where it is none, or too large."""
    if len(argument) > MAX_CHARACTERS:
        raise ValueError(f"an expression has at most {MAX_CHARACTERS} characters")
    expression = argument.strip().translate(_SIGNS)
    if not _CALL.search(expression):
        expression = _THOUSANDS.sub("", expression)
    return _evaluate(ast.parse(expression, mode="eval").body)


def _evaluate(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=bool()):
            raise ValueError("only numbers are reckoned with")
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _UNARY:
            return _UNARY[type(sign)](_evaluate(operand))
        case ast.BinOp(left=left, op=step, right=right) if type(step) in _BINARY:
            return _bounded(_BINARY[type(step)](_evaluate(left), _evaluate(right)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*map(_evaluate, arguments)))
    raise ValueError(f"{ast.unparse(node)[:60]!r} is no arithmetic")


def _bounded(number: Number) -> Number:
    if isinstance(number, int):
        _check_bits(number.bit_length())
    return number


def _told(number: Number) -> str:
    """A whole number without a point, any other with twelve digits."""
    if isinstance(number, float) and number.is_integer() and abs(number) < _EXACT:
        return str(int(number))
    return str(number) if isinstance(number, int) else f"{number:.12g}"
