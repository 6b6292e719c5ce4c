"""Numeric or symbolic equality with a known value."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from router.answers import extract_answer, normalise
from router.candidate import Candidate, Verdict
from router.errors import InvalidQuery
from router.exact_arithmetic import Undecided
from router.query import Query
from router.verifiers._equality import equal
from router.verifiers._expression import evaluable, parsed

if TYPE_CHECKING:
    from router.run import Run

_PLAIN = re.compile(r"[-+]?\d{1,30}(\.\d{1,30})?%?")


@dataclass(frozen=True, slots=True)
class Numeric:
    """Passes where the final answer has the reference's value: plain numbers directly, expressions
    (LaTeX, fractions, sets, intervals) read by ``math_verify`` and compared by bounded arithmetic.

    reference: a number, or an expression as text. tolerance: greatest absolute difference that still
    passes. Expressions that could take forever to evaluate are ``unknown``, and so is an answer in words
    that names several numbers, or says which it is not.
    """

    name: ClassVar[str] = "numeric"
    summary: ClassVar[str] = "the final answer has the reference's numerical value"

    reference: str | float
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.reference, bool) or not isinstance(self.reference, str | int | float):
            raise _wrong("reference", f"a number or an expression as text, not {self.reference!r}")
        if not evaluable(str(self.reference)):
            raise _wrong("reference", f"a short expression, not {str(self.reference)[:80]!r}")
        if not isinstance(self.tolerance, int | float) or not 0 <= self.tolerance < float("inf"):
            raise _wrong("tolerance", f"0 or a positive number, not {self.tolerance!r}")

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where no final answer can be extracted or read as an expression."""
        answer = extract_answer(query, candidate.text)
        if answer is None:
            return Verdict.without_answer(self.name)
        value, reference = _plain(answer), _plain(str(self.reference))
        if value is not None and reference is not None:
            return self._verdict(abs(value - reference) <= self.tolerance, answer)
        if not evaluable(answer):
            return Verdict.unknown(self.name, "the answer is too long or could take forever to evaluate")
        return await asyncio.to_thread(self._compare, answer)

    def _compare(self, answer: str) -> Verdict:
        """Off the event loop: the import of ``math_verify`` takes a second."""
        try:
            known, given = parsed(str(self.reference)), parsed(answer)
            if not given:
                return Verdict.without_answer(self.name)
            if not known:
                return Verdict.unknown(self.name, "the reference is no one number or expression")
            return self._verdict(equal(given[0], known[0], self.tolerance), answer)
        except Undecided as error:
            return Verdict.unknown(self.name, f"could not be compared: {error}"[:200])
        except Exception as error:  # whatever a symbolic parser meets in a model's text is no verdict
            return Verdict.unknown(self.name, f"could not be evaluated: {type(error).__name__}")

    def _verdict(self, same: bool, answer: str) -> Verdict:
        return Verdict.of(same, self.name, sound=True, reason="" if same else f"answered {answer[:80]!r}")


def _wrong(option: str, needs: str) -> InvalidQuery:
    return InvalidQuery(f"A numeric verifier's {option} must be {needs}.", f"effortwise.verifier.{option}")


def _plain(text: str) -> float | None:
    number = normalise(text)
    if not _PLAIN.fullmatch(number):
        return None
    return float(number[:-1]) / 100 if number.endswith("%") else float(number)
