"""Linear: one linear model over query x arm, for the logit of success."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from router.estimate import FloatArray
from router.features import FeatureRow
from router.learnt import Part


@dataclass(frozen=True, slots=True, eq=False)
class Linear(Part):
    """logit_a(x) = base_a + z . dense[:, f(a)] + h . hashed[:, f(a)], for arm a of family f(a).

    base, shape (arms,): the family's intercept plus its slope times log2(compute); slopes of monotone
    families are >= 0, and nothing else differs within such a family. family, shape (arms,).
    dense, shape (columns, families). hashed, shape (1 + kept buckets, families): what all families
    share and what is their own, added up; row 0 is zero. slot, shape (buckets,): a bucket's row.
    """

    per_arm: ClassVar[frozenset[str]] = frozenset({"base", "family"})

    base: FloatArray
    family: NDArray[np.int64]
    dense: FloatArray
    hashed: NDArray[np.float32]
    slot: NDArray[np.int32]

    def logits(self, z: FloatArray, row: FeatureRow) -> FloatArray:
        """Shape (arms,), for scaled dense features of shape (columns,)."""
        hashed = row.values.astype(np.float32) @ self.hashed[self.slot[row.indices]]
        by_family: FloatArray = z @ self.dense + hashed
        return self.base + by_family[self.family]
