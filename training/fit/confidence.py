"""Fit of the confidence predictor: the cold weights, moved by what recorded answers show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from router.confidence import Evidence
from router.confidence.agreement import COLD_WEIGHTS, Agreement, inputs, leader
from router.estimate import FloatArray
from router.vote import leading
from training.rounds import Round

MOST_CANDIDATES = 8
"""Prefixes of a sequence of answers are looked at up to this length."""
DEVIATION = 0.5
"""Prior deviation of each weight from the cold one: with a few dozen examples they hardly move."""
LOWER = {"prior_logit": 0.1, "agreement_logit": 0.0, "passed": 0.0}
UPPER = {"failed": 0.0}
"""Bounds that keep its meaning: it never ignores the prior, and agreement and checks count as such."""

Prior = Callable[[Round], float]


@dataclass(frozen=True, slots=True)
class Example:
    """What stood at some point while answering, and whether the leading candidate was right."""

    evidence: Evidence
    reward: float


def fit_confidence(examples: Sequence[Example]) -> Agreement:
    """The weights of largest posterior density, normal around the cold weights; without examples, the
    cold weights."""
    if not examples:
        return Agreement()
    X = np.array([list(inputs(example.evidence).values()) for example in examples])
    rewards = np.array([example.reward for example in examples])
    center = np.array(list(COLD_WEIGHTS.values()))

    def objective(weights: FloatArray) -> tuple[float, FloatArray]:
        logits = X @ weights
        loss = float((np.logaddexp(0.0, logits) - rewards * logits).sum())
        pull = (weights - center) / DEVIATION**2
        gradient = X.T @ (1 / (1 + np.exp(-logits)) - rewards) + pull
        return loss + float((weights - center) @ pull) / 2, gradient

    bounds = [(LOWER.get(name), UPPER.get(name)) for name in COLD_WEIGHTS]
    found = minimize(objective, center, jac=True, bounds=bounds, method="L-BFGS-B")
    return Agreement({"weights": dict(zip(COLD_WEIGHTS, found.x.tolist(), strict=True))})


def examples_of(rounds: Sequence[Round], prior: Prior) -> list[Example]:
    """Examples from rounds whose arm's predicted quality is ``prior``. A round of several candidates
    tells of each prefix whose leader is the answer that was judged; several single answers of one
    arm to one question, each judged, stand in for the candidates of a longer run."""
    together: Mapping[tuple[str, str], list[Round]] = defaultdict(list)
    examples: list[Example] = []
    for r in rounds:
        if len(r.candidates) == 1:
            together[r.question_key, r.arm].append(r)
        elif r.candidates:
            examples.extend(_prefixes(r, prior(r)))
    for alike in together.values():
        examples.extend(_pooled(alike, prior(alike[0])))
    return examples


def _prefixes(r: Round, prior: float) -> Iterator[Example]:
    judged = r.candidates[leading(r.candidates)].compared
    if judged is None:
        return
    for size in range(1, min(len(r.candidates), MOST_CANDIDATES) + 1):
        evidence = Evidence(prior, r.candidates[:size], (None,) * size)
        if r.candidates[leader(evidence)].compared == judged:
            yield Example(evidence, r.reward)


def _pooled(alike: Sequence[Round], prior: float) -> Iterator[Example]:
    drawn = alike[:MOST_CANDIDATES]
    candidates = tuple(r.candidates[0] for r in drawn)
    for size in range(1, len(drawn) + 1):
        evidence = Evidence(prior, candidates[:size], (None,) * size)
        yield Example(evidence, drawn[leader(evidence)].reward)
