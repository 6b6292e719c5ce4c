"""Policies: from estimate and price to a distribution over arms. ``POLICIES`` finds the modules.

A policy is a frozen dataclass whose fields are its options in ``[policies.<name>]``; it is pure, and
never draws: ``router.draw`` does, in one place. To add one: a module with such a class whose
``name`` is the module's. Every distribution sums to one and is zero on infeasible arms.
"""

from __future__ import annotations

from collections.abc import Sequence
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
BELOW = 1e-9
"""In quality units: enough that no tie goes to an untried arm."""

_NOBODY = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What a policy decides on: feasible has shape (arms,), at least one true. new: positions of the arms
    whose estimates are guesses (``router.newcomers``): they are explored, and never preferred."""

    menu: Menu
    estimate: Estimate
    feasible: NDArray[np.bool_]
    price: Price
    stakes: float = 1.0
    new: tuple[int, ...] = ()

    def at(self, price_per_usd: float | None) -> Choice:
        """The same choice at another price of money; itself where none is given."""
        return self if price_per_usd is None else replace(self, price=Price(price_per_usd, self.price.per_s))

    def without(self, arms: Sequence[str]) -> Choice:
        """The same choice without some arms, by id; itself where no other one is feasible."""
        left = self.feasible.copy()
        left[[self.menu.position[arm] for arm in arms if arm in self.menu.position]] = False
        return replace(self, feasible=left) if left.any() else self

    @property
    def utility(self) -> FloatArray:
        """Shape (arms,); minus infinity on infeasible arms, and an untried arm's below every other's."""
        found = np.where(self.feasible, self.price.utility(self.estimate, self.stakes), -np.inf)
        if len(untried := self.untried):
            found[untried] = np.minimum(found[untried], found[self._known].min() - BELOW)
        return found

    @property
    def untried(self) -> NDArray[np.int64]:
        """Positions of the feasible new arms, where there are feasible others; shape (n,)."""
        if not self.new or not self._known.any():
            return _NOBODY
        return np.array([i for i in self.new if self.feasible[i]], np.int64)

    @property
    def _known(self) -> NDArray[np.bool_]:
        known = self.feasible.copy()
        known[list(self.new)] = False
        return known

    def leading(self, count: int) -> NDArray[np.int64]:
        """The feasible arms worth exploring, at most so many, without the untried: the best first, then those
        that could be, by their utility with P(success) at its upper 95 % bound. So an arm of which little is
        known is tried before one that is known to be worse."""
        utility, untried = self.utility, self.untried
        hopeful = utility + self.stakes * UPPER_95 * self.estimate.quality_sd
        hopeful[utility.argmax()] = np.inf
        hopeful[untried] = -np.inf
        known = int(self.feasible.sum()) - len(untried)
        return np.argsort(-hopeful, kind="stable")[: min(count, known)]


class Policy(Protocol):
    """A rule from a choice to a distribution, pi(a given x)."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def distribution(self, choice: Choice) -> FloatArray:
        """Probabilities of shape (arms,)."""
        ...


POLICIES: Registry[Policy] = Registry("policy", "router.policies")
