"""Judge: a model's word on one candidate, as a verdict (pointwise LLM-as-a-judge)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from router.candidate import Candidate, Verdict
from router.errors import BackendError, BudgetExceeded
from router.query import Query
from router.run import Run

JUDGE_COMPLETION_TOKENS = 16
PASS_AT = 0.5

_PROMPT = (
    "Rate how correct and complete this answer is, from 0 (wrong) to 10 (right). "
    "Reply with the number only.\n\nQuestion:\n{question}\n\nAnswer:\n{answer}"
)
_RATING = re.compile(r"\b(10|\d)(?:\.\d+)?\b")


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks ``model`` for a rating from 0 to 10; the reward is a tenth of it. Never sound."""

    model: str

    async def verify(self, query: Query, candidate: Candidate, run: Run) -> Verdict:
        """The rating as a verdict; ``unknown`` where the judge fails or says no number."""
        prompt = _PROMPT.format(question=query.text, answer=run.quote(candidate.text))
        try:
            reply = await run.ask_judge(
                self.model, [{"role": "user", "content": prompt}], JUDGE_COMPLETION_TOKENS
            )
        except (BackendError, BudgetExceeded) as error:
            return Verdict.unknown("judge", str(error))
        found = _RATING.search(reply)
        if found is None:
            return Verdict.unknown("judge", "The judge gave no rating.")
        reward = int(found.group(1)) / 10
        return Verdict("pass" if reward >= PASS_AT else "fail", reward, "judge")
