"""What a regular expression may cost: an upper bound on how often it backtracks, from its text alone.

Python's matcher cannot be interrupted, so a caller's pattern must be bounded before it runs. The number
of ways in which a pattern can divide a text of n characters among its parts is at most
``paths * n ** degree``: parts in a row multiply, alternatives add up, ``a*`` has n ways, ``a{1,3}`` three,
``a?`` two. A group repeated without bound must have one way only, else the ways are exponential in n.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_REPEATED_WAYS = 1e12  # beyond it no text is short enough

_PIECE = re.compile(
    r"\\."  # an escaped character
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]"  # a character class
    r"|\((?:\?(?:[:>]|P<\w+>|<?[=!]|[aiLmsux-]+[:)]))?"  # the start of a group, or flags
    r"|\)|(?:[*+?]|\{\d*,?\d*\})[?+]?|\||.",
    re.DOTALL,
)
_COUNTED = re.compile(r"\{(\d*)(,?)(\d*)\}[?+]?")


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
            return Ways(1)
        paths = self.paths**most * (most - least + 1) if self.paths < MAX_REPEATED_WAYS else self.paths
        return Ways(self.degree * most, min(paths, MAX_REPEATED_WAYS))


ONE = Ways()


@dataclass(slots=True)
class _Group:
    """An open group: its finished alternatives, the current one, and the part that a repeat would take."""

    looks_around: bool = False
    finished: Ways | None = None
    current: Ways = ONE
    last: Ways = ONE

    def add(self, part: Ways) -> None:
        self.current, self.last = self.current.then(self.last), part

    def next_alternative(self) -> None:
        self.finished, self.current, self.last = self.ways(), ONE, ONE

    def ways(self) -> Ways:
        whole = self.current.then(self.last)
        return whole if self.finished is None else self.finished.otherwise(whole)


@dataclass(slots=True)
class _Reading:
    open_groups: list[_Group] = field(default_factory=lambda: [_Group()])
    looked_around: list[Ways] = field(default_factory=list)

    def read(self, piece: str) -> None:
        group = self.open_groups[-1]
        if piece == "|":
            group.next_alternative()
        elif piece == ")" and len(self.open_groups) > 1:
            self._close()
        elif piece.startswith("(") and not piece.endswith(")"):
            self.open_groups.append(_Group(looks_around=piece[-1] in "=!"))
        elif (bounds := _bounds(piece)) is not None:
            group.last = group.last.repeated(*bounds)
        else:
            group.add(ONE)

    def _close(self) -> None:
        closed = self.open_groups.pop()
        if closed.looks_around:  # it never backtracks once it has matched
            self.looked_around.append(closed.ways())
        self.open_groups[-1].add(ONE if closed.looks_around else closed.ways())


def _bounds(piece: str) -> tuple[int, int | None] | None:
    """How often a repeat takes its part; ``None`` where the piece is no repeat."""
    if piece[0] in "*+?":
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[piece[0]]
    counted = _COUNTED.fullmatch(piece)
    if counted is None or not (counted[1] or counted[3]):
        return None
    least = int(counted[1] or 0)
    return least, (int(counted[3]) if counted[3] else None) if counted[2] else least


def longest_text(pattern: str, steps: float) -> int:
    """How many characters a valid pattern may search so that it takes at most about ``steps`` steps.

    ``Explosive`` where the ways are exponential, or where the pattern cannot be read for certain.

    >>> longest_text(r"a.*b", 1e6), longest_text(r"a.*b.*c", 1e6)
    (1000, 100)
    """
    reading = _Reading()
    for piece in _pieces(pattern):
        reading.read(piece)
    tried = [reading.open_groups[0].ways(), *reading.looked_around]
    return min(int((steps / len(tried) / ways.paths) ** (1 / (ways.degree + 1)) + 1e-9) for ways in tried)


def _pieces(pattern: str) -> Iterator[str]:
    for piece in _PIECE.findall(pattern):
        if piece.startswith("(?") and piece[-1] in ":)" and "x" in piece:
            raise Explosive("verbose patterns are not read")
        yield piece
