"""Report: what an evaluation found, as plain values for JSON. Costs are USD per query."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.evaluation.calibration import calibrated
from training.evaluation.decisions import Decisions, Routed
from training.evaluation.frontier import (
    Curve,
    Sweep,
    best_single,
    cheapest,
    hull,
    matched_shuffle,
    mix,
    prices_of,
    share_closed,
    sweep,
)
from training.evaluation.grid import Grid, IntArray
from training.evaluation.points import point, points
from training.evaluation.section import SHOWN_STEP, Measured, measure, section
from training.evaluation.stacked import chosen, of_quality
from training.evaluation.tested import Tested
from training.evaluation.two_models import two_models

ROUTER = "router"
MIXES = 21
"""Points shown of the random mix."""


def report(
    tested: Tested,
    routers: Mapping[str, Sequence[Routed]],
    baselines: Mapping[str, Sequence[Routed]],
) -> dict[str, Any]:
    """Everything but what the caller knows of the run.

    routers: by name, each with what it did on every part, in the order of ``tested.parts``; the one
    called ``router`` is the report's own, others become sections of ``routers``. baselines: routers to
    be compared with.
    """
    main = routers[ROUTER]
    measured = measure(tested, main)
    bounds = _Bounds.of(tested)
    return {
        "dataset": tested.grid.dataset,
        "n_train": tested.training_queries,
        "n_test": len(tested.rows),
        "dropped": dict(tested.grid.dropped),
        "arms": _arms(tested),
        "baselines": {
            **_fixed(tested, measured, bounds),
            **{name: _baseline(tested, each, bounds) for name, each in baselines.items()},
        },
        "router": _router(tested, measured, bounds),
        **two_models(tested, main),
        "calibration": calibrated(tested, main),
        "routers": {name: _named(tested, each, bounds) for name, each in routers.items() if name != ROUTER},
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Bounds:
    """What every router lies between on the tested queries: the random mix of arms, and the oracle."""

    oracle: Sweep
    mixed: Curve

    @classmethod
    def of(cls, tested: Tested) -> _Bounds:
        reward, cost = tested.reward, tested.cost_usd
        hindsight = of_quality(reward, cost)
        decisions = Decisions(reward, cost, lambda price: chosen(hindsight, price))
        corners = hull(cost.mean(axis=0), reward.mean(axis=0))
        return cls(
            sweep(decisions, prices_of(decisions, SHOWN_STEP)),
            (cost.mean(axis=0)[corners], reward.mean(axis=0)[corners]),
        )

    def closed(self, tested: Tested, frontier: Sweep) -> float | None:
        """The share of the way from random mix to oracle, up to best single's cost."""
        return share_closed(
            (frontier.spent_usd, frontier.quality),
            (self.oracle.spent_usd, self.oracle.quality),
            self.mixed,
            float(tested.best.cost_usd.mean()),
        )


def _arms(tested: Tested) -> list[dict[str, Any]]:
    reward, cost = tested.reward, tested.cost_usd
    return [
        {"arm": name, **point(tested, reward[:, arm], cost[:, arm])}
        for arm, name in enumerate(tested.grid.arms)
    ]


def _fixed(tested: Tested, measured: Measured, bounds: _Bounds) -> dict[str, Any]:
    frontier, half, oracle = measured.frontier, measured.outcomes["at_half_cost"], bounds.oracle
    return {
        "best_single": {
            "arm": _usual(tested, best_single),
            **point(tested, tested.best.reward, tested.best.cost_usd),
        },
        "cheapest": {
            "arm": _usual(tested, cheapest),
            **point(tested, tested.cheapest.reward, tested.cheapest.cost_usd),
        },
        "random_mix": _random_mix(tested),
        "shuffled": {
            **point(tested, *matched_shuffle(frontier, float(half.cost_usd.mean()))),
            "frontier": points(tested, frontier.shuffled_reward, frontier.shuffled_cost_usd),
        },
        "oracle": {
            **point(tested, oracle.reward[0], oracle.cost_usd[0]),
            "frontier": points(tested, oracle.reward, oracle.cost_usd),
        },
    }


def _usual(tested: Tested, choice: Callable[[Grid, IntArray], int]) -> str:
    """The arm that most parts' training queries choose."""
    found = [choice(tested.grid, part.train) for part in tested.parts]
    return tested.grid.arms[int(np.bincount(found).argmax())]


def _random_mix(tested: Tested) -> dict[str, Any]:
    reward, cost = tested.reward, tested.cost_usd
    means = cost.mean(axis=0), reward.mean(axis=0)
    corners = hull(*means)
    costs = np.linspace(means[0][corners[0]], means[0][corners[-1]], MIXES)
    shares = np.stack([mix(*means, at) for at in (float(tested.best.cost_usd.mean()), *costs)])
    found = [point(tested, reward @ share, cost @ share) for share in shares]
    return {**found[0], "frontier": found[1:]}


def _router(tested: Tested, measured: Measured, bounds: _Bounds) -> dict[str, Any]:
    return {**section(tested, measured), "share_closed": bounds.closed(tested, measured.frontier)}


def _named(tested: Tested, routed: Sequence[Routed], bounds: _Bounds) -> dict[str, Any]:
    """An additional router: all that stands at the report's top for its own."""
    return {
        **_router(tested, measure(tested, routed), bounds),
        **two_models(tested, routed),
        "calibration": calibrated(tested, routed),
    }


def _baseline(tested: Tested, routed: Sequence[Routed], bounds: _Bounds) -> dict[str, Any]:
    """As another router; itself the point at best single's cost."""
    found = _named(tested, routed, bounds)
    at = found["at_equal_cost"]
    return {**{name: at[name] for name in ("cost_usd", "quality", "low", "high")}, **found}
