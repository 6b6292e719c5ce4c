"""Fit of how much each arm's word counts: a multinomial logit over the distinct answers and none of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.optimize import minimize

from router.confidence.consensus import COLD_FURTHER, COLD_STRENGTH
from router.estimate import FloatArray
from training.evaluation.grid import BoolArray, IntArray

PENALTY = 1.0
"""On the squared distance from the cold weights, in nats; a query counts once, however many groups."""
MOST_QUERIES = 3_000

Group: TypeAlias = tuple[int, ...]
"""Numbers of arms, rising."""


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Of n queries and m arms. logit, shape (n, m): each arm's own. same, shape (n, m, m): whether two arms
    gave the same answer. right, shape (n, m): 0 or 1."""

    logit: FloatArray
    same: BoolArray
    right: FloatArray

    def take(self, rows: IntArray) -> Words:
        """Of some of the queries."""
        return Words(self.logit[rows], self.same[rows], self.right[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Stand:
    """What stands after a group of arms, shape (n,): the probability of the best answer, of the second,
    and that none is right; whether the best is right."""

    first: FloatArray
    second: FloatArray
    none: FloatArray
    right: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """strength, shape (m,); weight; further; none, shape (3,): see ``router.confidence.consensus``."""

    strength: FloatArray
    weight: float
    further: float
    none: FloatArray

    @classmethod
    def of(cls, weights: FloatArray) -> Votes:
        """From one vector, shape (m + 5,)."""
        return cls(weights[:-5], float(weights[-5]), float(weights[-4]), weights[-3:])

    def stand(self, words: Words, group: Group) -> Stand:
        """After one group: of the best answer the reply that counts is the one with the largest word."""
        votable = _Votable.of(words, [group])
        shares = _shares(votable, self)
        answers: FloatArray = np.zeros(words.logit.shape)
        answers[votable.cell, votable.by] = shares.answers
        loudest = np.zeros(answers.shape, np.int64)
        largest = shares.rank == 0
        loudest[votable.cell, votable.by] = votable.arm[largest]
        rows = np.arange(len(answers))
        chosen = loudest[rows, answers.argmax(axis=1)]
        ranked = np.sort(answers, axis=1)
        second = ranked[:, -2] if answers.shape[1] > 1 else np.zeros(len(rows))
        return Stand(ranked[:, -1], second, shares.none, words.right[rows, chosen])


def groups_of(order: Sequence[int]) -> list[Group]:
    """All groups of the arms."""
    sizes = range(1, len(order) + 1)
    return [tuple(sorted(some)) for size in sizes for some in itertools.combinations(order, size)]


def fit_votes(words: Words, groups: Sequence[Group], seed: int = 0) -> Votes:
    """The weights of largest posterior density, normal around the cold ones."""
    count, m = words.logit.shape
    if count > MOST_QUERIES:
        words = words.take(np.random.default_rng(seed).choice(count, MOST_QUERIES, replace=False))
    votable = _Votable.of(words, groups)
    cold = np.array([COLD_STRENGTH] * m + [1.0, COLD_FURTHER, COLD_STRENGTH, 0.0, 0.0])

    def objective(weights: FloatArray) -> tuple[float, FloatArray]:
        votes = Votes.of(weights)
        shares = _shares(votable, votes)
        pull = PENALTY * (weights - cold)
        loss = votable.loss(shares) / len(groups) + (weights - cold) @ pull / 2
        return float(loss), votable.gradient(shares, votes) / len(groups) + pull

    return Votes.of(minimize(objective, cold, jac=True, method="L-BFGS-B", options={"maxiter": 50}).x)


@dataclass(frozen=True, slots=True, eq=False)
class _Shares:
    """answers, shape (answers,), none, shape (cells,): probabilities. word, rank, shape (words,): each word,
    and how many for the same answer are larger."""

    answers: FloatArray
    none: FloatArray
    word: FloatArray
    rank: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class _Votable:
    """Cells are pairs of a query and a group, each with one or more answers, each with one or more words.

    arm, logit, answer, shape (words,): whose word, its own logit, and what for; rising by answer. cell, by,
    shape (answers,): where, and who was the first to give it; rising by cell. word_starts, answer_starts:
    of each answer its first word, of each cell its first answer. right, shape (answers,), none_right, shape
    (cells,): 0 or 1, one of them all in each cell; an answer is as right as the reply that is the surest by
    itself, since programs that do the same need not all be right. about_none, shape (cells, 3): 1, answers,
    arms.
    """

    arm: IntArray
    logit: FloatArray
    answer: IntArray
    cell: IntArray
    by: IntArray
    word_starts: IntArray
    answer_starts: IntArray
    right: FloatArray
    none_right: FloatArray
    about_none: FloatArray

    @classmethod
    def of(cls, words: Words, groups: Sequence[Group]) -> _Votable:
        n, m = words.logit.shape
        asked = np.array([[j in group for j in range(m)] for group in groups])
        first = _first_to_say(words.same, asked)
        query, group, arm = np.nonzero(first < m)
        cells = query * len(groups) + group
        said, answer = np.unique(cells * m + first[query, group, arm], return_inverse=True)
        order = np.lexsort((-words.logit[query, arm], answer))
        query, arm, answer = query[order], arm[order], answer[order]
        word_starts, cell = _starts(answer), said // m
        answer_starts = _starts(cell)
        right = words.right[query, arm][word_starts]
        place = np.arange(len(said))
        first_right = np.minimum.reduceat(np.where(right > 0, place, len(said)), answer_starts)
        right = (place == first_right[cell]).astype(np.float64)
        about = (np.ones(n * len(groups)), np.bincount(cell), np.tile(asked.sum(axis=1), n))
        return cls(
            arm,
            words.logit[query, arm],
            answer,
            cell,
            said % m,
            word_starts,
            answer_starts,
            right,
            1 - np.add.reduceat(right, answer_starts),
            np.column_stack(about),
        )

    def loss(self, shares: _Shares) -> float:
        """In nats, of all cells together."""
        told = np.add.reduceat(shares.answers * self.right, self.answer_starts)
        return float(-np.log(np.maximum(told + shares.none * self.none_right, 1e-12)).sum())

    def gradient(self, shares: _Shares, votes: Votes) -> FloatArray:
        """Of the loss, by the weights."""
        error, none = shares.answers - self.right, shares.none - self.none_right
        of_word = error[self.answer]
        counted = of_word * votes.further**shares.rank
        slope = shares.rank * votes.further ** np.maximum(shares.rank - 1, 0)
        return np.concatenate(
            (
                np.bincount(self.arm, counted, len(votes.strength)),
                [counted @ self.logit, (of_word * slope) @ shares.word],
                none @ self.about_none,
            )
        )


def _shares(votable: _Votable, votes: Votes) -> _Shares:
    word = votes.strength[votable.arm] + votes.weight * votable.logit
    order = np.lexsort((-word, votable.answer))
    rank = np.empty(len(word), np.int64)
    rank[order] = np.arange(len(word)) - votable.word_starts[votable.answer]
    utility = np.add.reduceat(votes.further**rank * word, votable.word_starts)
    none = votable.about_none @ votes.none
    highest = np.maximum(np.maximum.reduceat(utility, votable.answer_starts), none)
    answers, left = np.exp(utility - highest[votable.cell]), np.exp(none - highest)
    total = np.add.reduceat(answers, votable.answer_starts) + left
    return _Shares(answers / total[votable.cell], left / total, word, rank)


def _starts(numbers: IntArray) -> IntArray:
    """Where each number begins, of rising ones without a gap."""
    return np.flatnonzero(np.diff(numbers, prepend=-1))


def _first_to_say(same: BoolArray, asked: BoolArray) -> IntArray:
    """Of each arm of each group, the first one of it that it is linked to, directly or through others, by
    the same answer; m for who is not asked. Shape (n, groups, m)."""
    m = same.shape[1]
    linked = same[:, None] & asked[:, :, None] & asked[:, None, :]
    first = np.broadcast_to(np.where(asked, np.arange(m), m), linked.shape[:3])
    while True:
        found = np.where(linked, first[:, :, :, None], m).min(axis=2)
        if (found == first).all():
            return np.asarray(first)
        first = found
