"""Design: the sparse matrix of a linear model over query x arm, and back from its coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from router.estimate import FloatArray
from router.learnt.scaling import Scaling
from training.families import Families
from training.table import Features, Table

IntArray = NDArray[np.int64]

MOST_BUCKETS = 30_000
"""Of the hashed buckets that at least two queries share, the most frequent are kept."""

SCALES = {
    "shared_hashed": 1.0,
    "family_hashed": 0.7,
    "shared_dense": 0.3,
    "family_dense": 0.2,
    "family": 1.0,
    "slope": 0.5,
    "arm": 0.5,
}
"""Prior deviation of each block's coefficients relative to each other: columns are multiplied by it,
so that one l2 penalty shrinks what is a family's own more than what all share."""


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Blocks of columns: hashed and dense features, shared and by family; an intercept for each
    family; its slope on log2(compute); and an intercept for each arm of a family that is not monotone,
    whose quality may rise and fall again."""

    families: Families
    scaling: Scaling
    kept: IntArray

    @classmethod
    def of(cls, table: Table, *, hashed: bool = True) -> Design:
        """The design for a table's queries and menu."""
        kept = _shared_buckets(table) if hashed else np.zeros(0, np.int64)
        return cls(Families.of(table.menu), table.scaling, kept)

    def matrix(self, table: Table) -> sparse.csr_matrix:
        """Shape (rounds, columns of all blocks)."""
        features, family = table.features, self.families.of_arm[table.arm]
        hashed = features.hashed[:, self.kept].tocsr()[table.query]
        dense = sparse.csr_matrix(self.scaling(features.dense)[table.query])
        slope = sparse.csr_matrix(self.families.log_compute[table.arm][:, None])
        ones = sparse.csr_matrix(np.ones((len(table), 1)))
        arms = sparse.csr_matrix((~self.families.monotone[table.arm]).astype(np.float64)[:, None])
        count = len(self.families)
        blocks = {
            "shared_hashed": hashed,
            "family_hashed": _spread(hashed, family, count),
            "shared_dense": dense,
            "family_dense": _spread(dense, family, count),
            "family": _spread(ones, family, count),
            "slope": _spread(slope, family, count),
            "arm": _spread(arms, table.arm, len(table.menu)),
        }
        return sparse.hstack([SCALES[name] * block for name, block in blocks.items()], "csr")

    @property
    def forbidden_below_zero(self) -> IntArray:
        """The columns whose coefficients must not be negative: slopes of monotone families."""
        families = np.unique(self.families.of_arm[self.families.monotone])
        return families + self._offsets()["slope"]

    def unpack(self, coefficients: FloatArray, intercept: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Each arm's constant part, shape (arms,); dense weights, shape (columns, families); hashed
        weights, shape (kept buckets, families)."""
        part = self._parts(coefficients)
        of_arm, count = self.families.of_arm, len(self.families)
        base = intercept + part["family"][of_arm] + part["slope"][of_arm] * self.families.log_compute
        base = base + np.where(self.families.monotone, 0.0, part["arm"])
        dense = part["shared_dense"][:, None] + part["family_dense"].reshape(count, -1).T
        hashed = part["shared_hashed"][:, None] + part["family_hashed"].reshape(count, len(self.kept)).T
        return base, dense, hashed

    def _parts(self, coefficients: FloatArray) -> dict[str, FloatArray]:
        offsets, sizes = self._offsets(), self._sizes()
        return {
            name: SCALES[name] * coefficients[offsets[name] : offsets[name] + sizes[name]] for name in SCALES
        }

    def _sizes(self) -> dict[str, int]:
        kept, columns, families = len(self.kept), len(self.scaling.center), len(self.families)
        arms = len(self.families.of_arm)
        sizes = (kept, kept * families, columns, columns * families, families, families, arms)
        return dict(zip(SCALES, sizes, strict=True))

    def _offsets(self) -> dict[str, int]:
        sizes = self._sizes()
        starts = np.cumsum([0, *sizes.values()])
        return {name: int(start) for name, start in zip(sizes, starts, strict=False)}


def _shared_buckets(table: Table) -> IntArray:
    seen: Features = table.features
    counts = np.bincount(seen.hashed[np.unique(table.query)].indices, minlength=seen.hashed.shape[1])
    frequent = np.argsort(-counts, kind="stable")[:MOST_BUCKETS]
    return np.sort(frequent[counts[frequent] >= 2])


def _spread(block: sparse.csr_matrix, group: IntArray, groups: int) -> sparse.csr_matrix:
    """The block's columns once for each group, a row's values in the columns of its group."""
    width = block.shape[1]
    per_row = np.diff(block.indptr)
    indices = block.indices + np.repeat(group, per_row) * width
    return sparse.csr_matrix((block.data, indices, block.indptr), shape=(block.shape[0], width * groups))
