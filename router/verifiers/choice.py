"""The right one of listed choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from router.answers import question_of
from router.candidate import Candidate, Verdict
from router.choices import chosen_letter, listed_options, lone_letter, option_of
from router.errors import InvalidQuery
from router.query import Query

if TYPE_CHECKING:
    from router.run import Run


@dataclass(frozen=True, slots=True)
class Choice:
    """Passes where the reply chooses the right option, by its letter or by its text.

    reference: the right option's letter, or its text as the question lists it. The options (``A)``, ``(B)``,
    ``C.``) are read from the question.
    """

    name: ClassVar[str] = "choice"
    summary: ClassVar[str] = "the reply chooses the right one of listed choices"

    reference: str

    def __post_init__(self) -> None:
        if not isinstance(self.reference, str) or not self.reference.strip():
            raise InvalidQuery(
                f"A choice verifier needs a letter or an option's text, not {self.reference!r}.",
                "effortwise.verifier.reference",
            )

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where no option is chosen or several are, or the reference is no option."""
        options = listed_options(question_of(query))
        right = lone_letter(self.reference) or option_of(self.reference, options)
        if right is None or (options and right not in options):
            return Verdict.unknown(self.name, "the reference is no option of the question")
        chosen = chosen_letter(query, candidate.text, options)
        if chosen is None:
            return Verdict.unknown(self.name, "no option chosen, or several")
        reason = "" if chosen == right else f"chose {chosen}"
        return Verdict.of(chosen == right, self.name, sound=True, reason=reason)
