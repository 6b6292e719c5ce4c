"""Characterise: how quality grows with compute, per domain, model and strategy, and where it stops paying."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from router.estimate import FloatArray
from training.sampling.gain_curves import pass_curves
from training.sampling.samples import Samples, Series
from training.sampling.scaling_law import ScalingLaw, fit_laws
from training.sampling.vote_paths import vote_paths

RESAMPLES = 200
POINTS = 12
"""A curve is read at so many amounts of compute, evenly spread over the logarithm."""
LEAST_QUERIES = 5
_LADDER = re.compile(r"^(?P<name>.+?)(?:@|_k)(?P<compute>[0-9]+)$")


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Measured quality at amounts of compute, by query.

    compute: in draws, shape (points,). quality: shape (queries, points). cost_usd: mean per draw,
    ``None`` where unknown.
    """

    domain: str
    model: str
    strategy: str
    compute: FloatArray
    quality: FloatArray
    cost_usd: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Characterised:
    """A curve with its law, the laws of its bootstrap resamples, and how far compute pays at the price.

    price_per_draw: quality units that a draw must add. Intervals are 95 % percentile bootstrap over
    queries.
    """

    curve: Curve
    law: ScalingLaw
    resampled: Sequence[ScalingLaw] = field(repr=False)
    price_per_draw: float

    def as_values(self) -> dict[str, Any]:
        """Plain JSON values; keys are described in docs/characterise.md."""
        measured = self.curve.quality.mean(axis=0)
        fitted = self.law.quality(self.curve.compute)
        return {
            "domain": self.curve.domain,
            "model": self.curve.model,
            "strategy": self.curve.strategy,
            "queries": len(self.curve.quality),
            "cost_usd_per_draw": self.curve.cost_usd,
            "points": [
                {"compute": float(k), "quality": float(q), "fitted": float(f)}
                for k, q, f in zip(self.curve.compute, measured, fitted, strict=True)
            ],
            "law": {
                "ceiling": self._interval(self.law.ceiling, [law.ceiling for law in self.resampled]),
                "half": self._interval(self.law.half, [law.half for law in self.resampled]),
                "exponent": self._interval(self.law.exponent, [law.exponent for law in self.resampled]),
                "largest_residual": float(np.abs(measured - fitted).max()),
            },
            "price_per_draw": self.price_per_draw,
            "worth_up_to": self._interval(
                self.law.worth_up_to(self.price_per_draw),
                [law.worth_up_to(self.price_per_draw) for law in self.resampled],
            ),
        }

    @staticmethod
    def _interval(value: float, resampled: Sequence[float]) -> dict[str, float]:
        low, high = np.quantile(resampled, (0.025, 0.975))
        return {"value": value, "low": float(low), "high": float(high)}


def characterise(
    curves: Sequence[Curve], price_per_usd: float, price_per_draw: float, seed: int = 0
) -> list[Characterised]:
    """Fit every curve. price_per_usd: quality units that a US dollar must buy, where costs are known;
    price_per_draw: those that a draw must buy, where they are not."""
    return [_characterised(curve, price_per_usd, price_per_draw, seed) for curve in curves]


def curves_of(samples: Samples, seed: int = 0) -> list[Curve]:
    """Of every domain and arm with at least five queries: best of k with a perfect verifier, and, where
    answers are recorded, the vote over k."""
    return [curve for group in _by_arm(samples.series).values() for curve in _of_arm(group, seed)]


def ladders_of(rows: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """Curves of strategies that were logged at three or more amounts of compute (``name@4`` or
    ``name_k4``), over the queries that have them all. rows: as in the interchange form."""
    cells: dict[tuple[str, str, str], dict[str, dict[int, Mapping[str, Any]]]] = {}
    for row in rows:
        found = _LADDER.match(str(row["strategy"]))
        if found is not None and row["score"] is not None:
            key = str(row.get("domain") or ""), str(row["model"]), found["name"]
            cells.setdefault(key, {}).setdefault(str(row["query_id"]), {})[int(found["compute"])] = row
    return [curve for key, queries in cells.items() for curve in _ladder(key, queries)]


def _ladder(
    key: tuple[str, str, str], queries: Mapping[str, Mapping[int, Mapping[str, Any]]]
) -> Iterator[Curve]:
    budgets = sorted({budget for logged in queries.values() for budget in logged})
    whole = [logged for logged in queries.values() if len(logged) == len(budgets)]
    if len(budgets) < 3 or len(whole) < LEAST_QUERIES:
        return
    quality = np.array([[float(logged[budget]["score"]) for budget in budgets] for logged in whole])
    costs = [logged[budget].get("cost_usd") for logged in whole for budget in budgets]
    known = [cost for cost in costs if cost is not None]
    per_draw = sum(known) / (sum(budgets) * len(whole)) if len(known) == len(costs) else None
    yield Curve(*key, np.array(budgets, np.float64), quality, per_draw)


def _by_arm(series: Sequence[Series]) -> dict[tuple[str, str], list[Series]]:
    groups: dict[tuple[str, str], list[Series]] = {}
    for each in series:
        groups.setdefault((each.domain or each.dataset, each.arm), []).append(each)
    return {key: group for key, group in groups.items() if len(group) >= LEAST_QUERIES}


def _of_arm(group: Sequence[Series], seed: int) -> Iterator[Curve]:
    draws = int(np.median([len(each) for each in group]))
    group = [each for each in group if len(each) >= draws]
    compute = np.unique(np.geomspace(1, draws, POINTS).round()).astype(np.int64)
    domain, arm = group[0].domain or group[0].dataset, group[0].arm
    costs = [each.cost_usd for each in group]
    cost = None if None in costs else float(np.mean([cost for cost in costs if cost is not None]))
    points = compute.astype(np.float64)
    correct = np.array([each.correct.sum() for each in group])
    passed = pass_curves(correct, np.array([len(each) for each in group]), draws)
    yield Curve(domain, arm, "best_of_n", points, passed[:, compute], cost)
    if any(answer is not None for each in group for answer in each.answers):
        right = vote_paths(group, draws, seed).right.mean(axis=1)
        yield Curve(domain, arm, "self_consistency", points, right[:, compute - 1], cost)


def _characterised(curve: Curve, price_per_usd: float, price_per_draw: float, seed: int) -> Characterised:
    rng = np.random.default_rng(seed)
    count = len(curve.quality)
    drawn = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    curves = np.vstack((curve.quality.mean(axis=0), drawn @ curve.quality / count))
    whole, *resampled = fit_laws(curve.compute, curves)
    price = price_per_draw if curve.cost_usd is None else price_per_usd * curve.cost_usd
    return Characterised(curve, whole, resampled, price)
