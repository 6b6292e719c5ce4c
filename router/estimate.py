"""Estimate: what a predictor says of one query, a row per arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Predictions for one query; each array has shape (arms,), in the menu's order.

    quality: calibrated P(success). quality_sd: standard deviation of that probability's own
    uncertainty (what Thompson sampling draws from). cost_usd, cost_usd_q90: mean and 0.9 quantile,
    USD. latency_s, latency_s_q95: mean and 0.95 quantile, seconds.
    """

    quality: FloatArray
    quality_sd: FloatArray
    cost_usd: FloatArray
    cost_usd_q90: FloatArray
    latency_s: FloatArray
    latency_s_q95: FloatArray

    def of(self, i: int) -> Estimate:
        """One query's, where the arrays have shape (queries, arms)."""
        return Estimate(
            self.quality[i],
            self.quality_sd[i],
            self.cost_usd[i],
            self.cost_usd_q90[i],
            self.latency_s[i],
            self.latency_s_q95[i],
        )
