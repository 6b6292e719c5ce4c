"""Large tables: what is done otherwise there comes to the same."""

from __future__ import annotations

import numpy as np
import pytest
from fakes_learning import planted_rounds, small_menu

from router.features import Extractor
from training import folds
from training.fit.difficulty import fit_difficulty
from training.held_out import estimates_by_round
from training.inputs import OneByOne, Together, inputs_of
from training.measures import log_losses
from training.split import split
from training.table import tabulate
from training.train import train


@pytest.mark.parametrize("squared", [False, True])
def test_products_are_the_same_either_way(squared: bool) -> None:
    """All pairs of query and family at once, or one round after another."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(50, 7)).astype(np.float32)
    place, family = rng.integers(50, size=400), rng.integers(3, size=400)
    weights, factor = rng.normal(size=(3, 7)).astype(np.float32), rng.normal(size=400)
    together = inputs_of(inputs, place, family, 3)
    rows = tuple(np.flatnonzero(family == f) for f in range(3))
    one_by_one = OneByOne(rows, tuple(inputs[place[each]] for each in rows), 400)
    assert isinstance(together, Together)
    np.testing.assert_allclose(together.scores(weights), one_by_one.scores(weights), rtol=1e-4, atol=1e-5)
    ours, theirs = (each.sums(factor, squared=squared) for each in (together, one_by_one))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_few_rounds_of_many_families_are_multiplied_one_by_one() -> None:
    """All pairs would be mostly empty."""
    found = inputs_of(np.ones((40, 2), np.float32), np.arange(40), np.zeros(40, np.int64), 60)
    assert isinstance(found, OneByOne)


def test_of_many_rounds_one_part_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole groups, about as many rounds as are wanted, and their models saw none of them."""
    monkeypatch.setattr(folds, "MOST_CROSSED", 100)
    group = np.repeat(np.arange(200), 5)
    apart = folds.unseen(group)
    assert not apart.crossed
    assert 90 <= len(apart.rounds) <= 110
    np.testing.assert_array_equal(apart.left_out[0], apart.rounds)
    assert not set(group[apart.rounds]) & set(np.delete(group, apart.rounds))
    assert set(apart.fold.tolist()) == set(range(folds.FOLDS))


def test_a_predictor_with_one_part_held_out_is_about_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one whose rounds are all predicted out of fold in turn."""
    menu = small_menu()
    rounds = planted_rounds(menu, 2_400)
    table = tabulate(rounds, split(rounds).groups, Extractor.of(), menu)
    known, test = table.take(np.arange(1_800)), table.take(np.arange(1_800, 2_400))

    def loss() -> float:
        quality = estimates_by_round(fit_difficulty(known, kind="boosted"), test).quality
        return float(log_losses(quality[np.arange(len(test)), test.arm], test.reward).mean())

    crossed = loss()
    monkeypatch.setattr(folds, "MOST_CROSSED", 600)
    assert loss() == pytest.approx(crossed, abs=0.03)


def test_of_too_many_questions_some_are_drawn_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rounds of those are learnt from, and the summary tells how many were left out."""
    monkeypatch.setattr("training.train.MOST_QUESTIONS", 150)
    menu = small_menu()
    rounds = planted_rounds(menu, 200)
    keys = {r.question_key for r in rounds}
    trained = train([*rounds, *rounds], menu, Extractor.of(), "constant")
    assert trained.summary["rounds"] == 2 * 150 - 2 * (len(keys) < 150)
    assert trained.summary["rounds"] + trained.summary["left_out"] == 400
