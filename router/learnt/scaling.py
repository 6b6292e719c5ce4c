"""Scaling: dense features on one scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router.estimate import FloatArray
from router.learnt import Part

LIMIT = 3.0
"""Standard deviations beyond which a feature is cut, so that an odd query is not extrapolated to."""


@dataclass(frozen=True, slots=True, eq=False)
class Scaling(Part):
    """z = (x - center) / scale, cut at +-3; both of shape (columns,)."""

    center: FloatArray
    scale: FloatArray

    def __call__(self, dense: FloatArray) -> FloatArray:
        """z of x, shape (..., columns)."""
        z = (dense - self.center) / self.scale
        return np.minimum(np.maximum(z, -LIMIT), LIMIT)
