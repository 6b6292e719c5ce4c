"""Greedy: the arm of highest utility at the price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from router.estimate import FloatArray
from router.policies import Choice


@dataclass(frozen=True, slots=True)
class Greedy:
    """pi = 1 at argmax of stakes * q - lambda * cost - mu * latency. Ties go to the cheapest arm.

    price_per_usd: its own lambda in place of the configuration's, so that two greedy policies can
    stand for two prices.
    """

    name: ClassVar[str] = "greedy"
    summary: ClassVar[str] = "the arm of highest utility at the price"
    price_per_usd: float | None = None

    def distribution(self, choice: Choice) -> FloatArray:
        """All mass on the best arm."""
        utility = choice.at(self.price_per_usd).utility
        best = (utility == utility.max()).nonzero()[0]
        mass = np.zeros(len(utility))
        mass[best[choice.estimate.cost_usd[best].argmin()]] = 1.0
        return mass
