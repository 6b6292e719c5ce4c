"""Evaluation: a predictor on rounds it has not seen, against the constant one and as a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from router.estimate import Estimate, FloatArray
from router.predictors import DifficultyPredictor
from training.measures import auroc, brier, calibration_error, log_losses, mean_interval
from training.off_policy import Logged, Value, doubly_robust, snips
from training.rounds import Round
from training.table import IntArray, Table


def evaluate(
    difficulty: DifficultyPredictor,
    constant: DifficultyPredictor,
    table: Table,
    rounds: Sequence[Round],
    seed: int = 0,
) -> dict[str, Any]:
    """Plain values for a manifest, of a table and its rounds: ``pooled`` and ``constant`` (log loss, Brier
    score, AUROC, calibration error), ``gain`` (the constant's log loss less the predictor's, with a
    bootstrap interval over groups: above 0 is better), ``arms`` (the same by arm), ``spending``
    (relative error of predicted means), and ``value`` of the greedy policy, ``None`` without odds."""
    estimates = estimates_by_round(difficulty, table)
    quality = _of_arms(estimates.quality, table)
    bar = _of_arms(estimates_by_round(constant, table).quality, table)
    gain = log_losses(bar, table.reward) - log_losses(quality, table.reward)
    return {
        "rounds": len(table),
        "questions": len(np.unique(table.group)),
        "pooled": _measures(quality, table.reward),
        "constant": _measures(bar, table.reward),
        "gain": dict(zip(("mean", "low", "high"), mean_interval(gain, table.group, seed), strict=True)),
        "arms": _by_arm(quality, table),
        "spending": _spending(estimates, table),
        "value": greedy_value(estimates, rounds, table),
    }


def estimates_by_round(difficulty: DifficultyPredictor, table: Table) -> Estimate:
    """The estimate of each round's query; arrays of shape (rounds, arms)."""
    seen, place = np.unique(table.query, return_inverse=True)
    estimates = difficulty.estimates(table.features.take(seen))
    return Estimate(**{item.name: getattr(estimates, item.name)[place] for item in fields(Estimate)})


def _of_arms(values: FloatArray, table: Table) -> FloatArray:
    """Each round's value for its own arm, shape (rounds,)."""
    return np.asarray(values[np.arange(len(table)), table.arm])


def _measures(quality: FloatArray, reward: FloatArray) -> dict[str, float | None]:
    return {
        "log_loss": float(log_losses(quality, reward).mean()),
        "brier": brier(quality, reward),
        "auroc": auroc(quality, reward),
        "calibration_error": calibration_error(quality, reward),
        "mean_quality": float(quality.mean()),
        "mean_reward": float(reward.mean()),
    }


def _by_arm(quality: FloatArray, table: Table) -> dict[str, dict[str, Any]]:
    measured = {}
    for arm in np.unique(table.arm):
        mine = table.arm == arm
        measures = _measures(quality[mine], table.reward[mine])
        measured[table.menu.arms[arm].id] = {"rounds": int(mine.sum()), **measures}
    return measured


def _spending(estimates: Estimate, table: Table) -> dict[str, float | None]:
    """Predicted over actual totals less one, and the share of rounds below the predicted quantile."""
    cost, latency = table.cost_usd, table.latency_s
    return {
        "cost_error": _relative(_of_arms(estimates.cost_usd, table), cost),
        "cost_q90_coverage": _coverage(_of_arms(estimates.cost_usd_q90, table), cost),
        "latency_error": _relative(_of_arms(estimates.latency_s, table), latency),
        "latency_q95_coverage": _coverage(_of_arms(estimates.latency_s_q95, table), latency),
    }


def _relative(predicted: FloatArray, actual: FloatArray) -> float | None:
    known = ~np.isnan(actual)
    total = float(actual[known].sum())
    return float(predicted[known].sum()) / total - 1 if total > 0 else None


def _coverage(predicted: FloatArray, actual: FloatArray) -> float | None:
    known = ~np.isnan(actual)
    return float(np.mean(actual[known] <= predicted[known] + 1e-12)) if known.any() else None


def greedy_value(estimates: Estimate, rounds: Sequence[Round], table: Table) -> dict[str, Any] | None:
    """Off-policy value of taking, at each round's own prices, the arm of the greatest predicted utility
    among those that could be drawn there; of the rounds with known odds, against ``logged``, what those
    rounds earned. ``None`` where there are none."""
    usable = [i for i, r in enumerate(rounds) if r.propensities is not None and r.propensity]
    if not usable:
        return None
    picked = [_greedy_arm(_one(estimates, i), rounds[i]) for i in usable]
    arm = table.arm[usable]
    propensity = np.array([rounds[i].propensity for i in usable], np.float64)
    target = (np.array(picked) == arm).astype(np.float64)
    group = table.group[usable]
    logged = Logged(table.reward[usable], propensity, target, group)
    predicted, predicted_target = estimates.quality[usable, arm], estimates.quality[usable, picked]
    return {
        "logged": _plain(Value.of(logged.reward, np.ones(len(usable)), group)),
        "snips": _plain(snips(logged)),
        "doubly_robust": _plain(doubly_robust(logged, predicted, predicted_target)),
        "cost_usd": _cost(table.cost_usd[usable], propensity, target, group),
    }


def _plain(value: Value) -> dict[str, float | None]:
    """JSON knows no infinity."""
    return {name: number if np.isfinite(number) else None for name, number in asdict(value).items()}


def _one(estimates: Estimate, i: int) -> Estimate:
    return Estimate(**{item.name: getattr(estimates, item.name)[i] for item in fields(Estimate)})


def _greedy_arm(estimate: Estimate, r: Round) -> int:
    drawable = np.array(r.propensities) > 0
    return int(np.where(drawable, r.price.utility(estimate, r.stakes), -np.inf).argmax())


def _cost(
    cost_usd: FloatArray, propensity: FloatArray, target: FloatArray, group: IntArray
) -> dict[str, Any] | None:
    known = ~np.isnan(cost_usd)
    if not known.any():
        return None
    logged = Logged(cost_usd[known], propensity[known], target[known], group[known])
    return {"logged": float(cost_usd[known].mean()), "snips": _plain(snips(logged))}
