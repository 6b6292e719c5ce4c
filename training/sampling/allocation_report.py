"""Allocation report: what allocating in advance is worth, as plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from router.estimate import FloatArray
from training.evaluation.crossfit import Part
from training.evaluation.grid import IntArray
from training.evaluation.resampling import Interval, Resamples, interval
from training.sampling.allocation import (
    LEAST,
    ORACLE,
    Allocated,
    compare_allocations,
    sequential_draws,
)
from training.sampling.gain_curves import fit_beta_curve, fit_kernel_curve, pass_curves
from training.sampling.samples import Samples
from training.sampling.success import Predicted, predict_success, success_table
from training.sampling.vote_paths import Paths

SHOWN = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
LEAST_ORACLE_GAIN = 0.002
"""Where the oracle gains less than this, the share closed means nothing."""


def best_of_k(samples: Samples, parts: Sequence[Part], seed: int) -> dict[str, Any]:
    """Any right draw counts, as with a perfect verifier; exact over all orders."""
    correct = np.array([int(each.correct.sum()) for each in samples.series])
    draws = np.array([len(each) for each in samples.series])
    curves = pass_curves(correct, draws, samples.typical)
    predicted = _predicted(samples, correct / draws, parts, seed)

    def fit(logit: FloatArray, rows: IntArray) -> Any:
        curve = fit_beta_curve(logit, correct[rows], draws[rows])
        return curve, curve.gains(logit, samples.typical)  # five numbers learnt of all rows hide no row

    found = compare_allocations(curves, predicted, samples.group, fit)
    told = _section(samples, found, seed)
    return {**told, "online": _online(samples, found, curves, seed)}


def majority_vote(samples: Samples, paths: Paths, parts: Sequence[Part], seed: int) -> dict[str, Any]:
    """The most frequent answer counts; mean over the orders."""
    after = paths.right.mean(axis=1)
    curves = np.concatenate((np.zeros((len(after), 1)), after), axis=1)
    predicted = _predicted(samples, np.array([each.correct.mean() for each in samples.series]), parts, seed)

    def fit(logit: FloatArray, rows: IntArray) -> Any:
        curve = fit_kernel_curve(logit, curves[rows], samples.group[rows])
        return curve, curve.held_out_gains(logit, curves[rows], samples.group[rows])

    return _section(samples, compare_allocations(curves, predicted, samples.group, fit), seed)


def _predicted(
    samples: Samples, reward: FloatArray, parts: Sequence[Part], seed: int
) -> list[tuple[Part, Predicted]]:
    table = success_table(samples, reward)
    return [(part, predict_success(table, part.train, part.test, seed)) for part in parts]


def _section(samples: Samples, found: Allocated, seed: int) -> dict[str, Any]:
    resamples = Resamples.of(samples.group[found.rows], seed)
    means = {name: resamples.means(values) for name, values in found.quality.items()}
    at = [int(np.flatnonzero(found.budgets == budget)[0]) for budget in SHOWN if budget in found.budgets]
    return {
        "series": len(found.rows),
        "draws": int(found.budgets[-1]),
        "points": [_point(found, means, i) for i in at],
        "frontier": {
            name: [[float(b), float(q)] for b, q in zip(found.budgets, values.mean(axis=0), strict=True)]
            for name, values in found.quality.items()
        },
    }


def _point(found: Allocated, means: dict[str, FloatArray], i: int) -> dict[str, Any]:
    told: dict[str, Any] = {"budget": float(found.budgets[i]), "promoted": float(found.promoted[i])}
    uniform = found.quality["uniform"].mean(axis=0)
    told["uniform"] = _told("quality", interval(uniform[i], means["uniform"][:, i]))
    for name in LEAST:
        mean, resampled = found.quality[name].mean(axis=0), means[name]
        told[name] = {
            **_told("quality", interval(mean[i], resampled[:, i])),
            "gain": _told("mean", interval(mean[i] - uniform[i], resampled[:, i] - means["uniform"][:, i])),
            "saved": _told("mean", _saved(found.budgets, (uniform, mean), (means["uniform"], resampled), i)),
        }
    gain, most = told["learned"]["gain"]["mean"], told[ORACLE]["gain"]["mean"]
    told["share_closed"] = gain / most if most >= LEAST_ORACLE_GAIN else None
    return told


def _saved(
    budgets: FloatArray,
    mean: tuple[FloatArray, FloatArray],
    resampled: tuple[FloatArray, FloatArray],
    i: int,
) -> Interval:
    """The share of samples that a method does without at the quality of a uniform budget, against the least
    uniform budget of that quality: a vote may be as good with fewer."""
    each = [_share_saved(budgets, uniform, other, i) for uniform, other in zip(*resampled, strict=True)]
    return interval(_share_saved(budgets, *mean, i), np.array(each))


def _share_saved(budgets: FloatArray, uniform: FloatArray, other: FloatArray, i: int) -> float:
    wanted = float(uniform[i])
    return 1 - _needed(budgets, other, wanted) / max(_needed(budgets, uniform, wanted), 1e-9)


def _needed(budgets: FloatArray, quality: FloatArray, wanted: float) -> float:
    """The least mean budget that reaches a quality, between budgets by a straight line; the greatest where
    none does."""
    rising = np.maximum.accumulate(np.concatenate(([0.0], quality)))
    at = int(np.searchsorted(rising, wanted - 1e-12))
    known = np.concatenate(([0.0], budgets))
    if at == 0 or at >= len(rising):
        return float(known[min(at, len(known) - 1)])
    step = rising[at] - rising[at - 1]
    return float(known[at - 1] + (wanted - rising[at - 1]) / step * (known[at] - known[at - 1]))


def _online(samples: Samples, found: Allocated, curves: FloatArray, seed: int) -> list[dict[str, Any]]:
    """Another setting: the verifier is asked after each batch, and the first pass ends the sampling. Quality
    is that of the uniform budget with as many draws at most."""
    resamples = Resamples.of(samples.group[found.rows], seed)
    spent = sequential_draws(curves)[found.rows]
    return [
        {
            "at_most": cap,
            **_told("quality", resamples.interval(curves[found.rows, cap])),
            "draws": _told("mean", resamples.interval(spent[:, cap - 1])),
        }
        for cap in SHOWN
        if cap < curves.shape[1]
    ]


def _told(name: str, found: Interval) -> dict[str, float]:
    return {name: found.mean, "low": found.low, "high": found.high}
