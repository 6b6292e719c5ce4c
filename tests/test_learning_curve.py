"""The learning curve's bounds: a perfect judge of the answers that it pays for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_grid import COSTS, planted_grid

from benchmarks.learning_curve import judged
from router.estimate import Estimate
from training.evaluation.crossfit import question_groups, split_parts
from training.evaluation.stacked import of_quality


def test_a_perfect_judge_pays_for_what_it_asks_and_stops_at_what_is_right(tmp_path: Path) -> None:
    """At no price it asks everyone, the best for its cost first, and fails only where all fail; at a high
    one it asks a single arm."""
    grid = planted_grid(tmp_path)
    (part,) = split_parts(grid, question_groups(grid), 0)
    cost = np.array([COSTS[arm] for arm in grid.arms])
    flat: Estimate = of_quality(np.full((len(part.test), 3), 0.5), cost)
    reward, spent = grid.reward[part.test], grid.cost_usd[part.test]
    quality, paid = judged(grid, part, flat, 0.0)
    assert quality == reward.max(axis=1).mean()
    order = [grid.arms.index(name) for name in ("cheap", "middle", "dear")]
    reached = np.cumsum(reward[:, order], axis=1) - reward[:, order] == 0
    assert paid == pytest.approx((spent[:, order] * reached).sum(axis=1).mean())
    quality, paid = judged(grid, part, flat, 1e9)
    assert quality == pytest.approx(reward[:, order[0]].mean())
    assert paid == pytest.approx(spent[:, order[0]].mean())
