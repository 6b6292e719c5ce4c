"""Confidence predictors: while answering, how likely is the leading candidate right?

``CONFIDENCE`` finds the modules of this package. Not to be confused with a model's own word on its
confidence, which is at most a feature here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from router.candidate import Candidate, Verdict
from router.registry import Registry


@dataclass(frozen=True, slots=True)
class Evidence:
    """What stands while answering: the difficulty predictor's P(success) for the arm (``prior``),
    the candidates so far, and each one's verdict (``None`` where it was not judged)."""

    prior: float
    candidates: Sequence[Candidate]
    verdicts: Sequence[Verdict | None]


class ConfidencePredictor(Protocol):
    """P(the leading candidate is right), given query and answers so far."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def probability(self, evidence: Evidence) -> float:
        """P(right) of the leading candidate, in [0, 1]; updates the prior, never ignores it."""
        ...

    def state(self) -> Mapping[str, Any]:
        """The learnt state as plain JSON values."""
        ...


CONFIDENCE: Registry[ConfidencePredictor] = Registry("confidence predictor", "router.confidence")
