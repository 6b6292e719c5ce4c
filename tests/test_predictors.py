"""Difficulty predictors, over the registry: fitted on planted rounds, saved and restored."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from fakes_learning import LARGE, SMALL, arm, planted_rounds, small_menu, wide_menu
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import BundleError
from router.estimate import Estimate
from router.features import Extractor, FeatureRow
from router.menu import Menu
from router.model_card import ModelCard
from router.predictors import PREDICTORS, DifficultyPredictor, PredictorState
from router.predictors.constant import Constant
from router.query import Query
from router.tariff import Tariff
from training.fit.boosted import fit_boosted
from training.fit.constant import fit_constant
from training.fit.logistic import fit_logistic
from training.split import split
from training.table import Table, tabulate

EXTRACTOR = Extractor.of()
MENU = small_menu()
FITS: dict[str, Callable[[Table], DifficultyPredictor]] = {
    "constant": fit_constant,
    "logistic": fit_logistic,
    "boosted": fit_boosted,
}
QUERIES = [
    "Write a sentence about stars and birds number 123.",
    "What is the sum of 231 stars and 445 birds?",
    "",
    "x" * 20_000,
    "Übersetze bitte: $x^2$ ```code```",
]


def planted(menu: Menu = MENU, rounds: int = 700) -> Table:
    logged = planted_rounds(menu, rounds)
    return tabulate(logged, split(logged).groups, EXTRACTOR, menu)


def fitted(name: str, menu: Menu = MENU, rounds: int = 700) -> DifficultyPredictor:
    """A registered predictor, fitted on planted rounds."""
    return FITS[name](planted(menu, rounds))


@pytest.fixture(scope="module", params=PREDICTORS.names())
def predictor(request: pytest.FixtureRequest) -> DifficultyPredictor:
    """Every registered predictor, fitted."""
    return fitted(request.param)


def row(text: str) -> FeatureRow:
    return EXTRACTOR(Query([{"role": "user", "content": text}]))


def assert_equal(one: Estimate, other: Estimate, arms: list[int] | None = None) -> None:
    for item in fields(Estimate):
        expected, found = getattr(one, item.name), getattr(other, item.name)
        picked = expected[arms] if arms else expected
        np.testing.assert_allclose(found, picked, rtol=1e-9, atol=1e-12, err_msg=item.name)


@pytest.mark.parametrize("text", QUERIES, ids=["sentence", "sum", "empty", "long", "odd"])
def test_estimates_are_sane(predictor: DifficultyPredictor, text: str) -> None:
    """Per arm there is a probability with a deviation, and costs and latencies with upper quantiles."""
    estimate = predictor.estimate(row(text))
    for item in fields(Estimate):
        values = getattr(estimate, item.name)
        assert values.shape == (len(MENU),), item.name
        assert np.isfinite(values).all(), item.name
        assert (values >= 0).all(), item.name
    assert (estimate.quality > 0).all()
    assert (estimate.quality < 1).all()
    assert ((estimate.quality_sd > 0) & (estimate.quality_sd <= 0.5)).all()
    assert (estimate.cost_usd_q90 >= estimate.cost_usd).all()
    assert (estimate.latency_s_q95 >= estimate.latency_s).all()


def test_many_at_once_are_as_each(predictor: DifficultyPredictor) -> None:
    """The estimates of several queries are those of each; of none there are none."""
    features = planted(rounds=40).features
    many = predictor.estimates(features)
    for i in range(len(features.dense)):
        one = predictor.estimate(features.row(i))
        for item in fields(Estimate):
            found, expected = getattr(many, item.name)[i], getattr(one, item.name)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-12)
    none = predictor.estimates(features.take(np.zeros(0, np.int64)))
    assert none.quality.shape == none.cost_usd.shape == (0, len(MENU))


def test_state_restores(predictor: DifficultyPredictor) -> None:
    """The state gives the same predictor, of plain arrays, texts and JSON values."""
    state = predictor.state()
    restored = type(predictor).restore(state, MENU)
    assert all(array.dtype != object for array in state.arrays.values())
    assert_equal(predictor.estimate(row(QUERIES[1])), restored.estimate(row(QUERIES[1])))


def test_restores_in_the_menus_order(predictor: DifficultyPredictor) -> None:
    """A selection of the arms in another order gets the same rows, in that order."""
    order = [5, 0, 3]
    menu = Menu(tuple(MENU.arms[i] for i in order))
    restored = type(predictor).restore(predictor.state(), menu)
    assert_equal(predictor.estimate(row(QUERIES[0])), restored.estimate(row(QUERIES[0])), order)


def test_unknown_arm(predictor: DifficultyPredictor) -> None:
    """An arm that the state does not know is refused by name."""
    with pytest.raises(BundleError, match="small/new"):
        type(predictor).restore(predictor.state(), Menu((*MENU.arms, arm("new"))))


def test_missing_array(predictor: DifficultyPredictor) -> None:
    """A state that lacks an array is refused by the array's name."""
    state = predictor.state()
    missing = next(iter(state.arrays))
    arrays = {name: array for name, array in state.arrays.items() if name != missing}
    with pytest.raises(BundleError, match=missing):
        type(predictor).restore(PredictorState(arrays, state.texts, state.values), MENU)


