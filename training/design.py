"""Design: the sparse matrix of a linear model over query x arm, and back from its coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from router.estimate import FloatArray
from router.learnt.scaling import Scaling
from training.families import Families
from training.table import Features, Table

IntArray = NDArray[np.int64]

MOST_BUCKETS = 30_000
"""Of the hashed buckets that at least two queries share, the most frequent are kept."""
MOST_COMPONENTS = 128
"""The hashed weights lie in the space of this many principal components of the queries: almost what
the l2 penalty would leave of them, at a fraction of the time. The components are multiplied out again,
so that serving sees plain weights."""

SCALES = {
    "shared_hashed": 1.5,
    "family_hashed": 1.5,
    "shared_dense": 0.15,
    "family_dense": 0.25,
    "family": 5.0,
    "slope": 2.0,
    "arm": 2.0,
}
"""Prior deviation of each block's coefficients relative to each other: columns are multiplied by it,
so that one l2 penalty fits all of them. Chosen by the log loss out of fold on logs of one arm a query,
from recorded mathematics, science and table questions as well as made-up ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Blocks of columns: hashed and dense features, shared and by family; an intercept for each
    family; its slope on log2(compute); and an intercept for each arm of a family that is not monotone,
    whose quality may rise and fall again."""

    families: Families
    scaling: Scaling
    kept: IntArray
    components: FloatArray
    """Shape (kept buckets, components)."""

    @classmethod
    def of(cls, table: Table, *, hashed: bool = True) -> Design:
        """The design for a table's queries and menu."""
        kept = _shared_buckets(table) if hashed else np.zeros(0, np.int64)
        seen = table.features.hashed[np.unique(table.query)][:, kept]
        return cls(Families.of(table.menu), table.scaling, kept, _components(seen))

    def matrix(self, table: Table) -> sparse.csr_matrix:
        """Shape (rounds, columns of all blocks)."""
        features, family = table.features, self.families.of_arm[table.arm]
        hashed = sparse.csr_matrix((features.hashed[:, self.kept] @ self.components)[table.query])
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
        hashed = part["shared_hashed"][:, None] + part["family_hashed"].reshape(count, -1).T
        return base, dense, self.components @ hashed

    def _parts(self, coefficients: FloatArray) -> dict[str, FloatArray]:
        offsets, sizes = self._offsets(), self._sizes()
        return {
            name: SCALES[name] * coefficients[offsets[name] : offsets[name] + sizes[name]] for name in SCALES
        }

    def _sizes(self) -> dict[str, int]:
        hashed, columns, families = self.components.shape[1], len(self.scaling.center), len(self.families)
        arms = len(self.families.of_arm)
        sizes = (hashed, hashed * families, columns, columns * families, families, families, arms)
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


def _components(hashed: sparse.csr_matrix) -> FloatArray:
    """Right singular vectors [randomised, Halko et al. 2011], shape (columns, components)."""
    count = min(MOST_COMPONENTS, *hashed.shape)
    if not count:
        return np.zeros((hashed.shape[1], 0))
    with threadpool_limits(1):  # on a busy machine, threads would mostly wait for each other
        _, _, vectors = randomized_svd(hashed, count, n_iter=3, random_state=0)
    return np.ascontiguousarray(vectors.T)


def _spread(block: sparse.csr_matrix, group: IntArray, groups: int) -> sparse.csr_matrix:
    """The block's columns once for each group, a row's values in the columns of its group."""
    width = block.shape[1]
    per_row = np.diff(block.indptr)
    indices = block.indices + np.repeat(group, per_row) * width
    return sparse.csr_matrix((block.data, indices, block.indptr), shape=(block.shape[0], width * groups))
