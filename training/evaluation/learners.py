"""Learners: from training queries to estimates of others; the served predictor, and its rivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from router.estimate import Estimate
from router.menu import Menu
from router.predictors import DifficultyPredictor
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import Part, out_of_fold
from training.evaluation.grid import IntArray
from training.evaluation.rivals import knn, logistic, mlp, plain
from training.evaluation.stacked import stacked
from training.fit.difficulty import fit_difficulty
from training.logged_arms import narrowed

Estimates: TypeAlias = tuple[Estimate, Estimate]
"""Of a part's training queries, each by what was fitted without its inner fold; and of its tested ones, by
what was fitted on all that train."""

Learner: TypeAlias = Callable[[Part], Estimates]

Learning: TypeAlias = Callable[[Corpus, int], Learner]
"""From a corpus and a seed to its learner."""

KEPT = 16
"""Fitted predictors that are kept: as many as a pass of five folds needs."""


def served(corpus: Corpus, seed: int) -> Learner:
    """The predictor that serves, for the pool's arms."""

    @lru_cache(maxsize=KEPT)
    def predictor(rows: bytes) -> DifficultyPredictor:
        table = corpus.table(np.frombuffer(rows, np.int64))
        return narrowed(fit_difficulty(table, seed), Menu(table.menu.arms[: len(corpus.grid.arms)]))

    def fit(rows: IntArray) -> Callable[[IntArray], Estimate]:
        fitted = predictor(rows.tobytes())
        return lambda others: stacked(fitted, corpus.features, corpus.place[others])

    return lambda part: (out_of_fold(fit, part), fit(part.train)(part.test))


def rival(learn: Callable[[Corpus, Part, int], Estimates]) -> Learning:
    """A learner that begins anew with each part."""
    return lambda corpus, seed: lambda part: learn(corpus, part, seed)


BASELINES: Mapping[str, Learning] = {
    "knn": rival(knn),
    "logistic": rival(logistic),
    "mlp": rival(mlp),
    "plain": rival(plain),
}
