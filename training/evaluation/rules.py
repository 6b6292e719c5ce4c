"""Rules of agreement: cheap arms are asked, and the best one only where too few of them say the same.

A rule has nothing to learn but itself: on a few hundred questions the one that saves the most on training
queries loses less of it on others than what a cascade must estimate (agreement-based cascading, Kolawole et
al. 2024).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from router.confidence.agreement import Agreement
from router.price import Price
from router.replay import Recording
from router.strategies.agreement_cascade import AgreementCascade
from training.evaluation.decisions import Decisions, Fixed
from training.evaluation.grid import IntArray
from training.evaluation.sheet import Sheet
from training.evaluation.staged import Order, staged
from training.fit.heard import BoolArray
from training.simulate import Simulation

MOST_VOTERS = 4
"""More arms are not asked for their word."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The options of an ``AgreementCascade``. order: the arms that vote, as they are asked, and the one
    that is asked where they do not agree."""

    order: Order
    agree: int
    whose: str = "any"

    def told(self, arms: Sequence[str]) -> dict[str, Any]:
        """Its options by name."""
        return {"stages": [arms[j] for j in self.order], "agree": self.agree, "whose": self.whose}

    def decisions(self, sheet: Sheet, rows: IntArray) -> Decisions:
        """What comes of it, by arrays. Ways, of k arms that vote: an answer accepted after each of them; the
        last arm asked after each of them."""
        *voters, last = self.order
        right, cost_usd = sheet.heard.right[rows], sheet.cost_usd[rows]
        leading, decided = self._votes(sheet, rows)
        spent = cost_usd[:, voters].cumsum(axis=1)
        accepted = np.take_along_axis(right[:, voters], leading, axis=1)
        asked = np.repeat(right[:, [last]], len(voters), axis=1)
        return Decisions(
            np.hstack((accepted, asked)),
            np.hstack((spent, spent + cost_usd[:, [last]])),
            lambda _: decided,
        )

    def _votes(self, sheet: Sheet, rows: IntArray) -> tuple[IntArray, IntArray]:
        """After each vote, the place of the one whose answer leads, shape (rows, k); and the way of each
        query, shape (rows,)."""
        voters = list(self.order[:-1])
        count = len(voters)
        said = _same(sheet, rows, voters).cumsum(axis=2)  # by whose answer, and after how many votes
        heard = np.triu(np.ones((count, count), np.bool_))
        words = np.where(heard, said, -1)
        if self.whose == "first":
            words[:, 1:] = -1
        leading = count - 1 - words[:, ::-1].argmax(axis=1)  # of equal ones the last
        most = words.max(axis=1)
        agreed, may_agree = most >= self.agree, most + np.arange(count)[::-1] >= self.agree
        after = (agreed | ~may_agree).argmax(axis=1)
        accepts = agreed[np.arange(len(rows)), after]
        return leading, np.where(accepts, after, count + after)

    def replayed(self, sheet: Sheet, rows: IntArray) -> IntArray:
        """The ways that the served strategy goes over the recorded answers, shape (rows,)."""
        arm = staged(
            [sheet.arms[j] for j in self.order],
            lambda stages: AgreementCascade(stages, self.agree, self.whose),
        )
        recording = Recording.of(sheet.draws(rows, self.order))
        found = Simulation(recording, Agreement(), likeness=sheet.likeness).replay(
            [(sheet.queries[i], arm) for i in rows]
        )
        count = len(self.order) - 1
        return np.array(
            [len(each.steps) - 1 + (0 if each.steps[-1].decision == "stop" else count) for each in found]
        )


def fixed_rules(sheet: Sheet, train: IntArray, test: IntArray, order: Order) -> list[Fixed]:
    """All rules over some arms, by rising cost, with what the training queries promise of each."""

    def fixed(rule: Rule) -> Fixed:
        promised = rule.decisions(sheet, train).at(Price())
        return Fixed(
            rule.told(sheet.arms),
            float(promised.reward.mean()),
            float(promised.cost_usd.mean()),
            lambda: rule.decisions(sheet, test).taken(rule.replayed(sheet, test)),
        )

    return [fixed(rule) for rule in rules(sheet, train, order)]


def rules(sheet: Sheet, rows: IntArray, order: Order) -> Iterator[Rule]:
    """Every selection of two to ``MOST_VOTERS`` of the arms that cost less than the best one, which is asked
    where they do not agree; they are asked by rising cost, or, where only words for it count, the best of
    them first."""
    quality, cost = sheet.heard.right[rows].mean(axis=0), sheet.cost_usd[rows].mean(axis=0)
    best = max(order, key=lambda j: quality[j])
    cheaper = [j for j in order if cost[j] < cost[best]]
    for size in range(2, min(len(cheaper), MOST_VOTERS) + 1):
        for voters in itertools.combinations(cheaper, size):
            first = max(voters, key=lambda j: quality[j])
            behind = (first, *(j for j in voters if j != first))
            for agree in range(2, size + 1):
                yield Rule((*voters, best), agree)
                if agree < size:
                    yield Rule((*behind, best), agree, "first")


def _same(sheet: Sheet, rows: IntArray, arms: Sequence[int]) -> BoolArray:
    """Whether two arms gave the same answer, shape (rows, arms, arms); where one gave none, not even with
    itself."""
    same = sheet.heard.same[rows][:, arms][:, :, arms]
    spoken = np.array([[sheet.recorded[i][j].answer is not None for j in arms] for i in rows])
    return np.asarray(same & (spoken | (same.sum(axis=2) > 1))[:, :, None])
