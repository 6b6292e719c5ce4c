"""Answer-aware: a comparison's further router, which asks cheap arms first and looks at what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from router.behaviour import Likeness
from router.errors import InvalidQuery
from router.estimate import FloatArray
from router.price import Price
from training.evaluation.cascades import AnswerAware, answer_aware
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import Part
from training.evaluation.grid import CORRECT_AT, Grid, IntArray
from training.evaluation.learners import Estimates
from training.evaluation.resampling import Interval, interval
from training.evaluation.sheet import Sheet
from training.evaluation.staged import Order
from training.evaluation.tested import Tested, pooled
from training.measures import auroc

NAME = "answers"


@dataclass(frozen=True, slots=True)
class Answers:
    """Called by ``compare``. order: names of the arms to ask, in order; without it one is learnt.
    correct_at: the score from which a draw is correct. likeness: tells which answers say the same in other
    letters."""

    order: tuple[str, ...] | None = None
    correct_at: float = CORRECT_AT
    likeness: Likeness | None = None

    def __call__(
        self, corpus: Corpus, parts: Sequence[Part], estimated: Sequence[Estimates], seed: int
    ) -> Mapping[str, Sequence[AnswerAware]]:
        """The cascade on every part, by the router's name. estimated: what is told of the part's queries
        before any token."""
        grid = corpus.grid
        check_answers(grid)
        sheet = Sheet.of(grid, self.correct_at, self.likeness)
        given = None if self.order is None else positions(grid, self.order)
        return {
            NAME: [
                answer_aware(grid, sheet, part, *estimates, seed=seed, given=given)
                for part, estimates in zip(parts, estimated, strict=True)
            ]
        }


def check_answers(grid: Grid) -> None:
    """``InvalidQuery`` where the file holds neither answers nor responses."""
    for row in grid.draws:
        if any(draw.answer is not None or draw.response is not None for cell in row for draw in cell):
            return
    raise InvalidQuery(
        f"--answers: {grid.dataset} holds neither answers nor responses, so there is nothing to look at."
    )


def positions(grid: Grid, order: Sequence[str]) -> Order:
    """The numbers of named arms; ``InvalidQuery`` where one is unknown, named twice, or the only one."""
    unknown = [name for name in order if name not in grid.arms]
    if unknown:
        raise InvalidQuery(f"--answers: {unknown[0]!r} is no arm of the pool: {', '.join(grid.arms)}.")
    if len(set(order)) < len(order) or len(order) < 2:
        raise InvalidQuery("--answers takes two or more different arms, in the order in which to ask them.")
    return tuple(grid.arms.index(name) for name in order)


def told_cascade(section: Mapping[str, Any], tested: Tested, seen: Sequence[AnswerAware]) -> dict[str, Any]:
    """What a report's section of a cascade says on top: of every operating point that goes by a price, the
    order in which each part asks the arms there and the share of queries that go straight to one; and how
    well a wrong first answer is told."""
    points = {
        name: {
            **point,
            "orders": _orders(point["prices_per_usd"], tested.grid, seen),
            "further_orders": _orders(point["further_per_usd"], tested.grid, seen),
            "straight": _straight(point["prices_per_usd"], point["rules"], seen),
        }
        for name, point in section.items()
        if isinstance(point, Mapping) and "prices_per_usd" in point
    }
    found = wrong_auroc(tested, seen)
    told = None if found is None else {"auroc": found.mean, "low": found.low, "high": found.high}
    return {**points, "first_answer_wrong": told}


def _orders(
    prices: Sequence[float | None], grid: Grid, seen: Sequence[AnswerAware]
) -> list[list[str] | None]:
    """Null where there is no price, since best single or a rule answers, or one price serves all."""
    return [
        None if price is None else [grid.arms[j] for j in each.order_at(Price(price))]
        for price, each in zip(prices, seen, strict=True)
    ]


def _straight(
    prices: Sequence[float | None],
    rules: Sequence[Mapping[str, Any] | None],
    seen: Sequence[AnswerAware],
) -> list[float]:
    """One where best single answers, none where a rule does."""
    return [
        float(rule is None) if price is None else each.straight_at(Price(price))
        for price, rule, each in zip(prices, rules, seen, strict=True)
    ]


def wrong_auroc(tested: Tested, seen: Sequence[AnswerAware]) -> Interval | None:
    """How well "the first arm's answer is wrong" is told once it was seen: the area under the curve, over
    the tested queries, the mean over passes, with its interval. None where the parts begin with different
    arms, or all answers are alike."""
    first = {each.order[0] for each in seen}
    passes = sorted({each.part.repeat for each in seen})
    wrong = 1 - tested.reward[:, first.pop()] if len(first) == 1 else np.zeros(0)
    doubts = [_doubt(tested, [each for each in seen if each.part.repeat == one]) for one in passes]
    found = [auroc(doubt, wrong) for doubt in doubts] if len(wrong) else [None]
    if any(each is None for each in found):
        return None
    resampled = np.mean([_weighted_auroc(doubt, wrong, _weights(tested)) for doubt in doubts], axis=0)
    return interval(float(np.mean(np.array(found, np.float64))), resampled)


def _doubt(tested: Tested, seen: Sequence[AnswerAware]) -> FloatArray:
    parts = [each.part for each in seen]
    return 1 - pooled(parts, [each.sure for each in seen], tested.rows)


def _weights(tested: Tested) -> FloatArray:
    """How often each tested query stands in each resample, shape (resamples, queries)."""
    return tested.resamples.counts[:, tested.resamples.member]


def _weighted_auroc(score: FloatArray, positive: FloatArray, weights: FloatArray) -> FloatArray:
    """Of each row of weights, shape (resamples,); ties count half."""
    _, place = np.unique(score, return_inverse=True)
    ups = _by_place(weights * (positive >= 0.5), place)
    downs = _by_place(weights * (positive < 0.5), place)
    below = np.cumsum(downs, axis=1) - downs / 2
    pairs = np.maximum(ups.sum(axis=1) * downs.sum(axis=1), 1e-12)
    found: FloatArray = (ups * below).sum(axis=1) / pairs
    return found


def _by_place(values: FloatArray, place: IntArray) -> FloatArray:
    sums = np.zeros((int(place.max()) + 1, len(values)))
    np.add.at(sums, place, values.T)
    return sums.T
