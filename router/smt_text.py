"""SMT-LIB 2 as it may come from a request: read, checked against what is known to end, and written again.

Known are booleans, integers, reals, arrays, uninterpreted functions and sorts, quantifiers and definitions.
Anything else (files, options, bit vectors, strings, ...) is refused: Z3's time-out does not hold there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Expression: TypeAlias = "str | list[Expression]"

MAX_CHARACTERS = 20_000
MAX_DEPTH = 100
MAX_SIZE = 20_000
"""Symbols of one command after its definitions and ``let`` are written out."""
MAX_EXPONENT = 64

_SYMBOL = re.compile(r"\s+|;[^\n]*|[()]|[^\s();]+")
_NUMERAL = re.compile(r"\d{1,40}(\.\d{1,40})?")
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,99}", re.ASCII)
_LOGIC = {"true", "false", "not", "=>", "and", "or", "xor", "=", "distinct", "ite"}
_ARITHMETIC = {"+", "-", "*", "/", "div", "mod", "abs", "<", "<=", ">", ">=", "to_real", "to_int", "is_int"}
_OPERATORS = frozenset(_LOGIC | _ARITHMETIC | {"select", "store"})
_RESERVED = _OPERATORS | {"let", "forall", "exists", "Int", "Real", "Bool", "Array", "^"}
_SORTS = frozenset({"Int", "Real", "Bool", "Array"})
_DROPPED = frozenset({"set-logic", "set-info", "check-sat", "get-model", "exit"})

Sizes: TypeAlias = Mapping[str, int]
"""What each known name stands for, in symbols."""


class Unreadable(ValueError):
    """The text is no SMT-LIB 2, or none that is known to end; the message says why."""


def read(text: str, variables: Sequence[str]) -> list[list[Expression]]:
    """The commands of a text but for ``check-sat`` and the like; variables: names that are declared
    already. Raises ``Unreadable``."""
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(f"more than {MAX_CHARACTERS} characters")
    commands = [command for command in _parsed(text) if str(command[0]) not in _DROPPED]
    _Checked({_name(name): 1 for name in variables}).take(commands)
    return commands


def written(expression: Expression) -> str:
    """An expression as text.

    >>> written(["assert", ["<", "x", "5"]])
    '(assert (< x 5))'
    """
    return expression if isinstance(expression, str) else f"({' '.join(map(written, expression))})"


def _parsed(text: str) -> Iterator[list[Expression]]:
    within: list[list[Expression]] = []
    for symbol in _SYMBOL.findall(text):
        if symbol[0] == ";" or symbol.isspace():
            continue
        closed = _taken(symbol, within)
        if closed:
            yield closed
        elif closed is not None:
            raise Unreadable("an empty command")
    if within:
        raise Unreadable("it ends in the middle of a command")


def _taken(symbol: str, within: list[list[Expression]]) -> list[Expression] | None:
    """Take the next symbol into the lists that are open; the command where it ends one."""
    if symbol == "(":
        within.append([])
        if len(within) > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}")
        return None
    if not within:
        raise Unreadable(f"{symbol[:40]!r} outside a command")
    if symbol != ")":
        within[-1].append(symbol)
        return None
    closed = within.pop()
    if not within:
        return closed
    within[-1].append(closed)
    return None


class _Checked:
    """Checks command after command, and keeps the sizes of what they declare."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self._sizes = sizes
        self._sorts = set(_SORTS)

    def take(self, commands: Sequence[list[Expression]]) -> None:
        for command in commands:
            try:
                self._take(command)
            except (TypeError, ValueError) as error:
                if isinstance(error, Unreadable):
                    raise
                raise Unreadable(f"{written(command)[:80]!r} has the wrong parts") from error

    def _take(self, command: list[Expression]) -> None:
        match command:
            case ["assert", term]:
                size_of(term, self._sizes)
            case ["declare-const", str(name), sort]:
                self._declare(name, [sort])
            case ["declare-fun", str(name), list(sorts), sort]:
                self._declare(name, [*sorts, sort])
            case ["define-fun", str(name), list(parameters), sort, body]:
                own = _bound(parameters)
                self._check_sorts([sort, *(_pair(each)[1] for each in parameters)])
                self._declare(name, [], size_of(body, {**self._sizes, **own}))
            case ["declare-sort", str(name), "0"]:
                self._sorts.add(_name(name))
            case _:
                raise Unreadable(f"the command {written(command)[:80]!r} is not taken")

    def _declare(self, name: str, sorts: Sequence[Expression], size: int = 1) -> None:
        self._check_sorts(sorts)
        if _name(name) in self._sizes:
            raise Unreadable(f"{name!r} is declared twice")
        self._sizes[name] = size

    def _check_sorts(self, sorts: Sequence[Expression]) -> None:
        for sort in sorts:
            if isinstance(sort, list):
                self._check_sorts(sort)
            elif sort not in self._sorts:
                raise Unreadable(f"the sort {sort!r} is not known")


def size_of(term: Expression, sizes: Sizes) -> int:
    """A term's symbols once everything is written out; ``Unreadable`` where they are too many, or one is
    not known."""
    size = _size_of_symbol(term, sizes) if isinstance(term, str) else _size_of_list(term, sizes)
    if size > MAX_SIZE:
        raise Unreadable(f"a term of more than {MAX_SIZE} symbols, written out")
    return size


def _size_of_symbol(symbol: str, sizes: Sizes) -> int:
    if symbol in sizes:
        return sizes[symbol]
    if symbol in _OPERATORS or _NUMERAL.fullmatch(symbol):
        return 1
    raise Unreadable(f"{symbol[:40]!r} is not known")


def _size_of_list(term: list[Expression], sizes: Sizes) -> int:
    match term:
        case ["let", list(bindings), body]:
            own = {_name(name): size_of(value, sizes) for name, value in map(_pair, bindings)}
            return sum(own.values()) + size_of(body, {**sizes, **own})
        case ["forall" | "exists", list(binders), body]:
            return len(binders) + size_of(body, {**sizes, **_bound(binders)})
        case ["^", base, str(exponent)] if exponent.isdecimal() and int(exponent) <= MAX_EXPONENT:
            return max(1, int(exponent)) * size_of(base, sizes)
        case [str(head), *arguments]:
            inner = sum(size_of(argument, sizes) for argument in arguments)
            return _size_of_symbol(head, sizes) * max(1, inner) + 1
    raise Unreadable(f"{written(term)[:80]!r} is no term that is taken")


def _bound(binders: list[Expression]) -> dict[str, int]:
    return {_name(name): 1 for name, _ in map(_pair, binders)}


def _pair(expression: Expression) -> list[Expression]:
    if isinstance(expression, str) or len(expression) != 2:
        raise Unreadable(f"{written(expression)[:80]!r} is no pair of a name and what it is")
    return expression


def _name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _RESERVED:
        raise Unreadable(f"{str(name)[:40]!r} cannot be a name")
    return name
