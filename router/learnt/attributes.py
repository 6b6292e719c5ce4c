"""Attributes: what the trees see of an arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from router.estimate import FloatArray
from router.learnt import Part

COLUMNS = ("family", "model", "monotone_compute", "free_compute")
CONSTRAINTS = (0, 0, 1, 0)
"""LightGBM's monotone constraint of each column."""


@dataclass(frozen=True, slots=True, eq=False)
class Attributes(Part):
    """of_arm, shape (4, arms): the codes of family and models, and log2(compute) in the monotone or in
    the free column, by what the family's strategy declares; the other one is 0."""

    per_arm: ClassVar[frozenset[str]] = frozenset({"of_arm"})

    of_arm: FloatArray

    @property
    def arms(self) -> int:
        """Number of arms."""
        return len(self.of_arm.T)

    def rows(
        self, x: FloatArray, own: FloatArray, arm: slice | NDArray[np.int64] = slice(None)
    ) -> FloatArray:
        """The trees' matrix, one row per arm (or per given position of an arm), shape (rows, columns + 5):
        what is known of the query, of shape (rows, columns), or (columns,) for all rows; the arm's own
        score, of shape (rows,); and its attributes."""
        of_arm = self.of_arm.T[arm]
        width = x.shape[-1]
        rows = np.empty((len(of_arm), width + 1 + len(COLUMNS)))
        rows[:, :width] = x
        rows[:, width] = own
        rows[:, width + 1 :] = of_arm
        return rows
