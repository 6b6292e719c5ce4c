"""Design: what a linear model looks at of each query, and back from its weights to what serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from router.estimate import FloatArray
from router.learnt.projection import Projection
from router.learnt.scaling import Scaling
from training.families import Families
from training.table import Features, Table

IntArray = NDArray[np.int64]
SingleArray = NDArray[np.float32]

MOST_BUCKETS = 40_000
"""Of the hashed buckets that at least two queries share, the most frequent are kept."""
MOST_COMPONENTS = 512
"""The hashed weights lie in the space of this many principal components of the queries: what the l2
penalty would leave of the others is little, and the time is a fraction. The components are multiplied
out again, so that serving sees plain weights."""
MOST_QUERIES = 20_000
"""The components are those of no more queries than this."""
BLOCK = 10_000
OVERSAMPLED = 10
LEAST_SQUARE = 1e-4
"""Of a singular value: those below are nothing but rounding."""
DENSE_SCALE = 0.1
"""Prior deviation of a dense feature's weight relative to a component's."""


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Inputs of a query: its hashed features, weighted by how rare they are, brought to norm one and
    projected on the components; and its scaled dense features.

    kept, shape (kept,): the buckets. weight, shape (kept,): their inverse document frequency.
    components, shape (kept, components), orthonormal columns.
    """

    families: Families
    scaling: Scaling
    kept: IntArray
    weight: SingleArray
    components: SingleArray

    @classmethod
    def of(cls, table: Table) -> Design:
        """The design for a table's queries and menu; rewards are not looked at."""
        queries = np.unique(table.query)
        counts = _counts(table.features.hashed, queries)
        frequent = np.argsort(-counts, kind="stable")[:MOST_BUCKETS]
        kept = np.sort(frequent[counts[frequent] >= 2])
        weight = (np.log((1 + len(queries)) / (1 + counts[kept])) + 1).astype(np.float32)
        components = _components(_weighted(table.features.hashed[_some(queries)], kept, weight))
        return cls(Families.of(table.menu), table.scaling, kept, weight, components)

    def inputs(self, features: Features, rows: IntArray) -> SingleArray:
        """Of some of the queries, shape (rows, components + dense columns)."""
        width = self.components.shape[1]
        inputs = np.empty((len(rows), width + features.dense.shape[1]), np.float32)
        for some in _blocks(len(rows)):
            hashed = _weighted(features.hashed[rows[some]], self.kept, self.weight)
            inputs[some, :width] = hashed @ self.components
            inputs[some, width:] = DENSE_SCALE * self.scaling(features.dense[rows[some]])
        return inputs

    def seen(self, table: Table) -> Seen:
        """The inputs of a table's queries."""
        queries, place = np.unique(table.query, return_inverse=True)
        return Seen(self, self.inputs(table.features, queries), place)

    def dense_weights(self, weights: FloatArray) -> FloatArray:
        """Of the scaled dense features, shape (columns, outputs), from weights on the inputs."""
        return DENSE_SCALE * weights[self.components.shape[1] :]

    def projection(self, weights: FloatArray, leading: int, buckets: int) -> Projection:
        """The hashed features' part of weights on the inputs, shape (inputs, outputs), and after the
        outputs the leading components."""
        table = np.concatenate(
            (self.components @ weights[: self.components.shape[1]], self.components[:, :leading]), axis=1
        )
        slot = np.zeros(buckets, np.int32)
        slot[self.kept] = np.arange(1, len(self.kept) + 1)
        return Projection(slot, _after_zero(self.weight), _after_zero(table))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A design's inputs of the queries of some rounds, shape (queries, inputs). place, shape (rounds,):
    where each round's query stands."""

    design: Design
    inputs: SingleArray
    place: IntArray

    def take(self, rounds: IntArray) -> Seen:
        """Of some of the rounds."""
        return Seen(self.design, self.inputs, self.place[rounds])


def _blocks(count: int) -> Iterator[slice]:
    """Places of a part of the rows after another: sparse rows are copied on the way, and all at once would
    take much memory."""
    return (slice(start, start + BLOCK) for start in range(0, count, BLOCK))


def _counts(hashed: sparse.csr_matrix, rows: IntArray) -> IntArray:
    """In how many of the rows each bucket is."""
    counts = np.zeros(hashed.shape[1], np.int64)
    for some in _blocks(len(rows)):
        counts += np.bincount(hashed[rows[some]].indices, minlength=len(counts))
    return counts


def _some(queries: IntArray) -> IntArray:
    if len(queries) <= MOST_QUERIES:
        return queries
    return np.sort(np.random.default_rng(0).choice(queries, MOST_QUERIES, replace=False))


def _after_zero(rows: NDArray[Any]) -> SingleArray:
    """With a row of zeros before them: that of the buckets that were not kept."""
    return np.concatenate((np.zeros_like(rows[:1], shape=(1, *rows.shape[1:])), rows), dtype=np.float32)


def _weighted(hashed: sparse.csr_matrix, kept: IntArray, weight: SingleArray) -> sparse.csr_matrix:
    weighted = hashed[:, kept].astype(np.float32)
    weighted.data *= weight[weighted.indices]
    norm = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    weighted.data /= np.repeat(np.where(norm > 0, norm, 1.0), np.diff(weighted.indptr)).astype(np.float32)
    return weighted


def _components(hashed: sparse.csr_matrix) -> SingleArray:
    """The leading right singular vectors, shape (columns, components), by one power iteration of a random
    sketch [Halko et al. 2011, section 4.5]."""
    rng = np.random.default_rng(0)
    count = min(MOST_COMPONENTS, *hashed.shape)
    if not count:
        return np.zeros((hashed.shape[1], 0), np.float32)
    sketch = rng.standard_normal((hashed.shape[0], min(count + OVERSAMPLED, hashed.shape[0])), np.float32)
    with threadpool_limits(1):  # on a busy machine, threads would mostly wait for each other
        span, _ = np.linalg.qr(hashed @ (hashed.T @ sketch))
        image = hashed.T @ span
        squares, turn = np.linalg.eigh(image.T @ image)
        leading = slice(None, -count - 1, -1)
        vectors = (image @ turn[:, leading]) / np.sqrt(np.maximum(squares[leading], LEAST_SQUARE))
    return np.ascontiguousarray(vectors, np.float32)
