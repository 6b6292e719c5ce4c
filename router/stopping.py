"""Stopping rules for repeated draws: when would more votes hardly change the winner?"""

from __future__ import annotations

from math import comb


def stability(first: int, second: int) -> float:
    """P(the leading answer stays ahead of the second), after votes ``first >= second``.

    Adaptive-Consistency (Aggarwal et al. 2023): with a uniform prior on the leader's share p of the
    two, p | votes ~ Beta(v1 + 1, v2 + 1), and P(p > 1/2) is a binomial tail,
    sum_{j <= v1} C(v1 + v2 + 1, j) / 2^(v1 + v2 + 1).

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
