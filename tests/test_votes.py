"""Votes: how much the arms' words count, and who said the same."""

from __future__ import annotations

import numpy as np
import pytest

from router.confidence.consensus import COLD, Consensus, Standing, Voice
from training.fit.votes import Votes, Words, fit_votes, groups_of

TRIO = groups_of([0, 1, 2])


def words(answers: list[list[str]], right: list[list[float]], logit: float = 0.5) -> Words:
    """Of queries whose answers are told, every arm as sure as the others."""
    said = np.array(answers)
    same = said[:, :, None] == said[:, None, :]
    return Words(np.full(said.shape, logit), same, np.array(right))


def drawn(count: int, alike: float, seed: int = 0) -> Words:
    """Three arms, each right in six of ten cases. alike: how often two that are wrong err alike."""
    rng = np.random.default_rng(seed)
    right = rng.random((count, 3)) < 0.6
    own = np.where(rng.random((count, 3)) < alike, 99, np.arange(3))
    said = np.where(right, 7, own)
    return Words(np.full((count, 3), 0.4), said[:, :, None] == said[:, None, :], right.astype(np.float64))


def stand_of(votes: Votes, some: Words) -> list[float]:
    found = votes.stand(some, (0, 1, 2))
    return [*found.first.tolist(), *found.second.tolist(), *found.none.tolist()]


def test_the_words_weights_are_at_the_top_of_their_posterior() -> None:
    """No small step in any direction makes the answers that were right more probable, against the prior."""
    trio = drawn(200, 0.5)
    some, groups = Words(trio.logit[:, :2], trio.same[:, :2, :2], trio.right[:, :2]), groups_of([0, 1])
    found = fit_votes(some, groups)
    weights = np.array([*found.strength, found.weight, found.further, *found.none])
    cold = np.array([2.0, 2.0, 1.0, 0.5, 2.0, 0.0, 0.0])

    def loss(at: np.ndarray) -> float:
        votes, total = Votes.of(at), 0.0
        for group in groups:
            stand = votes.stand(some, group)
            known = some.right[:, list(group)].max(axis=1) > 0
            chosen = np.where(stand.right > 0, stand.first, np.where(known, stand.second, stand.none))
            total -= np.log(np.maximum(chosen, 1e-12)).sum()
        return total / len(groups) + float(((at - cold) ** 2).sum()) / 2

    step = 0.05 * np.eye(len(weights))
    assert all(loss(weights) <= loss(weights + sign * each) for each in step for sign in (1, -1))


def test_where_arms_err_alike_further_words_count_less() -> None:
    """Agreement tells less there, and more where the wrong ones scatter."""
    assert fit_votes(drawn(400, 0.95), TRIO).further < fit_votes(drawn(400, 0.05), TRIO).further - 0.2


def test_who_is_linked_through_a_third_says_the_same_once_that_one_is_heard() -> None:
    """Programs may be alike on what they were run with, and the third with each of them."""
    same = np.eye(3, dtype=bool)[None].copy()
    for i, j in ((0, 1), (1, 2)):
        same[:, i, j] = same[:, j, i] = True
    some = Words(np.full((1, 3), 0.5), same, np.array([[0.0, 1.0, 0.0]]))
    votes = Votes(np.full(3, 2.0), 1.0, 0.5, np.array([2.0, 0.0, 0.0]))
    apart, all_three = votes.stand(some, (0, 2)), votes.stand(some, (0, 1, 2))
    assert apart.second[0] > 0
    assert all_three.second[0] == 0
    assert all_three.first[0] > apart.first[0]


def test_what_is_fitted_on_is_what_is_served() -> None:
    """The same probabilities, to the last digits."""
    votes = Votes(np.array([1.0, 2.0, 0.5]), 0.7, 0.3, np.array([1.5, -0.2, 0.4]))
    some = words([["a", "b", "a"], ["a", "a", "a"], ["a", "b", "c"]], [[1.0, 0.0, 1.0]] * 3)
    arms = ("x", "y", "z")
    learnt = {
        **COLD,
        "strength": {**dict(zip(arms, votes.strength.tolist(), strict=True)), "": 1.0},
        "weight": votes.weight,
        "further": votes.further,
        "none": votes.none.tolist(),
    }
    for row, said in enumerate(("aba", "aaa", "abc")):
        voices = [Voice(arm, answer, 0.5, proven=False) for arm, answer in zip(arms, said, strict=True)]
        served: Standing = Consensus(learnt)._standing(voices)
        ranked = [*sorted(served.probabilities, reverse=True), 0.0]
        assert stand_of(votes, some.take(np.array([row]))) == pytest.approx([*ranked[:2], served.none])
