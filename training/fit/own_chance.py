"""Fit of each arm's own chance to be right, by what is told of its reply alone."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from router.estimate import FloatArray
from training.evaluation.grid import BoolArray

STRENGTH = 0.3
"""Inverse penalty [scikit-learn's C]."""
SHARED_SCALE, OWN_SCALE = 0.3, 0.15
"""Prior deviations of the weights that all arms share, and of each arm's own on top. Chosen, as the
penalty, by the area under the curve out of fold on training queries of mathematics."""


def fit_own_chance(inputs: FloatArray, right: FloatArray) -> FloatArray:
    """Each arm's weights, shape (m, inputs). inputs, shape (n, m, inputs), the first of them 1; right, shape
    (n, m), 0 or 1. One logistic regression for all arms."""
    n, m, _ = inputs.shape
    plain = inputs[:, :, 1:].reshape(n * m, -1)
    center, deviation = plain.mean(axis=0), plain.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, np.inf)  # a constant tells nothing
    design = _design((plain - center) / scale, m)
    labels = right.reshape(-1) >= 0.5
    if labels.all() or not labels.any():
        return _constant(m, inputs.shape[2], float(labels.mean()))
    coefficients, intercept = _regress(design, labels)
    width = plain.shape[1]
    shared = SHARED_SCALE * coefficients[:width]
    own = OWN_SCALE * coefficients[width + m :].reshape(m, width)
    slopes = (shared + own) / scale
    shifts = intercept + coefficients[width : width + m] - slopes @ center
    return np.column_stack((shifts, slopes))


def own_logits(inputs: FloatArray, weights: FloatArray) -> FloatArray:
    """Shape (n, m), of inputs of shape (n, m, inputs) by the weights of the m arms."""
    found: FloatArray = np.einsum("nmk,mk->nm", inputs, weights)
    return found


def _design(plain: FloatArray, m: int) -> FloatArray:
    arm = np.tile(np.eye(m), (len(plain) // m, 1))
    own = (arm[:, :, None] * plain[:, None, :]).reshape(len(plain), -1)
    return np.hstack((SHARED_SCALE * plain, arm, OWN_SCALE * own))


def _regress(design: FloatArray, labels: BoolArray) -> tuple[FloatArray, float]:
    model = LogisticRegression(C=STRENGTH, tol=1e-3, max_iter=200)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # a penalised fit cut short is still one
        model.fit(design, labels)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def _constant(m: int, inputs: int, share: float) -> FloatArray:
    weights = np.zeros((m, inputs))
    weights[:, 0] = 3.0 if share > 0.5 else -3.0
    return weights
