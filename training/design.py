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
LEAST_COMPONENTS, MOST_COMPONENTS = 512, 1_024
"""The hashed weights lie in the space of so many principal components of the queries, if there are as many:
what the l2 penalty would leave of the others is little, and the time is a fraction. What is learnt on them is
multiplied out, so that serving sees plain weights."""
MOST_INPUTS = 25_000_000
"""Queries times components: of many queries, rare words say less that others do not, and memory is short."""
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
    """

    families: Families
    scaling: Scaling
    kept: IntArray
    weight: SingleArray
    components: Components

    @classmethod
    def of(cls, table: Table) -> Design:
        """The design for a table's queries and menu; rewards are not looked at."""
        queries = np.unique(table.query)
        counts = _counts(table.features.hashed, queries)
        frequent = np.argsort(-counts, kind="stable")[:MOST_BUCKETS]
        kept = np.sort(frequent[counts[frequent] >= 2])
        weight = (np.log((1 + len(queries)) / (1 + counts[kept])) + 1).astype(np.float32)
        count = int(np.clip(MOST_INPUTS // len(queries), LEAST_COMPONENTS, MOST_COMPONENTS))
        components = Components.of(_weighted(table.features.hashed[_some(queries)], kept, weight), count)
        return cls(Families.of(table.menu), table.scaling, kept, weight, components)

    def inputs(self, features: Features, rows: IntArray) -> SingleArray:
        """Of some of the queries, shape (rows, components + dense columns)."""
        width = len(self.components)
        inputs = np.empty((len(rows), width + features.dense.shape[1]), np.float32)
        for some in _blocks(len(rows)):
            hashed = _weighted(features.hashed[rows[some]], self.kept, self.weight)
            inputs[some, :width] = self.components(hashed)
            inputs[some, width:] = DENSE_SCALE * self.scaling(features.dense[rows[some]])
        return inputs

    def seen(self, table: Table) -> Seen:
        """The inputs of a table's queries."""
        queries, place = np.unique(table.query, return_inverse=True)
        return Seen(self, self.inputs(table.features, queries), place)

    def dense_weights(self, weights: FloatArray) -> FloatArray:
        """Of the scaled dense features, shape (columns, outputs), from weights on the inputs."""
        return DENSE_SCALE * weights[len(self.components) :]

    def projection(self, weights: FloatArray, leading: int, buckets: int) -> Projection:
        """The hashed features' part of weights on the inputs, shape (inputs, outputs), and after the
        outputs the leading components."""
        count = len(self.components)
        first = np.eye(count, min(leading, count))
        table = self.components.columns(np.concatenate((weights[:count], first), axis=1))
        slot = np.zeros(buckets, np.int32)
        slot[self.kept] = np.arange(1, len(self.kept) + 1)
        return Projection(slot, _after_zero(self.weight), _after_zero(table))


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Principal components of sparse rows: the columns of image @ turn, orthonormal, the leading ones first.

    image, shape (columns, sketch); turn, shape (sketch, components). They are not multiplied with each other:
    there are mostly far more columns than rows.
    """

    image: SingleArray
    turn: SingleArray

    def __len__(self) -> int:
        return int(self.turn.shape[1])

    @classmethod
    def of(cls, rows: sparse.csr_matrix, most: int) -> Components:
        """The leading right singular vectors, by one power iteration of a random sketch [Halko et al. 2011,
        section 4.5]."""
        rng = np.random.default_rng(0)
        count = min(most, *rows.shape)
        if not count:
            return cls(np.zeros((rows.shape[1], 0), np.float32), np.zeros((0, 0), np.float32))
        sketch = rng.standard_normal((rows.shape[0], min(count + OVERSAMPLED, rows.shape[0])), np.float32)
        with threadpool_limits(1):  # on a busy machine, threads would mostly wait for each other
            span, _ = np.linalg.qr(rows @ (rows.T @ sketch))
            image = rows.T @ span
            squares, turn = np.linalg.eigh(span.T @ (rows @ image))
        leading = slice(None, -count - 1, -1)
        turn = turn[:, leading] / np.sqrt(np.maximum(squares[leading], LEAST_SQUARE))
        return cls(image, turn.astype(np.float32))

    def __call__(self, rows: sparse.csr_matrix) -> SingleArray:
        """Sparse rows' coordinates, shape (rows, components)."""
        with threadpool_limits(1):
            found: SingleArray = (rows @ self.image) @ self.turn
        return found

    def columns(self, weights: FloatArray) -> FloatArray:
        """From weights on the components, shape (components, outputs), to the columns', shape (columns,
        outputs)."""
        found: FloatArray = self.image @ (self.turn @ weights)
        return found


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
