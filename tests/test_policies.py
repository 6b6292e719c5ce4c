"""Policies: what every one keeps to, over the registry, and each one's formula on a small case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from math import erf
from typing import Any

import numpy as np
import pytest
from fakes import choice_of, estimate_of, usual_menu
from hypothesis import given
from hypothesis import strategies as st

from router.errors import ConfigurationError, InfeasibleQuery
from router.menu import Menu
from router.policies import POLICIES, Choice, Policy
from router.policies.between import Between
from router.policies.epsilon_greedy import EpsilonGreedy
from router.policies.fixed import Fixed
from router.policies.greedy import Greedy
from router.policies.softmax import Softmax
from router.policies.thompson import Thompson
from router.policies.uniform import Uniform
from router.price import Price

MENU = usual_menu()
ARMS = len(MENU)
REQUIRED: Mapping[str, Any] = {
    "arm": MENU.ids[0],
    "price_per_usd": 1.0,
    "further_per_usd": 2.0,
    "share": 0.3,
}
"""Values of options without a default, by name; a new policy's are added here."""


def example(name: str) -> Policy:
    kind: Any = POLICIES[name]
    return kind(**{item.name: REQUIRED[item.name] for item in fields(kind) if item.default is MISSING})


every_policy = pytest.mark.parametrize("policy", [example(name) for name in POLICIES], ids=list(POLICIES))

shares = st.lists(st.floats(0, 1), min_size=ARMS, max_size=ARMS)
choices = st.builds(
    lambda quality, cost, latency, sd, feasible, per_usd, stakes: choice_of(
        estimate_of(quality, cost, latency, sd),
        MENU,
        (True, *feasible),  # the first arm always is, so that the fixed policy has its arm
        price=Price(per_usd, 0.1),
        stakes=stakes,
    ),
    shares,
    shares,
    shares,
    st.floats(0, 1),
    st.lists(st.booleans(), min_size=ARMS - 1, max_size=ARMS - 1),
    st.floats(0, 100),
    st.floats(0.1, 10),
)


@every_policy
@given(choice=choices)
def test_it_gives_a_distribution_over_the_feasible_arms(policy: Policy, choice: Choice) -> None:
    """Probabilities are non-negative, sum to one, and are zero on infeasible arms."""
    mass = policy.distribution(choice)
    assert mass.shape == (ARMS,)
    assert mass.dtype == np.float64
    assert (mass >= 0).all()
    assert mass.sum() == pytest.approx(1.0, abs=1e-9)
    assert not mass[~choice.feasible].any()


@every_policy
@given(choice=choices)
def test_it_is_pure(policy: Policy, choice: Choice) -> None:
    """The same choice gives the same distribution, and nothing of the choice is changed."""
    before = {item.name: getattr(choice.estimate, item.name).copy() for item in fields(choice.estimate)}
    feasible = choice.feasible.copy()
    first = policy.distribution(choice)
    assert np.array_equal(first, policy.distribution(choice))
    assert np.array_equal(feasible, choice.feasible)
    assert all(np.array_equal(value, getattr(choice.estimate, name)) for name, value in before.items())


@every_policy
def test_it_is_a_value(policy: Policy) -> None:
    """Frozen, and equal to its twin."""
    assert replace(policy) == policy
    assert hash(replace(policy)) == hash(policy)
    assert type(policy).__dataclass_params__.frozen


@every_policy
def test_a_lone_feasible_arm_gets_all(policy: Policy) -> None:
    """Where there is no choice there is no chance."""
    feasible = [True] + [False] * (ARMS - 1)
    mass = policy.distribution(choice_of(estimate_of([0.1] * ARMS), MENU, feasible))
    assert mass.tolist() == pytest.approx([1.0] + [0.0] * (ARMS - 1))


THREE = Menu(MENU.arms[:3])


def three(quality: tuple[float, ...], cost_usd: tuple[float, ...] = (0, 0, 0), **more: Any) -> Choice:
    return choice_of(estimate_of(quality, cost_usd, quality_sd=more.pop("sd", 0.1)), THREE, **more)


def test_uniform_is_one_over_the_feasible_arms() -> None:
    """Two of three feasible: a half each."""
    choice = three((0.1, 0.5, 0.9), feasible=(True, False, True))
    assert Uniform().distribution(choice).tolist() == [0.5, 0.0, 0.5]


def test_greedy_takes_the_highest_utility_at_the_price() -> None:
    """q - lambda * cost: 0.9 - 0.5 against 0.6 - 0.1; without a price the best quality wins."""
    quality, cost = (0.6, 0.9, 0.2), (0.01, 0.05, 0.0)
    assert Greedy().distribution(three(quality, cost, price=Price(10.0))).tolist() == [1, 0, 0]
    assert Greedy().distribution(three(quality, cost)).tolist() == [0, 1, 0]
    assert Greedy(price_per_usd=1000.0).distribution(three(quality, cost)).tolist() == [0, 0, 1]


