"""Table: rounds as arrays, the features computed once for each distinct query."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from router.estimate import FloatArray
from router.features import Extractor, FeatureRow
from router.learnt.scaling import Scaling
from router.menu import Menu
from router.query import Query
from training.rounds import Round

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Of the distinct queries: dense, shape (queries, columns); hashed, a sparse matrix of shape
    (queries, buckets)."""

    dense: FloatArray
    hashed: sparse.csr_matrix

    def row(self, i: int) -> FeatureRow:
        """One query's features, as the extractor gave them."""
        start, end = self.hashed.indptr[i : i + 2]
        return FeatureRow(self.dense[i], self.hashed.indices[start:end], self.hashed.data[start:end])

    def take(self, rows: IntArray) -> Features:
        """Those of some of the queries."""
        return Features(self.dense[rows], self.hashed[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rounds as arrays of shape (rounds,): query is a row of ``features``, arm a position of ``menu``,
    group the near-duplicates' number; weight counts in fitting; cost_usd and latency_s are nan where
    unknown. judged_arms: how many of the menu's first arms count where a setting is chosen: the others only
    teach."""

    menu: Menu
    features: Features
    query: IntArray
    arm: IntArray
    reward: FloatArray
    cost_usd: FloatArray
    latency_s: FloatArray
    weight: FloatArray
    group: IntArray
    judged_arms: int

    def __len__(self) -> int:
        return len(self.query)

    def take(self, rows: IntArray) -> Table:
        """The table of some of its rounds."""
        return replace(
            self,
            query=self.query[rows],
            arm=self.arm[rows],
            reward=self.reward[rows],
            cost_usd=self.cost_usd[rows],
            latency_s=self.latency_s[rows],
            weight=self.weight[rows],
            group=self.group[rows],
        )

    def judged_on(self, arms: int) -> Table:
        """The same rounds, of which those of the first ``arms`` arms are to be predicted well, and those of
        the others only teach: of each question, they count together no more than the former, or than one."""
        other = self.arm >= arms
        if not other.any():
            return self
        own, others = (
            np.bincount(self.query[some], self.weight[some], len(self.features.dense))[self.query]
            for some in (~other, other)
        )
        share = np.minimum(np.maximum(own, 1.0) / np.maximum(others, 1e-9), 1.0)
        return replace(self, weight=np.where(other, share * self.weight, self.weight), judged_arms=arms)

    @property
    def judging(self) -> FloatArray:
        """What a round counts where a setting is chosen, shape (rounds,)."""
        return np.where(self.arm < self.judged_arms, self.weight, 0.0)

    @property
    def scaling(self) -> Scaling:
        """The mean and deviation of each dense column over these rounds; a constant column keeps its
        scale of one."""
        seen = self.features.dense[self.query]
        deviation = seen.std(axis=0)
        return Scaling(seen.mean(axis=0), np.where(deviation > 1e-9, deviation, 1.0))


def tabulate(
    rounds: Sequence[Round],
    groups: IntArray,
    extractor: Extractor,
    menu: Menu,
    clip: float | None = None,
) -> Table:
    """The rounds' table; every arm must be on the menu.

    clip: with it, a round weighs 1 / propensity, at most ``clip``, over the mean weight. The default
    weighs all alike: the reward depends on query and arm alone, so a model of it needs no correction
    for how the arm was drawn, and weights would only enlarge its variance.
    """
    known = {id(r.query): r.query for r in rounds}  # rounds of one question often share its query
    key_of = {name: _key(query) for name, query in known.items()}
    keys = [key_of[id(r.query)] for r in rounds]
    where = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    queries: dict[str, Query] = {}
    for key, r in zip(keys, rounds, strict=True):
        queries.setdefault(key, r.query)
    return Table(
        menu,
        features_of([queries[key] for key in where], extractor),
        np.array([where[key] for key in keys], np.int64),
        np.array([menu.position[r.arm] for r in rounds], np.int64),
        np.array([r.reward for r in rounds], np.float64),
        np.array([np.nan if r.cost_usd is None else r.cost_usd for r in rounds], np.float64),
        np.array([np.nan if r.latency_s is None else r.latency_s for r in rounds], np.float64),
        _weights(rounds, clip),
        groups,
        len(menu),
    )


def _key(query: Query) -> str:
    """All of a query that features may look at."""
    seen = [list(query.messages), query.max_completion_tokens, dict(query.parameters)]
    return json.dumps(seen, sort_keys=True, default=str)


def features_of(queries: Sequence[Query], extractor: Extractor) -> Features:
    """Of each query, in their order; the hashed ones in single precision, since they are most of what a
    large table holds."""
    dense, indices, values = [], [], []
    for query in queries:
        row = extractor(query)
        dense.append(row.dense)
        indices.append(row.indices.astype(np.int32))
        values.append(row.values.astype(np.float32))
    ends = np.cumsum([0, *map(len, indices)])
    parts = np.concatenate(values), np.concatenate(indices), ends
    return Features(np.stack(dense), sparse.csr_matrix(parts, shape=(len(dense), extractor.buckets)))


def _weights(rounds: Sequence[Round], clip: float | None) -> FloatArray:
    """Rounds that repeat a question on an arm share the weight of one: they tell no more of another
    question, and a fit that took them for independent would trust itself too much."""
    repeats = Counter((r.question_key, r.arm) for r in rounds)
    weights = np.array([1.0 / repeats[r.question_key, r.arm] for r in rounds])
    if clip is None:
        return weights
    drawn = np.array([min(1 / r.propensity, clip) if r.propensity else 1.0 for r in rounds])
    return np.asarray(weights * drawn / drawn.mean())
