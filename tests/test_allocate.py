"""Allocation of samples and stopping rules, measured on recorded samples."""

from __future__ import annotations

import itertools
import json
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from fakes_learning import candidates
from hypothesis import given, settings
from hypothesis import strategies as st

from effortwise.commands.allocate import allocate as run_allocate
from router.errors import InvalidQuery, StoreError
from router.estimate import FloatArray
from router.stopping import StoppingRule
from router.stopping.adaptive_consistency import AdaptiveConsistency
from router.stopping.esc import Esc
from router.stopping.value_of_information import ValueOfInformation
from router.vote import leading
from training.evaluation.crossfit import Folds, fold_parts
from training.fit.stopping import States, fit_gains, held_out_gains, stops
from training.sampling import stopping
from training.sampling.allocation import (
    allocate,
    budgets_up_to,
    compare_allocations,
    sequential_draws,
    uniform_quality,
)
from training.sampling.gain_curves import (
    BetaCurve,
    concave_steps,
    fit_beta_curve,
    fit_kernel_curve,
    pass_curves,
)
from training.sampling.replayed_votes import Vote, replay_vote
from training.sampling.samples import NO_ANSWER, Samples, read_samples
from training.sampling.stopping import Wanted, drawn_by, earned, learn_stopping, price_of
from training.sampling.success import Predicted, predict_success, success_table
from training.sampling.vote_paths import Paths, vote_paths

EASY, HARD = "add the small numbers", "prove the deep conjecture about"


def rows(queries: int = 40, draws: int = 8, **more: Any) -> list[dict[str, Any]]:
    """Easy questions are right nine times of ten, hard ones once; the words tell which is which."""
    rng = np.random.default_rng(0)
    found = []
    for query, sample in itertools.product(range(queries), range(draws)):
        easy = query % 2 == 0
        right = bool(rng.random() < (0.9 if easy else 0.1))
        wrong = None if rng.random() < 0.2 else str(rng.integers(3))
        found.append(
            {
                "dataset": "made_up",
                "query_id": f"q{query}",
                "query": f"{EASY if easy else HARD} {'abcdefghij'[query % 10]}{query}",
                "model": "small",
                "strategy": "thinking",
                "sample_index": sample,
                "answer": "right" if right else wrong,
                "score": float(right),
                "cost_usd": 0.001,
                "completion_tokens": 10,
                "split": "test" if query % 3 == 0 else "train",
                "question_key": f"k{query}",
                **more,
            }
        )
    return found


def written(folder: Path, some: list[dict[str, Any]]) -> Path:
    path = folder / "samples.parquet"
    parquet.write_table(pa.Table.from_pylist(some), path)
    return path


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    """Forty queries of eight draws."""
    return read_samples(written(tmp_path, rows()))


def test_samples_are_read_as_series(samples: Samples) -> None:
    """A series for each query and arm, in the order of the draws, with means per draw."""
    assert (len(samples), samples.typical, dict(samples.dropped)) == (40, 8, {})
    first = samples.series[0]
    assert (first.arm, first.dataset, first.cost_usd, first.completion_tokens) == (
        "small/thinking", "made_up", pytest.approx(0.001), 10.0,
    )  # fmt: skip
    assert first.correct.tolist() == [answer == "right" for answer in first.answers]
    assert len(set(samples.group.tolist())) == 40


def test_without_a_filter_an_invalid_answer_votes(samples: Samples) -> None:
    """All invalid answers together stand for one."""
    series = next(each for each in samples.series if None in each.answers)
    votes = series.unfiltered().answers
    assert votes.count(NO_ANSWER) == series.answers.count(None)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            lambda some: [{**row, "dataset": f"d{i % 2}"} for i, row in enumerate(some)],
            InvalidQuery,
            "several",
        ),
        (lambda some: some[::8], InvalidQuery, "nothing to allocate"),
        (lambda some: [{k: v for k, v in row.items() if k != "score"} for row in some], StoreError, "score"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, change: Any, error: type[Exception], words: str
) -> None:
    """Several data sets without a choice, single draws, missing columns."""
    with pytest.raises(error, match=words):
        read_samples(written(tmp_path, change(rows())))


