"""Spending: what each arm costs and how long it takes, predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from router.estimate import FloatArray
from router.learnt import Part

FLOOR = 1e-9
"""One nano-dollar, one nanosecond: added before the logarithm, so that a free arm has one."""


@dataclass(frozen=True, slots=True, eq=False)
class Spending(Part):
    """A log-linear model of cost (row 0) and latency (row 1).

    mu_a(x) = base_a + z . slopes[:, :, f(a)], the expected logarithm. base, shape (2, arms), holds
    the family's slope on log2(compute). slopes, shape (columns, 2, families). shift, shape (4, arms):
    from mu to the logarithm of cost's mean and 0.9 quantile and latency's mean and 0.95 quantile, by
    the residuals' own exponentials and quantiles [smearing, Duan 1983], which for normal residuals of
    variance s^2 is exp(mu + s^2 / 2).
    """

    per_arm: ClassVar[frozenset[str]] = frozenset({"base", "family", "shift"})

    base: FloatArray
    family: NDArray[np.int64]
    slopes: FloatArray
    shift: FloatArray

    def predict(self, z: FloatArray) -> FloatArray:
        """Shape (4, arms): cost's mean and 0.9 quantile in USD, latency's mean and 0.95 quantile in
        seconds, for scaled dense features of shape (columns,)."""
        by_family = (z @ self.slopes.reshape(len(z), -1)).reshape(2, -1)
        mu = self.base + by_family[:, self.family]
        spent: FloatArray = np.maximum(np.exp(mu[_ROWS] + self.shift) - FLOOR, 0.0)
        return spent


_ROWS = np.array([0, 0, 1, 1])
