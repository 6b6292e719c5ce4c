"""Deviations: how strong shared and own weights may be, chosen by the loss out of fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.design import IntArray
from training.folds import folds
from training.multitask import Deviations, Multitask
from training.table import Table

VARIANCES = (0.02, 0.06, 0.2, 0.6, 2.0, 6.0, 20.0, 60.0)
START = 3
"""Where in ``VARIANCES`` the search begins."""
SELECTION_ROUNDS = 12_000
SELECTION_FOLDS = 3
"""The choice is made on no more rounds and folds than these, the judged ones first."""

APART = ((0, 1), (0, -1), (1, 0), (-1, 0))
"""Steps: first what is own is made stronger or weaker while that helps, then what is shared."""
TOGETHER = ((1, 1), (-1, -1))
"""Both at once."""

Place = tuple[int, int]


def best_deviations(
    problem: Multitask, table: Table, seed: int, steps: Sequence[Place] = APART
) -> Deviations:
    """Those of the least loss out of fold, of what a climb over ``VARIANCES`` meets."""
    if len(table) > SELECTION_ROUNDS:
        drawn = np.random.default_rng(seed).permutation(len(table))
        judged = table.judging[drawn] > 0
        rows = np.concatenate((drawn[judged], drawn[~judged]))[:SELECTION_ROUNDS]
        problem, table = problem.take(rows), table.take(rows)
    held = folds(table.group, seed)
    losses: dict[Place, float] = {}

    def loss(place: Place) -> float:
        if place not in losses:
            losses[place] = _loss_out_of_fold(problem, table, held, _deviations(place))
        return losses[place]

    place = START, START
    for step in steps:
        ahead = place[0] + step[0], place[1] + step[1]
        while min(ahead) >= 0 and max(ahead) < len(VARIANCES) and loss(ahead) < loss(place):
            place, ahead = ahead, (ahead[0] + step[0], ahead[1] + step[1])
    return _deviations(place)


def _deviations(place: Place) -> Deviations:
    shared, own = (VARIANCES[i] ** 0.5 for i in place)
    return Deviations(shared, own)


def _loss_out_of_fold(problem: Multitask, table: Table, held: IntArray, deviations: Deviations) -> float:
    total = 0.0
    for fold in range(min(int(held.max(initial=0)) + 1, SELECTION_FOLDS)):
        rows = held == fold
        part = problem.solve(np.where(rows, 0.0, table.weight), deviations)
        losses, _ = problem.loss(problem.predictor(part)[rows], problem.target[rows])
        total += float(table.judging[rows] @ losses)
    return total
