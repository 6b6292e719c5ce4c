"""Linear: one linear model over query x arm, for the logit of success."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from router.estimate import FloatArray
from router.learnt import Part


@dataclass(frozen=True, slots=True, eq=False)
class Linear(Part):
    """logit_a(x) = base_a + s_f(a)(x), with s(x) = z . dense + y(x) the families' scores.

    base, shape (arms,): the family's intercept plus its slope times log2(compute); slopes of monotone
    families are >= 0, and nothing else differs within such a family. family, shape (arms,).
    dense, shape (columns, families): what all families share and what is their own, added up; y, from the
    hashed features, likewise.
    """

    per_arm: ClassVar[frozenset[str]] = frozenset({"base", "family"})

    base: FloatArray
    family: NDArray[np.int64]
    dense: FloatArray

    @property
    def families(self) -> int:
        """Number of families."""
        return len(self.dense.T)

    def scores(self, z: FloatArray, projected: NDArray[np.float32]) -> FloatArray:
        """Shape (..., families), for scaled dense features of shape (..., columns) and what the
        projection has for quality."""
        scores: FloatArray = z @ self.dense + projected
        return scores

    def logits(self, scores: FloatArray) -> FloatArray:
        """Shape (..., arms)."""
        return self.base + scores[..., self.family]
