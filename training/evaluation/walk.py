"""Walk: queries on their way through a cascade, with what is known and what would be got at every stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router.estimate import FloatArray
from router.price import Price
from router.run import net_worth
from training.evaluation.grid import IntArray
from training.evaluation.sheet import Sheet
from training.fit.consensus import ConsensusFit
from training.simulate import Replayed


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """Arrays over n queries and k stages.

    reward, cost_usd, shape (n, k): of stopping after each stage, all calls up to it paid. gain, ahead_usd,
    shape (n, k, k): from one stage on to after a later one, how much likelier the best answer becomes to
    be right, and the expected cost; a gain of -inf where that is not possible. sure, shape (n, k): P(the
    best answer is right).
    """

    reward: FloatArray
    cost_usd: FloatArray
    gain: FloatArray
    ahead_usd: FloatArray
    sure: FloatArray

    def stage(self, price: Price) -> IntArray:
        """Where the cascade stops each query, shape (n,): where going on to no later stage is worth its
        price, as ``Cascade`` does."""
        with np.errstate(invalid="ignore"):
            worth = net_worth(self.gain, self.ahead_usd, price)
        stops = ~(worth > 0).any(axis=2)
        return np.asarray(stops.argmax(axis=1))


def fitted_walk(
    fit: ConsensusFit, sheet: Sheet, rows: IntArray, expected_usd: FloatArray, order: Sequence[int]
) -> Walk:
    """Of the rows that a consensus was fitted on, by what was told of each out of fold. expected_usd,
    shape (rows, m): each arm's predicted cost."""
    count = len(order)
    heard = [tuple(sorted(order[: t + 1])) for t in range(count)]
    stands = [fit.stands[group] for group in heard]
    shape = (len(rows), count, count)
    gain, ahead = np.full(shape, -np.inf), np.zeros(shape)
    for t in range(count):
        for u in range(t + 1, count):
            further = tuple(sorted(order[t + 1 : u + 1]))
            gain[:, t, u] = fit.foresights[heard[t], further].out_of_fold
            ahead[:, t, u] = expected_usd[:, list(further)].sum(axis=1)
    return Walk(
        np.column_stack([stand.right for stand in stands]),
        sheet.cost_usd[rows][:, list(order)].cumsum(axis=1),
        gain,
        ahead,
        np.column_stack([stand.first for stand in stands]),
    )


def replayed_walk(replayed: Sequence[Replayed], arms: Sequence[str]) -> Walk:
    """Of replays of a cascade over these arms at a price of 0, where none stops before it would stop at
    any other; after the stop nothing changes any more."""
    parts = [_one(each, arms) for each in replayed]
    return Walk(*(np.stack(arrays) for arrays in zip(*parts, strict=True)))


def _one(replayed: Replayed, arms: Sequence[str]) -> tuple[FloatArray, ...]:
    count, reached = len(arms), len(replayed.draws)
    gain, ahead = np.full((count, count), -np.inf), np.zeros((count, count))
    sure = np.zeros(count)
    leader = np.zeros(count, np.int64)
    for t, step in enumerate(replayed.steps):
        sure[t], leader[t] = step.numbers["probability"], int(step.numbers["leader"])
        for u in range(t + 1, count):
            gain[t, u], ahead[t, u] = _ahead(step.numbers, arms[u])
    score = np.array([draw.score for draw in replayed.draws])
    spent = np.cumsum([draw.cost_usd or 0.0 for draw in replayed.draws])
    at = np.minimum(np.arange(count), reached - 1)
    return score[leader[at]], spent[at], gain, ahead, sure[at]


def _ahead(numbers: Mapping[str, float], arm: str) -> tuple[float, float]:
    return numbers[f"gain:{arm}"], numbers[f"cost_usd:{arm}"]
