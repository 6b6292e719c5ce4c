"""What is compared: success, tokens, cost and latency per way of answering, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from effortwise.demonstration.client import Attempt
from router.estimate import FloatArray
from training.simulate import Replayed

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % percentile bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """One way of answering the same tasks. success: share right; tokens: per task, prompt and
    completion; cost: USD per 1,000 tasks; latency: seconds per task. live: served, not replayed."""

    name: str
    live: bool
    success: Interval
    tokens: float
    cost: Interval
    latency_s: float


def bootstrap(values: FloatArray, seed: int = 0) -> Interval:
    """The mean over tasks and its interval; values: shape (tasks,)."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def live_row(name: str, attempts: Sequence[Attempt]) -> Row:
    """The row of a policy that was served."""
    cost = np.array([1000 * attempt.cost_usd for attempt in attempts])
    return Row(
        name,
        True,
        bootstrap(np.array([attempt.success for attempt in attempts])),
        float(np.mean([attempt.tokens for attempt in attempts])),
        bootstrap(cost),
        float(np.mean([attempt.latency_s for attempt in attempts])),
    )


def replayed_row(name: str, replays: Sequence[Replayed]) -> Row:
    """The row of replays, each task's repeats averaged first, so that the interval is over tasks."""
    tasks: dict[str, list[Replayed]] = {}
    for replay in replays:
        tasks.setdefault(replay.query_id, []).append(replay)
    mean = _per_task(tasks)
    return Row(
        name,
        False,
        bootstrap(mean[:, 0]),
        float(mean[:, 1].mean()),
        bootstrap(1000 * mean[:, 2]),
        float(mean[:, 3].mean()),
    )


def _per_task(tasks: Mapping[str, Sequence[Replayed]]) -> FloatArray:
    """Shape (tasks, 4): success, tokens, USD, seconds."""
    return np.array(
        [
            np.mean([(r.score, r.usage.total_tokens, r.usage.cost_usd, r.latency_s) for r in repeats], axis=0)
            for repeats in tasks.values()
        ]
    )