def test_greedy_pays_for_stakes_and_for_time() -> None:
    """Stakes multiply quality; mu charges seconds."""
    quality, cost = (0.6, 0.9, 0.2), (0.01, 0.05, 0.0)
    assert Greedy().distribution(three(quality, cost, price=Price(10.0), stakes=4)).tolist() == [0, 1, 0]
    slow = estimate_of((0.6, 0.9, 0.2), latency_s=(1.0, 9.0, 1.0))
    assert Greedy().distribution(choice_of(slow, THREE, price=Price(0, 0.1))).tolist() == [1, 0, 0]


def test_greedy_breaks_ties_by_cost() -> None:
    """Of equal utility, the cheapest arm is taken."""
    assert Greedy().distribution(three((0.5, 0.5, 0.5), (0.3, 0.1, 0.2))).tolist() == [0, 1, 0]


def test_softmax_weighs_by_utility_over_temperature() -> None:
    """exp(u / T) / Z, mixed with the floor: one temperature less of utility is 1/e as likely."""
    mass = Softmax(temperature=0.1, top=2, floor=0.0).distribution(three((0.5, 0.4, 0.3)))
    assert mass.tolist() == pytest.approx([1 / (1 + np.exp(-1)), np.exp(-1) / (1 + np.exp(-1)), 0.0])
    floored = Softmax(temperature=1e-3, top=2, floor=0.1).distribution(three((0.5, 0.4, 0.3)))
    assert floored.tolist() == pytest.approx([0.9, 0.1, 0.0])


def test_between_shares_two_prices_out() -> None:
    """The share is greedy at the further price, the rest at the nearer; beyond 0 and 1 there is no share."""
    choice = three((0.5, 0.9, 0.6), (0.001, 0.01, 0.002))
    assert Between(1.0, 1000.0, 0.25).distribution(choice) == pytest.approx([0.25, 0.75, 0])
    with pytest.raises(ConfigurationError, match="share from 0 to 1"):
        Between(1.0, 2.0, 1.5)
    with pytest.raises(ConfigurationError, match="0 or more"):
        Between(1.0, -2.0, 0.5)


def test_between_deals_two_sets_of_arms_out() -> None:
    """What is left out at a price is not chosen there, but where nothing else can serve."""
    choice = three((0.5, 0.9, 0.8), (0.001, 0.01, 0.01))
    first, second, third = choice.menu.ids
    dealt = Between(1.0, 1.0, 0.25, without=(third,), further_without=(second,))
    assert dealt.distribution(choice) == pytest.approx([0, 0.75, 0.25])
    everything = Between(1.0, 1.0, 0.25, without=(first, second, third), further_without=(second,))
    assert everything.distribution(choice) == pytest.approx([0, 0.75, 0.25])


def test_epsilon_greedy_shares_epsilon_among_the_top() -> None:
    """(1 - epsilon) + epsilon / k for the best, epsilon / k for the next, nothing for the others."""
    mass = EpsilonGreedy(epsilon=0.2, top=2).distribution(three((0.3, 0.5, 0.4)))
    assert mass.tolist() == pytest.approx([0.0, 0.9, 0.1])


@pytest.mark.parametrize("stakes", [1.0, 3.0])
def test_thompson_matches_the_probability_of_being_best(stakes: float) -> None:
    """Of two arms with q ~ Normal(q_a, s), P(a is best) = Phi((q_1 - q_2) / (s sqrt 2)); the share of m
    fixed draws is within four standard errors of it. Stakes multiply the doubt like the quality."""
    draws, sd = 20_000, 0.1
    choice = three((0.5, 0.4, 0.0), sd=sd, feasible=(True, True, False), stakes=stakes)
    expected = 0.5 * (1 + erf(0.1 / (2 * sd)))
    mass = Thompson(draws=draws).distribution(choice)
    assert mass[0] == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / draws))
    assert mass[2] == 0


def test_thompson_without_uncertainty_is_greedy() -> None:
    """With nothing to doubt, the best arm always wins; the floor goes to arms that ever win."""
    assert Thompson(floor=0.5).distribution(three((0.1, 0.9, 0.5), sd=0.0)).tolist() == [0, 1, 0]


def test_fixed_never_serves_what_its_arm_cannot() -> None:
    """An infeasible or unknown arm is the caller's error, not another arm."""
    assert Fixed(THREE.ids[1]).distribution(three((0, 0, 0))).tolist() == [0, 1, 0]
    for arm, feasible in [(THREE.ids[1], (True, False, True)), ("nowhere", (True, True, True))]:
        with pytest.raises(InfeasibleQuery, match=arm):
            Fixed(arm).distribution(three((0, 0, 0), feasible=feasible))