@pytest.mark.parametrize("name", ["logistic", "boosted"])
def test_learns_what_suits_what(name: str) -> None:
    """On planted rounds, direct answers come out better for sentences and worked ones for sums."""
    predictor = fitted(name)
    direct, steps = MENU.position["small/direct"], MENU.position["small/steps"]
    sentence, total = (predictor.estimate(row(text)).quality for text in QUERIES[:2])
    assert sentence[direct] > sentence[steps] + 0.3
    assert total[steps] > total[direct] + 0.3


@pytest.mark.parametrize("name", ["logistic", "boosted"])
def test_cost_and_latency_follow_the_arms(name: str) -> None:
    """Predicted cost and latency are near the planted ones, by arm."""
    estimate = fitted(name).estimate(row(QUERIES[0]))
    expected = np.array([each.compute * (10 if each.models[0] is LARGE else 1) for each in MENU])
    np.testing.assert_allclose(estimate.cost_usd, 1.05e-5 * expected, rtol=0.35)
    np.testing.assert_allclose(estimate.latency_s, [0.21 * each.compute for each in MENU], rtol=0.35)


WIDE = wide_menu(16)


@pytest.fixture(scope="module")
def contrary() -> list[DifficultyPredictor]:
    """Learnt predictors on rounds in which more compute makes every family worse."""
    rng = np.random.default_rng(1)
    logged = planted_rounds(WIDE, 900, 1)
    arms = [WIDE[r.arm] for r in logged]
    rewards = [float(rng.random() < 0.9 - 0.25 * np.log2(each.compute)) for each in arms]
    table = replace(tabulate(logged, split(logged).groups, EXTRACTOR, WIDE), reward=np.array(rewards))
    return [FITS[name](table) for name in ("logistic", "boosted")]


@given(text=st.text(max_size=200) | st.sampled_from(QUERIES))
@settings(max_examples=60, deadline=None)
def test_monotone_where_declared(contrary: list[DifficultyPredictor], text: str) -> None:
    """Even when trained on the opposite, quality never falls with compute in a family that declares
    it, and is free to fall in one that does not."""
    for predictor in contrary:
        quality = predictor.estimate(row(text)).quality
        for family in {each.family for each in WIDE}:
            ladder = [i for i, each in enumerate(WIDE) if each.family == family]
            steps = np.diff(quality[ladder])
            if WIDE.arms[ladder[0]].monotone:
                assert (steps >= -1e-12).all(), (predictor.name, family)
            else:
                assert steps.sum() < 0, (predictor.name, family)


def test_rounds_make_sure(predictor: DifficultyPredictor) -> None:
    """An arm with rounds behind it is surer than one without any."""
    logged = [r for r in planted_rounds(MENU, 400) if r.arm != "small/steps"]
    table = tabulate(logged, split(logged).groups, EXTRACTOR, MENU)
    made = FITS[predictor.name](table)
    sd = made.estimate(row("hi")).quality_sd
    assert sd[MENU.position["small/steps"]] > sd[MENU.position["small/direct"]]


FREE = ModelCard("free", Tariff(0.0, 0.0), 16, 64)


@pytest.mark.parametrize(
    "menu",
    [MENU, wide_menu(), Menu((arm("direct", FREE),)), Menu((arm("direct", FREE), arm("direct", SMALL, 512)))],
    ids=["small", "wide", "free", "mixed"],
)
def test_prior_serves_any_menu(menu: Menu) -> None:
    """The prior is sane for any menu, rises with compute within a family, and is wide."""
    prior = Constant.prior(menu).estimate(row("anything"))
    assert ((prior.quality > 0) & (prior.quality < 1)).all()
    assert (prior.quality_sd >= 0.2).all()
    assert np.isfinite(prior.cost_usd).all()
    for family in {each.family for each in menu}:
        ladder = [i for i, each in enumerate(menu) if each.family == family]
        assert (np.diff(prior.quality[ladder]) >= 0).all()
        assert (np.diff(prior.latency_s[ladder]) >= 0).all()


def test_decision_is_fast() -> None:
    """The boosted predictor estimates 64 arms in a few milliseconds at most, even on a busy machine."""
    predictor, asked = fitted("boosted", wide_menu(), 600), row("Calculate how many apples remain. " * 25)
    times = []
    for _ in range(200):
        start = time.perf_counter()
        predictor.estimate(asked)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.002
