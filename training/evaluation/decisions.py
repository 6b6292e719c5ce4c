"""Decisions: what a router would do with some queries at any price, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from router.estimate import Estimate, FloatArray
from router.price import Price
from training.evaluation.crossfit import Part
from training.evaluation.grid import Grid, IntArray
from training.evaluation.stacked import chosen


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Arrays of shape (queries,): what was got and paid for each query; and what it would have got and
    paid on average had the same choices been dealt to the queries at random."""

    reward: FloatArray
    cost_usd: FloatArray
    shuffled_reward: FloatArray
    shuffled_cost_usd: FloatArray

    def shared_with(self, other: Outcome, share: float) -> Outcome:
        """On average, where the other stands for a share of the queries, drawn at random."""
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return Outcome(*((1 - share) * mine + share * theirs for mine, theirs in pairs))


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """Over n queries and w ways of answering (arms, or paths through a cascade).

    reward, cost_usd, shape (n, w): what each way gets and costs, all its calls counted. choose: from a
    price to the way of each query, shape (n,), by what is known when it must be chosen.
    """

    reward: FloatArray
    cost_usd: FloatArray
    choose: Callable[[Price], IntArray]

    def at(self, price: Price) -> Outcome:
        """What comes of a price."""
        return self.taken(self.choose(price))

    def taken(self, way: IntArray) -> Outcome:
        """What comes of given choices, shape (n,)."""
        share = np.bincount(way, minlength=self.reward.shape[1]) / len(way)
        rows = np.arange(len(way))
        return Outcome(
            self.reward[rows, way], self.cost_usd[rows, way], self.reward @ share, self.cost_usd @ share
        )


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """A way of answering that goes by no price. told: what it is, as a report tells it. expected_quality,
    expected_cost_usd: means over the training queries. met: what comes of it on the tested ones."""

    told: Mapping[str, Any]
    expected_quality: float
    expected_cost_usd: float
    met: Callable[[], Outcome]


@dataclass(frozen=True, slots=True, eq=False)
class Routed:
    """One router on one part. train: by estimates out of fold, on which prices are chosen; test: by what
    all training rows taught. quality, shape (tested queries, arms): P(success) where it predicts it of
    each arm of the grid. gap, shape (tested queries,): for two arms, how much likelier the strong one is
    to be right; None where it has no such score. fixed: what may stand in for it where a quality is
    wanted."""

    part: Part
    train: Decisions
    test: Decisions
    quality: FloatArray | None = None
    gap: FloatArray | None = None
    fixed: Sequence[Fixed] = ()


def routed(grid: Grid, part: Part, out_of_fold: Estimate, test: Estimate) -> Routed:
    """A router that chooses among the grid's arms by its estimates, as the policy ``greedy`` does."""
    gap = None
    if len(grid.arms) == 2:
        weak, strong = grid.reward[part.train].mean(axis=0).argsort(kind="stable")
        gap = test.quality[:, strong] - test.quality[:, weak]
    return Routed(part, _by(grid, part.train, out_of_fold), _by(grid, part.test, test), test.quality, gap)


def _by(grid: Grid, rows: IntArray, estimate: Estimate) -> Decisions:
    return Decisions(grid.reward[rows], grid.cost_usd[rows], lambda price: chosen(estimate, price))
