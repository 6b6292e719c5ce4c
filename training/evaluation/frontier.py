"""Frontier: cost and quality over the price, and what can be had without looking at the question."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from router.estimate import FloatArray
from router.price import Price
from training.evaluation.decisions import Decisions, Outcome
from training.evaluation.grid import Grid, IntArray

Curve: TypeAlias = tuple[FloatArray, FloatArray]
"""Mean costs and qualities, shape (points,) each."""

DECADES = (-2, 5)
PRICES_PER_DECADE = 5
COST_STEP = 0.02
"""Mean costs at neighbouring prices should not differ by more than this part of the larger, ..."""
LEAST_RATIO = 1.0005
"""... unless the prices are as near as this."""


def prices_of(decisions: Decisions, cost_step: float = COST_STEP) -> tuple[Price, ...]:
    """Zero and rising prices between which the mean cost changes little by little.

    They begin as geometric steps around the price at which the dearest way's mean cost is worth a whole
    right answer; where the mean cost jumps, prices in between are added. What was right plays no part.
    """
    dearest = float(decisions.cost_usd.mean(axis=0).max())
    low, high = DECADES
    steps = np.logspace(low, high, (high - low) * PRICES_PER_DECADE + 1)
    spent = {rate: _spent(decisions, rate) for rate in (0.0, *(steps / (dearest or 1.0)).tolist())}
    while wide := _wide(spent, cost_step):
        spent.update((rate, _spent(decisions, rate)) for rate in wide)
    return tuple(Price(rate) for rate in sorted(spent))


def _spent(decisions: Decisions, per_usd: float) -> float:
    way = decisions.choose(Price(per_usd))
    return float(decisions.cost_usd[np.arange(len(way)), way].mean())


def _wide(spent: Mapping[float, float], cost_step: float) -> list[float]:
    """The geometric means of neighbouring prices whose costs are too far apart."""
    rates = sorted(spent)[1:]
    return [
        float(np.sqrt(lower * upper))
        for lower, upper in itertools.pairwise(rates)
        if abs(spent[lower] - spent[upper]) > cost_step * max(spent[lower], spent[upper])
        and upper > LEAST_RATIO * lower
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Every price's outcome for n queries; arrays of shape (prices, n), prices rising."""

    prices: tuple[Price, ...]
    reward: FloatArray
    cost_usd: FloatArray
    shuffled_reward: FloatArray
    shuffled_cost_usd: FloatArray

    @property
    def quality(self) -> FloatArray:
        """Mean reward, shape (prices,)."""
        return np.asarray(self.reward.mean(axis=1))

    @property
    def spent_usd(self) -> FloatArray:
        """Mean cost, shape (prices,)."""
        return np.asarray(self.cost_usd.mean(axis=1))


def sweep(decisions: Decisions, prices: Sequence[Price]) -> Sweep:
    """Decide at every price."""
    outcomes = [decisions.at(price) for price in prices]
    return Sweep(
        tuple(prices),
        np.stack([each.reward for each in outcomes]),
        np.stack([each.cost_usd for each in outcomes]),
        np.stack([each.shuffled_reward for each in outcomes]),
        np.stack([each.shuffled_cost_usd for each in outcomes]),
    )


def matched_shuffle(swept: Sweep, cost_usd: float) -> tuple[FloatArray, FloatArray]:
    """Reward and cost, shape (queries,), of a shuffle that spends this on average: the router's own choices
    at the two prices whose shuffles spend a little less and a little more, dealt out in the proportion
    that makes up the cost. A choice dealt to another query may cost more there: without the match, a
    router that knows what a query costs would be compared with a dearer shuffle."""
    spent = swept.shuffled_cost_usd.mean(axis=1)
    order = np.argsort(spent, kind="stable")
    place = float(np.interp(cost_usd, spent[order], np.arange(len(order))))
    lower, upper = order[int(place)], order[min(int(place) + 1, len(order) - 1)]
    share = place - int(place)
    return (
        (1 - share) * swept.shuffled_reward[lower] + share * swept.shuffled_reward[upper],
        (1 - share) * swept.shuffled_cost_usd[lower] + share * swept.shuffled_cost_usd[upper],
    )


def best_single(grid: Grid, rows: IntArray) -> int:
    """The arm of the highest mean reward over some queries, of several the cheapest."""
    quality, cost = grid.reward[rows].mean(axis=0), grid.cost_usd[rows].mean(axis=0)
    return int(np.lexsort((cost, -quality))[0])


def cheapest(grid: Grid, rows: IntArray) -> int:
    """The arm of the lowest mean cost."""
    return int(grid.cost_usd[rows].mean(axis=0).argmin())


def single(grid: Grid, rows: IntArray, arm: int) -> Outcome:
    """One arm for every query: a shuffle of its choices changes nothing."""
    reward, cost = grid.reward[rows, arm], grid.cost_usd[rows, arm]
    return Outcome(reward, cost, reward, cost)


def hull(cost_usd: FloatArray, quality: FloatArray) -> list[int]:
    """The arms between which drawing at random does best, cheapest first: the rising part of the upper
    concave hull of mean costs and qualities [the "zero router" of RouterBench, Hu et al. 2024]."""
    corners: list[int] = []
    for i in np.lexsort((-quality, cost_usd)):
        if corners and quality[i] <= quality[corners[-1]]:
            continue
        while len(corners) > 1 and _below(cost_usd, quality, corners[-2], corners[-1], int(i)):
            corners.pop()
        corners.append(int(i))
    return corners


def mix(cost_usd: FloatArray, quality: FloatArray, at_usd: float) -> FloatArray:
    """How often the random mix of this mean cost draws each arm, shape (arms,); an end of the hull where
    the cost lies beyond it."""
    corners = hull(cost_usd, quality)
    share = np.zeros(len(cost_usd))
    for place, corner in enumerate(corners):
        share[corner] = np.interp(at_usd, cost_usd[corners], np.eye(len(corners))[place])
    return share


def _below(x: FloatArray, y: FloatArray, left: int, middle: int, right: int) -> bool:
    """Whether the middle point lies on or below the line through the others."""
    return bool((y[middle] - y[left]) * (x[right] - x[left]) <= (y[right] - y[left]) * (x[middle] - x[left]))


def share_closed(router: Curve, oracle: Curve, mixed: Curve, limit_usd: float) -> float | None:
    """The share of the area between random mix and oracle that the router covers, from the mix's lowest
    cost to a limit; None where there is no area."""
    low = float(mixed[0].min())
    if limit_usd <= low:
        return None
    at = np.linspace(low, limit_usd, 201)
    floor, reached, ceiling = (_along(at, *curve) for curve in (mixed, router, oracle))
    possible = float((ceiling - floor).mean())
    return float((reached - floor).mean()) / possible if possible > 1e-12 else None


def _along(at_usd: FloatArray, cost_usd: FloatArray, quality: FloatArray) -> FloatArray:
    """A curve's quality at given costs, between its points in the order of cost."""
    order = np.lexsort((quality, cost_usd))
    return np.asarray(np.interp(at_usd, cost_usd[order], quality[order]))
