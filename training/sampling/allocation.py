"""Allocation in advance: how many samples for which query, before any is drawn, at equal mean budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from router.estimate import FloatArray
from training.evaluation.crossfit import Part
from training.evaluation.grid import IntArray
from training.sampling.gain_curves import concave_steps
from training.sampling.success import Predicted


class GainCurve(Protocol):
    """What the k-th draw is expected to add, from the predicted logit."""

    def gains(self, logit: FloatArray, at_most: int) -> FloatArray:
        """Shape (series, at_most), falling along each row."""
        ...


CurveFit: TypeAlias = Callable[[FloatArray, IntArray], tuple[GainCurve, FloatArray]]
"""From logits out of fold and the training rows to the curve, and what it would say of each training row
had it not seen that row's group: gains of shape (rows, at_most)."""

LEARNED, ONE_EACH = "learned", "learned_one_each"
ORACLE, ORACLE_ONE_EACH = "oracle", "oracle_one_each"
LEAST = {LEARNED: 0, ONE_EACH: 1, ORACLE: 0, ORACLE_ONE_EACH: 1}
"""Methods beside ``uniform``, and the draws that each query gets in any case."""


@dataclass(frozen=True, slots=True, eq=False)
class Allocated:
    """Qualities at equal mean budgets. budgets, shape (b,): mean draws per query. rows: series that were
    tested. quality: by method, shape (rows, b), averaged over passes. promoted, shape (b,): the share of
    parts whose training rows promoted the learned allocation; elsewhere it is the uniform one."""

    budgets: FloatArray
    rows: IntArray
    quality: Mapping[str, FloatArray]
    promoted: FloatArray


def budgets_up_to(draws: int) -> FloatArray:
    """Quarters of a draw at first, then halves, then whole draws."""
    fine, halves, whole = np.arange(1, 16) / 4, np.arange(8, 32) / 2, np.arange(16, draws + 1)
    grid = np.concatenate((fine, halves, whole)).astype(np.float64)
    return grid[grid <= draws]


def allocate(gains: FloatArray, budgets: FloatArray, least: int = 0) -> IntArray:
    """Draws for each query at each mean budget, shape (queries, budgets): the greatest gains first
    [greedy marginal allocation, Damani et al. 2024], of equal ones the earlier draw; gains must fall along
    each row. What does not gain is not bought."""
    count, at_most = gains.shape
    forced = np.where(np.arange(at_most) < least, np.inf, gains)
    order = np.lexsort((np.tile(np.arange(at_most), count), -forced.ravel()))
    order = order[forced.ravel()[order] > 0]
    bought = [np.bincount(order[: round(budget * count)] // at_most, minlength=count) for budget in budgets]
    return np.stack(bought, axis=1)


def uniform_quality(curves: FloatArray, budgets: FloatArray) -> FloatArray:
    """Every query gets the same; between whole numbers, a random share of them one more."""
    low = np.floor(budgets).astype(np.int64)
    more = np.minimum(low + 1, curves.shape[1] - 1)
    return curves[:, low] + (budgets - low) * (curves[:, more] - curves[:, low])


def compare_allocations(
    curves: FloatArray,
    parts: Sequence[tuple[Part, Predicted]],
    group: IntArray,
    fit: CurveFit,
) -> Allocated:
    """Uniform, learned and oracle on the tested rows of every part; each part's predictor divides the budget
    of its own rows. curves: true quality after k draws, shape (series, k + 1). The oracle knows them, up
    to their concave hull."""
    budgets = budgets_up_to(curves.shape[1] - 1)
    quality = {name: np.zeros((len(curves), len(budgets))) for name in ("uniform", *LEAST)}
    seen, promoted = np.zeros(len(curves)), []
    for part, predicted in parts:
        curve, held_out = fit(predicted.train_logit, predicted.train)
        earned = _earned(held_out, curves[predicted.train], group[predicted.train], budgets)
        promoted.append(earned)
        for name, values in _qualities(curve, predicted.test_logit, curves[part.test], budgets, earned):
            quality[name][part.test] += values
        seen[part.test] += 1
    rows = np.flatnonzero(seen)
    shown = {name: values[rows] / seen[rows, None] for name, values in quality.items()}
    return Allocated(budgets, rows, shown, np.mean(promoted, axis=0))


def _qualities(
    curve: GainCurve, logit: FloatArray, curves: FloatArray, budgets: FloatArray, earned: FloatArray
) -> list[tuple[str, FloatArray]]:
    at_most = curves.shape[1] - 1
    known = {LEARNED: curve.gains(logit, at_most), ORACLE: concave_steps(curves)}
    gains = {**known, ONE_EACH: known[LEARNED], ORACLE_ONE_EACH: known[ORACLE]}
    uniform = uniform_quality(curves, budgets)
    found = [("uniform", uniform)]
    for name, least in LEAST.items():
        values = _quality(curves, allocate(gains[name], budgets, least))
        learnt = name in (LEARNED, ONE_EACH)
        found.append((name, np.where(earned, values, uniform) if learnt else values))
    return found


def _quality(curves: FloatArray, draws: IntArray) -> FloatArray:
    return np.take_along_axis(curves, draws, axis=1)


def _earned(gains: FloatArray, curves: FloatArray, group: IntArray, budgets: FloatArray) -> FloatArray:
    """Whether the learned allocation beat the uniform one on the training rows by more than a standard error
    of the mean over groups; shape (budgets,). gains: held out."""
    gained = _quality(curves, allocate(gains, budgets)) - uniform_quality(curves, budgets)
    _, member = np.unique(group, return_inverse=True)
    sums = np.zeros((member.max() + 1, len(budgets)))
    np.add.at(sums, member, gained)
    groups = len(sums)
    error = np.sqrt(((sums - sums.mean(axis=0)) ** 2).sum(axis=0) * groups / max(groups - 1, 1))
    return np.asarray(sums.sum(axis=0) > error)


def sequential_draws(curves: FloatArray) -> FloatArray:
    """Expected draws of best-of-k with a verifier that stops at the first pass, in the doubling batches of
    ``router/strategies/best_of_n.py`` (1, 1, 2, 4, ...), all of a batch counted; shape (series, k), for
    k = 1..; curves: P(one of k is right) after 0..k draws."""
    at_most = curves.shape[1] - 1
    starts = [0, *(2**i for i in range(at_most.bit_length()))]
    spent = np.zeros((len(curves), at_most))
    for cap in range(1, at_most + 1):
        for start in (start for start in starts if start < cap):
            batch = min(max(1, start), cap - start)
            spent[:, cap - 1] += batch * (1 - curves[:, start])
    return spent
