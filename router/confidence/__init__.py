"""Confidence predictors: while answering, how likely is the leading candidate right?

``CONFIDENCE`` finds the modules of this package. Not to be confused with a model's own word on its
confidence, which is at most a feature here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from router.candidate import Candidate, Verdict
from router.query import Query
from router.registry import Registry


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one arm's answers are judged by: the difficulty predictor's P(success) for the arm
    (``prior``), its candidates so far, and each one's verdict (``None`` where it was not judged).

    query: what was asked, where known. arm: its id. others: likewise of the other arms that have
    answered the query, whose agreement counts.
    """

    prior: float
    candidates: Sequence[Candidate]
    verdicts: Sequence[Verdict | None]
    query: Query | None = None
    arm: str = ""
    others: Sequence[Evidence] = ()


class ConfidencePredictor(Protocol):
    """P(the leading candidate is right), given query and answers so far."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def probability(self, evidence: Evidence) -> float:
        """P(right) of the arm's leading candidate, in [0, 1]; updates the prior, never ignores it."""
        ...

    def state(self) -> Mapping[str, Any]:
        """The learnt state as plain JSON values."""
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """A confidence predictor that also knows what further answers would bring."""

    def foresee(self, evidence: Evidence, further: Mapping[str, float]) -> float:
        """P(right) of the most probable answer once these arms have answered too; further: their
        P(success) before any token, by arm id, in the order in which they would be asked."""
        ...


CONFIDENCE: Registry[ConfidencePredictor] = Registry("confidence predictor", "router.confidence")
