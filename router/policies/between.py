"""Between: two prices, or two sets of arms, shared out among the queries; for a cost or quality that no
single price gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.errors import ConfigurationError
from router.estimate import FloatArray
from router.policies import Choice
from router.policies.greedy import Greedy
from router.price import Price


@dataclass(frozen=True, slots=True)
class Between:
    """pi = (1 - share) * greedy at ``price_per_usd`` + share * greedy at ``further_per_usd``.

    Where many queries change their arm at one price, the cost jumps there, and what lies in between is had
    only by a share of them. price_per_usd is the plan's: what a cascade under way goes by.

    without, further_without: ids of arms that are not chosen at the one price and at the other, such as a
    cascade whose order is the other price's; where no other arm can serve the query, they are.
    """

    name: ClassVar[str] = "between"
    summary: ClassVar[str] = "greedy at one price or at another, by a share"
    price_per_usd: float
    further_per_usd: float
    share: float
    without: Sequence[str] = ()
    further_without: Sequence[str] = ()

    def __post_init__(self) -> None:
        Price(self.price_per_usd), Price(self.further_per_usd)
        if not 0 <= self.share <= 1:
            raise ConfigurationError(f"between needs a share from 0 to 1, not {self.share}.")

    def distribution(self, choice: Choice) -> FloatArray:
        """Mass on the best arm at either price."""
        near = Greedy(self.price_per_usd).distribution(choice.without(self.without))
        far = Greedy(self.further_per_usd).distribution(choice.without(self.further_without))
        mixed: FloatArray = (1 - self.share) * near + self.share * far
        return mixed
