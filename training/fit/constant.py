"""Fit of the constant predictor: each arm's averages, shrunk to its family's and to the prior."""

from __future__ import annotations

import numpy as np

from router.estimate import Estimate, FloatArray
from router.predictors.constant import Constant
from training.table import Table

PRIOR_ROUNDS = 4.0
"""How many rounds the prior's word is worth, where an arm has few."""


def fit_constant(table: Table) -> Constant:
    """An arm's quality is its mean reward with four rounds of the prior's added, moved to what the judged
    arms' rounds have on average; without any round of its own it keeps just that. Cost and latency: means
    and quantiles of the arm's own rounds, or the prior's where it has none."""
    menu = table.menu
    prior = Constant.prior(menu).constants
    counts = np.bincount(table.arm, table.weight, len(menu))
    sums = np.bincount(table.arm, table.weight * table.reward, len(menu))
    believed = _moved(prior.quality, table)
    quality = (sums + PRIOR_ROUNDS * believed) / (counts + PRIOR_ROUNDS)
    deviation = np.sqrt(quality * (1 - quality) / (counts + PRIOR_ROUNDS))
    cost, cost_q90 = _observed(table, table.cost_usd, prior.cost_usd, prior.cost_usd_q90, 0.9)
    latency, latency_q95 = _observed(table, table.latency_s, prior.latency_s, prior.latency_s_q95, 0.95)
    constants = Estimate(quality, deviation, cost, cost_q90, latency, latency_q95)
    return Constant(tuple(menu.ids), constants)


def _moved(quality: FloatArray, table: Table) -> FloatArray:
    """The prior, with its logit shifted so that its mean over the judged arms' rounds is near theirs."""
    own = table.arm < table.judged_arms
    if not own.any():
        return quality
    seen = float(np.clip(table.reward[own].mean(), 0.02, 0.98))
    believed = float(quality[table.arm[own]].mean())
    shift = np.log(seen / (1 - seen)) - np.log(believed / (1 - believed))
    moved: FloatArray = 1 / (1 + np.exp(-(np.log(quality / (1 - quality)) + shift)))
    return moved


def _observed(
    table: Table, spent: FloatArray, mean: FloatArray, upper: FloatArray, level: float
) -> tuple[FloatArray, FloatArray]:
    mean, upper = mean.copy(), upper.copy()
    for arm in np.unique(table.arm):
        known = spent[(table.arm == arm) & ~np.isnan(spent)]
        if len(known):
            mean[arm] = known.mean()
            upper[arm] = max(float(np.quantile(known, level)), mean[arm])
    return mean, upper
