"""Rules of agreement: cheap arms are asked, and the best one only where too few of them say the same.

A rule has nothing to learn but itself: on a few hundred questions the one that saves the most on training
queries loses less of it on others than what a cascade must estimate (agreement-based cascading, Kolawole et
al. 2024).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from router.confidence.agreement import Agreement
from router.price import Price
from router.replay import Recording
from router.strategies.agreement_cascade import AgreementCascade
from training.evaluation.decisions import Decisions, Fixed, Outcome
from training.evaluation.grid import IntArray
from training.evaluation.sheet import Sheet
from training.evaluation.staged import Order, staged
from training.fit.heard import BoolArray
from training.simulate import Replayed, Simulation

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
        count = len(self.order) - 1
        words, possible = _words(sheet, rows, self.order[:-1])
        if self.whose == "first":
            words[:, 1:] = possible[:, 1:] = -1
        leading = count - 1 - words[:, ::-1].argmax(axis=1)  # of equal ones the last
        most, hope, left = words.max(axis=1), possible.max(axis=1), np.arange(count)[::-1]
        agreed, may_agree = most >= self.agree, hope + left >= self.agree
        if self.whose == "first":
            may_agree &= hope > 0
        after = (agreed | ~may_agree).argmax(axis=1)
        accepts = agreed[np.arange(len(rows)), after]
        return leading, np.where(accepts, after, count + after)

    def met(self, sheet: Sheet, rows: IntArray) -> Outcome:
        """What comes of it where the served strategy goes over the recorded answers; what its choices would
        have got, dealt at random, by the arrays."""
        arm = staged(
            [sheet.arms[j] for j in self.order],
            lambda stages: AgreementCascade(stages, self.agree, self.whose),
        )
        recording = Recording.of(sheet.draws(rows, self.order))
        simulation = Simulation(recording, Agreement(), likeness=sheet.likeness)
        found = simulation.replay([(sheet.queries[i], arm) for i in rows])
        dealt = self.decisions(sheet, rows).taken(self._ways(found))
        score = np.array([each.score for each in found])
        spent = np.array([sum(draw.cost_usd or 0.0 for draw in each.draws) for each in found])
        return replace(dealt, reward=score, cost_usd=spent)

    def _ways(self, replayed: Sequence[Replayed]) -> IntArray:
        """See ``decisions``: by how many votes there were, and whether the last of them was accepted."""
        count = len(self.order) - 1
        ends = [(len(each.steps) - 1, each.steps[-1].decision == "stop") for each in replayed]
        return np.array([after + (0 if accepted else count) for after, accepted in ends])


def fixed_rules(sheet: Sheet, train: IntArray, test: IntArray, order: Order) -> list[Fixed]:
    """All rules over some arms, by rising cost, with what the training queries promise of each."""

    def fixed(rule: Rule) -> Fixed:
        promised = rule.decisions(sheet, train).at(Price())
        return Fixed(
            rule.told(sheet.arms),
            float(promised.reward.mean()),
            float(promised.cost_usd.mean()),
            lambda: rule.met(sheet, test),
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


def _words(sheet: Sheet, rows: IntArray, voters: Sequence[int]) -> tuple[IntArray, IntArray]:
    """Of each voter's answer, after so many votes: how many gave it, and how many it may count as, a program
    that nothing was read from as one, since it may turn out to do what another does. Shape (rows, k, k);
    -1 where it was not heard yet."""
    count = len(voters)
    same = sheet.heard.same[rows][:, voters][:, :, voters]
    read, programs = sheet.read[rows][:, voters], sheet.programs[rows, None]
    words = np.full((len(rows), count, count), -1)
    possible = words.copy()
    for after in range(count):
        heard = _linked(same[:, : after + 1, : after + 1])
        said = heard.sum(axis=2)
        said[(said == 1) & ~read[:, : after + 1]] = 0
        words[:, : after + 1, after] = said
        possible[:, : after + 1, after] = np.maximum(said, programs)
    return words, possible


def _linked(same: BoolArray) -> BoolArray:
    """Who says the same directly or by way of others, of shape (rows, k, k), k <= ``MOST_VOTERS``."""
    for _ in range(2):  # ways of up to four steps
        same = np.matmul(same, same)
    return same
