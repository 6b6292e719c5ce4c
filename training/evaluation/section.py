"""Section: what a report says of one router."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from router.estimate import FloatArray
from training.evaluation.decisions import Outcome, Routed
from training.evaluation.frontier import Sweep, best_single, matched_shuffle, prices_of, single, sweep
from training.evaluation.operating import Setting, at_cost, at_quality, guarded, largest_lift
from training.evaluation.points import point, points
from training.evaluation.resampling import interval
from training.evaluation.tested import Tested, pooled, pooled_outcome

ALLOWED = {"at_equal_quality": (0.0, 1.0), "at_minus_1": (0.01, 1.0), "at_98": (0.0, 0.98)}
"""The wanted quality by point, as what is taken from the best single arm's and what that is multiplied by."""
SHOWN_STEP = 0.04
"""Relative steps in cost of the report's frontier."""
MET_WITHIN = 1e-9

Settings = Mapping[str, Sequence[Setting]]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One router, measured. settings: by operating point, what each part's training queries chose.
    outcomes: what came of it on the tested queries. frontier: every price there, the passes averaged."""

    settings: Settings
    outcomes: Mapping[str, Outcome]
    frontier: Sweep


def measure(tested: Tested, routed: Sequence[Routed]) -> Measured:
    """Choose every point on the training queries, part by part, and meet or miss it on the tested."""
    settings = _transposed([_chosen(tested, each) for each in routed])
    outcomes = {
        name: pooled_outcome(
            tested.parts,
            [_outcome(tested, each, setting) for each, setting in zip(routed, of_parts, strict=True)],
            tested.rows,
        )
        for name, of_parts in settings.items()
    }
    return Measured(settings, outcomes, _frontier(tested, routed))


def _chosen(tested: Tested, routed: Routed) -> dict[str, Setting]:
    grid, rows = tested.grid, routed.part.train
    best = single(grid, rows, best_single(grid, rows))
    train = sweep(routed.train, prices_of(routed.train))
    quality, cost = float(best.reward.mean()), float(best.cost_usd.mean())
    return {
        "at_equal_cost": guarded(train, best, tested.unit[rows]),
        **{
            name: at_quality(train, best, (quality - less) * times, routed.fixed)
            for name, (less, times) in ALLOWED.items()
        },
        "at_half_cost": at_cost(train, cost / 2),
        "at_largest_lift": largest_lift(train),
    }


def _transposed(of_parts: Sequence[Mapping[str, Setting]]) -> Settings:
    return {name: [settings[name] for settings in of_parts] for name in of_parts[0]}


def _outcome(tested: Tested, routed: Routed, setting: Setting) -> Outcome:
    if not setting.falls_back:
        return setting.outcome(routed.test)
    grid, part = tested.grid, routed.part
    return single(grid, part.test, best_single(grid, part.train))


def _frontier(tested: Tested, routed: Sequence[Routed]) -> Sweep:
    """At the same prices for every part, so that the parts' frontiers can be averaged."""
    prices = prices_of(routed[0].train, SHOWN_STEP)
    swept = [sweep(each.test, prices) for each in routed]

    def over_parts(name: str) -> FloatArray:
        return pooled(tested.parts, [getattr(each, name) for each in swept], tested.rows)

    names = ("reward", "cost_usd", "shuffled_reward", "shuffled_cost_usd")
    return Sweep(prices, *(over_parts(name) for name in names))


def section(tested: Tested, measured: Measured) -> dict[str, Any]:
    """The router's part of the report."""
    frontier, outcomes = measured.frontier, measured.outcomes
    return {
        "frontier": points(tested, frontier.reward, frontier.cost_usd),
        "at_equal_cost": _at_equal_cost(tested, measured),
        **{name: _at_quality(tested, measured, name) for name in ALLOWED},
        "lift_over_shuffle": {
            **_lift(tested, outcomes["at_half_cost"], frontier),
            "at_largest": _lift(tested, outcomes["at_largest_lift"], frontier),
        },
        "read_off_test": read_off(tested, frontier),
    }


def _at_equal_cost(tested: Tested, measured: Measured) -> dict[str, Any]:
    outcome, settings = measured.outcomes["at_equal_cost"], measured.settings["at_equal_cost"]
    over = tested.resamples.interval(outcome.reward - tested.best.reward)
    return {
        **point(tested, outcome.reward, outcome.cost_usd),
        "over_best_single": asdict(over),
        "fell_back": float(np.mean([setting.falls_back for setting in settings])),
        **_promised(settings),
    }


def _at_quality(tested: Tested, measured: Measured, name: str) -> dict[str, Any]:
    outcome, settings, best = measured.outcomes[name], measured.settings[name], tested.best
    less, times = ALLOWED[name]
    over = tested.resamples.interval(outcome.reward - best.reward)
    wanted = (float(best.reward.mean()) - less) * times
    resamples = tested.resamples
    saved = interval(
        1 - outcome.cost_usd.mean() / best.cost_usd.mean(),
        1 - resamples.means(outcome.cost_usd) / resamples.means(best.cost_usd),
    )
    return {
        "saving": saved.mean,
        "low": saved.low,
        "high": saved.high,
        "point": point(tested, outcome.reward, outcome.cost_usd),
        "over_best_single": asdict(over),
        "met": bool(outcome.reward.mean() >= wanted - MET_WITHIN),
        "fell_back": float(np.mean([setting.falls_back for setting in settings])),
        **_promised(settings),
    }


def _promised(settings: Sequence[Setting]) -> dict[str, Any]:
    """What was wanted and what the training queries promised, averaged over the parts."""
    wanted = [setting.wanted_quality for setting in settings if setting.wanted_quality is not None]
    limits = [setting.wanted_cost_usd for setting in settings if setting.wanted_cost_usd is not None]
    return {
        "wanted": {"quality": float(np.mean(wanted))} if wanted else {"cost_usd": float(np.mean(limits))},
        "promised": {
            "cost_usd": float(np.mean([setting.expected_cost_usd for setting in settings])),
            "quality": float(np.mean([setting.expected_quality for setting in settings])),
        },
        "prices_per_usd": [None if s.price is None else s.price.per_usd for s in settings],
        "further_per_usd": [None if s.further is None else s.further.per_usd for s in settings],
        "shares": [s.share for s in settings],
        "rules": [None if s.fixed is None else s.fixed.told for s in settings],
    }


def _lift(tested: Tested, outcome: Outcome, frontier: Sweep) -> dict[str, Any]:
    reward, cost_usd = matched_shuffle(frontier, float(outcome.cost_usd.mean()))
    lift = tested.resamples.interval(outcome.reward - reward)
    return {
        **asdict(lift),
        "point": point(tested, outcome.reward, outcome.cost_usd),
        "shuffled": point(tested, reward, cost_usd),
    }


def read_off(tested: Tested, frontier: Sweep) -> dict[str, Any]:
    """The points as they look with the price read off the tested queries' own frontier: flattered, and
    only good for comparison with figures got that way. The saving is None where no price reaches it."""
    quality, cost, best = frontier.quality, frontier.spent_usd, tested.best
    best_quality, best_cost = float(best.reward.mean()), float(best.cost_usd.mean())
    within = quality[cost <= best_cost]
    found: dict[str, Any] = {"at_equal_cost": float(within.max()) if len(within) else None}
    for name, (less, times) in ALLOWED.items():
        reached = cost[quality >= (best_quality - less) * times - MET_WITHIN]
        found[name] = float(1 - reached.min() / best_cost) if len(reached) else None
    return found
