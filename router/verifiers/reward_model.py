"""A reward model's number for one candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from router.candidate import Candidate, Ruling, Verdict
from router.errors import BackendError, BudgetExceeded, InvalidQuery
from router.query import Query
from router.verifiers._cost import overheard

if TYPE_CHECKING:
    from router.run import Run


@dataclass(frozen=True, slots=True)
class RewardModel:
    """Passes where ``model``, whose backend answers with a number, gives at least ``pass_at``. The reward
    is that number cut to [0, 1]. Never sound."""

    name: ClassVar[str] = "reward_model"
    summary: ClassVar[str] = "a reward model's number for the answer is high enough"

    model: str
    pass_at: float = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model.strip():
            raise _wrong("model", f"a configured model's name, not {self.model!r}")
        if not isinstance(self.pass_at, int | float) or not math.isfinite(self.pass_at):
            raise _wrong("pass_at", f"a number, not {self.pass_at!r}")

    def demand(self) -> Mapping[str, int]:
        """One call a verdict."""
        return {self.model: 1}

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where there is no text or no run, or the model fails or says no number."""
        if run is None or not candidate.text.strip():
            return Verdict.unknown(self.name, "nothing to judge, or nobody to ask")
        if self.model not in run.backends:
            return Verdict.unknown(self.name, f"the run does not reach the model {self.model!r}")
        counted, ear = overheard(run, self.model)
        try:
            number = await counted.score(self.model, candidate)
        except (BackendError, BudgetExceeded) as error:
            return Verdict("unknown", 0.0, self.name, reason=str(error), usage=ear.usage)
        if math.isnan(number):
            return Verdict("unknown", 0.0, self.name, reason="the reward is no number", usage=ear.usage)
        ruling: Ruling = "pass" if number >= self.pass_at else "fail"
        reward = min(max(number, 0.0), 1.0)
        return Verdict(ruling, reward, self.name, reason=f"{number:.4g}", usage=ear.usage)


def _wrong(option: str, needs: str) -> InvalidQuery:
    return InvalidQuery(
        f"A reward_model verifier's {option} must be {needs}.", f"effortwise.verifier.{option}"
    )
