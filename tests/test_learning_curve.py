"""The learning curve's bounds: a perfect judge of the answers that it pays for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_grid import COSTS, planted_grid

from benchmarks.learning_curve import COLUMNS, judged, oracle_row, row
from router.estimate import Estimate
from router.features import Extractor
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import question_groups, split_parts
from training.evaluation.stacked import of_quality
from training.evaluation.tested import Tested as Results  # no test class


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


def test_a_row_tells_all_that_its_columns_name(tmp_path: Path) -> None:
    """As many cells as columns, of the bounds too; the mean of each arm is a calibrated thing to say."""
    grid = planted_grid(tmp_path)
    group = question_groups(grid)
    parts = split_parts(grid, group, 0)
    cost = np.array([COSTS[arm] for arm in grid.arms])
    means = [of_quality(np.tile(grid.reward[rows].mean(axis=0), (len(rows), 1)), cost)
             for rows in (parts[0].train, parts[0].test)]  # fmt: skip
    told = row(Corpus.of(grid, group, Extractor.of()), parts, [(means[0], means[1])], None, 0)
    cells = dict(zip(COLUMNS, told.strip("| ").split(" | "), strict=True))
    assert cells["labels"] == str(len(parts[0].train))
    assert float(cells["calibration error, pooled"].split()[0]) < 0.1
    assert float(cells["the worst arm's"].split()[0]) < 0.2
    bound = oracle_row(Results.of(grid, parts, group, 0)).strip("| ").split(" | ")
    assert len(bound) == len(COLUMNS)
