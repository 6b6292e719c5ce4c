"""Inputs: of rounds, to be multiplied by weights of their families, in whichever way is quicker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
SingleArray = NDArray[np.float32]

SPARSE = 10
"""Rounds that touch a smaller part than one in so many of the pairs of query and family are multiplied one
by one, others all pairs at once: about what a product of matrices gains on one of a vector."""


class Inputs(Protocol):
    """Of n rounds and f families: x, the inputs of each round's query."""

    def scores(self, weights: SingleArray) -> SingleArray:
        """x . weights of the round's family, shape (n,); weights, shape (f, inputs)."""
        ...

    def sums(self, factor: NDArray[Any], *, squared: bool = False) -> SingleArray:
        """Of each family, the sum over its rounds of factor * x, or of factor * x^2, shape (f, inputs);
        factor, shape (n,)."""
        ...


def inputs_of(inputs: SingleArray, place: IntArray, family: IntArray, families: int) -> Inputs:
    """inputs, shape (queries, inputs). place, family, shape (n,): of each round, its query's row and its
    family."""
    used, here = np.unique(place, return_inverse=True)
    mine = inputs if len(used) == len(inputs) else inputs[used]
    if SPARSE * len(place) >= len(used) * families:
        return Together(mine, here * families + family, families)
    rows = tuple(np.flatnonzero(family == f) for f in range(families))
    return OneByOne(rows, tuple(mine[here[each]] for each in rows), len(place))


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """All families' scores of every query. pair, shape (n,): query * families + family."""

    inputs: SingleArray
    pair: IntArray
    families: int

    def scores(self, weights: SingleArray) -> SingleArray:
        """See the contract."""
        found: SingleArray = (self.inputs @ weights.T).ravel()[self.pair]
        return found

    def sums(self, factor: NDArray[Any], *, squared: bool = False) -> SingleArray:
        """See the contract."""
        by_pair = np.bincount(self.pair, factor, len(self.inputs) * self.families)
        factors = by_pair.reshape(-1, self.families).astype(np.float32)
        found: SingleArray = factors.T @ (np.square(self.inputs) if squared else self.inputs)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class OneByOne:
    """rows: of each family, its rounds. inputs: theirs. count: of all rounds."""

    rows: tuple[IntArray, ...]
    inputs: tuple[SingleArray, ...]
    count: int

    def scores(self, weights: SingleArray) -> SingleArray:
        """See the contract."""
        found = np.empty(self.count, np.float32)
        for rows, inputs, own in zip(self.rows, self.inputs, weights, strict=True):
            found[rows] = inputs @ own
        return found

    def sums(self, factor: NDArray[Any], *, squared: bool = False) -> SingleArray:
        """See the contract."""
        return np.stack(
            [
                factor[rows].astype(np.float32, copy=False) @ (np.square(inputs) if squared else inputs)
                for rows, inputs in zip(self.rows, self.inputs, strict=True)
            ]
        )
