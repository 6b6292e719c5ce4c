"""Fit of the logistic predictor: scikit-learn's logistic regression on a sparse design."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from router.estimate import FloatArray
from router.learnt.linear import Linear
from router.learnt.platt import Platt
from router.learnt.support import Support
from router.predictors.logistic import Logistic
from training.calibrate import fit_platt
from training.design import Design
from training.folds import folds
from training.spending import fit_spending
from training.table import Table

IntArray = NDArray[np.int64]

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse penalties [scikit-learn's C] to choose from, by the log loss out of fold."""
SELECTION_ROUNDS = 3_000
"""The choice is made on no more rounds than this."""
NEIGHBOUR = 0.25
"""What a round of another arm of the family tells about an arm, against one of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearFit:
    """A fitted linear logit. out_of_fold, shape (rounds,): each fitted round's logit by a model that saw
    no near-duplicate of it. ``support``: rounds that each arm's predictions rest on."""

    design: Design
    coefficients: FloatArray
    intercept: float
    strength: float
    out_of_fold: FloatArray
    support: Support

    def logits(self, table: Table) -> FloatArray:
        """Of the rounds of a table over the same menu and features, shape (rounds,)."""
        logits: FloatArray = self.design.matrix(table) @ self.coefficients + self.intercept
        return logits

    def linear(self, buckets: int) -> Linear:
        """What serving needs of it."""
        base, dense, hashed = self.design.unpack(self.coefficients, self.intercept)
        slot = np.zeros(buckets, np.int32)
        slot[self.design.kept] = np.arange(1, len(self.design.kept) + 1)
        rows = np.concatenate((np.zeros((1, hashed.shape[1])), hashed)).astype(np.float32)
        return Linear(base, self.design.families.of_arm, dense, rows, slot)


def fit_logistic(fit: Table, calibrate: Table, seed: int = 0) -> Logistic:
    """The predictor fitted on one table and calibrated on another, of the same menu and features."""
    fitted = fit_linear(fit, seed)
    platt = fit_platt(fitted.logits(calibrate), calibrate, fitted.design.families)
    return logistic_of(fitted, fit, calibrate, platt)


def logistic_of(fitted: LinearFit, fit: Table, calibrate: Table, platt: Platt) -> Logistic:
    """The predictor of a fitted linear logit and its calibration."""
    return Logistic(
        tuple(fit.menu.ids),
        fitted.design.scaling,
        fitted.linear(fit.features.hashed.shape[1]),
        platt,
        fit_spending(fit, calibrate),
        fitted.support,
    )


def fit_linear(table: Table, seed: int = 0) -> LinearFit:
    """The penalty is the one of ``STRENGTHS`` with the least log loss out of fold."""
    design = Design.of(table)
    X = design.matrix(table)
    strength = _best_strength(design, X, table, seed)
    by_fold, held = _by_fold(design, X, table, strength, seed)
    coefficients, intercept = _solve(design, X, table, strength)
    out_of_fold = by_fold[np.arange(len(table)), held]
    support = Support(_rounds_behind(design, table) / _inefficiency(by_fold, design, table))
    return LinearFit(design, coefficients, intercept, strength, out_of_fold, support)


def _best_strength(design: Design, X: sparse.csr_matrix, table: Table, seed: int) -> float:
    rows = np.random.default_rng(seed).permutation(len(table))[:SELECTION_ROUNDS]
    some, X_some = table.take(rows), X[rows]

    def loss(strength: float) -> float:
        by_fold, held = _by_fold(design, X_some, some, strength, seed)
        return _log_loss(by_fold[np.arange(len(some)), held], some)

    return min(STRENGTHS, key=loss)


def _log_loss(logits: FloatArray, table: Table) -> float:
    losses = np.logaddexp(0.0, logits) - table.reward * logits
    return float(np.average(losses, weights=table.weight))


def _by_fold(
    design: Design, X: sparse.csr_matrix, table: Table, strength: float, seed: int
) -> tuple[FloatArray, IntArray]:
    """Every round's logit by each fold's model, shape (rounds, folds), and the fold that held it out."""
    held = folds(table.group, seed)
    columns = []
    for fold in range(int(held.max(initial=0)) + 1):
        rows = np.flatnonzero(held != fold)
        coefficients, intercept = _solve(design, X[rows], table.take(rows), strength)
        columns.append(X @ coefficients + intercept)
    return np.stack(columns, axis=1), held


def _solve(design: Design, X: sparse.csr_matrix, table: Table, strength: float) -> tuple[FloatArray, float]:
    """The coefficients, slopes of monotone families >= 0: those that come out negative are held at
    zero and the rest is fitted again, until none does."""
    free = np.ones(X.shape[1], np.bool_)
    bounded = design.forbidden_below_zero
    while True:
        coefficients = np.zeros(X.shape[1])
        coefficients[free], intercept = _regress(X if free.all() else X[:, free], table, strength)
        negative = bounded[coefficients[bounded] < 0]
        if not len(negative):
            return coefficients, intercept
        free[negative] = False


def _regress(X: sparse.csr_matrix, table: Table, strength: float) -> tuple[FloatArray, float]:
    """A reward between 0 and 1 counts as a success and a failure of that weight. One more of both, of
    half a round's weight and without any feature, keeps the intercept finite."""
    right, wrong = np.flatnonzero(table.reward > 0), np.flatnonzero(table.reward < 1)
    blank = sparse.csr_matrix((2, X.shape[1]))
    labels = np.concatenate((np.ones(len(right)), np.zeros(len(wrong)), [1.0, 0.0]))
    weights = np.concatenate(
        ((table.weight * table.reward)[right], (table.weight * (1 - table.reward))[wrong], [0.5, 0.5])
    )
    model = LogisticRegression(C=strength, tol=1e-3, max_iter=200)
    with warnings.catch_warnings(), threadpool_limits(1):  # small vectors: threads would only wait
        warnings.simplefilter("ignore", ConvergenceWarning)  # a penalised fit cut short is still one
        model.fit(sparse.vstack((X[right], X[wrong], blank), "csr"), labels, sample_weight=weights)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def _rounds_behind(design: Design, table: Table) -> FloatArray:
    of_arm = design.families.of_arm
    own = np.bincount(table.arm, minlength=len(table.menu)).astype(np.float64)
    family = np.bincount(of_arm, own, len(design.families))[of_arm]
    return own + NEIGHBOUR * (family - own)


def _inefficiency(by_fold: FloatArray, design: Design, table: Table) -> float:
    """How much larger the variance of the predicted probabilities is than that of a plain share of as
    many rounds: by the delete-a-group jackknife over the folds' models, (K - 1) / K sum (q_k - mean)^2."""
    predicted = 1 / (1 + np.exp(-by_fold))
    count = predicted.shape[1]
    if count < 2:
        return 1.0
    variance = (count - 1) * predicted.var(axis=1)
    mean = predicted.mean(axis=1)
    plain = mean * (1 - mean) / (_rounds_behind(design, table)[table.arm] + 2)
    return float(np.clip(variance.mean() / max(float(plain.mean()), 1e-12), 0.25, 25.0))
