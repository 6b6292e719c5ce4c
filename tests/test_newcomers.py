"""Newcomers: arms that a bundle was not trained on are guessed from those that it knows."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.arm import Arm
from router.errors import BundleError
from router.estimate import Estimate, FloatArray
from router.features import FeatureRow
from router.menu import Menu
from router.model_card import ModelCard
from router.newcomers import Widened, split
from router.predictors import FeatureRows, Rows
from router.predictors.constant import PRIOR_QUALITY_SD, Constant
from router.strategies.best_of_n import BestOfN
from router.strategies.direct import Direct
from router.strategies.self_consistency import SelfConsistency
from router.tariff import Tariff

NAMES = [item.name for item in fields(Estimate)]
ROW = FeatureRow(np.zeros(1), np.zeros(0, np.int64), np.zeros(0))


def card(name: str, usd: float) -> ModelCard:
    return ModelCard(name, Tariff(usd, usd), 1024, 8192)


def direct(name: str, usd: float) -> Arm:
    return Arm(f"{name}/direct", Direct(name), (card(name, usd),), f"{name}/direct")


SMALL, LARGE, OTHER = direct("small", 1.0), direct("large", 10.0), direct("other", 3.0)
VOTE = Arm("small/vote", SelfConsistency("small", 4), (card("small", 1.0),), "small/vote")


class Known:
    """Says of its arms what it is given, of each query the same."""

    def __init__(self, told: Estimate) -> None:
        self.told = told

    def estimate(self, row: FeatureRow) -> Estimate:
        return self.told

    def estimates(self, rows: FeatureRows) -> Estimate:
        count = len(rows.dense)
        return Estimate(*(np.tile(getattr(self.told, name), (count, 1)) for name in NAMES))


def logit(p: FloatArray) -> FloatArray:
    return np.log(p / (1 - p))


def widened(familiar: Menu, menu: Menu, quality: list[float], times: float = 1.0) -> Estimate:
    """The estimate where the known arms have these qualities and take so many times the prior."""
    prior = Constant.prior(familiar).constants
    told = {name: getattr(prior, name) * times for name in NAMES if not name.startswith("quality")}
    learnt = replace(prior, quality=np.array(quality), quality_sd=np.full(len(familiar), 0.01), **told)
    return Widened.of(Known(learnt), familiar, menu).estimate(ROW)


def test_what_is_learnt_stands() -> None:
    """A newcomer changes nothing that is told of the others, wherever it stands."""
    familiar = Menu((SMALL, LARGE))
    for arms in ((OTHER, SMALL, LARGE), (SMALL, OTHER, LARGE), (SMALL, LARGE, OTHER)):
        menu = Menu(arms)
        found = widened(familiar, menu, [0.3, 0.8])
        where = [menu.position[arm.id] for arm in familiar]
        assert found.quality[where].tolist() == [0.3, 0.8]
        assert found.quality_sd[where].tolist() == [0.01, 0.01]
        assert len(found.cost_usd) == 3


def test_a_newcomer_is_as_much_better_as_the_prior_has_it() -> None:
    """Its guess follows the known arms up and down, and is known to be one."""
    familiar, menu = Menu((SMALL, LARGE)), Menu((SMALL, LARGE, OTHER))
    prior = logit(Constant.prior(menu).constants.quality)
    for quality in ([0.2, 0.4], [0.9, 0.97]):
        found = widened(familiar, menu, quality)
        guess = 1 / (1 + np.exp(-(prior[2] + (logit(np.array(quality)) - prior[:2]).mean())))
        assert found.quality[2] == pytest.approx(guess)
        assert found.quality_sd[2] == PRIOR_QUALITY_SD


def test_costs_and_latencies_are_in_proportion() -> None:
    """Where the known arms take three times what the prior says, so does a newcomer."""
    familiar, menu = Menu((SMALL, LARGE)), Menu((SMALL, LARGE, OTHER))
    found, prior = widened(familiar, menu, [0.5, 0.5], times=3.0), Constant.prior(menu).constants
    for name in ("cost_usd", "cost_usd_q90", "latency_s", "latency_s_q95"):
        assert getattr(found, name) == pytest.approx(3 * getattr(prior, name)), name


def test_a_newcomer_takes_after_the_arms_of_its_model() -> None:
    """A vote of the small model is told by its single answer, whatever the large one can."""
    familiar, menu = Menu((SMALL, LARGE)), Menu((SMALL, LARGE, VOTE))
    one, another = (widened(familiar, menu, [0.3, large]).quality[2] for large in (0.4, 0.95))
    assert one == another
    assert widened(familiar, menu, [0.6, 0.4]).quality[2] > one


def best_of(n: int, family: str = "small/best_of_n") -> Arm:
    return Arm(f"small/best_of_n@{n}", BestOfN("small", n), (card("small", 1.0),), family)


def test_more_compute_is_told_no_worse_where_it_cannot_hurt() -> None:
    """Between known arms of its family a newcomer is bounded by both; its family alone is its relative."""
    two, four, eight, sixteen = (best_of(n) for n in (2, 4, 8, 16))
    menu = Menu((SMALL, two, four, eight, sixteen))
    found = widened(Menu((SMALL, two, eight)), menu, [0.99, 0.6, 0.61])
    assert 0.6 <= found.quality[2] <= 0.61 < found.quality[4]
    apart = widened(Menu((SMALL, two, eight)), menu, [0.01, 0.6, 0.61])
    assert apart.quality[2:].tolist() == found.quality[2:].tolist()
    crossed = widened(Menu((two, sixteen)), Menu((two, eight, sixteen)), [0.2, 0.2])
    assert crossed.quality[1] == 0.2
    low = widened(Menu((eight,)), Menu((two, eight)), [0.1])
    assert low.quality[0] < 0.1


def test_a_model_that_costs_nothing_gives_no_proportion() -> None:
    """Then the prior's cost stands."""
    free = direct("free", 0.0)
    found = widened(Menu((free,)), Menu((free, OTHER)), [0.5])
    assert found.cost_usd[1] == Constant.prior(Menu((free, OTHER))).constants.cost_usd[1]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2), st.floats(0.01, 100))
def test_any_estimate_stays_one(quality: list[float], times: float) -> None:
    """Probabilities stay such, amounts are finite, upper quantiles are not below means."""
    found = widened(Menu((SMALL, LARGE)), Menu((OTHER, SMALL, VOTE, LARGE)), quality, times)
    assert ((found.quality >= 0) & (found.quality <= 1)).all()
    assert all(np.isfinite(getattr(found, name)).all() for name in NAMES)
    assert (found.cost_usd_q90 >= found.cost_usd).all()
    assert (found.latency_s_q95 >= found.latency_s).all()


def test_several_queries_at_once_are_told_the_same() -> None:
    """Row by row what ``estimate`` says."""
    familiar, menu = Menu((SMALL, LARGE)), Menu((VOTE, SMALL, LARGE, OTHER))
    predictor = Widened.of(Known(Constant.prior(familiar).constants), familiar, menu)
    one, many = predictor.estimate(ROW), predictor.estimates(Rows([ROW, ROW]))
    for name in NAMES:
        assert getattr(many, name) == pytest.approx(np.tile(getattr(one, name), (2, 1)))


def test_a_menu_of_strangers_is_refused() -> None:
    """Nothing that was learnt says anything of it."""
    assert split(["small/direct"], Menu((OTHER, SMALL)))[1] == ("other/direct",)
    with pytest.raises(BundleError, match="does not know any arm"):
        split(["small/direct"], Menu((OTHER,)))
