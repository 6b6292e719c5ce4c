"""Exact match with a known answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from router.answers import extract_answer, normalise
from router.candidate import Candidate, Verdict
from router.errors import InvalidQuery
from router.query import Query

if TYPE_CHECKING:
    from router.run import Run


@dataclass(frozen=True, slots=True)
class Exact:
    """Passes where the final answer equals the reference, up to form (numbers, punctuation, spaces).

    reference: the right answer. casefold: whether case is form, too.
    """

    name: ClassVar[str] = "exact"
    summary: ClassVar[str] = "the final answer equals a reference, up to form"

    reference: str
    casefold: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.reference, str) or not self.reference.strip():
            raise InvalidQuery(
                f"An exact verifier needs its reference as text, not {self.reference!r}.",
                "effortwise.verifier.reference",
            )

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where no final answer can be extracted."""
        answer = extract_answer(query, candidate.text)
        if answer is None:
            return Verdict.without_answer(self.name)
        same = normalise(answer, self.casefold) == normalise(self.reference, self.casefold)
        return Verdict.of(same, self.name, sound=True, reason="" if same else f"answered {answer[:80]!r}")
