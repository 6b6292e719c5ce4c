"""Claim: a condition over an expression, in Python's notation, decided by bounded arithmetic.

Nothing is rearranged symbolically, since that could take for ever. An equality with free symbols is an
identity: it is tried at fixed positive points (Schwartz 1980, Zippel 1979), in exact arithmetic as far as
that goes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from router.draw import uniform
from router.exact_arithmetic import ROUNDING, SMOOTH, WHOLE, Arithmetic, Number, Undecided

Point: TypeAlias = Mapping[str, Number]

EQUAL_TO = 1e-40
"""Relative difference up to which numbers that are not exact are equal; they have 100 digits."""
MAX_CHARACTERS = 300
MAX_DEPTH = 60
MAX_DERIVATIVE = 3
POINTS = 6
LEAST_POINTS = 3
CONSTANTS: Mapping[str, str] = {"pi": "pi", "E": "e", "e": "e", "I": "j"}
FUNCTIONS = ("abs", "Abs", "diff", "at", *SMOOTH, *ROUNDING, *WHOLE)

_OPERATORS: Mapping[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.Mod: "mod", ast.Pow: "pow",
    ast.USub: "neg",
}  # fmt: skip
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_JOINTS = (ast.Compare, ast.BoolOp, ast.And, ast.Or, ast.Not, *_COMPARISONS)
_PARTS = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Constant, ast.Load, ast.UAdd, *_OPERATORS)
_ENDS = (float("inf"), float("-inf"))
_NOWHERE = frozenset({"oo", "zoo", "nan", "inf"})


@dataclass(frozen=True, slots=True)
class Term:
    """An expression: ``+ - * / % **`` (or ``^``), the names in ``FUNCTIONS`` and ``CONSTANTS``, free symbols.

    ``diff(e, x)`` and ``diff(e, x, n)`` differentiate, ``at(e, x, v)`` puts a value in place of a symbol.
    Raises ``Undecided`` where the text is none.

    >>> Term("x^2 + 1/2").symbols
    frozenset({'x'})
    """

    text: str
    tree: ast.expr = field(init=False, repr=False, compare=False)
    symbols: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", _read(self.text, _PARTS))
        object.__setattr__(self, "symbols", frozenset(_free(self.tree, {})))


@dataclass(frozen=True, slots=True)
class Claim:
    """A condition such as ``answer**2 - 5*answer + 6 == 0``.

    Comparisons of terms, and ``isprime(...)``, joined by ``and``, ``or`` and ``not``. Free symbols stand for
    every positive number. Raises ``Undecided`` where the text is none, or does not speak of the variable.
    """

    text: str
    variable: str
    tree: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", _read(self.text, (*_PARTS, *_JOINTS)))
        _check_truth(self.tree)
        if _nested(self.tree) > 1:
            raise Undecided("diff within diff; a further derivative is diff(e, x, 2)")
        if self.variable not in _free(self.tree, {}):
            raise Undecided(f"it does not speak of {self.variable!r}")

    def holds(self, answer: Term, tolerance: float = 0.0) -> bool:
        """Whether it is true of an answer; ``Undecided`` where that is beyond bounds. tolerance: greatest
        absolute difference of equal numbers."""
        strange = answer.symbols - (_free(self.tree, {}) - {self.variable})
        if any(len(name.rstrip("_0123456789")) > 1 for name in strange) or self.variable in strange:
            raise Undecided(f"an answer in words: {answer.text[:80]!r}")
        if _nested(answer.tree):
            raise Undecided("the answer leaves something to be worked out")
        return _Decision({self.variable: answer}, tolerance).truth(self.tree)


@dataclass(frozen=True, slots=True)
class _Decision:
    """One claim being decided. given: terms by the names that stand for them."""

    given: Mapping[str, Term]
    tolerance: float
    arithmetic: Arithmetic = field(default_factory=Arithmetic)

    def truth(self, node: ast.expr) -> bool:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return all(self.truth(value) for value in values)
            case ast.BoolOp(values=values):
                return any(self.truth(value) for value in values)
            case ast.UnaryOp(operand=operand):
                return not self.truth(operand)
            case ast.Compare(left=left, ops=ops, comparators=rest):
                pairs = zip([left, *rest], ops, rest, strict=False)
                return all(self._compared(one, op, other) for one, op, other in pairs)
        return not self._compared(node, ast.Eq(), ast.Constant(0))

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> bool:
        free = sorted({*_free(left, self.given), *_free(right, self.given)})
        gaps = list(self._gaps(left, right, free))
        if len(gaps) < (LEAST_POINTS if free else 1):
            raise Undecided("it is not defined there")
        if isinstance(op, ast.Eq | ast.NotEq):
            return all(gap == 0 for gap in gaps) == isinstance(op, ast.Eq)
        if free:
            raise Undecided("an inequality with free symbols")
        return _ordered(gaps[0], op)

    def _gaps(self, left: ast.expr, right: ast.expr, free: Sequence[str]) -> Iterator[Number]:
        """Left less right at each point where both are defined, 0 where they are equal."""
        for point in _points(free):
            try:
                yield self._gap(self.worth(left, point), self.worth(right, point))
            except ZeroDivisionError:
                continue

    def _gap(self, one: Number, other: Number) -> Number:
        gap = self.arithmetic.apply("sub", one, other)
        slack = self.tolerance
        if not isinstance(gap, Fraction):
            slack += EQUAL_TO * max(1, *(abs(self.arithmetic.inexact(value)) for value in (one, other)))
        return Fraction(0) if abs(gap) <= slack else gap

    def worth(self, node: ast.expr, point: Point) -> Number:
        """An expression's value at a point."""
        match node:
            case ast.Constant(value=value):
                return Fraction(str(value))
            case ast.Name(id=name):
                return self._worth_of_name(name, point)
            case ast.UnaryOp(op=op, operand=operand):
                value = self.worth(operand, point)
                return self.arithmetic.apply("neg", value) if isinstance(op, ast.USub) else value
            case ast.BinOp(left=left, op=op, right=right):
                values = self.worth(left, point), self.worth(right, point)
                return self.arithmetic.apply(_OPERATORS[type(op)], *values)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._worth_of_call(name, arguments, point)
        raise Undecided(f"{type(node).__name__} within a term")

    def _worth_of_name(self, name: str, point: Point) -> Number:
        if name in self.given:
            return self.worth(self.given[name].tree, point)
        return point[name] if name in point else self.arithmetic.constant(CONSTANTS[name])

    def _worth_of_call(self, name: str, arguments: list[ast.expr], point: Point) -> Number:
        if name not in ("diff", "at"):
            return self.arithmetic.apply(name.lower(), *(self.worth(each, point) for each in arguments))
        body, symbol, *rest = arguments
        bound = symbol.id if isinstance(symbol, ast.Name) else ""
        if name == "at":
            return self.worth(body, {**point, bound: self.worth(rest[0], point)})
        order = int(ast.literal_eval(rest[0])) if rest else 1
        moved = lambda value: self.worth(body, {**point, bound: value})
        return self.arithmetic.derivative(moved, point[bound], order)


