"""Votes: which of several candidates a majority stands behind, each vote counting one or by its weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp

from router.candidate import Candidate
from router.errors import InvalidQuery

WEIGHT_TEMPERATURE = 0.1
"""T of ``confidence_weights``: a reply ten points more probable per token than another weighs e times it."""


def tally(candidates: Sequence[Candidate]) -> Mapping[str, int]:
    """Votes by answer in its normal form, in the order of their first appearance. A candidate from which
    nothing could be extracted does not vote."""
    return Counter(answer for each in candidates if (answer := each.compared) is not None)


def weighed(candidates: Sequence[Candidate], weights: Sequence[float]) -> Mapping[str, float]:
    """Sums of weights by answer in its normal form, in the order of their first appearance. A weight of 0
    is no vote."""
    sums: dict[str, float] = {}
    for candidate, weight in zip(candidates, weights, strict=True):
        if (answer := candidate.compared) is not None and weight > 0:
            sums[answer] = sums.get(answer, 0.0) + weight
    return sums


def leading(candidates: Sequence[Candidate], weights: Sequence[float] | None = None) -> int:
    """The index of the first candidate with the most votes; ties go to the earliest answer. Where
    nobody votes, the first candidate stands. ``InvalidQuery`` where there is none.

    weights: of each candidate's vote, >= 0; where none is above 0, each counts 1 as without weights.
    """
    if not candidates:
        raise InvalidQuery("A vote needs at least one candidate.")
    if weights is None or not any(weights):
        weights = [1.0] * len(candidates)
    votes = weighed(candidates, weights)
    if not votes:
        return 0
    winner = max(votes, key=votes.__getitem__)
    voters = zip(candidates, weights, strict=True)
    return next(i for i, (each, weight) in enumerate(voters) if each.compared == winner and weight > 0)


def confidence_weights(candidates: Sequence[Candidate]) -> list[float]:
    """A weight of mean 1 for each candidate, by how probable its tokens were to the model.

    w_i = m exp(c_i / T) / sum_j exp(c_j / T), over the m candidates of one query whose log-probabilities
    are known, with c_i = exp(mean log-probability), the probability per token [CISC's response probability,
    Taubenfeld et al. 2025, arXiv 2502.06233]. One whose log-probabilities are unknown weighs 1.
    """
    known = [None if c.mean_logprob is None else exp(c.mean_logprob) for c in candidates]
    most = max((each for each in known if each is not None), default=0.0)
    raw = [None if each is None else exp((each - most) / WEIGHT_TEMPERATURE) for each in known]
    told = [each for each in raw if each is not None]
    mean = sum(told) / len(told) if told else 1.0
    return [1.0 if each is None else each / mean for each in raw]
