"""Fit of how much each arm's word counts: a multinomial logit over the distinct answers and none of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.optimize import minimize

from router.confidence.consensus import COLD_STRENGTH
from router.estimate import FloatArray
from training.evaluation.grid import IntArray

PENALTY = 1.0
"""On the squared distance from the cold weights, in nats; a query counts once, however many groups."""
MOST_QUERIES = 3_000

Group: TypeAlias = tuple[int, ...]
"""Numbers of arms, rising."""


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Of n queries and m arms. logit: each arm's own. same: the number of the first arm that gave the
    same answer. right: 0 or 1."""

    logit: FloatArray
    same: IntArray
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
    """strength, shape (m,); weight; none, shape (3,): see ``router.confidence.consensus``."""

    strength: FloatArray
    weight: float
    none: FloatArray

    def stand(self, words: Words, group: Group) -> Stand:
        """After one group; of equally probable answers the first arm's."""
        probabilities = _probabilities(_Votable.of(words, [group]), self)[:, 0]
        answers, none = probabilities[:, :-1], probabilities[:, -1]
        best = answers.argmax(axis=1)
        ranked = np.sort(answers, axis=1)
        by = _earliest(words, best, group)
        second = ranked[:, -2] if answers.shape[1] > 1 else np.zeros(len(best))
        return Stand(ranked[:, -1], second, none, words.right[np.arange(len(best)), by])


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
    truth = votable.truth(words.right)
    cold = np.array([COLD_STRENGTH] * m + [1.0, COLD_STRENGTH, 0.0, 0.0])

    def objective(weights: FloatArray) -> tuple[float, FloatArray]:
        votes = Votes(weights[:m], float(weights[m]), weights[m + 1 :])
        probabilities = _probabilities(votable, votes)
        loss = -np.log(np.maximum((probabilities * truth).sum(axis=2), 1e-12)).sum() / len(groups)
        pull = PENALTY * (weights - cold)
        gradient = votable.gradient(probabilities - truth) / len(groups) + pull
        return float(loss + (weights - cold) @ pull / 2), gradient

    found = minimize(objective, cold, jac=True, method="L-BFGS-B", options={"maxiter": 50}).x
    return Votes(found[:m], float(found[m]), found[m + 1 :])


@dataclass(frozen=True, slots=True, eq=False)
class _Votable:
    """asked, shape (groups, m): who is in a group. said, shape (n, m, m): whether an arm gave the answer
    that another arm was the first to give. given, shape (n, groups, m): whether anyone of the group did."""

    logit: FloatArray
    asked: FloatArray
    said: FloatArray
    given: FloatArray

    @classmethod
    def of(cls, words: Words, groups: Sequence[Group]) -> _Votable:
        m = words.logit.shape[1]
        asked = np.array([[float(j in group) for j in range(m)] for group in groups])
        said = (words.same[:, :, None] == np.arange(m)).astype(np.float64)
        return cls(words.logit, asked, said, (asked @ said > 0).astype(np.float64))

    def truth(self, right: FloatArray) -> FloatArray:
        """One for the right answer of each query and group, or for none, shape (n, groups, m + 1)."""
        correct = self.asked @ (self.said * right[:, :, None])
        first = np.zeros_like(correct)
        np.put_along_axis(first, correct.argmax(axis=2)[:, :, None], 1.0, axis=2)
        first *= (correct.max(axis=2) > 0)[:, :, None]
        return np.concatenate((first, 1 - first.sum(axis=2, keepdims=True)), axis=2)

    @property
    def about_none(self) -> FloatArray:
        """1, distinct answers, arms, shape (n, groups, 3)."""
        distinct = self.given.sum(axis=2)
        arms = np.broadcast_to(self.asked.sum(axis=1), distinct.shape)
        return np.stack((np.ones_like(distinct), distinct, arms), axis=2)

    def gradient(self, error: FloatArray) -> FloatArray:
        """Of the weights, from errors of shape (n, groups, m + 1)."""
        of_arm = self.asked * (error[:, :, :-1] @ self.said.transpose(0, 2, 1))
        return np.concatenate(
            (
                of_arm.sum(axis=(0, 1)),
                [float((of_arm.sum(axis=1) * self.logit).sum())],
                np.einsum("ng,ngk->k", error[:, :, -1], self.about_none),
            )
        )


def _probabilities(votable: _Votable, votes: Votes) -> FloatArray:
    """Of each answer and of none, shape (n, groups, m + 1)."""
    word = votes.strength + votes.weight * votable.logit
    utilities = votable.asked @ (word[:, :, None] * votable.said)
    none = votable.about_none @ votes.none
    every = np.concatenate((np.where(votable.given > 0, utilities, -np.inf), none[:, :, None]), axis=2)
    shares = np.exp(every - every.max(axis=2, keepdims=True))
    found: FloatArray = shares / shares.sum(axis=2, keepdims=True)
    return found


def _earliest(words: Words, answer: IntArray, group: Group) -> IntArray:
    """Of each query, the first arm of the group that gave an answer."""
    members = np.array(group)
    found: IntArray = members[(words.same[:, members] == answer[:, None]).argmax(axis=1)]
    return found
