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
LEVELS = {"cost_usd": 0.9, "latency_s": 0.95}
"""The upper quantile of each quantity."""


def fit_spending(fit: Table, calibrate: Table) -> Spending:
    """Slopes from one table, means and quantiles from the residuals on another. Arms and quantities of
    which nothing is known keep the prior's."""
    design = Design.of(fit, hashed=False)
    matrices = design.matrix(fit), design.matrix(calibrate)
    prior = Constant.prior(fit.menu).constants
    cost = _fit(design, matrices, fit, calibrate, "cost_usd", (prior.cost_usd, prior.cost_usd_q90))
    latency = _fit(design, matrices, fit, calibrate, "latency_s", (prior.latency_s, prior.latency_s_q95))
    return Spending(
        np.stack((cost[0], latency[0])),
        design.families.of_arm,
        np.stack((cost[1], latency[1]), axis=1),
        np.concatenate((cost[2], latency[2])),
    )


def _fit(
    design: Design,
    matrices: tuple[csr_matrix, csr_matrix],
    fit: Table,
    calibrate: Table,
    quantity: str,
    prior: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Base, slopes and shifts of one quantity."""
    mean, upper = (np.log(amounts + FLOOR) for amounts in prior)
    coefficients, intercept = _regress(matrices[0], _log(fit, quantity) - mean[fit.arm])
    base, slopes, _ = design.unpack(coefficients, intercept)
    expected = mean[calibrate.arm] + matrices[1] @ coefficients + intercept
    residuals = _log(calibrate, quantity) - expected
    default = np.stack((np.zeros(len(mean)), upper - mean))
    return base + mean, slopes, _shifts(residuals, design, calibrate, LEVELS[quantity], default)


def _log(table: Table, quantity: str) -> FloatArray:
    amounts: FloatArray = getattr(table, quantity)
    return np.log(amounts + FLOOR)


def _regress(X: csr_matrix, target: FloatArray) -> tuple[FloatArray, float]:
    known = np.flatnonzero(~np.isnan(target))
    if not len(known):
        return np.zeros(X.shape[1]), 0.0
    model = Ridge(PENALTY, solver="sparse_cg", tol=1e-6).fit(X[known], target[known])
    return np.asarray(model.coef_, np.float64), float(model.intercept_)


def _shifts(
    residuals: FloatArray, design: Design, table: Table, level: float, default: FloatArray
) -> FloatArray:
    """From the expected logarithm to that of the mean and of the upper quantile, shape (2, arms), by
    family, shrunk to all residuals'."""
    known = ~np.isnan(residuals)
    if not known.any():
        return default
    of_arm = design.families.of_arm
    pooled = _shift(residuals[known], level)
    shifts = np.tile(pooled[:, None], len(of_arm))
    for family in np.unique(of_arm[table.arm[known]]):
        own = residuals[known & (of_arm[table.arm] == family)]
        share = len(own) / (len(own) + PRIOR_RESIDUALS)
        shifts[:, of_arm == family] = (share * _shift(own, level) + (1 - share) * pooled)[:, None]
    return np.stack((shifts[0], np.maximum(shifts[1], shifts[0])))


def _shift(residuals: FloatArray, level: float) -> FloatArray:
    return np.array([np.log(np.mean(np.exp(residuals))), np.quantile(residuals, level)])
