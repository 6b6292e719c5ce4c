"""Vote paths: what the vote says after each draw, in random orders of the recorded draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.estimate import FloatArray
from training.evaluation.grid import IntArray
from training.sampling.samples import Series

ORDERS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Of every series and order: answers, nested lists (series, orders, draws); right, shape (series,
    orders, draws): whether the answer chosen after that many draws is right."""

    answers: Sequence[Sequence[Sequence[str | None]]]
    right: FloatArray

    @property
    def draws(self) -> int:
        """Draws of each path."""
        return int(self.right.shape[2])

    def take(self, rows: IntArray) -> Paths:
        """Those of some of the series."""
        return Paths([self.answers[int(i)] for i in rows], self.right[rows])

    def right_at(self, drawn: IntArray) -> FloatArray:
        """Whether the vote is right after the numbers of draws (series, orders), in that shape."""
        picked: FloatArray = np.take_along_axis(self.right, (drawn - 1)[:, :, None], axis=2)[:, :, 0]
        return picked


def vote_paths(series: Sequence[Series], draws: int, seed: int, orders: int = ORDERS) -> Paths:
    """Paths of the first ``draws`` of ``orders`` random orders. A series' orders depend on the seed and its
    place alone, so that a filter changes the votes and not the orders."""
    shuffled = [random_orders(place, len(each), seed, orders)[:, :draws] for place, each in enumerate(series)]
    answers = [
        [[each.answers[i] for i in order] for order in some]
        for each, some in zip(series, shuffled, strict=True)
    ]
    right = [[_right(each, order) for order in some] for each, some in zip(series, shuffled, strict=True)]
    return Paths(answers, np.array(right, np.float64))


def random_orders(place: int, draws: int, seed: int, orders: int) -> IntArray:
    """Shape (orders, draws): permutations of a series' draws."""
    rng = np.random.default_rng((seed, place))
    return np.stack([rng.permutation(draws) for _ in range(orders)])


def _right(series: Series, order: IntArray) -> list[float]:
    """Whether the chosen draw is right after each draw: the first one of the leading answer, of equal
    ones the earliest [``router/vote.py``, step by step]."""
    votes: dict[str, int] = {}
    first: dict[str, int] = {}
    right = []
    for i in order:
        answer = series.answers[int(i)]
        if answer is not None:
            first.setdefault(answer, int(i))
            votes[answer] = votes.get(answer, 0) + 1
        leader = first[max(votes, key=votes.__getitem__)] if votes else int(order[0])
        right.append(float(series.correct[leader]))
    return right
