"""Off-policy value: what another policy would have earned, from rounds that this one logged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router.errors import InvalidQuery
from router.estimate import FloatArray

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Value:
    """An estimated mean with its 95 % interval (normal approximation). effective_rounds: how many rounds
    of the target policy's own the logged ones are worth, (sum w)^2 / sum w^2 [Kish 1965]."""

    mean: float
    low: float
    high: float
    effective_rounds: float
    rounds: int

    @classmethod
    def of(cls, terms: FloatArray, weights: FloatArray) -> Value:
        """The mean of the terms, one a round."""
        mean = float(terms.mean())
        margin = Z95 * float(terms.std(ddof=1)) / np.sqrt(len(terms)) if len(terms) > 1 else np.inf
        square = float((weights**2).sum())
        effective = float(weights.sum()) ** 2 / square if square > 0 else 0.0
        return cls(mean, float(mean - margin), float(mean + margin), effective, len(terms))


@dataclass(frozen=True, slots=True, eq=False)
class Logged:
    """Logged rounds as arrays of shape (rounds,): reward; propensity of the logged arm, > 0; target, the
    probability that the other policy gives that arm."""

    reward: FloatArray
    propensity: FloatArray
    target: FloatArray

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
    return Value.of(weights * logged.reward, weights)


def snips(logged: Logged, clip: float | None = None) -> Value:
    """Self-normalised, sum(w r) / sum(w), with the delta method's interval: a little biased, far less
    variable [Swaminathan & Joachims 2015]. Zero, of infinite width, where no weight is above 0."""
    weights = logged.weights(clip)
    total = float(weights.sum())
    if total <= 0:
        return Value(0.0, -np.inf, np.inf, 0.0, len(weights))
    mean = float(weights @ logged.reward) / total
    return Value.of(mean + weights * (logged.reward - mean) * len(weights) / total, weights)


def doubly_robust(
    logged: Logged, predicted: FloatArray, predicted_target: FloatArray, clip: float | None = None
) -> Value:
    """mean(v + w (r - q)): right where either the predictions or the propensities are [Dudík et al. 2011].

    predicted: q, the prediction for the logged arm. predicted_target: v, its mean under the target
    policy. Both of shape (rounds,), by a model that did not learn from these rounds.
    """
    weights = logged.weights(clip)
    return Value.of(predicted_target + weights * (logged.reward - predicted), weights)
