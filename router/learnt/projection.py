"""Projection: a question's hashed features, weighted by how rare they are, times a table of weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.features import FeatureRow
from router.learnt import Part


@dataclass(frozen=True, slots=True, eq=False)
class Projection(Part):
    """y(x) = sum_b w_b h_b(x) table_b / |w h(x)|, over the kept buckets b.

    slot, shape (buckets,): a bucket's row, 0 where it is not kept. weight, shape (1 + kept,): its inverse
    document frequency log((1 + n) / (1 + n_b)) + 1 [Sparck Jones 1972, smoothed], which lets the words
    that all questions of a template share count little. table, shape (1 + kept, outputs): what every
    linear part of the predictor has learnt of it, side by side, so that a query's rows are read once.
    Row 0 of both is zero.
    """

    slot: NDArray[np.int32]
    weight: NDArray[np.float32]
    table: NDArray[np.float32]

    def __call__(self, row: FeatureRow) -> NDArray[np.float32]:
        """Shape (outputs,)."""
        slots = self.slot[row.indices]
        weighted = self.weight[slots]
        weighted *= row.values
        norm = float(weighted @ weighted)
        if norm > 0:
            weighted *= norm**-0.5
        projected: NDArray[np.float32] = weighted @ self.table[slots]
        return projected