@pytest.mark.parametrize("options", [{"datasets": ["other"]}, {"models": ["large"]}])
def test_unknown_names_are_refused(tmp_path: Path, options: dict[str, list[str]]) -> None:
    """The message says what the file holds."""
    with pytest.raises(InvalidQuery, match=r"made_up|small"):
        read_samples(written(tmp_path, rows()), **options)


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_the_pass_curve_is_the_share_of_subsets_with_a_right_draw(counts: tuple[int, int]) -> None:
    """1 - C(n - c, k) / C(n, k), by the binomials themselves; floats of gammaln are the tolerance."""
    n, c = counts
    curve = pass_curves(np.array([c]), np.array([n]), n)[0]
    exact = [1 - comb(n - c, k) / comb(n, k) for k in range(n + 1)]
    assert curve == pytest.approx(exact, abs=1e-9)


@given(st.floats(-3, 3), st.floats(-2, 3))
def test_gains_of_a_beta_rate_fall_and_sum_to_less_than_one(level: float, concentration: float) -> None:
    """The k-th draw never adds more than the one before, and no curve passes certainty."""
    gains = BetaCurve(0.0, level, 1.0, concentration, 0.1).gains(np.array([-1.0, 0.0, 2.0]), 40)
    assert (np.diff(gains, axis=1) <= 1e-12).all()
    assert (gains.sum(axis=1) <= 1 + 1e-9).all()


def test_a_logit_that_tells_nothing_is_given_no_slope() -> None:
    """Counts that do not follow the logit leave all questions alike; counts that do are followed."""
    rng = np.random.default_rng(1)
    logit, draws = rng.normal(size=200), np.full(200, 20)
    blind = fit_beta_curve(logit, rng.binomial(20, rng.permutation(rng.beta(1, 2, 200))), draws)
    seeing = fit_beta_curve(logit, rng.binomial(20, 1 / (1 + np.exp(-2 * logit))), draws)
    assert blind.slope < 0.2 < 1.0 < seeing.slope


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_the_hull_lies_above_its_curve_and_ends_with_it(values: list[float]) -> None:
    """Its steps fall, and reach the curve's last value."""
    curve = np.array([0.0, *values])
    steps = concave_steps(curve[None])[0]
    hull = np.concatenate(([0.0], np.cumsum(steps)))
    assert (hull >= curve - 1e-9).all()
    assert (np.diff(steps) <= 1e-9).all()
    assert hull[-1] == pytest.approx(curve[-1], abs=1e-9)


def test_a_kernel_curve_is_near_that_of_its_neighbours() -> None:
    """High logits see the curves of high logits; held out, a row does not see its own group."""
    logit = np.linspace(-1, 1, 60)
    curves = np.where(logit[:, None] > 0, [[0.0, 0.8, 0.9]], [[0.0, 0.1, 0.2]])
    fitted = fit_kernel_curve(logit, curves, np.arange(60))
    low, high = fitted.gains(np.array([-0.9, 0.9]), 2)
    assert low[0] < 0.2 < 0.7 < high[0]
    alone = fitted.held_out_gains(logit, curves, np.arange(60))
    assert alone[-1, 0] > 0.7


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 3), st.integers(0, 2**16))
def test_an_allocation_keeps_to_its_budget(queries: int, most: int, least: int, seed: int) -> None:
    """Never more than the mean budget, each query its least where the budget covers it, and more budget
    never takes a draw away."""
    gains = -np.sort(-np.random.default_rng(seed).random((queries, most)), axis=1)
    budgets = budgets_up_to(most)
    draws = allocate(gains, budgets, least)
    assert (draws.sum(axis=0) <= np.round(budgets * queries)).all()
    assert (np.diff(draws, axis=1) >= 0).all()
    covered = budgets >= min(least, most)
    assert (draws[:, covered] >= min(least, most)).all()


def test_without_knowledge_the_allocation_is_uniform() -> None:
    """Equal gains are bought breadth first."""
    gains = np.tile([0.4, 0.2, 0.1], (5, 1))
    assert allocate(gains, np.array([1.0, 2.0, 3.0])).tolist() == [[1, 2, 3]] * 5


