"""Calibration: how well predicted chances agree with what came of them, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from router.estimate import FloatArray
from training.evaluation.decisions import Routed
from training.evaluation.grid import IntArray
from training.evaluation.resampling import LEVELS, Resamples
from training.evaluation.tested import Tested
from training.measures import auroc, brier, calibration_error

BINS = 15


@dataclass(frozen=True, slots=True)
class Calibration:
    """ece: expected calibration error, 15 bins of equal mass. ece_debiased, low, high: see ``debiased``.
    auroc: None where all rewards are on one side."""

    ece: float
    ece_debiased: float
    low: float
    high: float
    brier: float
    auroc: float | None


def calibration(
    quality: FloatArray, reward: FloatArray, member: IntArray, resamples: Resamples
) -> Calibration:
    """Of predictions of shape (predictions,); member: the number of each one's question."""
    return Calibration(
        calibration_error(quality, reward, BINS),
        *debiased(quality, reward, member, resamples),
        brier(quality, reward),
        auroc(quality, reward),
    )


def calibrated(tested: Tested, routed: Sequence[Routed]) -> dict[str, Any] | None:
    """Calibration of P(success) by arm and pooled, over all passes; None where it is not predicted."""
    predicted = [each.quality for each in routed if each.quality is not None]
    if len(predicted) < len(routed):
        return None
    rows = np.concatenate([each.part.test for each in routed])
    quality, reward = np.concatenate(predicted), tested.grid.reward[rows]
    member = tested.resamples.member[np.searchsorted(tested.rows, rows)]
    arms = len(tested.grid.arms)
    return {
        "arms": [
            {
                "arm": name,
                **asdict(calibration(quality[:, arm], reward[:, arm], member, tested.resamples)),
            }
            for arm, name in enumerate(tested.grid.arms)
        ],
        "pooled": asdict(
            calibration(quality.ravel(), reward.ravel(), np.repeat(member, arms), tested.resamples)
        ),
    }


def debiased(
    quality: FloatArray, reward: FloatArray, member: IntArray, resamples: Resamples
) -> tuple[float, float, float]:
    """The root of sum_b w_b (gap_b^2 - var(gap_b)), and its 95 % interval.

    A bin's squared gap is too large by the gap's own variance, by chance alone; less that, the sum is
    unbiased for the squared calibration error of the binned predictor [Kumar, Liang & Ma 2019]. Variances
    are those over resamples of whole questions; the interval is the basic bootstrap's, on the scale of
    squares. Never below the error by absolute gaps that it stands for (Jensen).
    """
    place = _bins(quality)
    total, size = (_by_question(values, place, member, resamples) for values in (reward - quality, 1.0))
    gap, weight = total.sum(axis=0) / size.sum(axis=0), size.sum(axis=0) / size.sum()
    sizes = np.maximum(resamples.counts @ size, 1e-9)
    gaps = resamples.counts @ total / sizes
    variance = gaps.var(axis=0)
    square = float(weight @ (gap**2 - variance))
    weights = sizes / sizes.sum(axis=1, keepdims=True)
    moved = (weights * (gaps**2 - variance)).sum(axis=1) - weight @ gap**2
    above, below = np.quantile(moved, LEVELS)
    roots = np.sqrt(np.maximum([square, square - below, square - above], 0.0))
    return float(roots[0]), float(roots[1]), float(roots[2])


def _bins(quality: FloatArray) -> IntArray:
    """The bin of each prediction, in order of quality, sizes as equal as can be."""
    count = len(quality)
    place = np.empty(count, np.int64)
    place[np.argsort(quality, kind="stable")] = np.arange(count) * min(BINS, count) // count
    return place


def _by_question(
    values: FloatArray | float, place: IntArray, member: IntArray, resamples: Resamples
) -> FloatArray:
    """Sums by question and bin."""
    sums = np.zeros((resamples.counts.shape[1], int(place.max()) + 1))
    np.add.at(sums, (member, place), values)
    return sums
