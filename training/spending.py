"""Fit of the spending model: gamma regression of cost and latency, around the prior's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from router.estimate import FloatArray
from router.learnt.spending import FLOOR, Spending
from router.predictors.constant import Constant
from training.design import IntArray, Seen
from training.deviations import TOGETHER, best_deviations
from training.families import Families
from training.folds import MOST_CROSSED, Unseen, unseen, weights_without
from training.multitask import Multitask, Solution
from training.parallel import side_by_side
from training.table import Table

PRIOR_RESIDUALS = 20.0
"""How many of its own residuals a family needs to count as much as all families' together."""
LEVELS = {"cost_usd": 0.9, "latency_s": 0.95}
"""The upper quantile of each quantity."""


@dataclass(frozen=True, slots=True, eq=False)
class SpendingFit:
    """What serves, and the weights on the design's inputs of cost and of latency, each of shape (inputs,
    families)."""

    spending: Spending
    weights: tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """One quantity: weights, shape (inputs, families); base, shape (arms,); shifts, shape (2, arms), to
    the logarithm of the mean and of the upper quantile."""

    weights: FloatArray
    base: FloatArray
    shifts: FloatArray


def fit_spending(seen: Seen, table: Table, seed: int = 0) -> SpendingFit:
    """Means and quantiles come from the residuals out of fold. Arms and quantities of which nothing is
    known keep the prior's."""
    design, prior = seen.design, Constant.prior(table.menu).constants
    quantities = {
        "cost_usd": (prior.cost_usd, prior.cost_usd_q90),
        "latency_s": (prior.latency_s, prior.latency_s_q95),
    }
    pieces = [partial(_fit, seen, table, name, each, seed) for name, each in quantities.items()]
    cost, latency = side_by_side(pieces, large=len(table) > MOST_CROSSED)
    spending = Spending(
        np.stack((cost.base, latency.base)),
        design.families.of_arm,
        np.stack([design.dense_weights(each.weights) for each in (cost, latency)], axis=1),
        np.concatenate((cost.shifts, latency.shifts)),
    )
    return SpendingFit(spending, (cost.weights, latency.weights))


def _fit(seen: Seen, table: Table, quantity: str, prior: tuple[FloatArray, FloatArray], seed: int) -> _Fit:
    mean, upper = (np.log(amounts + FLOOR) for amounts in prior)
    amounts: FloatArray = getattr(table, quantity)
    known = np.flatnonzero(~np.isnan(amounts))
    if not len(known):
        nothing = np.zeros((seen.inputs.shape[1], len(seen.design.families)))
        return _Fit(nothing, mean, np.stack((np.zeros(len(mean)), upper - mean)))
    some, paid = table.take(known), amounts[known] + FLOOR
    level = _level(paid, mean[some.arm], some.weight)
    problem = Multitask.of_amount(seen.take(known), some, paid, np.exp(mean[some.arm] + level))
    deviations = best_deviations(problem, some, seed, TOGETHER)
    apart = unseen(some.group, seed)
    weights = [some.weight, *(weights_without(some.weight, rows) for rows in apart.left_out)]
    solution, *without = problem.solutions(weights, deviations)
    residuals = np.log(paid)[apart.rounds] - _out_of_fold(problem, without, apart)
    shifts = _shifts(residuals, seen.design.families, some.arm[apart.rounds], LEVELS[quantity])
    return _Fit(solution.weights, mean + level + solution.base, shifts)


def _level(paid: FloatArray, log_expected: FloatArray, weight: FloatArray) -> float:
    """The logarithm of the factor by which the prior is off over all rounds together, by the median."""
    ratio = np.log(paid) - log_expected
    order = np.argsort(ratio)
    cumulated = np.cumsum(weight[order])
    return float(ratio[order][np.searchsorted(cumulated, cumulated[-1] / 2)])


def _out_of_fold(problem: Multitask, without: Sequence[Solution], apart: Unseen) -> FloatArray:
    """Of the unseen rounds."""
    judged = problem.take(apart.rounds)
    by_model = np.stack([judged.predictor(each) for each in without])
    found: FloatArray = by_model[apart.by, np.arange(len(apart.by))]
    return found


def _shifts(residuals: FloatArray, families: Families, arm: IntArray, level: float) -> FloatArray:
    """From the expected logarithm to that of the mean and of the upper quantile, shape (2, arms), by
    family, shrunk to all residuals'."""
    of_arm = families.of_arm
    pooled = _shift(residuals, level)
    shifts = np.tile(pooled[:, None], len(of_arm))
    for family in np.unique(of_arm[arm]):
        own = residuals[of_arm[arm] == family]
        share = len(own) / (len(own) + PRIOR_RESIDUALS)
        shifts[:, of_arm == family] = (share * _shift(own, level) + (1 - share) * pooled)[:, None]
    return np.stack((shifts[0], np.maximum(shifts[1], shifts[0])))


def _shift(residuals: FloatArray, level: float) -> FloatArray:
    return np.array([np.log(np.mean(np.exp(residuals))), np.quantile(residuals, level)])
