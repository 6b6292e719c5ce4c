"""Stopping report: what stopping rules cost and keep, at equal filters, as plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from router.stopping import StoppingRule
from router.stopping.never import Never
from training.evaluation.crossfit import Part
from training.evaluation.resampling import Interval, Resamples
from training.fit.stopping import States
from training.sampling.replayed_votes import Vote, replay_vote
from training.sampling.samples import Samples
from training.sampling.stopping import (
    ADAPTIVE,
    ESC,
    Learnt,
    Stopped,
    Wanted,
    at_price,
    drawn_by,
    fewer,
    learn_stopping,
    learnt_rules,
    rivals,
    stopped,
)
from training.sampling.vote_paths import Paths, random_orders

FIXED = (1, 2, 4, 6, 8, 12, 16, 24, 32)
ALL = "all"
REPLAYED = 24
"""Series, with one order each, on which every learnt rule is replayed through the served strategy."""


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """The tested rows, their resamples, and what the two references did on them."""

    samples: Samples
    rows: Any
    resamples: Resamples
    adaptive: Stopped
    everything: Stopped


def stopping_section(
    samples: Samples, paths: Paths, parts: Sequence[Part], wanted: Wanted, seed: int
) -> dict[str, Any]:
    """All rules on the same series, orders and filter; ours cross-fitted."""
    names, arm = np.unique([each.arm for each in samples.series], return_inverse=True)
    states = States.of(paths, arm.astype(np.int64), samples.group)
    learnt = learn_stopping(paths, states, parts, len(names), wanted, seed)
    tested = paths.take(learnt.rows)
    rules = learnt_rules(paths, states, len(names), wanted, seed)
    return {
        "series": len(learnt.rows),
        "draws": paths.draws,
        **_rows(samples, tested, learnt, seed),
        "promoted": {at_price(price): share for price, share in learnt.promoted.items()},
        "rules": _told_rules(rules, [str(name) for name in names]),
        "replayed": _replayed(samples, paths, learnt, states, seed),
    }


def _rows(samples: Samples, tested: Paths, learnt: Learnt, seed: int) -> dict[str, Any]:
    tried = {name: [(at, stopped(rule, tested)) for at, rule in some] for name, some in rivals().items()}
    tried["fixed"] = [
        (float(k), stopped(Never(), tested, k)) for k in (*FIXED, tested.draws) if k <= tested.draws
    ]
    methods = {
        **{f"fixed_{int(k)}": found for k, found in tried["fixed"][:-1]},
        ALL: tried["fixed"][-1][1],
        "adaptive_consistency": dict(tried["adaptive_consistency"])[ADAPTIVE.stop_at],
        "esc": dict(tried["esc"])[float(ESC.window)],
        **{at_price(price): found for price, found in learnt.points.items()},
        **{fewer(times): found for times, found in learnt.fewer.items()},
    }
    resamples = Resamples.of(samples.group[learnt.rows], seed)
    compared = _Compared(samples, learnt.rows, resamples, methods["adaptive_consistency"], methods[ALL])
    tried["ours"] = list(learnt.frontier)
    return {
        "methods": {name: _method(compared, found) for name, found in methods.items()},
        "frontier": {
            name: [[at, float(f.drawn.mean()), float(f.right.mean())] for at, f in some]
            for name, some in tried.items()
        },
    }


def _method(compared: _Compared, found: Stopped) -> dict[str, Any]:
    interval = compared.resamples.interval
    return {
        "quality": _told(interval(found.right)),
        "draws": _told(interval(found.drawn)),
        "fewer_than_all": float(compared.everything.drawn.mean() / found.drawn.mean()),
        "loss_against_all": _told(interval(compared.everything.right - found.right)),
        "gain_on_adaptive_consistency": _told(interval(found.right - compared.adaptive.right)),
        "draws_against_adaptive_consistency": _told(interval(found.drawn - compared.adaptive.drawn)),
        **_spent(compared, found),
        "datasets": _by_dataset(compared, found),
    }


def _spent(compared: _Compared, found: Stopped) -> dict[str, float | None]:
    """Per query, from each series' own means per draw; ``None`` where a series does not tell."""
    some = [compared.samples.series[int(row)] for row in compared.rows]
    told: dict[str, float | None] = {}
    for name in ("cost_usd", "completion_tokens"):
        values = [getattr(each, name) for each in some]
        known = not any(value is None for value in values)
        told[name] = float(np.mean(np.array(values, np.float64) * found.drawn)) if known else None
    return told


def _by_dataset(compared: _Compared, found: Stopped) -> dict[str, dict[str, float]]:
    names = np.array([compared.samples.series[int(row)].dataset for row in compared.rows])
    return {
        str(name): {
            "series": int((names == name).sum()),
            "quality": float(found.right[names == name].mean()),
            "draws": float(found.drawn[names == name].mean()),
        }
        for name in np.unique(names)
    }


def _told_rules(
    rules: Mapping[str, Sequence[StoppingRule]], arms: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """What to write into ``[[menu]]``: by operating point and arm, ``stop`` and ``rule``."""
    return {
        point: {arm: _written(rule) for arm, rule in zip(arms, some, strict=True)}
        for point, some in rules.items()
    }


def _written(rule: StoppingRule) -> dict[str, Any]:
    return {"stop": rule.name, "rule": asdict(rule)}  # type: ignore[call-overload]  # rules are dataclasses


def _replayed(samples: Samples, paths: Paths, learnt: Learnt, states: States, seed: int) -> dict[str, int]:
    """How many votes were replayed through ``SelfConsistency``, and how many came out as computed here:
    the same draws, the same answer."""
    rng = np.random.default_rng(seed)
    equal = tried = 0
    for used in learnt.used[:2]:
        for row in rng.permutation(used.rows)[:REPLAYED].tolist():
            order = int(rng.integers(len(paths.answers[0])))
            answers = paths.answers[row][order]
            shuffled = random_orders(row, len(samples.series[row]), seed, order + 1)[order][: paths.draws]
            rule = used.rules[states.arm[row]]
            correct = [bool(samples.series[row].correct[i]) for i in shuffled]
            calls, score = replay_vote(Vote(rule, answers, correct))
            drawn = drawn_by(rule, answers, paths.draws)
            equal += calls == drawn and score == paths.right[row, order, drawn - 1]
            tried += 1
    return {"votes": tried, "equal": int(equal)}


def _told(found: Interval) -> dict[str, float]:
    return {"mean": found.mean, "low": found.low, "high": found.high}