def test_between_whole_budgets_a_share_of_the_queries_gets_one_more() -> None:
    """Uniform quality is a straight line between whole numbers of draws."""
    assert uniform_quality(np.array([[0.0, 0.4, 0.6]]), np.array([0.5, 1.5])).tolist() == [[0.2, 0.5]]


def test_sequential_draws_are_those_of_the_served_batches() -> None:
    """1, 1, 2, 4, ...: a first draw that is always right ends it; one that never is draws all."""
    curves = np.array([[0.0] + [1.0] * 8, [0.0] * 9])
    assert sequential_draws(curves).tolist() == [[1.0] * 8, [float(k) for k in range(1, 9)]]


def test_words_that_tell_the_difficulty_save_samples(samples: Samples) -> None:
    """Where half of the questions are nine times as easy and say so, the learned allocation is above the
    uniform one at three draws a query, and never above the oracle."""
    correct = np.array([int(each.correct.sum()) for each in samples.series])
    draws = np.full(len(samples), 8)
    curves = pass_curves(correct, draws, 8)
    table = success_table(samples, correct / draws)
    parts = [
        (part, predict_success(table, part.train, part.test))
        for part in fold_parts(samples.group, Folds(1, 5), 0)
    ]

    def fit(logit: Any, some: Any) -> Any:
        curve = fit_beta_curve(logit, correct[some], draws[some])
        return curve, curve.gains(logit, 8)

    found = compare_allocations(curves, parts, samples.group, fit)
    mean = {name: values.mean(axis=0) for name, values in found.quality.items()}
    at = int(np.flatnonzero(found.budgets == 3)[0])
    assert mean["learned"][at] > mean["uniform"][at]
    assert mean["learned"].mean() > mean["uniform"].mean()
    assert (mean["learned"] <= mean["oracle"] + 0.02).all()  # the hull of small parts rounds to whole draws
    assert found.rows.tolist() == list(range(40))


def test_predictions_do_not_see_the_tested_rows(samples: Samples) -> None:
    """Rewards of tested rows may be anything."""
    reward = np.array([each.correct.mean() for each in samples.series])
    train, test = np.arange(30), np.arange(30, 40)
    other = reward.copy()
    other[30:] = 1 - other[30:]
    one, two = (predict_success(success_table(samples, each), train, test) for each in (reward, other))
    assert isinstance(one, Predicted)
    assert np.array_equal(one.test_logit, two.test_logit)
    assert np.array_equal(one.train_probability, two.train_probability)


def test_a_path_is_what_the_vote_would_choose(samples: Samples) -> None:
    """After every draw, in every order, the answer of ``router.vote``; a filter leaves the orders alone."""
    some = samples.series[:6]
    paths = vote_paths(some, 8, 3, orders=4)
    right = {True: "right"}
    for i, orders in enumerate(paths.answers):
        for j, answers in enumerate(orders):
            for n in range(1, 9):
                chosen = answers[leading(candidates(*answers[:n]))]
                assert paths.right[i, j, n - 1] == float(chosen == right[True])
    open_ = vote_paths([each.unfiltered() for each in some], 8, 3, orders=4)
    assert [[a if a != NO_ANSWER else None for a in o] for o in open_.answers[1]] == paths.answers[1]


rules = st.one_of(
    st.builds(AdaptiveConsistency, st.sampled_from((0.8, 0.95, 1.0))),
    st.builds(Esc, st.integers(2, 5)),
    st.builds(
        lambda price, weights: ValueOfInformation(price, {"2": weights, "8": weights}),
        st.floats(0, 0.1),
        st.tuples(*[st.floats(-0.3, 0.3)] * 5),
    ),
)


@given(rules, st.lists(st.sampled_from(["5", "6", "7 apples", None]), min_size=2, max_size=12))
@settings(max_examples=60, deadline=None)
def test_what_is_computed_is_what_the_served_strategy_does(
    rule: StoppingRule, answers: list[str | None]
) -> None:
    """Draws and chosen answer of the shortcut are those of ``SelfConsistency`` over the replay backend."""
    drawn = drawn_by(rule, answers, len(answers))
    correct = [answer == "5" for answer in answers]
    chosen = leading(candidates(*answers[:drawn]))
    assert replay_vote(Vote(rule, answers, correct)) == (drawn, float(correct[chosen]))


