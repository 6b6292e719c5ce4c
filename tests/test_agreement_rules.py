"""Rules of agreement: what the arrays say of a rule is what the served strategy does, and pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from fakes_answers import answered_grid, ignorant, part_of

from effortwise.evaluation.printed import _mark, _rule
from router.draw import uniform
from router.price import Price
from router.query import Query
from training.evaluation.cascades import answer_aware, cheap_first
from training.evaluation.decisions import Decisions, Fixed, Outcome, Routed
from training.evaluation.frontier import best_single, prices_of, single, sweep
from training.evaluation.grid import Grid
from training.evaluation.operating import at_quality
from training.evaluation.rules import Rule, fixed_rules, rules
from training.evaluation.section import measure, section
from training.evaluation.sheet import Sheet
from training.evaluation.tested import Tested as Results  # no test class

ARMS = ("tiny", "tiny-2", "small", "small-2", "large")


def grid_of(count: int = 400) -> Grid:
    """Four cheap arms and a dear one; of some replies there is nothing to extract."""
    plain = answered_grid(count, ("tiny", "tiny", "small", "small", "large"))
    rng = np.random.default_rng(3)
    mute = rng.random((count, 5)) < 0.15
    draws = [
        [
            (replace(cell[0], response="I cannot say.", score=0.0),) if silent else cell
            for cell, silent in zip(row, gone, strict=True)
        ]
        for row, gone in zip(plain.draws, mute, strict=True)
    ]
    reward = np.array([[cell[0].score for cell in row] for row in draws])
    return replace(plain, arms=ARMS, models=ARMS, draws=draws, reward=reward)


@pytest.fixture(scope="module")
def grid() -> Grid:
    return grid_of()


@pytest.fixture(scope="module")
def sheet(grid: Grid) -> Sheet:
    return Sheet.of(grid)


class Chained:
    """Says of any two, by chance, that they do the same: often of the first and the second and of the second
    and the third, but not of the first and the third."""

    async def alike(self, query: Query, replies: Sequence[str]) -> list[tuple[int, int]]:
        pairs = combinations(range(len(replies)), 2)
        return [pair for pair in pairs if uniform("alike", f"{query.id}:{pair}") < 0.2]


@pytest.fixture(scope="module")
def alike(grid: Grid) -> Sheet:
    """Of programs, of which two in five were read."""
    texts = tuple(f"Write a Python function that adds {i} to a number." for i in range(len(grid)))
    draws = [
        [(replace(cell[0], response=_program(i, j)),) for j, cell in enumerate(row)]
        for i, row in enumerate(grid.draws)
    ]
    return Sheet.of(replace(grid, texts=texts, draws=draws), likeness=Chained())


def _program(i: int, j: int) -> str:
    return (
        f"```python\nadd = {j}\n```"
        if uniform("read", f"{i}:{j}") < 0.4
        else f"{i} {j}. " + "So it goes on and on. " * 40
    )


ORDERS = [Rule((0, 1, 4), 2), Rule((0, 1, 2, 4), 2), Rule((0, 1, 2, 4), 3), Rule((3, 0, 1, 4), 2, "first")]
LONG = [Rule((0, 1, 2, 3, 4), agree) for agree in (2, 3, 4)]
FIRST = [Rule((2, 0, 1, 3, 4), agree, "first") for agree in (2, 3)]


@pytest.mark.parametrize("programs", [False, True], ids=["sums", "programs"])
@pytest.mark.parametrize("rule", [*ORDERS, *LONG, *FIRST], ids=str)
def test_arrays_say_what_the_served_strategy_does(
    sheet: Sheet, alike: Sheet, rule: Rule, programs: bool
) -> None:
    """Every query ends alike, is as right, and costs as much; also where a likeness tells of programs, of
    which some were not read, and not always of whoever is linked by a third."""
    chosen = alike if programs else sheet
    rows = np.arange(len(chosen))
    told, met = rule.decisions(chosen, rows), rule.met(chosen, rows)
    np.testing.assert_array_equal(met.reward, told.at(Price()).reward)
    np.testing.assert_allclose(met.cost_usd, told.at(Price()).cost_usd)
    np.testing.assert_allclose(met.shuffled_cost_usd, told.at(Price()).shuffled_cost_usd)
    assert len(np.unique(told.choose(Price()))) > 1


def test_what_is_met_is_what_was_served(sheet: Sheet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what the arrays say."""
    rule, rows = Rule((0, 1, 2, 4), 2), np.arange(20)
    served = rule.met(sheet, rows)
    assert 0 < served.reward.mean() < 1
    nothing = Decisions(np.zeros((20, 6)), np.zeros((20, 6)), lambda _: np.zeros(20, np.int64))
    monkeypatch.setattr(Rule, "decisions", lambda *_: nothing)
    np.testing.assert_array_equal(rule.met(sheet, rows).reward, served.reward)
    np.testing.assert_array_equal(rule.met(sheet, rows).cost_usd, served.cost_usd)