def _ordered(gap: Number, op: ast.cmpop) -> bool:
    if not isinstance(gap, Fraction) and abs(gap.imag) > EQUAL_TO:
        raise Undecided("an inequality of complex numbers")
    if gap == 0:
        return isinstance(op, ast.LtE | ast.GtE)
    return isinstance(op, ast.Gt | ast.GtE) == bool(gap.real > 0)


def _points(free: Sequence[str]) -> Iterator[Point]:
    """Points between 0.5 and 2.5, the same for the same symbols; one without any symbols."""
    for k in range(POINTS if free else 1):
        yield {name: Fraction(500 + int(2000 * uniform(name, str(k))), 997) for name in free}


def _read(text: str, parts: tuple[type[ast.AST], ...]) -> ast.expr:
    if not isinstance(text, str) or not 0 < len(text) <= MAX_CHARACTERS:
        raise Undecided(f"an expression is text of 1 to {MAX_CHARACTERS} characters")
    try:
        tree = ast.parse(text.strip().replace("^", "**"), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise Undecided(f"{text[:80]!r} is no expression") from error
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        for node in level:
            _check(node, parts)
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    if level:
        raise Undecided(f"nested deeper than {MAX_DEPTH}")
    return tree


def _check(node: ast.AST, parts: tuple[type[ast.AST], ...]) -> None:
    if not isinstance(node, parts):
        raise Undecided(f"it may not hold {type(node).__name__}")
    if isinstance(node, ast.Constant) and (type(node.value) not in (int, float) or node.value in _ENDS):
        raise Undecided(f"{node.value!r} is no number")
    if isinstance(node, ast.Compare) and not all(isinstance(op, _COMPARISONS) for op in node.ops):
        raise Undecided("it compares in another way than == != < <= > >=")
    if isinstance(node, ast.Name) and node.id in _NOWHERE:
        raise Undecided(f"{node.id} is no number")
    if isinstance(node, ast.Call):
        _check_call(node)


def _check_call(call: ast.Call) -> None:
    if not isinstance(call.func, ast.Name) or call.func.id not in FUNCTIONS or call.keywords:
        raise Undecided(f"it may call {', '.join(FUNCTIONS)} only")
    name, arguments = call.func.id, call.args
    if name in ("diff", "at"):
        right = len(arguments) == 3 or (name == "diff" and len(arguments) == 2)
        if not right or not isinstance(arguments[1], ast.Name) or not _times(name, arguments[2:]):
            raise Undecided(f"{name} takes an expression, a symbol and a number")


def _times(name: str, rest: list[ast.expr]) -> bool:
    if name == "at" or not rest:
        return True
    order = rest[0].value if isinstance(rest[0], ast.Constant) else None
    return isinstance(order, int) and 1 <= order <= MAX_DERIVATIVE


def _check_truth(node: ast.expr) -> None:
    """A claim is true or false: a comparison, ``isprime(...)``, or several joined."""
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                _check_truth(value)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check_truth(operand)
        case ast.Compare(left=left, comparators=rest):
            for term in (left, *rest):
                _check_term(term)
        case ast.Call(func=ast.Name(id="isprime")):
            _check_term(node)
        case _:
            raise Undecided("it compares nothing")


def _check_term(term: ast.expr) -> None:
    if any(isinstance(node, _JOINTS) for node in ast.walk(term)):
        raise Undecided("a comparison within a comparison")


def _nested(node: ast.AST) -> int:
    """How deep derivatives stand within one another."""
    own = int(isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "diff")
    return own + max((_nested(each) for each in ast.iter_child_nodes(node)), default=0)


def _free(node: ast.AST, given: Mapping[str, Term]) -> set[str]:
    """The symbols that an expression speaks of, but for those that ``at`` replaces."""
    match node:
        case ast.Name(id=name) if name in given:
            return set(given[name].symbols)
        case ast.Name(id=name):
            return set() if name in CONSTANTS else {name}
        case ast.Call(func=ast.Name(id="at"), args=[body, ast.Name(id=symbol), value]):
            return (_free(body, given) - {symbol}) | _free(value, given)
        case ast.Call(args=arguments):
            return set().union(*(_free(each, given) for each in arguments))
    return set().union(*(_free(each, given) for each in ast.iter_child_nodes(node)))
