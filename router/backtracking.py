"""What a regular expression may cost: an upper bound on how often it backtracks, from its parse tree.

Python's matcher cannot be interrupted, so a caller's pattern must be bounded before it runs. The number
of ways in which a pattern can divide a text of n characters among its parts is at most
``paths * n ** degree``: parts in a row multiply, alternatives add up, ``a*`` has n ways, ``a{1,3}`` three,
``a?`` two. A group repeated without bound must have one way only, else the ways are exponential in n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from re import _constants, _parser  # type: ignore[attr-defined]  # what the matcher itself runs
from typing import Any, TypeAlias

MAX_REPEATED_WAYS = 1e12  # beyond it no text is short enough


class Explosive(ValueError):
    """The pattern can take time exponential in the text."""


@dataclass(frozen=True, slots=True)
class Ways:
    """At most ``paths * n ** degree`` ways to match n characters."""

    degree: int = 0
    paths: float = 1.0

    def then(self, other: Ways) -> Ways:
        """One part after the other."""
        return Ways(self.degree + other.degree, self.paths * other.paths)

    def otherwise(self, other: Ways) -> Ways:
        """One part or the other."""
        return Ways(max(self.degree, other.degree), self.paths + other.paths)

    def repeated(self, least: int, most: int | None) -> Ways:
        """The part so many times; ``most`` is ``None`` where unbounded."""
        if most is None:
            if self != ONE:
                raise Explosive("it repeats a group that holds repeats or alternatives")
            return ANY_NUMBER
        paths = self.paths**most * (most - least + 1) if self.paths < MAX_REPEATED_WAYS else self.paths
        return Ways(self.degree * most, min(paths, MAX_REPEATED_WAYS))


ONE = Ways()
ANY_NUMBER = Ways(1)

Parts: TypeAlias = Iterable[tuple[Any, Any]]
"""Codes with their arguments, as Python's parser gives them."""

_PLAIN = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"})
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_ASSERTIONS = frozenset({"ASSERT", "ASSERT_NOT"})


@dataclass(slots=True)
class _Reading:
    """tried: the ways to reach each look-around outside repeats and to match it. It never backtracks once it
    has matched, so they do not multiply what follows; what is repeated tries its look-arounds each time."""

    tried: list[Ways] = field(default_factory=list)

    def sequence(self, parts: Parts, before: Ways | None) -> Ways:
        """before: the ways to come here, ``None`` within a repeat."""
        ways = ONE
        for code, argument in parts:
            reached = None if before is None else before.then(ways)
            ways = ways.then(self._part(str(code), argument, reached))
        return ways

    def _part(self, code: str, argument: Any, before: Ways | None) -> Ways:
        if code in _PLAIN:
            return ONE
        if code in _REPEATS:
            least, most, inner = argument
            bound = None if most is _constants.MAXREPEAT else int(most)
            return self.sequence(inner, None).repeated(int(least), bound)
        if code in _ASSERTIONS:
            ways = self.sequence(argument[1], before)
            if before is None:
                return ways
            self.tried.append(before.then(ways))
            return ONE
        if code == "GROUPREF":  # it compares as much as the group holds
            return ANY_NUMBER
        first, *others = (self.sequence(each, before) for each in _alternatives(code, argument))
        for other in others:
            first = first.otherwise(other)
        return first


def _alternatives(code: str, argument: Any) -> Sequence[Parts]:
    known: Mapping[str, Callable[[], Sequence[Parts]]] = {
        "BRANCH": lambda: argument[1],
        "SUBPATTERN": lambda: [argument[3]],
        "ATOMIC_GROUP": lambda: [argument],
        "GROUPREF_EXISTS": lambda: [argument[1], argument[2] or ()],
    }
    if code not in known:
        raise Explosive(f"{code} is not read")
    return known[code]()


def longest_text(pattern: str, steps: float, flags: int = 0) -> int:
    """How many characters a valid pattern may search so that it takes at most about ``steps`` steps.

    ``Explosive`` where the ways are exponential, or where the pattern cannot be read for certain.

    >>> longest_text(r"a.*b", 1e6), longest_text(r"a.*b.*c", 1e6)
    (1000, 100)
    """
    reading = _Reading()
    tried = [reading.sequence(_parser.parse(pattern, flags), ONE), *reading.tried]
    return min(int((steps / len(tried) / ways.paths) ** (1 / (ways.degree + 1)) + 1e-9) for ways in tried)
