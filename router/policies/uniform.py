"""Uniform: every feasible arm alike; what exploration without knowledge looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from router.estimate import FloatArray
from router.policies import Choice


@dataclass(frozen=True, slots=True)
class Uniform:
    """pi(a given x) = 1 / (number of feasible arms)."""

    name: ClassVar[str] = "uniform"
    summary: ClassVar[str] = "every feasible arm alike"

    def distribution(self, choice: Choice) -> FloatArray:
        """Equal mass."""
        return np.asarray(choice.feasible / choice.feasible.sum(), dtype=np.float64)
