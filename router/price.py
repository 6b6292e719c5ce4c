"""Price: what a quality unit is worth in money and time."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from router.errors import ConfigurationError
from router.estimate import Estimate, FloatArray


@dataclass(frozen=True, slots=True)
class Price:
    """The shadow prices of money and time.

    per_usd: lambda, the quality units that a US dollar must buy. per_s: mu, the quality units that a
    second must buy. Both >= 0; ``per_usd`` is moved by pacing only.
    """

    per_usd: float = 0.0
    per_s: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.per_usd < inf and 0 <= self.per_s < inf):
            raise ConfigurationError(
                f"Prices must be 0 or more and finite, not {self.per_usd} and {self.per_s}."
            )

    def utility(self, estimate: Estimate, stakes: float) -> FloatArray:
        """stakes * q - lambda * cost - mu * latency, shape (arms,)."""
        utility = stakes * estimate.quality - self.per_usd * estimate.cost_usd
        return utility - self.per_s * estimate.latency_s if self.per_s else utility
