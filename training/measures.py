"""Measures of predicted probabilities against what came of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from router.estimate import FloatArray

BINS = 10
RESAMPLES = 1000


def log_losses(quality: FloatArray, reward: FloatArray) -> FloatArray:
    """-(r log q + (1 - r) log(1 - q)), shape (rounds,), nats."""
    q = np.clip(quality, 1e-9, 1 - 1e-9)
    return -(reward * np.log(q) + (1 - reward) * np.log1p(-q))


def brier(quality: FloatArray, reward: FloatArray) -> float:
    """Mean squared difference [Brier 1950]."""
    return float(np.mean((quality - reward) ** 2))


def auroc(quality: FloatArray, reward: FloatArray) -> float | None:
    """P(a right answer's prediction is above a wrong one's), ties half; a reward from 0.5 counts as
    right. ``None`` where all are right or none is."""
    right = reward >= 0.5
    positives, negatives = int(right.sum()), int((~right).sum())
    if not positives or not negatives:
        return None
    ranks = rankdata(quality)
    return float((ranks[right].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def calibration_error(quality: FloatArray, reward: FloatArray, bins: int = BINS) -> float:
    """Expected calibration error over bins of equal numbers: the mean of |mean prediction - mean
    reward|, weighted by the bins' sizes [Naeini et al. 2015]."""
    parts = np.array_split(np.argsort(quality, kind="stable"), min(bins, len(quality)))
    gaps = [len(part) * abs(float(np.mean(quality[part] - reward[part]))) for part in parts if len(part)]
    return sum(gaps) / len(quality)


def mean_interval(
    values: FloatArray, group: NDArray[np.int64], seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """The mean and its 95 % percentile bootstrap interval, whole groups resampled."""
    _, member = np.unique(group, return_inverse=True)
    sums, sizes = np.bincount(member, values), np.bincount(member)
    count = len(sizes)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    low, high = np.quantile((drawn @ sums) / (drawn @ sizes), (0.025, 0.975))
    return float(values.mean()), float(low), float(high)
