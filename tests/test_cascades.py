"""Learnt cascades: what is learnt on training queries is what serves, and pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from fakes_answers import answered_grid, ignorant, part_of

from router.confidence.agreement import Agreement
from router.errors import InvalidQuery
from router.features import Extractor
from router.price import Price
from training.evaluation.answer_aware import NAME, Answers, told_cascade, wrong_auroc
from training.evaluation.cascades import AnswerAware, answer_aware, cascade_of, cheap_first, simulation_of
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import Part
from training.evaluation.grid import Grid
from training.evaluation.sheet import Sheet
from training.evaluation.tested import Tested as Results  # no test class
from training.fit.consensus import fit_consensus
from training.measures import auroc

PRICES = [Price(rate) for rate in (0.0, 1.0, 30.0, 300.0, 3_000.0, 100_000.0)]


@pytest.fixture(scope="module")
def grid() -> Grid:
    """Three arms, two of them cheap."""
    return answered_grid(400)


def learnt(grid: Grid, part: Part | None = None, **more: object) -> AnswerAware:
    part = part or part_of(grid)
    return answer_aware(grid, Sheet.of(grid), part, *ignorant(grid, part), **more)  # type: ignore[arg-type]  # passed on


@pytest.fixture(scope="module")
def aware(grid: Grid) -> AnswerAware:
    """The cascade learnt on the logged split."""
    return learnt(grid)


def test_looking_at_answers_pays(grid: Grid, aware: AnswerAware) -> None:
    """On tested queries, at no more than the best single arm's cost, more answers are right; and as many
    are right for much less."""
    test = aware.part.test
    best, cost = grid.reward[test, 2].mean(), grid.cost_usd[test, 2].mean()
    outcomes = [aware.test.at(price) for price in PRICES]
    assert any(each.reward.mean() > best + 0.02 and each.cost_usd.mean() < cost for each in outcomes)
    assert any(each.reward.mean() > best - 0.01 and each.cost_usd.mean() < 0.75 * cost for each in outcomes)


def test_every_call_is_billed(grid: Grid, aware: AnswerAware) -> None:
    """A way costs what all its calls were logged at."""
    order, test = aware.order, aware.part.test
    at = aware.test.at(PRICES[0])
    whole = grid.cost_usd[np.ix_(test, order)].cumsum(axis=1)
    assert all(np.isclose(spent, row).any() for spent, row in zip(at.cost_usd, whole, strict=True))


@pytest.mark.parametrize("price", PRICES[1:5])
def test_what_is_evaluated_is_what_serves(grid: Grid, price: Price) -> None:
    """At any price the served cascade, replayed at that very price, asks as many arms and gives answers as
    right as the decisions say that were read from one replay at a price of 0."""
    part = part_of(grid)
    sheet, (train, test) = Sheet.of(grid), ignorant(grid, part)
    order = cheap_first(sheet, part.train)
    aware = answer_aware(grid, sheet, part, train, test, given=order)
    told = aware.test.at(price)
    fit = fit_consensus(sheet.heard.take(part.train), train.quality, part.fine, [order], Agreement())
    simulation = simulation_of(sheet, part.test, test, fit.consensus, order, price)
    arm = cascade_of([sheet.arms[j] for j in order])
    replayed = simulation.replay([(sheet.queries[i], arm) for i in part.test])
    np.testing.assert_allclose([each.score for each in replayed], told.reward)
    spent = [sum(draw.cost_usd or 0.0 for draw in each.draws) for each in replayed]
    np.testing.assert_allclose(spent, told.cost_usd)


def shuffled(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    changed = values.copy()
    changed[rows] = np.random.default_rng(5).permutation(values[rows])
    return changed


def test_what_came_of_tested_queries_is_not_looked_at(grid: Grid, aware: AnswerAware) -> None:
    """With the tested queries' outcomes shuffled, every price chooses as before."""
    test = grid.test
    rows = np.flatnonzero(test)
    scores = shuffled(grid.reward, rows)
    draws = [
        [(replace(cell[0], score=float(score)),) for cell, score in zip(line, row, strict=True)]
        for line, row in zip(grid.draws, scores, strict=True)
    ]
    other = learnt(replace(grid, reward=scores, draws=draws))
    assert other.order == aware.order
    for price in PRICES:
        np.testing.assert_array_equal(other.test.choose(price), aware.test.choose(price))


