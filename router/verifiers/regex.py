"""A regular expression that the answer must match."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from router.answers import extract_answer
from router.candidate import Candidate, Verdict
from router.errors import InvalidQuery
from router.query import Query

if TYPE_CHECKING:
    from router.run import Run

MAX_PATTERN_CHARACTERS = 500
MAX_UNBOUNDED_REPEATS = 12
MAX_STEPS = 20_000_000
"""Bound on what one search may cost; about a tenth of a second."""

Part: TypeAlias = Literal["answer", "text"]

_TOKEN = re.compile(
    r"\\."  # an escaped character
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]"  # a character class
    r"|\((?:\?(?:[:=!>]|<[=!]|P<\w+>|[aiLmsux-]+[:)]))?"  # the start of a group, or global flags
    r"|\)|[*+?]|\{\d*,?\d*\}|\||.",
    re.DOTALL,
)
_REPEAT = re.compile(r"[*+]|\{\d*,\d*\}|\{\d+\}")


@dataclass(frozen=True, slots=True)
class Regex:
    """Passes where the answer matches a pattern of Python's ``re``, whole or anywhere.

    pattern: repeats within repeated groups are refused, for they can take exponential time; of
    several repeats in a row, the length of text they may run on is bounded, and a longer text is
    ``unknown``. match: ``search`` or ``whole``. of: the extracted final ``answer`` or the reply's
    whole ``text``. ignore_case. sound: whether a match is all that a right answer means.
    """

    name: ClassVar[str] = "regex"
    summary: ClassVar[str] = "the answer matches a regular expression"

    pattern: str
    match: Literal["search", "whole"] = "search"
    of: Part = "answer"
    ignore_case: bool = False
    sound: bool = False
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _max_characters: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.match not in ("search", "whole") or self.of not in ("answer", "text"):
            raise _wrong(
                f"match is search or whole, and of is answer or text, not {self.match!r}, {self.of!r}"
            )
        flags = re.IGNORECASE if self.ignore_case else 0
        object.__setattr__(self, "_compiled", compile_safely(self.pattern, flags))
        object.__setattr__(self, "_max_characters", max_characters(self.pattern))

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where there is no answer, or one too long for the pattern."""
        text = extract_answer(query, candidate.text) if self.of == "answer" else candidate.text
        if text is None:
            return Verdict.unknown(self.name, "no final answer found")
        if len(text) > self._max_characters:
            return Verdict.unknown(self.name, f"{len(text)} characters are too many for this pattern")
        found = self._compiled.search(text) if self.match == "search" else self._compiled.fullmatch(text)
        return Verdict.of(found is not None, self.name, sound=self.sound)


def _wrong(message: str) -> InvalidQuery:
    return InvalidQuery(f"A regex verifier cannot use that: {message}.", "effortwise.verifier.pattern")


def compile_safely(pattern: object, flags: int = 0) -> re.Pattern[str]:
    """The compiled pattern; ``InvalidQuery`` where it is wrong, too long or could take exponential time."""
    if not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_PATTERN_CHARACTERS:
        raise _wrong(f"the pattern must be text of 1 to {MAX_PATTERN_CHARACTERS} characters")
    try:
        compiled = re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise _wrong(f"the pattern {pattern!r} is wrong: {error}") from error
    if nested_repeat(pattern):
        raise _wrong(f"the pattern {pattern!r} repeats a group that holds repeats or alternatives")
    if len(_repeats(pattern)) > MAX_UNBOUNDED_REPEATS:
        raise _wrong(f"the pattern has more than {MAX_UNBOUNDED_REPEATS} repeats")
    return compiled


def nested_repeat(pattern: str) -> bool:
    """Whether a repeated group itself holds a repeat or alternatives, as in ``(a+)+`` or ``(a|aa)*``.

    >>> nested_repeat(r"(a+)+"), nested_repeat(r"(?=.*a)(?=.*b).{20,}")
    (True, False)
    """
    holds = [False]  # for each open group, whether a repeat or an alternative stands in it
    closed = False  # whether the group that just closed held one
    for piece in _TOKEN.findall(pattern):
        repeats = _REPEAT.fullmatch(piece) is not None
        if closed and repeats:
            return True
        closed = False
        if piece.startswith("(") and not piece.endswith(")"):
            holds.append(False)
        elif piece == ")" and len(holds) > 1:
            closed = holds.pop()
            holds[-1] = holds[-1] or closed
        elif repeats or piece in ("|", "?"):
            holds[-1] = True
    return False


def max_characters(pattern: str) -> int:
    """How long a text the pattern may search within ``MAX_STEPS``, when it backtracks over every
    split of the text among its consecutive repeats: n ** (repeats + 1) steps. Lookaheads do not
    backtrack into each other, so the most repeats in one of them or outside them count."""
    degree = 1 + max(_repeats_by_lookaround(pattern))
    return min(20_000, int(MAX_STEPS ** (1 / degree)))


def _repeats(pattern: str) -> list[str]:
    return [piece for piece in _TOKEN.findall(pattern) if _REPEAT.fullmatch(piece)]


def _repeats_by_lookaround(pattern: str) -> list[int]:
    counts, open_groups = [0], [0]
    for piece in _TOKEN.findall(pattern):
        if piece.startswith(("(?=", "(?!", "(?<=", "(?<!")):
            counts.append(0)
            open_groups.append(len(counts) - 1)
        elif piece.startswith("(") and not piece.endswith(")"):
            open_groups.append(open_groups[-1])
        elif piece == ")" and len(open_groups) > 1:
            open_groups.pop()
        elif _REPEAT.fullmatch(piece):
            counts[open_groups[-1]] += 1
    return counts
