"""Rivals: textbook routers to be compared with, each tuned on training queries only.

A rival estimates quality; an arm's cost is its mean over the training queries. Where it has settings to
choose from, the Brier score out of fold decides.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from router.estimate import Estimate, FloatArray
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import Part, out_of_fold
from training.evaluation.grid import IntArray
from training.evaluation.stacked import of_quality
from training.measures import brier

NEIGHBOURS = (10, 30, 100)
STRENGTHS = (0.001, 0.01, 0.1)
"""Inverse penalties [scikit-learn's C] of the logistic regression on scaled features."""
HIDDEN_UNITS = 64
COMPONENTS = 128
MOST_BUCKETS = 8_192
"""Of the hashed features; of the rest, few training queries have any."""

Predict: TypeAlias = Callable[[IntArray], FloatArray]
Fit: TypeAlias = Callable[[IntArray], Predict]
"""From training rows to a function from other rows to qualities of shape (rows, arms)."""


def knn(corpus: Corpus, part: Part, seed: int) -> tuple[Estimate, Estimate]:
    """The mean reward of the nearest training queries, in the space of ``_reduced``."""
    X = _reduced(corpus, part)

    def of(neighbours: int) -> Fit:
        def fit(rows: IntArray) -> Predict:
            model = KNeighborsRegressor(min(neighbours, len(rows)), algorithm="brute")
            model.fit(X[rows], corpus.grid.reward[rows])
            return lambda others: np.asarray(model.predict(X[others]))

        return fit

    return _best_of([of(neighbours) for neighbours in NEIGHBOURS], corpus, part)


def logistic(corpus: Corpus, part: Part, seed: int) -> tuple[Estimate, Estimate]:
    """A logistic regression for each arm, on the features of ``_reduced``."""
    X = _reduced(corpus, part)
    return _best_of([_by_arm(X, corpus.grid.reward, c) for c in STRENGTHS], corpus, part)


def mlp(corpus: Corpus, part: Part, seed: int) -> tuple[Estimate, Estimate]:
    """A network of one hidden layer with an output for each arm, on the features of ``_reduced``."""
    X = _reduced(corpus, part)
    right = corpus.grid.reward >= 0.5

    def fit(rows: IntArray) -> Predict:
        model = MLPClassifier(
            (HIDDEN_UNITS,), alpha=1.0, early_stopping=len(rows) >= 100, max_iter=60, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # cut short on purpose
            model.fit(X[rows], right[rows])
        return lambda others: np.asarray(model.predict_proba(X[others]))

    return _best_of([fit], corpus, part)


def plain(corpus: Corpus, part: Part, seed: int) -> tuple[Estimate, Estimate]:
    """TF-IDF of words with one logistic regression for each arm: what anybody would try first."""
    texts = corpus.grid.texts
    fewest = 2 if len(part.train) >= 100 else 1
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=fewest, max_features=50_000)
    try:
        X = words.fit([texts[i] for i in part.train]).transform(texts)
    except ValueError:  # there is no word in any text
        X = sparse.csr_matrix((len(texts), 1))
    return _best_of([_by_arm(X, corpus.grid.reward, 1.0)], corpus, part)


def _by_arm(X: Any, reward: FloatArray, strength: float) -> Fit:
    def fit(rows: IntArray) -> Predict:
        models = [_regression(X[rows], reward[rows, arm], strength) for arm in range(reward.shape[1])]
        return lambda others: np.column_stack([model(X[others]) for model in models])

    return fit


def _regression(X: Any, reward: FloatArray, strength: float) -> Callable[[Any], FloatArray]:
    """A reward from 0.5 counts as right; an arm that is always right or always wrong stays so."""
    right = reward >= 0.5
    if right.all() or not right.any():
        return lambda others: np.full(others.shape[0], reward.mean())
    with threadpool_limits(1):
        model = LogisticRegression(C=strength, max_iter=200, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a penalised fit cut short is still one
            model.fit(X, right)
    return lambda others: np.asarray(model.predict_proba(others)[:, 1])


@lru_cache(maxsize=1)  # three rivals, one part after another
def _reduced(corpus: Corpus, part: Part) -> FloatArray:
    """The router's own features of every query on one scale, the hashed ones by their principal
    components; both learnt from the training queries' texts."""
    place, dense = corpus.place, corpus.features.dense
    seen = np.unique(place[part.train])
    hashed = _frequent(corpus.features.hashed, seen)
    count = min(COMPONENTS, *hashed[seen].shape)
    with threadpool_limits(1):
        _, _, vectors = randomized_svd(hashed[seen], count, n_iter=1, random_state=0)
    X = np.hstack((dense, hashed @ vectors.T))
    deviation = X[seen].std(axis=0)
    scaled = (X - X[seen].mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1.0)
    return np.asarray(np.clip(scaled, -3.0, 3.0)[place])


def _frequent(hashed: Any, seen: IntArray) -> Any:
    """The columns that most of the training queries have."""
    counts = np.bincount(hashed[seen].indices, minlength=hashed.shape[1])
    return hashed[:, np.sort(np.argsort(-counts, kind="stable")[:MOST_BUCKETS])]


def _best_of(fits: Sequence[Fit], corpus: Corpus, part: Part) -> tuple[Estimate, Estimate]:
    """The estimates of the setting with the least Brier score out of fold."""
    grid = corpus.grid
    cost = grid.cost_usd[part.train].mean(axis=0)

    def estimating(fit: Fit) -> Callable[[IntArray], Callable[[IntArray], Estimate]]:
        def fitted(rows: IntArray) -> Callable[[IntArray], Estimate]:
            predict = fit(rows)
            return lambda others: of_quality(predict(others), cost)

        return fitted

    tried = [out_of_fold(estimating(fit), part) for fit in fits]
    losses = [brier(each.quality, grid.reward[part.train]) for each in tried]
    best = int(np.argmin(losses))
    return tried[best], estimating(fits[best])(part.train)(part.test)
