"""Two models: the measures of a report that only a choice between two has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from router.estimate import FloatArray
from training.evaluation.apgr import LEVELS, Thresholds, apgr, cpt
from training.evaluation.crossfit import Part
from training.evaluation.decisions import Routed
from training.evaluation.resampling import interval
from training.evaluation.tested import Tested, pooled


def two_models(tested: Tested, routed: Sequence[Routed]) -> dict[str, Any]:
    """APGR with its interval, and CPT: of each pass over the queries, then averaged. None of them without
    a score, which only two models have."""
    gaps = [each.gap for each in routed]
    if any(gap is None for gap in gaps):
        return {"apgr": None, "apgr_interval": None, "cpt": {str(level): None for level in LEVELS}}
    passes = [_one_pass(tested, routed, repeat) for repeat in sorted({r.part.repeat for r in routed})]
    found = interval(
        float(np.mean([each[0] for each in passes])), np.mean([each[1] for each in passes], axis=0)
    )
    levels = {level: float(np.mean([each[2][level] for each in passes])) for level in passes[0][2]}
    return {
        "apgr": found.mean,
        "apgr_interval": {"low": found.low, "high": found.high},
        "cpt": levels,
    }


def _one_pass(
    tested: Tested, routed: Sequence[Routed], repeat: int
) -> tuple[float, FloatArray, dict[str, float]]:
    """APGR, its resamples and CPT of one pass over the queries."""
    mine = [each for each in routed if each.part.repeat == repeat]
    parts = [each.part for each in mine]
    weak_arm, strong_arm = _ranked(tested, tested.parts[0])
    gaps = [(each.gap, _ranked(tested, each.part)[0] == weak_arm) for each in mine]
    gap = pooled(parts, [g if alike else -g for g, alike in gaps if g is not None], tested.rows)
    weak, strong = tested.reward[:, weak_arm], tested.reward[:, strong_arm]
    thresholds = Thresholds.of(gap)
    got, share = thresholds.got(weak, strong), thresholds.strong.astype(np.float64)
    means = tested.resamples.means
    resampled = apgr(means(share), means(got), means(weak), means(strong))
    whole = apgr(share.mean(axis=0), got.mean(axis=0), weak.mean(), strong.mean())
    recovered = cpt(share.mean(axis=0), got.mean(axis=0), float(weak.mean()), float(strong.mean()))
    return float(whole), resampled, recovered


def _ranked(tested: Tested, part: Part) -> tuple[int, int]:
    """The weak and the strong arm, by a part's training queries: two that are nearly alike may change places
    from part to part."""
    weak, strong = tested.grid.reward[part.train].mean(axis=0).argsort(kind="stable")
    return int(weak), int(strong)
