"""Thompson sampling: each arm as often as it may be the best (Thompson 1933; Chapelle & Li 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from router.errors import ConfigurationError
from router.estimate import FloatArray
from router.policies import Choice


@dataclass(frozen=True, slots=True)
class Thompson:
    """pi(a) = P(a has the highest utility), with q_a ~ Normal(quality_a, quality_sd_a).

    The probability is the share of ``draws`` fixed standard normal vectors in which the arm wins, so
    the policy is pure and its propensities are exact for what it does; ``floor`` is mixed in over the
    arms that ever win.
    """

    name: ClassVar[str] = "thompson"
    summary: ClassVar[str] = "each arm as often as it may be the best, given the estimate's uncertainty"
    draws: int = 256
    floor: float = 0.0
    price_per_usd: float | None = None

    def __post_init__(self) -> None:
        if self.draws < 1 or not 0 <= self.floor < 1:
            raise ConfigurationError("thompson needs draws >= 1 and 0 <= floor < 1.")

    def distribution(self, choice: Choice) -> FloatArray:
        """Share of the draws that each arm wins."""
        utility = choice.at(self.price_per_usd).utility
        noise = _normals(self.draws, len(utility)) * (choice.stakes * choice.estimate.quality_sd)
        wins = np.bincount(np.argmax(utility + noise, axis=1), minlength=len(utility)) / self.draws
        winners = wins > 0
        mass = (1 - self.floor) * wins + self.floor * winners / winners.sum()
        return np.asarray(mass, dtype=np.float64)


@cache
def _normals(draws: int, arms: int) -> FloatArray:
    return np.random.default_rng(0).standard_normal((draws, arms))
