"""Spending: what each arm costs and how long it takes, predicted."""

from __future__ import annotations

from dataclasses import dataclass, field
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

    mu_a(x) = base_a + z . slopes[:, :, f(a)] + y_f(a)(x), the logarithm of the expected amount; y, from the
    hashed features. base, shape (2, arms), holds the family's slope on log2(compute). slopes, shape
    (columns, 2, families). shift, shape (4, arms): from mu to the logarithm of cost's mean and 0.9
    quantile and latency's mean and 0.95 quantile, by what came of rounds that were not fitted
    [smearing, Duan 1983].
    """

    per_arm: ClassVar[frozenset[str]] = frozenset({"base", "family", "shift"})

    base: FloatArray
    family: NDArray[np.int64]
    slopes: FloatArray
    shift: FloatArray
    _column: NDArray[np.int64] = field(init=False, repr=False)
    _offset: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        families = self.slopes.shape[2]
        by_amount = np.stack((self.family, families + self.family))
        object.__setattr__(self, "_column", by_amount[_ROWS])
        object.__setattr__(self, "_offset", self.base[_ROWS] + self.shift)

    def predict(self, z: FloatArray, projected: NDArray[np.float32]) -> FloatArray:
        """Shape (4, ..., arms): cost's mean and 0.9 quantile in USD, latency's mean and 0.95 quantile in
        seconds, for scaled dense features of shape (..., columns) and what the projection has for cost
        and then for latency."""
        by_family = z @ self.slopes.reshape(len(self.slopes), -1) + projected
        logarithm = by_family[..., self._column] + self._offset
        spent: FloatArray = np.maximum(np.exp(logarithm) - FLOOR, 0.0)
        return spent.swapaxes(0, -2)


_ROWS = np.array([0, 0, 1, 1])
