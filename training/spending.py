"""Fit of the spending model: ridge regression of log cost and log latency, around the prior's."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge

from router.estimate import FloatArray
from router.learnt.spending import FLOOR, Spending
from router.predictors.constant import Constant
from training.design import Design
from training.table import Table

PENALTY = 1.0
PRIOR_RESIDUALS = 20.0
"""How many of its own residuals a family needs to count as much as all families' together."""
LEVELS = (0.9, 0.95)
"""Upper quantile of cost and of latency."""


def fit_spending(fit: Table, calibrate: Table) -> Spending:
    """Slopes from one table, means and quantiles from the residuals on another. Arms and quantities of
    which nothing is known keep the prior's."""
    design = Design.of(fit, hashed=False)
    X, X_other = design.matrix(fit), design.matrix(calibrate)
    prior = Constant.prior(fit.menu).constants
    believed = (np.log(prior.cost_usd + FLOOR), np.log(prior.latency_s + FLOOR))
    bases, slopes, shifts = [], [], []
    for i, spent in enumerate(("cost_usd", "latency_s")):
        coefficients, intercept = _regress(X, _log(fit, spent) - believed[i][fit.arm])
        base, dense, _ = design.unpack(coefficients, intercept)
        expected = believed[i][calibrate.arm] + X_other @ coefficients + intercept
        residuals = _log(calibrate, spent) - expected
        upper = (prior.cost_usd_q90 / _positive(prior.cost_usd), prior.latency_s_q95 / _positive(prior.latency_s))
        bases.append(base + believed[i])
        slopes.append(dense)
        shifts += _shifts(residuals, design.families.of_arm, calibrate.arm, LEVELS[i], np.log(upper[i].clip(1)))
    return Spending(np.stack(bases), design.families.of_arm, np.stack(slopes, axis=1), np.stack(shifts))


def _log(table: Table, spent: str) -> FloatArray:
    amounts: FloatArray = getattr(table, spent)
    return np.log(amounts + FLOOR)


def _positive(amounts: FloatArray) -> FloatArray:
    return np.where(amounts > 0, amounts, 1.0)


def _regress(X: csr_matrix, target: FloatArray) -> tuple[FloatArray, float]:
    known = np.flatnonzero(~np.isnan(target))
    if not len(known):
        return np.zeros(X.shape[1]), 0.0
    model = Ridge(PENALTY, solver="sparse_cg", tol=1e-6).fit(X[known], target[known])
    return np.asarray(model.coef_, np.float64), float(model.intercept_)


def _shifts(
    residuals: FloatArray, of_arm: FloatArray, arm: FloatArray, level: float, prior_upper: FloatArray
) -> list[FloatArray]:
    """From the expected logarithm to that of the mean and of the upper quantile, each of shape (arms,),
    by family, shrunk to all residuals'."""
    known = ~np.isnan(residuals)
    if not known.any():
        return [np.zeros(len(of_arm)), prior_upper]
    pooled = _shift(residuals[known], level)
    family = of_arm[arm]
    shifts = np.empty((2, len(of_arm)))
    for i in np.unique(of_arm):
        own = residuals[known & (family == i)]
        share = len(own) / (len(own) + PRIOR_RESIDUALS)
        shifts[:, of_arm == i] = ((share * _shift(own, level) if len(own) else 0) + (1 - share) * pooled)[:, None]
    return [shifts[0], np.maximum(shifts[1], shifts[0])]


def _shift(residuals: FloatArray, level: float) -> FloatArray:
    return np.array([np.log(np.mean(np.exp(residuals))), np.quantile(residuals, level)])
