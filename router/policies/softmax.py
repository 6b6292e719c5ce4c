"""Softmax: explore around the best, in proportion to utility, never over the whole menu."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from router.errors import ConfigurationError
from router.estimate import FloatArray
from router.policies import Choice

MOST_NEW = 0.25
"""Of all queries, for the untried arms together."""


@dataclass(frozen=True, slots=True)
class Softmax:
    """pi(a) = (1 - k * floor) * exp(u_a / temperature) / Z + floor, over the ``top`` k arms (``leading``).

    New arms that nobody has tried get ``new`` each, together at most a quarter; the others share the rest.

    temperature: in quality units; 0.05 makes an arm five points worse 1/e as likely. floor: the least
    probability of each of the top arms, which bounds the weights of off-policy estimates by 1/floor.
    """

    name: ClassVar[str] = "softmax"
    summary: ClassVar[str] = "explores around the best in proportion to utility, with a floor"
    temperature: float = 0.05
    top: int = 8
    floor: float = 0.01
    new: float = 0.05
    price_per_usd: float | None = None

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.top >= 1 and 0 <= self.floor * self.top < 1):
            raise ConfigurationError("softmax needs temperature > 0, top >= 1 and floor * top < 1.")
        if not 0 <= self.new <= MOST_NEW:
            raise ConfigurationError(f"softmax needs 0 <= new <= {MOST_NEW}.")

    def distribution(self, choice: Choice) -> FloatArray:
        """Mass on the top arms and on the untried."""
        choice = choice.at(self.price_per_usd)
        utility, top, untried = choice.utility, choice.leading(self.top), choice.untried
        weights = np.exp((utility[top] - utility[top[0]]) / self.temperature)
        mass = np.zeros(len(utility))
        mass[untried] = min(self.new, MOST_NEW / max(len(untried), 1))
        rest = 1 - mass.sum()
        mass[top] = rest * ((1 - self.floor * len(top)) * weights / weights.sum() + self.floor)
        return mass
