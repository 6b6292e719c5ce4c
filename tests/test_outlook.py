"""Who is asked along a cascade and who goes straight to one arm, as training queries taught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes_answers import answered_grid, part_of

from router.estimate import Estimate
from router.price import Price
from training.evaluation.cascades import answer_aware
from training.evaluation.decisions import Outcome, routed
from training.evaluation.grid import Grid
from training.evaluation.outlook import Ahead, fit_outlook
from training.evaluation.sheet import Sheet
from training.evaluation.stacked import of_quality
from training.evaluation.walk import Walk
from training.fit.ridge import ridge

PRICE = Price(100.0)
NOWHERE = np.arange(600)


def ahead(rng: np.random.Generator) -> tuple[Ahead, Walk]:
    """Two arms; of half of the queries the predictor knows that the first is right. A cascade over both is
    right where either is, for the cost of both."""
    known = np.arange(600) % 2 == 0
    first = np.where(known, 1.0, rng.random(600) < 0.3)
    second = (rng.random(600) < 0.6).astype(float)
    quality = np.column_stack((np.where(known, 0.99, 0.3), np.full(600, 0.6)))
    cost = np.tile([0.0002, 0.0003], (600, 1))
    reward = np.column_stack((first, second))
    never = np.full((600, 2, 2), -np.inf)
    never[:, 0, 1] = 1.0  # the cascade always goes on
    got = np.column_stack((first, np.maximum(first, second)))
    walk = Walk(got, cost.cumsum(axis=1), never, np.zeros((600, 2, 2)), np.zeros((600, 2)))
    return Ahead(of_quality(quality, cost), reward, cost), walk


def test_the_outlook_tells_who_gains_from_a_cascade() -> None:
    """Those of whom the predictor is sure lose its cost; the others gain."""
    told, walk = ahead(np.random.default_rng(0))
    expected = fit_outlook(told, walk, PRICE, NOWHERE[:400])(told.inputs(PRICE))[400:]
    sure = told.estimate.quality[400:, 0] > 0.9
    assert (expected[sure] < 0).all()
    assert (expected[~sure] > 0).all()


def test_a_way_costs_and_earns_what_its_calls_do() -> None:
    """The gain is the cascade's utility where it stops, less that of the arm asked straight."""
    told, walk = ahead(np.random.default_rng(1))
    arm = told.straight(PRICE)
    alone = told.reward[NOWHERE, arm] - 100.0 * told.cost_usd[NOWHERE, arm]
    np.testing.assert_allclose(told.gain(walk, PRICE), walk.reward[:, 1] - 100.0 * 0.0005 - alone)


def dear_looks(grid: Grid) -> Grid:
    """The same answers, where the cheap arms cost nearly as much as the best: looking is not for nothing."""
    factor = np.array([60.0, 30.0, 1.0])
    draws = [
        [
            (replace(cell[0], cost_usd=cell[0].cost_usd * more),)
            for cell, more in zip(row, factor, strict=True)
        ]
        for row in grid.draws
    ]
    return replace(grid, draws=draws, cost_usd=grid.cost_usd * factor)


def informed(grid: Grid, rows: np.ndarray) -> Estimate:
    """Of every second query it is known who is right; of the others nothing."""
    known = (rows % 2 == 0)[:, None]
    quality = np.where(known, 0.02 + 0.96 * grid.reward[rows], 0.6)
    return of_quality(quality, grid.cost_usd[rows])


def test_the_choice_earns_more_than_either_for_everyone() -> None:
    """Where the question says who is right, that arm alone is asked; the others are asked along the cascade.
    With a given order everyone is."""
    price = Price(100.0)
    grid = dear_looks(answered_grid(900))
    part, sheet = part_of(grid), Sheet.of(grid)
    both = informed(grid, part.train), informed(grid, part.test)
    aware = answer_aware(grid, sheet, part, *both)
    everyone = answer_aware(grid, sheet, part, *both, given=aware.order_at(price))
    alone = routed(grid, part, *both)
    worth = [utility(each.test.at(price), price) for each in (aware, everyone, alone)]
    assert worth[0] > max(worth[1:]) + 0.01
    straight = aware.test.choose(price) >= aware.test.reward.shape[1] - len(grid.arms)
    known = part.test % 2 == 0
    assert straight[known].mean() > 0.2
    assert straight[~known].mean() < 0.05
    assert aware.straight_at(price) == straight.mean()
    assert everyone.straight_at(price) == 0.0


def utility(outcome: Outcome, price: Price) -> float:
    return float((outcome.reward - price.per_usd * outcome.cost_usd).mean())


@pytest.mark.parametrize("penalty", [0.0, 5.0])
def test_a_constant_input_gets_no_weight(penalty: float) -> None:
    """And a penalty draws the others to zero, never the constant."""
    rng = np.random.default_rng(2)
    inputs = np.column_stack((rng.normal(size=50), np.ones(50)))
    constant, slope, none = ridge(inputs, 3.0 + 2.0 * inputs[:, 0], penalty)
    assert none == 0.0
    assert constant + slope * inputs[:, 0].mean() == pytest.approx(3.0 + 2.0 * inputs[:, 0].mean())
    assert slope == pytest.approx(2.0 * 50 / (50 + penalty))
