"""APGR and CPT: the measures of a choice between two models, as RouteLLM's evaluation defines them.

Thresholds stand at the deciles of the score; a query goes to the strong model where its score is at least
the threshold, at the highest one above it. APGR: the area under quality over the share of strong calls, by
trapezoids, less the weak model's, over what the strong model's has more [Ong et al. 2024]. CPT(x): the
share of strong calls at which x of the gap in quality is recovered, by linear interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.integrate import trapezoid

from router.estimate import FloatArray
from training.evaluation.grid import BoolArray

BINS = 10
LEVELS = (20, 50, 80)


@dataclass(frozen=True, slots=True, eq=False)
class Thresholds:
    """strong, shape (queries, thresholds): whether the query goes to the strong model."""

    strong: BoolArray

    @classmethod
    def of(cls, gap: FloatArray) -> Thresholds:
        """Of the scores of all queries, shape (queries,)."""
        cuts = np.unique(np.quantile(gap, np.linspace(0, 1, BINS + 1)))
        strong = gap[:, None] >= cuts
        strong[:, -1] = gap > cuts[-1]
        return cls(strong)

    def got(self, weak: FloatArray, strong: FloatArray) -> FloatArray:
        """Each threshold's reward, shape (queries, thresholds)."""
        return np.where(self.strong, strong[:, None], weak[:, None])


def apgr(share: FloatArray, quality: FloatArray, weak: FloatArray, strong: FloatArray) -> FloatArray:
    """share, quality: shape (..., thresholds), at falling shares; weak, strong: the models' own
    qualities, shape (...)."""
    share, quality = share[..., ::-1], quality[..., ::-1]
    width = share[..., -1] - share[..., 0]
    area = trapezoid(quality, share, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        recovered: FloatArray = (area - weak * width) / ((strong - weak) * width)
    return recovered


def cpt(share: FloatArray, quality: FloatArray, weak: float, strong: float) -> dict[str, float]:
    """By level in percent; shares and qualities of shape (thresholds,), at falling shares."""
    order = np.argsort(share, kind="stable")
    return {
        str(level): float(np.interp(weak + level / 100 * (strong - weak), quality[order], share[order]))
        for level in LEVELS
    }
