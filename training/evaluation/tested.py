"""Tested: the tested queries of all parts together, and the arms' own results on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from router.estimate import FloatArray
from training.evaluation.crossfit import Part
from training.evaluation.decisions import Outcome
from training.evaluation.frontier import best_single, cheapest, single
from training.evaluation.grid import Grid, IntArray
from training.evaluation.resampling import Resamples


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """rows: of the grid, that any part tests. best, cheapest: what the arm chosen on each part's
    training queries makes of its tested ones, the passes averaged by query. unit, shape (queries of the
    grid,): the number of what each belongs to, its question, or the task or domain that is left out with it;
    queries of one are drawn together."""

    grid: Grid
    parts: tuple[Part, ...]
    rows: IntArray
    unit: IntArray
    resamples: Resamples
    best: Outcome
    cheapest: Outcome

    @classmethod
    def of(cls, grid: Grid, parts: Sequence[Part], unit: IntArray, seed: int) -> Tested:
        """See the class."""
        rows = np.unique(np.concatenate([part.test for part in parts]))
        best = [single(grid, part.test, best_single(grid, part.train)) for part in parts]
        least = [single(grid, part.test, cheapest(grid, part.train)) for part in parts]
        return cls(
            grid,
            tuple(parts),
            rows,
            unit,
            Resamples.of(unit[rows], seed),
            pooled_outcome(parts, best, rows),
            pooled_outcome(parts, least, rows),
        )

    @property
    def reward(self) -> FloatArray:
        """Of every arm, shape (queries, arms)."""
        return self.grid.reward[self.rows]

    @property
    def cost_usd(self) -> FloatArray:
        """Of every arm, shape (queries, arms)."""
        return self.grid.cost_usd[self.rows]

    @property
    def training_queries(self) -> int:
        """Of a part, on average."""
        return round(float(np.mean([len(part.train) for part in self.parts])))


def pooled(parts: Sequence[Part], values: Sequence[FloatArray], rows: IntArray) -> FloatArray:
    """Each tested query's mean over the passes, of values of shape (..., a part's tested queries); shape
    (..., rows)."""
    size = int(rows.max()) + 1
    total, times = np.zeros((*values[0].shape[:-1], size)), np.zeros(size)
    for part, of_part in zip(parts, values, strict=True):
        total[..., part.test] += of_part
        times[part.test] += 1
    found: FloatArray = total[..., rows] / times[rows]
    return found


def pooled_outcome(parts: Sequence[Part], outcomes: Sequence[Outcome], rows: IntArray) -> Outcome:
    """The outcome over all parts."""
    return Outcome(
        *(
            pooled(parts, [getattr(outcome, item.name) for outcome in outcomes], rows)
            for item in fields(Outcome)
        )
    )
