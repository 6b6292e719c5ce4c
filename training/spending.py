"""Fit of the spending model: gamma regression of cost and latency, around the prior's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router.estimate import FloatArray
from router.learnt.spending import FLOOR, Spending
from router.predictors.constant import Constant
from training.design import Seen
from training.deviations import TOGETHER, best_deviations
from training.families import Families
from training.folds import folds
from training.multitask import Deviations, Multitask
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
    cost = _fit(seen, table, "cost_usd", (prior.cost_usd, prior.cost_usd_q90), seed)
    latency = _fit(seen, table, "latency_s", (prior.latency_s, prior.latency_s_q95), seed)
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
    solution = problem.solve(some.weight, deviations)
    residuals = np.log(paid) - _out_of_fold(problem, some, deviations, seed)
    shifts = _shifts(residuals, seen.design.families, some, LEVELS[quantity])
    return _Fit(solution.weights, mean + level + solution.base, shifts)


def _level(paid: FloatArray, log_expected: FloatArray, weight: FloatArray) -> float:
    """The logarithm of the factor by which the prior is off over all rounds together, by the median."""
    ratio = np.log(paid) - log_expected
    order = np.argsort(ratio)
    cumulated = np.cumsum(weight[order])
    return float(ratio[order][np.searchsorted(cumulated, cumulated[-1] / 2)])


def _out_of_fold(problem: Multitask, table: Table, deviations: Deviations, seed: int) -> FloatArray:
    held = folds(table.group, seed)
    expected = np.empty(len(table))
    for fold in range(int(held.max(initial=0)) + 1):
        rows = held == fold
        part = problem.solve(np.where(rows, 0.0, table.weight), deviations)
        expected[rows] = problem.predictor(part)[rows]
    return expected


def _shifts(residuals: FloatArray, families: Families, table: Table, level: float) -> FloatArray:
    """From the expected logarithm to that of the mean and of the upper quantile, shape (2, arms), by
    family, shrunk to all residuals'."""
    of_arm = families.of_arm
    pooled = _shift(residuals, level)
    shifts = np.tile(pooled[:, None], len(of_arm))
    for family in np.unique(of_arm[table.arm]):
        own = residuals[of_arm[table.arm] == family]
        share = len(own) / (len(own) + PRIOR_RESIDUALS)
        shifts[:, of_arm == family] = (share * _shift(own, level) + (1 - share) * pooled)[:, None]
    return np.stack((shifts[0], np.maximum(shifts[1], shifts[0])))


def _shift(residuals: FloatArray, level: float) -> FloatArray:
    return np.array([np.log(np.mean(np.exp(residuals))), np.quantile(residuals, level)])
