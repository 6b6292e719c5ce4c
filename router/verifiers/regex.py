"""A regular expression that the answer must match."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from router.answers import extract_answer
from router.backtracking import Explosive, longest_text
from router.candidate import Candidate, Verdict
from router.errors import InvalidQuery
from router.query import Query

if TYPE_CHECKING:
    from router.run import Run

MAX_PATTERN_CHARACTERS = 1000
MAX_STEPS = 20_000_000
"""Bound on what one search may cost; a fraction of a second."""
MIN_TEXT_CHARACTERS = 16
"""A pattern that may only see shorter texts is refused."""


@dataclass(frozen=True, slots=True)
class Regex:
    """Passes where the answer matches a pattern of Python's ``re``, whole or anywhere.

    pattern: one that could take exponential time is refused (a repeated group may hold neither
    repeats nor alternatives); the more repeats, the shorter the text that it may see: a longer one is
    ``unknown``. match: ``search`` or ``whole``. of: the extracted final ``answer`` or the reply's
    whole ``text``. sound: whether a match is all that a right answer means.
    """

    name: ClassVar[str] = "regex"
    summary: ClassVar[str] = "the answer matches a regular expression"

    pattern: str
    match: Literal["search", "whole"] = "search"
    of: Literal["answer", "text"] = "answer"
    ignore_case: bool = False
    sound: bool = False
    _compiled: BoundedPattern = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.match not in ("search", "whole") or self.of not in ("answer", "text"):
            raise _wrong(f"match is search or whole, of is answer or text, not {self.match!r}, {self.of!r}")
        flags = re.IGNORECASE if self.ignore_case else 0
        object.__setattr__(self, "_compiled", bounded_pattern(self.pattern, flags))

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where there is no answer, or one too long for the pattern."""
        text = extract_answer(query, candidate.text) if self.of == "answer" else candidate.text
        if not text:
            return Verdict.without_answer(self.name)
        if len(text) > self._compiled.max_characters:
            return Verdict.unknown(self.name, f"{len(text)} characters are too many for this pattern")
        compiled = self._compiled.compiled
        found = compiled.search(text) if self.match == "search" else compiled.fullmatch(text)
        return Verdict.of(found is not None, self.name, sound=self.sound)


@dataclass(frozen=True, slots=True)
class BoundedPattern:
    """A compiled pattern and the longest text that it may see."""

    compiled: re.Pattern[str]
    max_characters: int


def bounded_pattern(pattern: object, flags: int = 0) -> BoundedPattern:
    """The compiled pattern; ``InvalidQuery`` where it is wrong, too long or could take too long."""
    if not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_PATTERN_CHARACTERS:
        raise _wrong(f"a pattern is text of 1 to {MAX_PATTERN_CHARACTERS} characters")
    try:
        compiled = re.compile(pattern, flags)
        max_characters = longest_text(pattern, MAX_STEPS, flags)
    except (re.error, OverflowError, RecursionError, Explosive) as error:
        raise _wrong(f"the pattern {pattern!r}: {error}") from error
    if max_characters < MIN_TEXT_CHARACTERS:
        raise _wrong(f"the pattern {pattern!r} has too many repeats")
    return BoundedPattern(compiled, max_characters)


def _wrong(message: str) -> InvalidQuery:
    return InvalidQuery(f"A regex verifier cannot use that: {message}.", "effortwise.verifier.pattern")
