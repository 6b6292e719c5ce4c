"""Features of a query: what can be known before any token is spent. ``FEATURES`` finds the modules.

Each feature gives dense columns, hashed (sparse) ones, or both. All of a set together cost well
under a millisecond and touch no network. To add one: a module with a class whose ``name`` is the
module's; list it in the configuration's ``features``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.estimate import FloatArray
from router.query import Query
from router.registry import Registry

IntArray: TypeAlias = NDArray[np.int64]
Sparse: TypeAlias = tuple[IntArray, FloatArray]


class Feature(Protocol):
    """One group of columns."""

    name: ClassVar[str]
    summary: ClassVar[str]
    columns: Sequence[str]
    """Names of the dense columns; may be empty."""
    buckets: int
    """Size of the hashed space; 0 where there is none."""

    def dense(self, query: Query) -> Sequence[float]:
        """The dense values, shape (len(columns),)."""
        ...

    def sparse(self, query: Query) -> Sparse:
        """Bucket numbers in [0, buckets), each once, and their values; empty where ``buckets`` is 0."""
        ...


FEATURES: Registry[Feature] = Registry("feature", "router.features")

DEFAULT_FEATURES = ("length", "structure", "numbers", "ngrams")

EXCERPT_CHARACTERS = 2000
"""How much of either end of a long text is read closely: it bounds the time that any query takes."""


def excerpt(text: str) -> str:
    """The text, or the two ends of a long one, joined by a line break.

    >>> len(excerpt("a" * 10_000))
    4001
    """
    if len(text) <= 2 * EXCERPT_CHARACTERS:
        return text
    return f"{text[:EXCERPT_CHARACTERS]}\n{text[-EXCERPT_CHARACTERS:]}"


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRow:
    """A query's features: dense, shape (columns,); indices and values of the hashed ones, shape (nnz,)."""

    dense: FloatArray
    indices: IntArray
    values: FloatArray


@dataclass(frozen=True)
class Extractor:
    """A fixed set of features, in order. ``hash`` names the set: a predictor serves only its own."""

    features: tuple[Feature, ...]
    columns: tuple[str, ...] = field(init=False)
    buckets: int = field(init=False)
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        columns = tuple(column for feature in self.features for column in feature.columns)
        buckets = sum(feature.buckets for feature in self.features)
        described = repr([(each.name, list(each.columns), each.buckets) for each in self.features])
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "buckets", buckets)
        object.__setattr__(self, "hash", hashlib.sha256(described.encode()).hexdigest()[:16])

    @classmethod
    def of(
        cls, names: Sequence[str] = DEFAULT_FEATURES, options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Extractor:
        """The extractor of the named features; unknown names raise ``ConfigurationError``.

        options: keyword arguments by feature name, e.g. ``{"embedding": {"path": "encoders/small"}}``.
        """
        given = options or {}
        return cls(tuple(FEATURES[name](**given.get(name, {})) for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(feature.name for feature in self.features)

    def __call__(self, query: Query) -> FeatureRow:
        """The query's features."""
        dense: list[float] = []
        indices, values, offset = [], [], 0
        for feature in self.features:
            dense.extend(feature.dense(query))
            if feature.buckets:
                buckets, weights = feature.sparse(query)
                indices.append(buckets + offset if offset else buckets)
                values.append(weights)
                offset += feature.buckets
        if len(indices) == 1:
            return FeatureRow(np.array(dense), indices[0], values[0])
        if not indices:
            return FeatureRow(np.array(dense), np.zeros(0, np.int64), np.zeros(0))
        return FeatureRow(np.array(dense), np.concatenate(indices), np.concatenate(values))
