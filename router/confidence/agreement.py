"""Agreement: how far the candidates agree, what they look like, and what the verifiers said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, log, log1p
from typing import Any, ClassVar

from router.candidate import Candidate, Verdict
from router.confidence import Evidence
from router.errors import BundleError
from router.vote import leading, tally

SOUND_PASS = 0.995
"""P(right) after a pass of a sound verifier: it is proof, up to the verifier's own faults."""

COLD_WEIGHTS: Mapping[str, float] = {
    "intercept": -0.6,
    "prior_logit": 1.0,
    "agreement_logit": 0.8,
    "log_candidates": 0.2,
    "distinct_share": -0.3,
    "extracted": 0.6,
    "log_answer_characters": 0.0,
    "passed": 2.0,
    "failed": -3.0,
    "mean_log_probability": 0.5,
}
"""The weights before any was learnt. With nothing but one extracted candidate the prior stands;
disagreement, an empty extraction and a failed check lower it, votes and a pass raise it."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A logistic model whose first input is the prior's own logit, so that it updates the prior.

    The leading candidate is the vote's among those of the best standing: passed, then unjudged or
    unknown, then failed. learnt: the state of an earlier ``state()``; without it, the cold weights.
    """

    name: ClassVar[str] = "agreement"
    summary: ClassVar[str] = "logistic in the prior, the votes, the verdicts and the answer's form"

    learnt: Mapping[str, Any] = field(default_factory=lambda: {"weights": dict(COLD_WEIGHTS)})

    def __post_init__(self) -> None:
        weights = self.learnt.get("weights")
        if not isinstance(weights, dict) or weights.keys() != COLD_WEIGHTS.keys():
            raise BundleError(f"The confidence predictor needs the weights {', '.join(COLD_WEIGHTS)}.")

    def probability(self, evidence: Evidence) -> float:
        """See the contract; 0 where there is no candidate yet."""
        if not evidence.candidates:
            return 0.0
        chosen = leader(evidence)
        verdict = _verdict(evidence, chosen)
        if verdict is not None and verdict.ruling == "pass" and verdict.sound:
            return SOUND_PASS
        weights = self.learnt["weights"]
        logit = sum(weights[name] * value for name, value in inputs(evidence).items())
        return 1 / (1 + exp(-max(min(logit, 30.0), -30.0)))

    def state(self) -> Mapping[str, Any]:
        """``{"weights": {input: weight}}``."""
        return self.learnt


def leader(evidence: Evidence) -> int:
    """The index of the leading candidate; ``InvalidQuery`` where there is none."""
    if len(evidence.candidates) == 1:
        return 0
    standings = [_standing(_verdict(evidence, i)) for i in range(len(evidence.candidates))]
    best = [i for i, standing in enumerate(standings) if standing == max(standings)]
    return best[leading([evidence.candidates[i] for i in best])] if best else leading(())


def inputs(evidence: Evidence) -> dict[str, float]:
    """The model's inputs by name; at least one candidate must stand."""
    chosen = leader(evidence)
    candidate, verdict = evidence.candidates[chosen], _verdict(evidence, chosen)
    votes = tally(evidence.candidates)
    count = len(evidence.candidates)
    mine = 0 if candidate.compared is None else votes[candidate.compared]
    prior = min(max(evidence.prior, 1e-4), 1 - 1e-4)
    return {
        "intercept": 1.0,
        "prior_logit": log(prior / (1 - prior)),
        "agreement_logit": log((mine + 0.5) / (count - mine + 0.5)) - log(3.0),  # 0 for one vote of one
        "log_candidates": log(count),
        "distinct_share": (len(votes) - 1) / count if votes else 0.0,
        "extracted": float(candidate.extracted is not None),
        "log_answer_characters": log1p(len(candidate.text)),
        "passed": float(verdict is not None and verdict.ruling == "pass"),
        "failed": float(verdict is not None and verdict.ruling == "fail"),
        "mean_log_probability": _mean_log_probability(candidate),
    }


def _verdict(evidence: Evidence, i: int) -> Verdict | None:
    return evidence.verdicts[i] if i < len(evidence.verdicts) else None


def _standing(verdict: Verdict | None) -> int:
    if verdict is None or verdict.ruling == "unknown":
        return 1
    return 2 if verdict.ruling == "pass" else 0


def _mean_log_probability(candidate: Candidate) -> float:
    """Mean log-probability of the reply's tokens, at least -5; 0 where the backend gives none."""
    mean = candidate.mean_logprob
    return 0.0 if mean is None else max(mean, -5.0)