def test_which_rules_there_are(grid: Grid, sheet: Sheet) -> None:
    """Every selection of cheap arms with every number that can agree; the best arm is kept for the end; where
    words for the first one count, that is the best of them."""
    train = part_of(grid).train
    found = list(rules(sheet, train, cheap_first(sheet, train)))
    assert len(found) == len(set(found))
    assert {rule.order[-1] for rule in found} == {4}
    voters = {frozenset(rule.order[:-1]) for rule in found}
    assert voters == {frozenset(some) for size in (2, 3, 4) for some in combinations(range(4), size)}
    quality = sheet.heard.right[train].mean(axis=0)
    for rule in found:
        assert 2 <= rule.agree < len(rule.order)
        if rule.whose == "first":
            assert quality[rule.order[0]] == max(quality[j] for j in rule.order[:-1])


def test_the_cheapest_that_reaches_the_wanted_quality_is_taken() -> None:
    """A rule where it promises to cost less than any price does; not one that falls short."""
    reward, cost = np.array([[0.0, 1.0]] * 4), np.array([[1.0, 4.0]] * 4)
    decided = Decisions(reward, cost, lambda _: np.ones(4, np.int64))
    best = decided.at(Price())
    train = sweep(decided, prices_of(decided))
    usual, other = (Fixed({"agree": i}, 0.95, each, lambda: best) for i, each in enumerate((2.0, 3.0)))
    poor = Fixed({"agree": 9}, 0.8, 0.5, lambda: best)
    found = at_quality(train, best, 0.9, [other, usual, poor])
    assert (found.fixed, found.price, found.falls_back) == (usual, None, False)
    assert (found.expected_cost_usd, found.expected_quality, found.wanted_quality) == (2.0, 0.95, 0.9)
    assert at_quality(train, best, 0.9, [replace(usual, expected_cost_usd=5.0), poor]).falls_back
    assert at_quality(train, best, 0.9).falls_back


def always_by(grid: Grid, rows: np.ndarray, arm: int) -> Decisions:
    return Decisions(grid.reward[rows], grid.cost_usd[rows], lambda _: np.full(len(rows), arm))


def test_a_rule_that_stands_in_is_measured_and_told(grid: Grid, sheet: Sheet) -> None:
    """Where no price saves anything, the cheapest rule that training queries promise enough of answers, and
    its saving is that of the served strategy on the tested ones."""
    part = part_of(grid)
    best = best_single(grid, part.train)
    always = [always_by(grid, rows, best) for rows in (part.train, part.test)]
    order = cheap_first(sheet, part.train)
    routed = Routed(part, *always, fixed=fixed_rules(sheet, part.train, part.test, order))
    tested = Results.of(grid, [part], np.arange(len(grid)), 0)
    measured = measure(tested, [routed])
    told = section(tested, measured)["at_minus_1"]
    [setting] = measured.settings["at_minus_1"]
    assert setting.fixed is not None
    rule = Rule(tuple(ARMS.index(name) for name in told["rules"][0]["stages"]), told["rules"][0]["agree"])
    outcome = rule.decisions(sheet, part.test).at(Price())
    usual = single(grid, part.test, best)
    assert told["saving"] == pytest.approx(1 - outcome.cost_usd.mean() / usual.cost_usd.mean())
    assert told["saving"] > 0.3
    assert told["over_best_single"]["mean"] == pytest.approx(outcome.reward.mean() - usual.reward.mean())
    assert (told["fell_back"], told["prices_per_usd"]) == (0.0, [None])
    assert section(tested, measured)["at_equal_cost"]["rules"] == [None]


def test_what_came_of_tested_queries_is_not_looked_at(grid: Grid) -> None:
    """With the tested queries' outcomes shuffled, the rules promise the same, and go the same ways."""
    part = part_of(grid)
    rng = np.random.default_rng(5)
    scores = grid.reward.copy()
    scores[part.test] = rng.permutation(scores[part.test])
    draws = [
        [(replace(cell[0], score=float(score)),) for cell, score in zip(line, row, strict=True)]
        for line, row in zip(grid.draws, scores, strict=True)
    ]
    other = replace(grid, reward=scores, draws=draws)
    one, two = (answer_aware(g, Sheet.of(g), part, *ignorant(g, part)).fixed for g in (grid, other))
    assert len(one) == len(two) > 20
    for mine, theirs in zip(one, two, strict=True):
        assert (mine.told, mine.expected_quality, mine.expected_cost_usd) == (
            theirs.told, theirs.expected_quality, theirs.expected_cost_usd,
        )  # fmt: skip
        met: tuple[Outcome, Outcome] = mine.met(), theirs.met()
        np.testing.assert_array_equal(met[0].cost_usd, met[1].cost_usd)


RULE = {"stages": ["tiny", "small", "large"], "agree": 2, "whose": "first"}
NAMED = "tiny > small > large, until 2 agree with the first"


@pytest.mark.parametrize(
    ("rules_by_part", "fell_back", "mark", "footnote"),
    [
        ([RULE, RULE, None], 0.0, " †", f"\n† a rule of agreement, mostly {NAMED}."),
        ([RULE, None, None], 0.0, "", ""),
        ([RULE, None], 0.5, " *", ""),
        ([None, None], 0.0, "", ""),
    ],
)  # fmt: skip
def test_a_printed_report_marks_where_a_rule_answers(
    rules_by_part: list[Any], fell_back: float, mark: str, footnote: str
) -> None:
    """In half of the parts at least; and says below which one it mostly is, where a mark stands."""
    point = {"rules": rules_by_part, "fell_back": fell_back}
    assert (_mark(point), _rule([point])) == (mark, footnote)
