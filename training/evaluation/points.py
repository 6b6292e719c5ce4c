"""Points: a mean cost and a mean quality with its interval, as a report shows them."""

from __future__ import annotations

import numpy as np

from router.estimate import FloatArray
from training.evaluation.tested import Tested


def point(tested: Tested, reward: FloatArray, cost_usd: FloatArray) -> dict[str, float]:
    """Mean cost, mean quality and its interval."""
    return points(tested, reward[None], cost_usd[None])[0]


def points(tested: Tested, reward: FloatArray, cost_usd: FloatArray) -> list[dict[str, float]]:
    """A point for each row of shape (points, queries), neighbours of equal cost and quality as one."""
    cost, quality = cost_usd.mean(axis=1), reward.mean(axis=1)
    moved = np.ones(len(cost), np.bool_)
    moved[1:] = (np.diff(cost) != 0) | (np.diff(quality) != 0)
    found = tested.resamples.intervals(reward[moved].T)
    return [
        {"cost_usd": float(spent), "quality": each.mean, "low": each.low, "high": each.high}
        for spent, each in zip(cost[moved], found, strict=True)
    ]
