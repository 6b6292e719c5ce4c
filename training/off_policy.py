"""Off-policy value: what another policy would have earned, from rounds that this one logged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.errors import InvalidQuery
from router.estimate import FloatArray

IntArray = NDArray[np.int64]
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Value:
    """An estimated mean with its 95 % interval (normal approximation, rounds of one group counted as one draw
    [Liang & Zeger 1986]). effective_rounds: how many rounds of the target policy's own the logged ones are
    worth, (sum w)^2 / sum w^2 [Kish 1965]."""

    mean: float
    low: float
    high: float
    effective_rounds: float
    rounds: int

    @classmethod
    def of(cls, terms: FloatArray, weights: FloatArray, group: IntArray | None = None) -> Value:
        """The mean of the terms, one a round. group, shape (rounds,): see ``Logged``."""
        mean = float(terms.mean())
        margin = Z95 * _standard_error(terms, np.arange(len(terms)) if group is None else group)
        square = float((weights**2).sum())
        effective = float(weights.sum()) ** 2 / square if square > 0 else 0.0
        return cls(mean, float(mean - margin), float(mean + margin), effective, len(terms))


def _standard_error(terms: FloatArray, group: IntArray) -> float:
    """Of the mean; infinite with one group alone."""
    _, member = np.unique(group, return_inverse=True)
    sums = np.bincount(member, terms - terms.mean())
    if len(sums) < 2:
        return np.inf
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum())) / len(terms)


@dataclass(frozen=True, slots=True, eq=False)
class Logged:
    """Logged rounds as arrays of shape (rounds,): reward; propensity of the logged arm, > 0; target, the
    probability that the other policy gives that arm; group, the number of the question, whose rounds are not
    independent (default: each round is one of its own)."""

    reward: FloatArray
    propensity: FloatArray
    target: FloatArray
    group: IntArray | None = None

    def __post_init__(self) -> None:
        if not len(self.reward):
            raise InvalidQuery("Off-policy value needs at least one round with a propensity.")
        if not (self.propensity > 0).all():
            raise InvalidQuery("A logged arm's propensity must be above 0.")

    def weights(self, clip: float | None = None) -> FloatArray:
        """w = target / propensity, at most ``clip``."""
        weights = self.target / self.propensity
        return weights if clip is None else np.minimum(weights, clip)


def ips(logged: Logged, clip: float | None = None) -> Value:
    """Inverse propensity scoring, mean(w r): unbiased without a clip, where the logging policy could draw
    all that the target can [Horvitz & Thompson 1952]."""
    weights = logged.weights(clip)
    return Value.of(weights * logged.reward, weights, logged.group)


def snips(logged: Logged, clip: float | None = None) -> Value:
    """Self-normalised, sum(w r) / sum(w), with the delta method's interval: a little biased, far less
    variable [Swaminathan & Joachims 2015]. Zero, of infinite width, where no weight is above 0."""
    weights = logged.weights(clip)
    total = float(weights.sum())
    if total <= 0:
        return Value(0.0, -np.inf, np.inf, 0.0, len(weights))
    mean = float(weights @ logged.reward) / total
    return Value.of(mean + weights * (logged.reward - mean) * len(weights) / total, weights, logged.group)


def doubly_robust(
    logged: Logged, predicted: FloatArray, predicted_target: FloatArray, clip: float | None = None
) -> Value:
    """mean(v + w (r - q)): right where either the predictions or the propensities are [Dudík et al. 2011].

    predicted: q, the prediction for the logged arm. predicted_target: v, its mean under the target
    policy. Both of shape (rounds,), by a model that did not learn from these rounds.
    """
    weights = logged.weights(clip)
    return Value.of(predicted_target + weights * (logged.reward - predicted), weights, logged.group)
