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


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Arrays of shape (predictions,). member: the number of each one's unit of resampling."""

    quality: FloatArray
    reward: FloatArray
    member: IntArray

    def of(self, arm: int) -> Predictions:
        """Of one arm, where quality and reward have shape (queries, arms)."""
        return Predictions(self.quality[:, arm], self.reward[:, arm], self.member)

    def pooled(self) -> Predictions:
        """Of all arms together, likewise."""
        arms = self.quality.shape[1]
        return Predictions(self.quality.ravel(), self.reward.ravel(), np.repeat(self.member, arms))


def calibration(passes: Sequence[Predictions], resamples: Resamples) -> Calibration:
    """Of each pass by itself, then averaged: what one predictor says too much and another one too little
    does not cancel."""
    rates = [found for each in passes if (found := auroc(each.quality, each.reward)) is not None]
    return Calibration(
        float(np.mean([calibration_error(each.quality, each.reward, BINS) for each in passes])),
        *debiased(passes, resamples),
        float(np.mean([brier(each.quality, each.reward) for each in passes])),
        float(np.mean(rates)) if rates else None,
    )


def calibrated(tested: Tested, routed: Sequence[Routed]) -> dict[str, Any] | None:
    """Calibration of P(success) by arm and pooled over arms; None where it is not predicted."""
    if any(each.quality is None for each in routed):
        return None
    passes = [
        _predicted(tested, [each for each in routed if each.part.repeat == repeat])
        for repeat in sorted({each.part.repeat for each in routed})
    ]
    return {
        "arms": [
            {"arm": name, **asdict(calibration([each.of(arm) for each in passes], tested.resamples))}
            for arm, name in enumerate(tested.grid.arms)
        ],
        "pooled": asdict(calibration([each.pooled() for each in passes], tested.resamples)),
    }


def _predicted(tested: Tested, routed: Sequence[Routed]) -> Predictions:
    """Of one pass's tested queries, quality and reward of shape (queries, arms)."""
    rows = np.concatenate([each.part.test for each in routed])
    quality = np.concatenate([each.quality for each in routed if each.quality is not None])
    member = tested.resamples.member[np.searchsorted(tested.rows, rows)]
    return Predictions(quality, tested.grid.reward[rows], member)


def debiased(passes: Sequence[Predictions], resamples: Resamples) -> tuple[float, float, float]:
    """The root of sum_b w_b (gap_b^2 - var(gap_b)), averaged over passes, and its 95 % interval.

    A bin's squared gap is too large by the gap's own variance, by chance alone; less that, the sum is
    unbiased for the squared calibration error of the binned predictor [Kumar, Liang & Ma 2019]. Variances
    are those over resamples of whole questions; the interval is the basic bootstrap's, on the scale of
    squares. Never below the error by absolute gaps that it stands for (Jensen).
    """
    found = [_squares(each, resamples) for each in passes]
    square = float(np.mean([each for each, _ in found]))
    above, below = np.quantile(np.mean([moved for _, moved in found], axis=0), LEVELS)
    roots = np.sqrt(np.maximum([square, square - below, square - above], 0.0))
    return float(roots[0]), float(roots[1]), float(roots[2])


def _squares(predicted: Predictions, resamples: Resamples) -> tuple[float, FloatArray]:
    """The debiased squared error of one pass; and of every resample, how far it moved from it."""
    place = _bins(predicted.quality)
    gaps_of = predicted.reward - predicted.quality
    total, size = (_by_unit(values, place, predicted.member, resamples) for values in (gaps_of, 1.0))
    gap, weight = total.sum(axis=0) / size.sum(axis=0), size.sum(axis=0) / size.sum()
    sizes = np.maximum(resamples.counts @ size, 1e-9)
    gaps = resamples.counts @ total / sizes
    variance = gaps.var(axis=0)
    square = float(weight @ (gap**2 - variance))
    weights = sizes / sizes.sum(axis=1, keepdims=True)
    moved: FloatArray = (weights * (gaps**2 - variance)).sum(axis=1) - weight @ gap**2
    return square, moved


def _bins(quality: FloatArray) -> IntArray:
    """The bin of each prediction, in order of quality, sizes as equal as can be."""
    count = len(quality)
    place = np.empty(count, np.int64)
    place[np.argsort(quality, kind="stable")] = np.arange(count) * min(BINS, count) // count
    return place


def _by_unit(
    values: FloatArray | float, place: IntArray, member: IntArray, resamples: Resamples
) -> FloatArray:
    """Sums by unit of resampling and bin."""
    sums = np.zeros((resamples.counts.shape[1], int(place.max()) + 1))
    np.add.at(sums, (member, place), values)
    return sums
