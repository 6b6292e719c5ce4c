"""Stacked estimates: those of many queries as arrays of shape (queries, arms), and what is chosen by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from router.estimate import Estimate, FloatArray
from router.predictors import Estimator
from router.price import Price
from training.evaluation.grid import IntArray
from training.table import Features

NAMES = tuple(item.name for item in fields(Estimate))


def stacked(predictor: Estimator, features: Features, rows: IntArray) -> Estimate:
    """What a predictor says of some of the queries, in their order."""
    return predictor.estimates(features.take(rows))


def joined(estimates: Sequence[Estimate], order: IntArray) -> Estimate:
    """One estimate of several; order: where each of their rows, one after another, belongs."""
    back = np.argsort(order)
    return Estimate(
        **{name: np.concatenate([getattr(each, name) for each in estimates])[back] for name in NAMES}
    )


def of_quality(quality: FloatArray, cost_usd: FloatArray) -> Estimate:
    """An estimate that knows quality and mean costs only; both broadcast to (queries, arms)."""
    quality, cost = np.broadcast_arrays(quality, cost_usd)
    nothing = np.zeros_like(quality)
    return Estimate(quality, nothing, cost, cost, nothing, nothing)


def chosen(estimate: Estimate, price: Price) -> IntArray:
    """The arm that the policy ``greedy`` takes for each query, shape (queries,): the one of highest
    utility, of several such the cheapest, of these the first."""
    utility = price.utility(estimate, 1.0)
    best = utility == utility.max(axis=1, keepdims=True)
    picked: IntArray = np.where(best, estimate.cost_usd, np.inf).argmin(axis=1)
    return picked
