"""Conditions that the answer, a number or an expression, must meet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from router.answers import extract_answer, normalise
from router.candidate import Candidate, Verdict
from router.claim import Claim, Term
from router.errors import InvalidQuery
from router.exact_arithmetic import Undecided
from router.query import Query
from router.verifiers._equality import assigned
from router.verifiers._expression import evaluable, parsed

if TYPE_CHECKING:
    from router.run import Run


@dataclass(frozen=True, slots=True)
class Symbolic:
    """Passes where the final answer, put in place of ``variable``, makes the claim true.

    claim: comparisons in Python's notation, such as ``diff(answer, x) == 2*x`` (see ``router.claim``);
    ``numeric`` tells whether an answer equals a known one. tolerance: greatest absolute difference of equal
    numbers. sound: whether the claim is all that a right answer means.
    """

    name: ClassVar[str] = "symbolic"
    summary: ClassVar[str] = "the final answer makes a stated claim true, such as an equation"

    claim: str
    variable: str = "answer"
    tolerance: float = 0.0
    sound: bool = False
    _read: Claim = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.tolerance, int | float) or not 0 <= self.tolerance < float("inf"):
            raise _wrong("tolerance", f"must be 0 or a positive number, not {self.tolerance!r}")
        if not isinstance(self.variable, str) or not self.variable.isidentifier():
            raise _wrong("variable", f"must be a name, not {self.variable!r}")
        try:
            object.__setattr__(self, "_read", Claim(self.claim, self.variable))
        except Undecided as error:
            raise _wrong("claim", f"cannot be used: {error}") from error

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where no final answer can be read as an expression, or the claim cannot be decided
        within bounds."""
        answer = extract_answer(query, candidate.text)
        if answer is None:
            return Verdict.without_answer(self.name)
        return await asyncio.to_thread(self._checked, answer)  # a LaTeX parser is imported, a second of work

    def _checked(self, answer: str) -> Verdict:
        try:
            holds = self._read.holds(term_of(answer), self.tolerance)
        except Undecided as error:
            return Verdict.unknown(self.name, str(error)[:200])
        reason = "" if holds else f"{self.variable} = {answer[:80]} violates {self.claim[:200]}"
        return Verdict.of(holds, self.name, sound=self.sound, reason=reason)


def term_of(answer: str) -> Term:
    """An answer in Python's notation, or in LaTeX. ``Undecided`` where it is neither."""
    plain = normalise(answer, casefold=False)
    try:
        return Term(plain)
    except Undecided:
        if not evaluable(answer):
            raise
    try:
        found = parsed(answer)
    except Exception as error:  # whatever a parser meets in a model's text is no verdict
        raise Undecided(f"{answer[:80]!r} cannot be read: {type(error).__name__}") from error
    if not found:
        raise Undecided(f"no expression in {answer[:80]!r}")
    return Term(str(assigned(found[0])))


def _wrong(option: str, what: str) -> InvalidQuery:
    return InvalidQuery(f"A symbolic verifier's {option} {what}.", f"effortwise.verifier.{option}")
