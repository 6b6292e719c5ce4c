"""Policies: from estimate and price to a distribution over arms. ``POLICIES`` finds the modules.

A policy is a frozen dataclass whose fields are its options in ``[policies.<name>]``; it is pure, and
never draws: ``router.draw`` does, in one place. To add one: a module with such a class whose
``name`` is the module's. Every distribution sums to one and is zero on infeasible arms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from router.estimate import Estimate, FloatArray
from router.menu import Menu
from router.price import Price
from router.registry import Registry

UPPER_95 = 1.96
"""Standard deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What a policy decides on: feasible has shape (arms,), at least one true."""

    menu: Menu
    estimate: Estimate
    feasible: NDArray[np.bool_]
    price: Price
    stakes: float = 1.0

    def at(self, price_per_usd: float | None) -> Choice:
        """The same choice at another price of money; itself where none is given."""
        return self if price_per_usd is None else replace(self, price=Price(price_per_usd, self.price.per_s))

    @property
    def utility(self) -> FloatArray:
        """Shape (arms,); minus infinity on infeasible arms."""
        return np.where(self.feasible, self.price.utility(self.estimate, self.stakes), -np.inf)

    def leading(self, count: int) -> NDArray[np.int64]:
        """The feasible arms worth exploring, at most so many: the best first, then those that could be, by
        their utility with P(success) at its upper 95 % bound. So an arm of which little is known is tried
        before one that is known to be worse."""
        utility = self.utility
        hopeful = utility + self.stakes * UPPER_95 * self.estimate.quality_sd
        hopeful[utility.argmax()] = np.inf
        return np.argsort(-hopeful, kind="stable")[: min(count, int(self.feasible.sum()))]


class Policy(Protocol):
    """A rule from a choice to a distribution, pi(a given x)."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def distribution(self, choice: Choice) -> FloatArray:
        """Probabilities of shape (arms,)."""
        ...


POLICIES: Registry[Policy] = Registry("policy", "router.policies")
