"""Folds: parts of a table for fitting on the others, near-duplicates in one part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FOLDS = 5


def folds(group: NDArray[np.int64], seed: int = 0, count: int = FOLDS) -> NDArray[np.int64]:
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
