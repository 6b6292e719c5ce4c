"""Ridge regression of a difference that is small against its noise."""

from __future__ import annotations

import numpy as np

from router.estimate import FloatArray


def ridge(inputs: FloatArray, target: FloatArray, penalty: float) -> FloatArray:
    """Weights, the constant first, shape (1 + inputs,), of least squares with a penalty on the squared
    weights of the inputs scaled to deviation one [Hoerl & Kennard 1970]; a constant input gets none.

    inputs, shape (n, inputs); target, shape (n,).

    >>> ridge(np.array([[0.0], [2.0]]), np.array([1.0, 5.0]), 0.0).round(6).tolist()
    [1.0, 2.0]
    """
    center, deviation = inputs.mean(axis=0), inputs.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, np.inf)
    X = (inputs - center) / scale
    curvature = X.T @ X + np.diag(np.where(np.isfinite(scale), penalty, 1.0))
    slopes = np.linalg.solve(curvature, X.T @ (target - target.mean())) / scale
    return np.concatenate(([target.mean() - slopes @ center], slopes))
