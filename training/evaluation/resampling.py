"""Resampling: paired bootstrap intervals over questions, or over what else belongs together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from router.estimate import FloatArray
from training.evaluation.grid import IntArray

RESAMPLES = 2000
LEVELS = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """The same resamples for every quantity, so that differences are paired.

    member, shape (queries,): the number of each query's question. counts, shape (resamples, questions):
    how often each question was drawn.
    """

    member: IntArray
    counts: FloatArray

    @classmethod
    def of(cls, group: IntArray, seed: int, resamples: int = RESAMPLES) -> Resamples:
        """For queries of these groups, whole groups drawn with replacement."""
        _, member = np.unique(group, return_inverse=True)
        count = int(member.max()) + 1
        drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
        return cls(member.astype(np.int64), drawn.astype(np.float64))

    def totals(self, values: FloatArray, member: IntArray | None = None) -> FloatArray:
        """Each resample's sums of values of shape (queries,) or (queries, k): shape (resamples,) or
        (resamples, k). member: of the values' rows, where they are not the queries themselves."""
        where = self.member if member is None else member
        ones, columns = np.ones(len(where)), np.arange(len(where))
        by_question = sparse.csr_matrix((ones, (where, columns)), (self.counts.shape[1], len(where)))
        totals: FloatArray = self.counts @ (by_question @ values)
        return totals

    def means(self, values: FloatArray) -> FloatArray:
        """Each resample's means; see ``totals``."""
        sizes = self.counts @ np.bincount(self.member, minlength=self.counts.shape[1])
        totals = self.totals(values)
        return totals / (sizes if values.ndim == 1 else sizes[:, None])

    def interval(self, values: FloatArray) -> Interval:
        """Of the mean of values of shape (queries,)."""
        return interval(float(values.mean()), self.means(values))

    def intervals(self, values: FloatArray) -> list[Interval]:
        """Of the means of values of shape (queries, k)."""
        means, (low, high) = values.mean(axis=0), np.quantile(self.means(values), LEVELS, axis=0)
        return [Interval(*map(float, each)) for each in zip(means, low, high, strict=True)]


def interval(estimate: float, resampled: FloatArray) -> Interval:
    """An estimate with the percentiles of its resamples."""
    low, high = np.quantile(resampled, LEVELS)
    return Interval(float(estimate), float(low), float(high))
