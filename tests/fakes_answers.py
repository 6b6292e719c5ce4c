"""Fakes for the tests of the answer-aware cascade: a grid of arms that answer, in which agreement tells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from router.estimate import Estimate
from training.evaluation.crossfit import FINE_FOLDS, Part
from training.evaluation.grid import Draw, Grid
from training.evaluation.stacked import of_quality
from training.folds import folds

RIGHT = {"tiny": 0.55, "small": 0.6, "large": 0.8}
COSTS = {"tiny": 1e-5, "small": 2e-5, "large": 1e-3}


def answered_grid(count: int = 300, arms: Sequence[str] = tuple(RIGHT), seed: int = 0) -> Grid:
    """Sums whose arms are right independently of each other, given the question; a wrong answer is one
    of many, and often comes with a wrong equation. Three in ten queries stand in split=test."""
    rng = np.random.default_rng(seed)
    hard = rng.random(count) < 0.4
    draws = [[(_draw(i, arm, bool(hard[i]), rng),) for arm in arms] for i in range(count)]
    return Grid(
        "answered",
        tuple(arms),
        tuple(f"q-{i}" for i in range(count)),
        tuple(f"Tom has {i} apples and buys {i + 7} more. How many has he now?" for i in range(count)),
        tuple(f"key-{i}" for i in range(count)),
        ("math",) * count,
        tuple(str(2 * i + 7) for i in range(count)),
        draws,
        np.array([[cell[0].score for cell in row] for row in draws]),
        np.array([[cell[0].cost_usd for cell in row] for row in draws]),
        rng.random(count) < 0.3,
        {},
        tuple(arms),
    )


def _draw(i: int, arm: str, hard: bool, rng: np.random.Generator) -> Draw:
    right = bool(rng.random() < RIGHT[arm] + (-0.25 if hard else 0.17))
    answer = 2 * i + 7 + (0 if right else int(rng.integers(1, 40)) * (-1 if rng.random() < 0.5 else 1))
    betrayed = not right and rng.random() < 0.5
    first = i if rng.random() < 0.7 else i + 1
    second = (i + 7 if betrayed else answer - first) + (first - i if betrayed else 0)
    response = f"Of {i} and {i + 7}: he has {first} + {second} = {answer} apples.\n#### {answer}"
    return Draw(float(right), COSTS[arm] * float(rng.lognormal(0, 0.1)), None, response, 40, 20)


def part_of(grid: Grid) -> Part:
    """The logged split."""
    train = np.flatnonzero(~grid.test)
    return Part(train, np.flatnonzero(grid.test), folds(train, 0), folds(train, 0, FINE_FOLDS))


def ignorant(grid: Grid, part: Part) -> tuple[Estimate, Estimate]:
    """What a predictor says that knows each arm's mean quality and cost on the training queries only."""
    quality, cost = grid.reward[part.train].mean(axis=0), grid.cost_usd[part.train].mean(axis=0)
    each = [np.tile(quality, (len(rows), 1)) for rows in (part.train, part.test)]
    return of_quality(each[0], cost), of_quality(each[1], cost)
