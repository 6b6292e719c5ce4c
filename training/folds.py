"""Folds: parts of a table for fitting on the others, near-duplicates in one part; of a large table, one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
MOST_CROSSED = 50_000
"""Of more rounds, not all are predicted out of fold in turn: one part of this size is held out, enough for
all that is learnt from such predictions."""

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """Which rounds are predicted by models that have not seen them.

    rounds, shape (n,): rows of the table. fold, shape (n,): a number for each; what is learnt from the
    predictions of some folds can be judged on another's. left_out: the rows that each model is fitted
    without. by, shape (n,): the number of the model that predicts a round.
    """

    rounds: IntArray
    fold: IntArray
    left_out: tuple[IntArray, ...]
    by: IntArray

    @property
    def crossed(self) -> bool:
        """Whether every round is predicted, each fold by a model of its own."""
        return len(self.left_out) > 1


def unseen(group: IntArray, seed: int = 0) -> Unseen:
    """All rounds, in ``FOLDS`` folds; of more than ``MOST_CROSSED`` rounds, one part of about that size."""
    count = len(group)
    if count <= MOST_CROSSED:
        held = folds(group, seed)
        parts = tuple(np.flatnonzero(held == fold) for fold in range(int(held.max(initial=0)) + 1))
        return Unseen(np.arange(count), held, parts, held)
    held = folds(group, seed, max(round(count / MOST_CROSSED), 2))
    rows = np.flatnonzero(held == 0)
    return Unseen(rows, folds(group[rows], seed), (rows,), np.zeros(len(rows), np.int64))


def weights_without(weight: NDArray[np.float64], rows: IntArray) -> NDArray[np.float64]:
    """The weights of a table's rounds, some of them 0."""
    found = weight.copy()
    found[rows] = 0.0
    return found


def folds(group: IntArray, seed: int = 0, count: int = FOLDS) -> IntArray:
    """The number of the fold that holds each row out, shape (rows,); fewer folds where there are fewer
    groups. Groups are dealt in a random order to the fold with the fewest rows."""
    groups, member, sizes = np.unique(group, return_inverse=True, return_counts=True)
    count = max(min(count, len(groups)), 1)
    fold_of_group = np.empty(len(groups), np.int64)
    filled = np.zeros(count)
    for i in np.random.default_rng(seed).permutation(len(groups)):
        fold_of_group[i] = int(filled.argmin())
        filled[fold_of_group[i]] += sizes[i]
    return fold_of_group[member]
