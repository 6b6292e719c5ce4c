"""Prospect: what the difficulty predictor expects of one arm, as strategies see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from router.bundle import Bundle
from router.estimate import Estimate
from router.menu import Menu
from router.query import Query


@dataclass(frozen=True, slots=True)
class Prospect:
    """P(success), mean cost in USD, and mean latency in seconds."""

    quality: float
    cost_usd: float
    latency_s: float = 0.0


UNKNOWN_PROSPECT = Prospect(0.5, 0.0)
"""Of an arm that nothing is known of."""


@dataclass(frozen=True, slots=True, eq=False)
class Prospects(Mapping[str, Prospect]):
    """An estimate by arm id; each is made when it is asked for, since most never are."""

    menu: Menu
    estimate: Estimate

    @classmethod
    def of(cls, query: Query, menu: Menu, bundle: Bundle) -> Prospects:
        """What a bundle says of a query."""
        return cls(menu, bundle.difficulty.estimate(bundle.extractor(query)))

    def __getitem__(self, arm_id: str) -> Prospect:
        position = self.menu.position[arm_id]
        estimate = self.estimate
        return Prospect(
            float(estimate.quality[position]),
            float(estimate.cost_usd[position]),
            float(estimate.latency_s[position]),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.menu.position)

    def __len__(self) -> int:
        return len(self.menu)