@pytest.mark.parametrize("kind", [Greedy, Softmax, EpsilonGreedy, Thompson])
def test_its_own_price_takes_the_place_of_the_configurations(kind: Any) -> None:
    """Two policies of one kind can stand for two prices."""
    quality, cost = (0.6, 0.9, 0.2), (0.01, 0.05, 0.0)
    own = kind(price_per_usd=10.0).distribution(three(quality, cost))
    assert np.array_equal(own, kind().distribution(three(quality, cost, price=Price(10.0))))
    assert not np.array_equal(own, kind().distribution(three(quality, cost)))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("softmax", {"temperature": 0.0}),
        ("softmax", {"top": 0}),
        ("softmax", {"top": 10, "floor": 0.1}),
        ("epsilon_greedy", {"epsilon": 1.5}),
        ("epsilon_greedy", {"top": 0}),
        ("thompson", {"draws": 0}),
        ("thompson", {"floor": 1.0}),
    ],
)
def test_options_that_make_no_distribution_are_refused(name: str, options: dict[str, Any]) -> None:
    """Known at start, not at the first request."""
    kind: Any = POLICIES[name]
    with pytest.raises(ConfigurationError, match=name):
        kind(**options)


@pytest.mark.parametrize("per_usd", [-1.0, float("nan"), float("inf")])
def test_a_price_is_finite_and_not_negative(per_usd: float) -> None:
    """An infinite price times a cost of nought would be no number."""
    with pytest.raises(ConfigurationError, match="Prices"):
        Price(per_usd)


def test_an_arm_of_which_little_is_known_is_explored_before_one_that_is_known_to_be_worse() -> None:
    """It gets the floor, not more; the best arm stays first, whatever another could be."""
    menu = Menu(MENU.arms[:4])
    known = estimate_of([0.8, 0.6, 0.5, 0.3], quality_sd=0.02)
    doubtful = replace(known, quality_sd=np.array([0.02, 0.02, 0.02, 0.4]))
    assert choice_of(known, menu).leading(2).tolist() == [0, 1]
    assert choice_of(doubtful, menu).leading(2).tolist() == [0, 3]
    assert choice_of(doubtful, menu, (True, True, True, False)).leading(4).tolist() == [0, 1, 2]
    mass = Softmax(temperature=0.01, top=2, floor=0.05).distribution(choice_of(doubtful, menu))
    assert mass == pytest.approx([0.95, 0.0, 0.0, 0.05])
    mass = EpsilonGreedy(epsilon=0.2, top=2).distribution(choice_of(doubtful, menu))
    assert mass == pytest.approx([0.9, 0.0, 0.0, 0.1])


def test_a_new_arm_is_explored_and_never_preferred() -> None:
    """However good its guess, and however cheap: it has the share that is set, greedy leaves it alone, and it
    answers only where nothing that is known could."""
    menu = Menu(MENU.arms[:3])
    guessed = choice_of(estimate_of([0.5, 0.4, 0.99], [1e-3, 1e-3, 0.0]), menu, new=(2,), price=Price(100.0))
    assert Greedy().distribution(guessed).tolist() == [1.0, 0.0, 0.0]
    mass = Softmax(top=2).distribution(guessed)
    assert mass[2] == 0.05
    known = Softmax(top=2).distribution(replace(guessed, new=(), feasible=np.array([True, True, False])))
    assert mass[:2] == pytest.approx(0.95 * known[:2])
    assert EpsilonGreedy(epsilon=0.3, top=2).distribution(guessed) == pytest.approx([0.8, 0.1, 0.1])
    assert Thompson().distribution(guessed)[2] < 0.5
    alone = replace(guessed, feasible=np.array([False, False, True]))
    for policy in (Greedy(), Softmax(), EpsilonGreedy(), Thompson()):
        assert policy.distribution(alone) == pytest.approx([0.0, 0.0, 1.0])


def test_a_new_arm_that_ties_is_left_alone() -> None:
    """Beside a single known arm, however cheap."""
    tied = choice_of(estimate_of([0.5, 0.5], [1.0, 0.0]), Menu(MENU.arms[:2]), new=(1,))
    assert Greedy().distribution(tied).tolist() == [1.0, 0.0]


def test_many_new_arms_share_a_quarter() -> None:
    """The rest of the menu keeps three quarters."""
    choice = choice_of(estimate_of([0.5] * ARMS), MENU, new=tuple(range(1, ARMS)))
    mass = Softmax(new=0.25).distribution(choice)
    assert mass[0] == pytest.approx(0.75)
    assert mass[1:] == pytest.approx(np.full(ARMS - 1, 0.25 / (ARMS - 1)))
    with pytest.raises(ConfigurationError, match="new"):
        Softmax(new=0.3)


def test_stakes_weigh_what_an_arm_could_be() -> None:
    """A deviation counts by what a right answer is worth."""
    doubtful = replace(estimate_of([0.9, 0.5, 0.4], [0.0, 0.0, 1.0]), quality_sd=np.array([0.0, 0.0, 0.4]))
    menu = Menu(MENU.arms[:3])
    at = [choice_of(doubtful, menu, price=Price(1.0), stakes=stakes).leading(2)[1] for stakes in (1.0, 10.0)]
    assert at == [1, 2]
