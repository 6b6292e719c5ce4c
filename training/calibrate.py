"""Calibration: Platt scaling on rounds that were not fitted, shrunk to what is known without them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from router.estimate import FloatArray
from router.learnt.platt import Platt
from training.families import Families
from training.table import Table

POOLED_DEVIATION = 0.5
"""Prior deviation of the pooled slope from 1 and shift from 0: worth some twenty rounds."""
FAMILY_DEVIATION = 0.3
"""Prior deviation of a family's slope and shift from the pooled ones: worth some fifty rounds."""
LEAST_SLOPE = 0.05


def fit_platt(logits: FloatArray, table: Table, families: Families) -> Platt:
    """For every arm of the menu, the slope and shift of its family, which are shrunk to those of all
    families together, and these to the identity; with no rounds it is the identity. Rounds that only teach do
    not count: they come from elsewhere, or from arms that nobody will be sent to."""
    pooled = _fit(logits, table.reward, table.judging, np.array([1.0, 0.0]), POOLED_DEVIATION)
    of_round = families.of_arm[table.arm]
    by_family = np.stack(
        [_fit_rows(logits, table, of_round == family, pooled) for family in range(len(families))]
    )
    slope, shift = by_family[families.of_arm].T
    return Platt(slope, shift)


def _fit_rows(logits: FloatArray, table: Table, rows: NDArray[np.bool_], pooled: FloatArray) -> FloatArray:
    return _fit(logits[rows], table.reward[rows], table.judging[rows], pooled, FAMILY_DEVIATION)


def _fit(
    logits: FloatArray, reward: FloatArray, weight: FloatArray, center: FloatArray, deviation: float
) -> FloatArray:
    """Slope and shift that minimise sum w (log(1 + e^v) - r v) + |x - center|^2 / (2 deviation^2) with
    v = slope * logit + shift."""

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        v = x[0] * logits + x[1]
        loss = float(weight @ (np.logaddexp(0.0, v) - reward * v))
        residual = weight * (1 / (1 + np.exp(-v)) - reward)
        pull = (x - center) / deviation**2
        gradient = np.array([residual @ logits, residual.sum()]) + pull
        return loss + float((x - center) @ pull) / 2, gradient

    bounds = [(LEAST_SLOPE, None), (None, None)]
    found = minimize(objective, center, jac=True, bounds=bounds, method="L-BFGS-B")
    return np.asarray(found.x, np.float64)
