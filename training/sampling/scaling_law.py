"""Scaling law: quality against compute, as a curve that saturates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router.estimate import FloatArray

EXPONENTS = np.geomspace(0.05, 4.0, 45)
HALVES = np.geomspace(1e-6, 1e6, 145)
"""Exponents and half-way points that are tried: steps of about a tenth and a fifth."""
COMPUTE = np.unique(np.geomspace(1, 1e6, 2000).round())
"""Amounts of compute among which the best is sought."""


@dataclass(frozen=True, slots=True)
class ScalingLaw:
    """quality(k) = ceiling / (1 + (half / k)^exponent), for compute k >= 1 in draws [Hill 1910].

    ceiling in [0, 1]: what no compute exceeds. half: where half of it is reached. For large k it is the
    power law ceiling - ceiling * half^exponent * k^-exponent, the tail that repeated sampling shows where
    questions' success rates have many small values [Brown et al. 2024, "Large Language Monkeys"].
    """

    ceiling: float
    half: float
    exponent: float

    def quality(self, compute: FloatArray) -> FloatArray:
        """At each amount of compute."""
        return self.ceiling / (1 + (self.half / compute) ** self.exponent)

    def worth_up_to(self, price_per_draw: float) -> float:
        """The point of diminishing returns: the compute k, from 1 to 1e6 draws, of the largest
        quality(k) - price * k; beyond it, what a draw adds is less than what it costs."""
        return float(COMPUTE[np.argmax(self.quality(COMPUTE) - price_per_draw * COMPUTE)])


def fit_laws(compute: FloatArray, curves: FloatArray) -> list[ScalingLaw]:
    """The law of least squares of each curve, shape (curves, points), over a grid of half-way points and
    exponents with the ceiling solved for."""
    exponent, half = (grid.ravel() for grid in np.meshgrid(EXPONENTS, HALVES, indexing="ij"))
    shape = 1 / (1 + (half[:, None] / compute) ** exponent[:, None])
    norm = (shape**2).sum(axis=1)
    laws = []
    for curve in curves:
        ceiling = np.clip(shape @ curve / norm, 0.0, 1.0)
        best = int(np.argmin(((ceiling[:, None] * shape - curve) ** 2).sum(axis=1)))
        laws.append(ScalingLaw(float(ceiling[best]), float(half[best]), float(exponent[best])))
    return laws
