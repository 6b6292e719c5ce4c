"""Softmax: explore around the best, in proportion to utility, never over the whole menu."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from router.errors import ConfigurationError
from router.estimate import FloatArray
from router.policies import Choice


@dataclass(frozen=True, slots=True)
class Softmax:
    """pi(a) = (1 - k * floor) * exp(u_a / temperature) / Z + floor, over the ``top`` k arms (``leading``).

    temperature: in quality units; 0.05 makes an arm five points worse 1/e as likely. floor: the least
    probability of each of the top arms, which bounds the weights of off-policy estimates by 1/floor.
    """

    name: ClassVar[str] = "softmax"
    summary: ClassVar[str] = "explores around the best in proportion to utility, with a floor"
    temperature: float = 0.05
    top: int = 8
    floor: float = 0.01
    price_per_usd: float | None = None

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.top >= 1 and 0 <= self.floor * self.top < 1):
            raise ConfigurationError("softmax needs temperature > 0, top >= 1 and floor * top < 1.")

    def distribution(self, choice: Choice) -> FloatArray:
        """Mass on the top arms only."""
        choice = choice.at(self.price_per_usd)
        utility, top = choice.utility, choice.leading(self.top)
        weights = np.exp((utility[top] - utility[top[0]]) / self.temperature)
        mass = np.zeros(len(utility))
        mass[top] = (1 - self.floor * len(top)) * weights / weights.sum() + self.floor
        return mass
