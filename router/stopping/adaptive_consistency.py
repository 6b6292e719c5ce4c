"""Adaptive-Consistency: when would more votes hardly change the winner? (Aggarwal et al. 2023)"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import ClassVar

from router.errors import ConfigurationError
from router.stopping import Draws, top_two


@dataclass(frozen=True, slots=True)
class AdaptiveConsistency:
    """Stops when the leader's stability reaches ``stop_at``. A batch is the fewest draws that could
    reach it, so none is wasted; ``stop_at = 1`` is never reached."""

    name: ClassVar[str] = "adaptive_consistency"
    summary: ClassVar[str] = "stops when the leader stays ahead of the second with probability stop_at"
    reason: ClassVar[str] = "vote is stable"

    stop_at: float = 0.95

    def __post_init__(self) -> None:
        if not 0.5 < self.stop_at <= 1:
            raise ConfigurationError(f"adaptive_consistency needs 0.5 < stop_at <= 1, not {self.stop_at}.")

    def next_batch(self, draws: Draws) -> int:
        """See the contract."""
        return draws_to_stop(*top_two(draws.votes), self.stop_at, draws.left)


@lru_cache(maxsize=4096)
def stability(first: int, second: int) -> float:
    """P(the leading answer stays ahead of the second), after votes ``first >= second``.

    With a uniform prior on the leader's share p of the two, p | votes ~ Beta(v1 + 1, v2 + 1), and
    P(p > 1/2) is a binomial tail, sum_{j <= v1} C(v1 + v2 + 1, j) / 2^(v1 + v2 + 1).

    >>> stability(0, 0), stability(4, 0)
    (0.5, 0.96875)
    """
    trials = first + second + 1
    tail = sum(comb(trials, j) for j in range(first + 1))
    return tail / (1 << trials)


def draws_to_stop(first: int, second: int, stop_at: float, at_most: int) -> int:
    """The fewest further draws that could bring the leader's stability to ``stop_at``: a batch of
    that size can be drawn in parallel without ever drawing one too many. At 1, which no number of
    votes reaches, all ``at_most``.

    >>> draws_to_stop(0, 0, 0.95, 8), draws_to_stop(3, 1, 0.95, 8), draws_to_stop(4, 0, 0.95, 8)
    (4, 3, 0)
    """
    if stop_at >= 1:
        return at_most
    for more in range(at_most):
        if stability(first + more, second) >= stop_at:
            return more
    return at_most