def states_of(seed: int = 0, series: int = 30) -> tuple[Paths, States]:
    """Two arms: of the first the majority is right but single draws often are not, of the second all
    draws of a question agree."""
    rng = np.random.default_rng(seed)
    answers = [
        [
            [
                ("right" if rng.random() < 0.6 else str(rng.integers(4))) if i % 2 else "same"
                for _ in range(12)
            ]
            for _ in range(6)
        ]
        for i in range(series)
    ]
    right = [
        [[float(o[leading(candidates(*o[:n]))] == "right") for n in range(1, 13)] for o in some]
        for some in answers
    ]
    paths = Paths(answers, np.array(right))
    return paths, States.of(paths, np.arange(series) % 2, np.arange(series))


def test_stops_are_those_of_the_rule_that_serves() -> None:
    """The decision on all states at once, and the rule asked after each draw, agree everywhere."""
    paths, states = states_of()
    gains = fit_gains(states, 2)
    predicted = gains.predict(states)
    for price in (0.0005, 0.005, 0.02):
        drawn = stops(predicted, states.decided, price)
        served = [gains.rule(arm, price) for arm in range(2)]
        asked = [
            [drawn_by(served[i % 2], each, 12) for each in orders] for i, orders in enumerate(paths.answers)
        ]
        assert drawn.tolist() == asked


def test_more_is_drawn_where_votes_were_seen_to_gain() -> None:
    """The arm whose votes improve on a single draw goes on, at a price where the other stops."""
    _, states = states_of()
    drawn = stops(fit_gains(states, 2).predict(states), states.decided, 0.005)
    assert drawn[1::2].mean() > drawn[0::2].mean()


def test_ours_must_earn_its_place() -> None:
    """Against a rival that stops at once where votes gain nothing it does not; against one that always draws
    all, it does at a price."""
    paths, states = states_of()
    agreed = states.take(np.arange(0, 30, 2))
    once = np.ones(agreed.right.shape[:2], np.int64)
    assert earned(agreed, held_out_gains(agreed, 2, 0), once, [0.01]) == {0.01: False}
    everything = np.full(states.right.shape[:2], paths.draws)
    assert earned(states, held_out_gains(states, 2, 0), everything, [0.01]) == {0.01: True}


@pytest.mark.parametrize("times", [3.0, 4.0])
def test_a_price_is_chosen_by_what_may_be_drawn(times: float) -> None:
    """The lowest one that keeps to so many times fewer draws."""
    paths, states = states_of()
    gains = held_out_gains(states, 2, 0)
    price = price_of(states, gains, times)
    most = paths.draws / times
    assert stops(gains, states.decided, price).mean() <= most
    assert stops(gains, states.decided, price * 0.99).mean() > most - 0.5


def test_tested_rows_choose_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    """The price is chosen on training rows alone, by what was fitted without their fold."""
    paths, states = states_of()
    [part, *_] = fold_parts(states.group, Folds(1, 3), 0)
    chosen_on = []

    def spied(train: States, gains: FloatArray, times: float) -> float:
        chosen_on.append(train.group)
        assert (gains == held_out_gains(states.take(part.train), 2, 0)).all()
        return price_of(train, gains, times)

    monkeypatch.setattr(stopping, "price_of", spied)
    found = learn_stopping(paths, states, [part], 2, Wanted([0.01], [4.0]), 0).fewer[4.0]
    assert np.array_equal(chosen_on[0], states.group[part.train])
    assert found.drawn.mean() == pytest.approx(paths.draws / 4, rel=0.3)


def test_points_that_no_vote_can_have_are_left_out(tmp_path: Path) -> None:
    """A vote makes one draw at least; what is asked for twice is told once."""
    methods = run(written(tmp_path, rows()), fewer="2,2,9")["stopping"]["filtered"]["methods"]
    assert [name for name in methods if name.endswith("fewer")] == ["ours_2_times_fewer"]
    assert methods["ours_2_times_fewer"]["draws"]["mean"] <= 8


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("prices", ""),
        ("prices", "cheap"),
        ("prices", "0.1,-1"),
        ("fewer", "1"),
        ("fewer", "six"),
        ("fewer", "3,nan"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path: Path, option: str, given: str) -> None:
    """The message shows how they are written."""
    with pytest.raises(InvalidQuery, match=f"--{option} takes numbers above"):
        run(written(tmp_path, rows(queries=24, draws=4)), **{option: given})


