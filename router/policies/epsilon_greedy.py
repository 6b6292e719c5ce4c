"""Epsilon-greedy: mostly the best arm, sometimes one of the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from router.errors import ConfigurationError
from router.estimate import FloatArray
from router.policies import Choice


@dataclass(frozen=True, slots=True)
class EpsilonGreedy:
    """pi(a) = (1 - epsilon) * [a is best] + epsilon / k over the ``top`` arms (``leading``) and those that
    nobody has tried, k together."""

    name: ClassVar[str] = "epsilon_greedy"
    summary: ClassVar[str] = "the best arm, and with probability epsilon one of the top arms"
    epsilon: float = 0.1
    top: int = 8
    price_per_usd: float | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.epsilon <= 1 and self.top >= 1):
            raise ConfigurationError("epsilon_greedy needs 0 <= epsilon <= 1 and top >= 1.")

    def distribution(self, choice: Choice) -> FloatArray:
        """Mass on the top arms and on the untried."""
        choice = choice.at(self.price_per_usd)
        top = choice.leading(self.top)
        explored = np.concatenate((top, choice.untried))
        mass = np.zeros(len(choice.feasible))
        mass[explored] = self.epsilon / len(explored)
        mass[top[0]] += 1 - self.epsilon
        return mass
