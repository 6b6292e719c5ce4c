"""Gain curves: what the k-th draw adds, as a function of what was predicted of the question."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln

from router.estimate import FloatArray
from training.evaluation.grid import IntArray

SLOPE_DEVIATION = 1.0
TILT_DEVIATION = 0.3
"""Prior deviations of the slopes of mean and concentration from 0: without evidence all questions are
alike, and the allocation is uniform."""
BANDWIDTHS = (0.05, 0.1, 0.2, 0.4, 10.0)
"""Of the kernel over ranks; the last one takes all questions as alike."""


def pass_curves(correct: IntArray, draws: IntArray, at_most: int) -> FloatArray:
    """P(one of k draws without replacement is right), 1 - C(n - c, k) / C(n, k), for k = 0..at_most
    [Chen et al. 2021]. Shape (series, at_most + 1)."""
    k = np.arange(at_most + 1)
    wrong, n = (draws - correct)[:, None], draws[:, None]
    log_none = (
        gammaln(wrong + 1) - gammaln(np.maximum(wrong - k, 0) + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    )
    return np.where(k > wrong, 1.0, 1.0 - np.exp(log_none))


@dataclass(frozen=True, slots=True)
class BetaCurve:
    """A question's success rate given its predicted logit z is Beta(m s, (1 - m) s), with
    logit m = level + slope (z - center) and ln s = log_concentration + tilt (z - center): how far the
    prediction can be trusted is learnt with it."""

    center: float
    level: float
    slope: float
    log_concentration: float
    tilt: float

    def gains(self, logit: FloatArray, at_most: int) -> FloatArray:
        """E[(1 - p)^(k-1) p] for k = 1..at_most, falling in k; shape (series, at_most)."""
        a, b = self.parameters(logit)
        j = np.arange(at_most - 1)
        stays = np.log((b[:, None] + j) / ((a + b + 1)[:, None] + j))
        log_gains = np.log(a / (a + b))[:, None] + np.cumsum(np.pad(stays, ((0, 0), (1, 0))), axis=1)
        gains: FloatArray = np.exp(log_gains)
        return gains

    def parameters(self, logit: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Both of the Beta distribution, each of shape (series,)."""
        away = logit - self.center
        mean = np.clip(expit(self.level + self.slope * away), 1e-4, 1 - 1e-4)
        concentration = np.exp(np.clip(self.log_concentration + self.tilt * away, -5.0, 6.0))
        return mean * concentration, (1 - mean) * concentration


def fit_beta_curve(logit: FloatArray, correct: IntArray, draws: IntArray) -> BetaCurve:
    """By the beta-binomial likelihood of the counts, a normal prior on both slopes; logit: predicted out of
    fold."""
    center = float(logit.mean())

    def loss(x: FloatArray) -> float:
        a, b = BetaCurve(center, *x).parameters(logit)
        likelihood = betaln(correct + a, draws - correct + b) - betaln(a, b)
        pull = (x[1] / SLOPE_DEVIATION) ** 2 + (x[2] / 2) ** 2 + (x[3] / TILT_DEVIATION) ** 2
        return float(-likelihood.sum() + pull / 2)

    share = np.clip(correct.sum() / draws.sum(), 0.01, 0.99)
    start = np.array([np.log(share / (1 - share)), 0.5, 0.5, 0.0])
    bounds = [(-8.0, 8.0), (0.0, 3.0), (-4.0, 5.0), (-1.5, 1.5)]
    return BetaCurve(center, *minimize(loss, start, method="L-BFGS-B", bounds=bounds).x)


@dataclass(frozen=True, slots=True, eq=False)
class KernelCurve:
    """The curve of a question is the mean of the training questions' curves, those with near ranks of the
    predicted logit first: for votes, whose quality follows no law and may fall.

    logit, shape (train,), sorted; curves, shape (train, k + 1), of vote quality after 0..k draws.
    """

    logit: FloatArray
    curves: FloatArray
    bandwidth: float

    def gains(self, logit: FloatArray, at_most: int) -> FloatArray:
        """Steps of the upper concave hull of the mean curves, shape (series, at_most)."""
        ranks = np.searchsorted(self.logit, logit) / len(self.logit)
        own = np.arange(len(self.logit)) / len(self.logit)
        weight = _kernel(ranks, own, self.bandwidth)
        return concave_steps((weight / weight.sum(axis=1, keepdims=True)) @ self.curves)[:, :at_most]

    def held_out_gains(self, logit: FloatArray, curves: FloatArray, group: IntArray) -> FloatArray:
        """The gains of the training rows themselves, each from the rows of other groups."""
        ranks = np.searchsorted(self.logit, logit) / len(self.logit)
        return concave_steps(_of_others(ranks, curves, group, self.bandwidth))


def fit_kernel_curve(logit: FloatArray, curves: FloatArray, group: IntArray) -> KernelCurve:
    """The bandwidth has the least squared error on curves of held-out groups."""
    order = np.argsort(logit, kind="stable")
    logit, curves, group = logit[order], curves[order], group[order]
    ranks = np.arange(len(logit)) / len(logit)

    def error(bandwidth: float) -> float:
        return float(((_of_others(ranks, curves, group, bandwidth) - curves) ** 2).mean())

    return KernelCurve(logit, curves, min(BANDWIDTHS, key=error))


def _of_others(ranks: FloatArray, curves: FloatArray, group: IntArray, bandwidth: float) -> FloatArray:
    """Each row's mean curve of the rows of other groups."""
    weight = np.where(group[:, None] == group[None], 0.0, _kernel(ranks, ranks, bandwidth))
    found: FloatArray = (weight @ curves) / (weight.sum(axis=1, keepdims=True) + 1e-300)
    return found


def _kernel(at: FloatArray, of: FloatArray, bandwidth: float) -> FloatArray:
    weight: FloatArray = np.exp(-0.5 * ((at[:, None] - of[None]) / bandwidth) ** 2)
    return weight


def concave_steps(curves: FloatArray) -> FloatArray:
    """The slopes of each curve's least concave majorant, shape (series, k) of curves (series, k + 1)."""
    return np.stack([_hull_slopes(curve) for curve in curves])


def _hull_slopes(curve: FloatArray) -> FloatArray:
    corners = [0]
    for k in range(1, len(curve)):
        while len(corners) > 1 and _slope(curve, corners[-1], k) >= _slope(curve, corners[-2], corners[-1]):
            corners.pop()
        corners.append(k)
    return np.concatenate([np.full(b - a, _slope(curve, a, b)) for a, b in pairwise(corners)])


def _slope(curve: FloatArray, a: int, b: int) -> float:
    return float((curve[b] - curve[a]) / (b - a))
