"""Frontier and operating points: chosen from what training queries show, and from nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from router.estimate import FloatArray
from router.price import Price
from training.evaluation.decisions import Decisions, Outcome
from training.evaluation.frontier import (
    LEAST_RATIO,
    hull,
    matched_shuffle,
    mix,
    prices_of,
    share_closed,
    sweep,
)
from training.evaluation.operating import at_cost, at_quality, guarded, largest_lift, standard_error
from training.evaluation.stacked import chosen, of_quality

UNIT = st.floats(0, 1, allow_nan=False).map(lambda x: round(x, 3))


def decisions(count: int = 400, seed: int = 0, noise: float = 0.05) -> Decisions:
    """Two ways, the dear one always good, the cheap one as good as an estimate that is nearly right says."""
    rng = np.random.default_rng(seed)
    easy = rng.random(count)
    reward = np.column_stack((rng.random(count) < easy, rng.random(count) < 0.9)).astype(np.float64)
    cost = np.column_stack((np.full(count, 1e-5), np.full(count, 1e-3)))
    seen = np.clip(easy + noise * rng.normal(size=count), 0, 1)
    estimate = of_quality(np.column_stack((seen, np.full(count, 0.9))), cost)
    return Decisions(reward, cost, lambda price: chosen(estimate, price))


def always(decided: Decisions, way: int) -> Outcome:
    """One way for all."""
    return decided.taken(np.full(len(decided.reward), way))


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, 5, elements=UNIT), arrays(np.float64, 5, elements=UNIT), UNIT)
def test_no_random_mix_of_two_arms_beats_the_hull(cost: FloatArray, quality: FloatArray, at: float) -> None:
    """At any cost within reach, the mix is at least as good as mixing any two arms of that mean cost."""
    share = mix(cost, quality, at)
    assert share.min() >= 0
    assert share.sum() == pytest.approx(1)
    if not cost[hull(cost, quality)[0]] <= at:
        return
    assert share @ cost <= at + 1e-9
    for i in range(5):
        for j in range(5):
            if cost[i] <= at <= cost[j] and cost[i] < cost[j]:
                part = (at - cost[i]) / (cost[j] - cost[i])
                assert share @ quality >= (1 - part) * quality[i] + part * quality[j] - 1e-9


def test_the_hull_leaves_out_what_a_mix_of_others_beats() -> None:
    """A dear bad arm, an arm below the line of two others, and one of two equal ones."""
    cost = np.array([1.0, 2.0, 3.0, 4.0, 3.0])
    quality = np.array([0.1, 0.2, 0.7, 0.6, 0.7])
    assert hull(cost, quality) == [0, 2]


def test_prices_lie_so_close_that_the_cost_moves_in_small_steps() -> None:
    """Where nearly all queries change over within one geometric step, prices in between are added."""
    decided = decisions(noise=0.0)
    prices = prices_of(decided, 0.05)
    spent = sweep(decided, prices).spent_usd
    rates = np.array([price.per_usd for price in prices])
    jumps = np.abs(np.diff(spent)) > 0.05 * np.maximum(spent[1:], spent[:-1])
    assert rates[0] == 0
    assert (np.diff(rates) > 0).all()
    assert len(prices) < 400
    assert not (jumps[1:] & (rates[2:] > LEAST_RATIO * rates[1:-1])).any()


def test_prices_do_not_depend_on_what_was_right() -> None:
    """The same choices and costs give the same prices, whatever the rewards."""
    decided = decisions()
    blind = Decisions(1 - decided.reward, decided.cost_usd, decided.choose)
    assert prices_of(blind) == prices_of(decided)


def test_the_share_closed_is_the_share_of_the_area() -> None:
    """Half way everywhere is one half; the mix itself closes nothing; no area, no share."""
    cost = np.array([0.0, 1.0])
    mixed, oracle = (cost, np.array([0.2, 0.6])), (cost, np.array([0.6, 0.8]))
    half = cost, np.array([0.4, 0.7])
    assert share_closed(half, oracle, mixed, 1.0) == pytest.approx(0.5)
    assert share_closed(mixed, oracle, mixed, 1.0) == pytest.approx(0.0)
    assert share_closed(half, mixed, mixed, 1.0) is None
    assert share_closed(half, oracle, mixed, 0.0) is None


def test_a_wanted_cost_is_kept_to_on_the_training_queries() -> None:
    """The lowest price within the limit; the highest where the limit is below everything."""
    decided = decisions()
    train = sweep(decided, prices_of(decided))
    found = at_cost(train, 4e-4)
    assert 3.9e-4 < found.expected_cost_usd <= 4e-4
    assert found.wanted_cost_usd == 4e-4
    assert at_cost(train, 0.0).price == train.prices[-1]
    assert at_cost(train, 1.0).price == Price(0.0)


def test_a_wanted_quality_is_reached_for_less() -> None:
    """A router that knows what is easy reaches best single's quality for less than it costs; the
    promise holds on other queries of the kind."""
    decided, fresh = decisions(2000), decisions(2000, seed=1)
    best = always(decided, 1)
    found = at_quality(sweep(decided, prices_of(decided)), best, float(best.reward.mean()))
    assert found.price is not None
    assert found.expected_cost_usd < 0.9 * best.cost_usd.mean()
    assert fresh.at(found.price).reward.mean() > always(fresh, 1).reward.mean() - 0.02


def test_where_the_frontier_jumps_a_share_goes_over() -> None:
    """All queries change their arm at one price, from right at 2 to half right at 1: of the ways there and
    beyond, as many take the further one as leaves the wanted quality, and the cost is what lies between."""
    reward, cost = np.tile([[0.0, 1.0], [1.0, 1.0]], (50, 1)), np.tile([1.0, 2.0], (100, 1))
    decided = Decisions(reward, cost, lambda price: np.full(100, int(price.per_usd < 3)))
    found = at_quality(sweep(decided, prices_of(decided)), always(decided, 1), 0.9)
    assert found.price is not None
    assert found.further is not None
    assert found.price.per_usd < 3 <= found.further.per_usd
    assert (found.share, found.expected_cost_usd) == (pytest.approx(0.2), pytest.approx(1.8))
    outcome = found.outcome(decided)
    assert (outcome.reward.mean(), outcome.cost_usd.mean()) == (pytest.approx(0.9), pytest.approx(1.8))
    assert sorted(set(outcome.reward)) == pytest.approx([0.8, 1.0])


def test_a_quality_out_of_reach_falls_back_to_best_single() -> None:
    """A router that knows nothing does not pretend."""
    decided = decisions()
    blind = of_quality(np.full(decided.reward.shape, 0.5), decided.cost_usd)
    lost = Decisions(decided.reward, decided.cost_usd, lambda price: chosen(blind, price))
    best = always(decided, 1)
    found = at_quality(sweep(lost, prices_of(lost)), best, float(best.reward.mean()))
    assert found.price is None
    assert found.expected_cost_usd == best.cost_usd.mean()


@pytest.mark.parametrize(("noise", "falls_back"), [(0.05, False), (3.0, True)])
def test_the_default_is_guarded(noise: float, falls_back: bool) -> None:
    """A router that is as good as best single keeps its place; one that loses against it does not."""
    decided = decisions(2000, noise=noise)
    best = always(decided, 1)
    found = guarded(sweep(decided, prices_of(decided)), best, np.arange(2000))
    assert (found.price is None) == falls_back
    assert found.wanted_cost_usd == pytest.approx(best.cost_usd.mean())


def test_the_largest_lift_is_where_looking_at_the_question_earns_most() -> None:
    """No other price lifts quality further above its own shuffle."""
    decided = decisions(2000)
    train = sweep(decided, prices_of(decided))
    found = largest_lift(train)
    shuffled = np.array([matched_shuffle(train, cost)[0].mean() for cost in train.spent_usd])
    lift = train.quality - shuffled
    assert lift[train.prices.index(found.price)] == lift.max() > 0.05


def test_the_shuffle_spends_what_the_router_spends() -> None:
    """Within the range of its prices, the shuffle that a router is compared with has that router's cost."""
    swept = sweep(decisions(2000), prices_of(decisions(2000)))
    spent = swept.shuffled_cost_usd.mean(axis=1)
    for cost in np.linspace(spent.min(), spent.max(), 7):
        assert matched_shuffle(swept, float(cost))[1].mean() == pytest.approx(cost)


def test_repeated_questions_do_not_make_a_mean_surer() -> None:
    """Each value twice, in the same group, leaves the standard error as it was."""
    values = np.random.default_rng(0).normal(size=50)
    once = standard_error(values, np.arange(50))
    assert once == pytest.approx(values.std() / np.sqrt(50))
    assert standard_error(np.repeat(values, 2), np.repeat(np.arange(50), 2)) == pytest.approx(once)