def test_a_report_tells_what_was_asked_at_each_of_its_points(grid: Grid, aware: AnswerAware) -> None:
    """The arms in the order in which they are asked at its price; nothing where best single answers."""
    part = aware.part
    tested = Results.of(grid, [part], np.arange(len(grid)), 0)
    section = {
        "at_minus_1": {
            "saving": 0.3,
            "prices_per_usd": [300.0],
            "further_per_usd": [None],
            "rules": [None],
        },
        "at_98": {"prices_per_usd": [None], "further_per_usd": [300.0], "rules": [None]},
        "at_equal_quality": {
            "prices_per_usd": [None],
            "further_per_usd": [None],
            "rules": [{"stages": ["small", "large"]}],
        },
        "frontier": [],
    }
    told = told_cascade(section, tested, [aware])
    asked = [grid.arms.index(name) for name in told["at_minus_1"]["orders"][0]]
    assert told["at_minus_1"]["saving"] == 0.3
    assert len(asked) >= 2
    spent = aware.test.at(Price(300.0)).cost_usd
    possible = grid.cost_usd[np.ix_(part.test, asked)].cumsum(axis=1)
    assert all(np.isclose(cost, row).any() for cost, row in zip(spent, possible, strict=True))
    assert told["at_98"]["orders"] == [None] == told["at_minus_1"]["further_orders"]
    assert told["at_98"]["further_orders"] == told["at_minus_1"]["orders"]
    assert (told["at_98"]["straight"], told["at_equal_quality"]["straight"]) == ([1.0], [0.0])
    assert told["first_answer_wrong"]["low"] < told["first_answer_wrong"]["auroc"]


def test_a_given_order_is_kept(grid: Grid) -> None:
    """Only the named arms are asked, in that order."""
    aware = learnt(grid, given=(1, 2))
    assert aware.order == (1, 2)
    assert aware.test.reward.shape[1] == 2


def test_a_higher_price_never_spends_more(aware: AnswerAware) -> None:
    """Within one order; others are chosen for the prices at which they pay."""
    spent = [learnt_at.cost_usd.mean() for learnt_at in map(aware.train.at, PRICES)]
    assert spent[0] > spent[-1]
    assert spent[-1] == min(spent)


def test_the_choice_between_two_arms_has_its_score() -> None:
    """Where the weak one is asked first, it is told how much likelier the strong one makes a right
    answer; of more arms there is no such score."""
    two = learnt(answered_grid(300, ("tiny", "large")))
    assert two.gap is not None
    assert len(two.gap) == len(two.part.test)
    assert learnt(answered_grid(120)).gap is None


def test_large_pools_are_cut_to_the_best() -> None:
    """The best arm and the best of those that cost less, by their cost."""
    sheet = Sheet.of(answered_grid(100))
    wide = replace(
        sheet,
        arms=tuple("abcdefgh"),
        heard=replace(sheet.heard, right=np.tile(np.linspace(0.9, 0.2, 8), (100, 1))),
        cost_usd=np.tile(np.arange(8, 0, -1) * 1e-4, (100, 1)),
    )
    assert cheap_first(wide, np.arange(100)) == (5, 4, 3, 2, 1, 0)


def additional(answers: Answers, grid: Grid) -> Callable[[], object]:
    part = part_of(grid)
    corpus = Corpus.of(grid, np.arange(len(grid)), Extractor.of(("length",)))
    return lambda: answers(corpus, [part], [ignorant(grid, part)], 0)


def test_a_comparison_takes_it_as_a_further_router(grid: Grid, aware: AnswerAware) -> None:
    """By its name, with the decisions on every part."""
    found = additional(Answers(), grid)()
    assert isinstance(found, dict)
    at = found[NAME][0].test.at(PRICES[2])
    np.testing.assert_allclose(at.reward, aware.test.at(PRICES[2]).reward)


@pytest.mark.parametrize(
    ("order", "told"),
    [(("tiny", "huge"), "huge"), (("tiny",), "two or more"), (("tiny", "tiny"), "different")],
)
def test_orders_that_cannot_be_asked_are_refused(grid: Grid, order: tuple[str, ...], told: str) -> None:
    """With the reason."""
    with pytest.raises(InvalidQuery, match=told):
        additional(Answers(order), grid)()


def test_a_file_without_answers_is_refused(grid: Grid) -> None:
    """There would be nothing to look at."""
    blank = [[(replace(cell[0], response=None),) for cell in row] for row in grid.draws]
    with pytest.raises(InvalidQuery, match="neither answers nor responses"):
        additional(Answers(), replace(grid, draws=blank))()


def test_recorded_answers_count_where_the_file_has_them(grid: Grid) -> None:
    """They are not read from the replies again; without replies they are all there is."""
    only = [
        [(replace(cell[0], response=None, answer="7" if j else None),) for j, cell in enumerate(row)]
        for row in grid.draws
    ]
    sheet = Sheet.of(replace(grid, draws=only))
    assert sheet.recorded[0][0].answer is None
    assert sheet.heard.same[:, 1, 2].all()
    assert not sheet.heard.same[:, 0, 1:].any()


def test_how_well_wrong_answers_are_told(grid: Grid) -> None:
    """The area under the curve is that of all tested queries, its interval around it."""
    part = part_of(grid)
    aware = learnt(grid, given=(0, 2))
    tested = Results.of(grid, [part], np.arange(len(grid)), 0)
    found = wrong_auroc(tested, [aware])
    assert found is not None
    assert found.mean == pytest.approx(auroc(1 - aware.sure, 1 - grid.reward[part.test, 0]))
    assert 0.6 < found.low < found.mean < found.high < 1