def run(path: Path, **more: Any) -> dict[str, Any]:
    """The report of the command, small."""
    out = path.with_suffix(".json")
    options: dict[str, Any] = {
        "dataset": None, "models": None, "folds": "1x3", "at_most": 8, "prices": "0.0005,0.01",
        "fewer": "2", "correct_at": 0.99, "json": out, "plot": path.with_suffix(".png"), "seed": 0,
    }  # fmt: skip
    run_allocate(path, **{**options, **more})
    report: dict[str, Any] = json.loads(out.read_bytes())
    return report


def test_the_report_holds_both_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Allocation by verifier and by vote, stopping with and without the filter, every vote that was replayed
    equal, intervals around their means, and pictures."""
    report = run(written(tmp_path, rows()))
    assert report["in_advance"].keys() == {"best_of_k", "vote"}
    assert report["stopping"].keys() == {"filtered", "unfiltered"}
    for section in report["stopping"].values():
        assert section["replayed"]["votes"] == section["replayed"]["equal"] > 0
        for method in section["methods"].values():
            assert method["quality"]["low"] <= method["quality"]["mean"] <= method["quality"]["high"]
            assert 1 <= method["draws"]["mean"] <= 8
            assert method["cost_usd"] == pytest.approx(0.001 * method["draws"]["mean"])
        rules_of = section["rules"]["ours_at_0.01"]["small/thinking"]
        assert rules_of["stop"] in ("adaptive_consistency", "value_of_information")
        assert section["rules"]["ours_2_times_fewer"]["small/thinking"]["stop"] == "value_of_information"
        assert section["methods"]["ours_2_times_fewer"]["fewer_than_all"] == pytest.approx(2, rel=0.3)
    for point in report["in_advance"]["best_of_k"]["points"]:
        assert point["uniform"]["quality"] <= point["oracle"]["quality"] + 1e-9
    assert {path.name for path in tmp_path.glob("*.png")} == {"samples.png", "samples_stopping.png"}
    assert "Adaptive-Consistency" in capsys.readouterr().out


def test_a_file_without_answers_and_costs_gets_what_can_be_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Best-of-k in samples, and it is told so."""
    bare = [{**row, "answer": None, "cost_usd": None} for row in rows(queries=24, draws=4)]
    table = pa.Table.from_pylist(bare)
    path = tmp_path / "samples.parquet"
    parquet.write_table(table, path)
    report = run(path, plot=None)
    assert report["in_advance"].keys() == {"best_of_k"}
    assert report["stopping"] == {}
    assert any("no extracted answers" in words for words in report["missing"])
    assert any("cost_usd is unknown" in words for words in report["missing"])
    assert "counted in samples" in capsys.readouterr().out


def test_too_few_questions_are_refused(tmp_path: Path) -> None:
    """Nothing can be learnt from some and tested on others."""
    with pytest.raises(InvalidQuery, match="distinct questions"):
        run(written(tmp_path, rows(queries=4)))


def test_the_same_seed_gives_the_same_report(tmp_path: Path) -> None:
    """And no figure depends on the order of the rows in the file."""
    some = rows(queries=24, draws=4)
    first = run(written(tmp_path, some), plot=None)
    assert run(written(tmp_path, some), plot=None) == first


def test_recorded_answers_vote_in_their_normal_form(tmp_path: Path) -> None:
    """Two notations of one number are one answer in the shortcut too, as they are where it serves."""
    some = [{**row, "answer": ("3", "1/2", "0.5")[i % 8 % 3]} for i, row in enumerate(rows(queries=1))]
    [series] = read_samples(written(tmp_path, some)).series
    assert series.answers == ("3", "0.5", "0.5", "3", "0.5", "0.5", "3", "0.5")
