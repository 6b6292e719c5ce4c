"""What is evaluated is what serves: choices over many queries at once are those of policy and allocator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_grid import planted_grid
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from router.allocator import Allocator
from router.bundle import Bundle
from router.confidence.agreement import Agreement
from router.estimate import Estimate
from router.features import Extractor
from router.policies import Choice
from router.policies.greedy import Greedy
from router.price import Price
from router.query import Query
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import Part, question_groups
from training.evaluation.decisions import Decisions, routed
from training.evaluation.stacked import NAMES, chosen, joined, of_quality, stacked
from training.fit.difficulty import fit_difficulty

ROUGH = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])
"""Few values, so that there are ties."""


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, (7, 4), elements=ROUGH),
    arrays(np.float64, (7, 4), elements=ROUGH),
    st.sampled_from([0.0, 0.5, 1.0, 30.0]),
)
def test_many_choices_at_once_are_the_policy_s(quality: np.ndarray, cost: np.ndarray, per_usd: float) -> None:
    """Query by query, ``Greedy`` puts all its mass on the arm that is chosen, ties included."""
    estimate, price = of_quality(quality, cost), Price(per_usd)
    picked = chosen(estimate, price)
    for i in range(len(quality)):
        one = Estimate(**{name: getattr(estimate, name)[i] for name in NAMES})
        choice = Choice(None, one, np.ones(4, np.bool_), price)  # type: ignore[arg-type]  # no menu needed
        assert Greedy().distribution(choice)[picked[i]] == 1.0


@pytest.mark.parametrize("per_usd", [0.0, 100.0, 1000.0, 20_000.0])
def test_many_choices_at_once_are_the_allocator_s(tmp_path: Path, per_usd: float) -> None:
    """A fitted predictor in a bundle, served by an allocator, plans for each text the arm that the
    evaluation chooses for its row."""
    grid = planted_grid(tmp_path, 60)
    extractor = Extractor.of()
    corpus = Corpus.of(grid, question_groups(grid), extractor)
    table = corpus.table(np.arange(40))
    predictor = fit_difficulty(table)
    bundle = Bundle(extractor, predictor, Agreement(), "test")
    menu = table.menu
    allocator = Allocator(
        menu, {"auto": Greedy(per_usd)}, "auto", Price(), bundle, menu.models, menu.arms[0], "test"
    )
    picked = chosen(stacked(predictor, corpus.features, corpus.place), Price(per_usd))
    planned = [allocator.plan(Query([{"role": "user", "content": text}])).arm.id for text in grid.texts]
    assert planned == [grid.arms[i] for i in picked]


def test_an_outcome_is_what_the_chosen_ways_got_and_cost() -> None:
    """Beside it, what the same choices get on average when dealt at random: exactly, not by drawing."""
    reward = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    cost = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    outcome = Decisions(reward, cost, lambda price: np.array([1, 0, 0])).at(Price())
    assert outcome.reward.tolist() == [1.0, 1.0, 1.0]
    assert outcome.cost_usd.tolist() == [10.0, 2.0, 3.0]
    permutations = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    rows = np.arange(3)
    assert outcome.shuffled_reward.tolist() == pytest.approx(
        np.mean([reward[rows, way] for way in permutations], axis=0).tolist()
    )
    assert outcome.shuffled_cost_usd.tolist() == pytest.approx(
        np.mean([cost[rows, way] for way in permutations], axis=0).tolist()
    )


PART = Part(np.arange(20), np.arange(20, 30), np.arange(20) % 5, np.arange(20) % 10)


def test_the_gap_is_of_the_arm_that_is_stronger_on_the_training_queries(tmp_path: Path) -> None:
    """Whichever stands first; with three arms there is none."""
    for models in (("cheap", "dear"), ("dear", "cheap")):
        grid = planted_grid(tmp_path, 30, models)
        quality = np.where(np.array(grid.arms) == "dear", 0.9, 0.2) * np.ones((10, 1))
        test = of_quality(quality, np.ones(2))
        found = routed(grid, PART, of_quality(np.full((20, 2), 0.5), np.ones(2)), test)
        assert found.gap is not None
        assert found.gap.tolist() == pytest.approx([0.7] * 10)
    grid = planted_grid(tmp_path, 30)
    three = of_quality(np.full((10, 3), 0.5), np.ones(3))
    assert routed(grid, PART, three, three).gap is None


def test_estimates_of_folds_come_back_in_order() -> None:
    """``joined`` undoes the order of the folds."""
    first, second = (of_quality(np.array(rows)[:, None], np.zeros(1)) for rows in ([0.2, 0.0], [0.3, 0.1]))
    together = joined([first, second], np.array([2, 0, 3, 1]))
    assert together.quality[:, 0].tolist() == [0.0, 0.1, 0.2, 0.3]


def test_a_corpus_tells_a_fit_of_its_own_rows_only(tmp_path: Path) -> None:
    """A table of some queries holds their rewards, and a menu whose prices follow from their costs."""
    grid = planted_grid(tmp_path, 20)
    corpus = Corpus.of(grid, question_groups(grid), Extractor.of())
    rows = np.array([3, 11])
    table = corpus.table(rows)
    assert table.reward.reshape(2, 3).tolist() == grid.reward[rows].tolist()
    assert table.cost_usd.reshape(2, 3).tolist() == grid.cost_usd[rows].tolist()
    assert table.menu.ids == list(grid.arms)
    rates = [card.tariff.usd_per_million_prompt_tokens for card in table.menu.models.values()]
    assert rates == pytest.approx((grid.cost_usd[rows].mean(axis=0) * 1e6 / 400).tolist())
