"""The allocator: from a query to a plan that anyone can check."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from fakes import (
    CARDS,
    RIGHT,
    allocator_of,
    arm_of,
    ask,
    bundle_of,
    estimate_of,
    menu_of,
    usual_menu,
)

from router.allocator import plan_budget
from router.budget import Budget
from router.call import Call
from router.draw import draw
from router.errors import InfeasibleQuery, InvalidQuery, UnknownModel
from router.menu import Menu
from router.policies.epsilon_greedy import EpsilonGreedy
from router.policies.fixed import Fixed
from router.policies.greedy import Greedy
from router.policies.uniform import Uniform
from router.price import Price
from router.query import Query, Wishes
from router.strategies.direct import Direct
from router.tariff import to_nano

MENU = usual_menu()
SMALL_ARM, LARGE_ARM, STEPS, VOTE, CHECKED, CASCADE = MENU.ids
SAYS = estimate_of([0.2, 0.9, 0.4, 0.5, 0.6, 0.8], [0.001, 0.02, 0.002, 0.004, 0.004, 0.01])
POLICIES = {
    "auto": EpsilonGreedy(epsilon=0.5, top=3),
    "best": Greedy(),
    "any": Uniform(),
    "steps": Fixed(STEPS),
}


def drawn(query: Query, **more: object) -> tuple[str, float]:
    plan = allocator_of(MENU, SAYS, POLICIES, **more).plan(query)
    assert plan.propensity is not None
    return plan.arm.id, plan.propensity


def test_the_propensity_is_the_probability_of_the_arm_that_was_drawn() -> None:
    """Over many queries every plan carries its whole distribution, and draws from it alone."""
    allocator = allocator_of(MENU, SAYS, POLICIES)
    for i in range(200):
        plan = allocator.plan(ask(verifier=RIGHT, id=f"q{i}"))
        assert plan.propensities is not None
        assert plan.propensities.sum() == pytest.approx(1.0)
        position = draw(plan.propensities, f"q{i}")
        assert MENU.arms[position] == plan.arm
        assert plan.propensity == plan.propensities[position] > 0
        assert plan.override is None


def test_the_same_query_is_planned_the_same_again() -> None:
    """The draw is seeded by the query's id, so a decision can be replayed."""
    query = ask(verifier=RIGHT)
    assert drawn(query) == drawn(query)


def test_excluded_arms_have_no_probability_and_a_reason() -> None:
    """Without a verifier the checked draws are out, and the plan says why."""
    plan = allocator_of(MENU, SAYS, POLICIES).plan(ask(target="any"))
    assert plan.propensities is not None
    assert plan.propensities[MENU.position[CHECKED]] == 0
    assert plan.excluded == {"needs a verifier (effortwise.verifier)": [CHECKED]}


def test_a_policy_can_be_asked_for_by_name() -> None:
    """``auto`` stands for the configured one, any other name for itself; the plan says which decided."""
    allocator = allocator_of(MENU, SAYS, POLICIES, auto="best")
    for target, policy in [("auto", "best"), ("best", "best"), ("any", "any"), ("steps", "steps")]:
        assert allocator.plan(ask(target=target)).versions.policy == policy
    assert allocator.plan(ask(target="steps")).arm.id == STEPS
    assert allocator.plan(ask(target="auto")).arm.id == LARGE_ARM


def test_price_and_stakes_decide_and_stand_in_the_plan() -> None:
    """At a price the cheap arm wins; high stakes buy the dear one back."""
    dear = allocator_of(MENU, SAYS, POLICIES, auto="best", price=Price(300.0))
    plan = dear.plan(ask())
    assert (plan.arm.id, plan.price, plan.stakes) == (SMALL_ARM, Price(300.0), 1.0)
    staked = dear.plan(ask(wishes=Wishes(stakes=100.0)))
    assert (staked.arm.id, staked.stakes) == (LARGE_ARM, 100.0)


@pytest.mark.parametrize(("target", "arm_id"), [("large", LARGE_ARM), (VOTE, VOTE), (SMALL_ARM, SMALL_ARM)])
def test_a_model_or_an_arm_can_be_asked_for_by_name(target: str, arm_id: str) -> None:
    """A fixed plan has no propensity, and says that the caller named it."""
    plan = allocator_of(MENU, SAYS, POLICIES).plan(ask(target=target))
    assert plan.arm.id == arm_id
    assert (plan.propensity, plan.propensities) == (None, None)
    assert (plan.versions.policy, plan.override) == ("fixed", "the caller named it")


def test_a_model_that_is_not_on_the_menu_can_be_asked_for() -> None:
    """Every configured model is reachable; there is only no decision to show of it."""
    allocator = allocator_of(menu_of(Direct("small")), estimate_of([0.5]))
    assert allocator.plan(ask(target="large")).arm == arm_of(Direct("large"))
    with pytest.raises(InvalidQuery, match="nothing to decide"):
        allocator.card(ask(target="large"))


def test_an_arm_that_decides_on_its_way_has_the_estimate_it_needs() -> None:
    """A cascade that the caller named weighs its stages like one that was drawn."""
    allocator = allocator_of(MENU, SAYS, POLICIES)
    prospects = allocator.prospects(allocator.plan(ask(target=CASCADE)))
    assert prospects[LARGE_ARM].quality == pytest.approx(0.9)
    assert prospects[LARGE_ARM].cost_usd == pytest.approx(0.02)
    assert not allocator.prospects(allocator.plan(ask(target="large")))


def test_a_policys_own_price_is_the_plans() -> None:
    """What a policy pays by stands on its plan and rules what is worth it while answering."""
    policies = {**POLICIES, "thrift": Greedy(price_per_usd=400.0)}
    allocator = allocator_of(MENU, SAYS, policies)
    thrift, best = (allocator.plan(ask(target=name)) for name in ("thrift", "best"))
    assert thrift.price.per_usd == 400.0 != best.price.per_usd
    assert thrift.price.utility(SAYS, 1.0)[MENU.position[thrift.arm.id]] >= 0.2 - 400 * 0.001


def test_an_unknown_name_lists_the_known_ones() -> None:
    """Policies, models and arms alike may be named."""
    allocator = allocator_of(MENU, SAYS, POLICIES)
    with pytest.raises(UnknownModel) as raised:
        allocator.plan(ask(target="gpt-5"))
    assert all(name in str(raised.value) for name in ["'gpt-5'", "auto", "best", "small", VOTE])
    with pytest.raises(UnknownModel):
        allocator.require("gpt-5")
    allocator.require(CASCADE)
    assert set(allocator.targets) == {"auto", *POLICIES, *CARDS, *MENU.ids}


def test_a_named_arm_that_lacks_a_capability_says_which() -> None:
    """The caller asked for it, so the caller hears why not."""
    allocator = allocator_of(MENU, SAYS, POLICIES)
    with pytest.raises(InvalidQuery, match=f"'{LARGE_ARM}' cannot serve this request: it cannot serve tools"):
        allocator.plan(ask(target="large", parameters={"tools": [{}]}))
    with pytest.raises(InvalidQuery, match="needs a verifier"):
        allocator.plan(ask(target=CHECKED))


@pytest.mark.parametrize(
    "says",
    [ZeroDivisionError("a fault"), estimate_of([0.5]), estimate_of([np.nan] * 6)],
    ids=["raises", "of another menu", "no numbers"],
)
def test_a_decision_that_fails_answers_with_the_default_arm(
    says: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a propensity, and with the reason: whatever fails, the caller is answered."""
    caplog.set_level(logging.CRITICAL)
    plan = allocator_of(MENU, says, default=MENU[STEPS]).plan(ask())
    assert plan.arm.id == STEPS
    assert (plan.propensity, plan.propensities, plan.estimate) == (None, None, None)
    assert plan.versions.policy == "default"
    assert plan.override is not None
    assert plan.override.startswith("the decision failed: ")


def test_a_default_arm_that_cannot_serve_gives_way_to_one_that_can() -> None:
    """Where none can, the request is refused."""
    allocator = allocator_of(MENU, ZeroDivisionError("a fault"), default=MENU[LARGE_ARM])
    assert allocator.plan(ask(parameters={"tools": [{}]})).arm.id == SMALL_ARM
    only = allocator_of(menu_of(Direct("large")), ZeroDivisionError("a fault"))
    with pytest.raises(InvalidQuery, match="cannot serve tools"):
        only.plan(ask(parameters={"tools": [{}]}))


def test_a_request_that_no_arm_can_serve_is_refused_not_defaulted() -> None:
    """The caller's own wishes are no failure of the decision."""
    with pytest.raises(InfeasibleQuery, match="max_cost_usd"):
        allocator_of(MENU, SAYS).plan(ask(wishes=Wishes(max_cost_usd=1e-9)))
    with pytest.raises(InfeasibleQuery, match="allowance"):
        allocator_of(MENU, SAYS).plan(ask(), spendable_nano=0)


def test_what_the_account_has_left_bounds_the_plan() -> None:
    """A plan made for what is left reserves no more than that."""
    allocator = allocator_of(MENU, SAYS, POLICIES, auto="best")
    whole = allocator.plan(ask())
    less = allocator.plan(ask(), spendable_nano=whole.reserve_nano - 1)
    assert whole.arm.id == LARGE_ARM
    assert less.reserve_nano < whole.reserve_nano


def test_a_plans_budget_is_the_tightest_of_arm_wishes_and_worst_case() -> None:
    """Its cost is what the ledger must hold."""
    query = ask(wishes=Wishes(max_cost_usd=0.5, deadline_s=3.0))
    arm = arm_of(Direct("small"), Budget(calls=2, seconds=10.0))
    worst = arm.worst_case(query).cost_nano
    assert plan_budget(query, arm) == Budget(calls=2, cost_nano=worst, seconds=3.0)
    poor = ask(wishes=Wishes(max_cost_usd=1e-8))
    assert plan_budget(poor, arm).cost_nano == to_nano(1e-8) < worst
    plan = allocator_of(menu_of(Direct("small")), estimate_of([0.5])).plan(query)
    assert plan.reserve_nano == plan.budget.cost_nano == worst


@pytest.mark.parametrize("target", ["small", "small/direct"])
def test_a_model_that_stands_on_the_menu_is_planned_under_its_arms_caps(target: str) -> None:
    """An arm's id means one thing, whichever way it was named."""
    capped = Menu((arm_of(Direct("small"), Budget(seconds=2.0)),))
    plan = allocator_of(capped, estimate_of([0.5])).plan(ask(target=target))
    assert plan.arm.id == "small/direct"
    assert plan.budget.seconds == 2.0


def test_the_worst_case_admits_every_template_of_the_prompt() -> None:
    """What a metered call may need is within what its plan reserved for it."""
    query = ask("x" * 50)
    for arm in MENU:
        budget = plan_budget(query, arm)
        for card in arm.models:
            call = Call(card.name, query.messages, card.max_completion_tokens)
            bound = min(call.prompt_token_bound, card.context_tokens)
            cost = card.tariff.cost_nano(bound, card.max_completion_tokens)
            assert cost * arm.strategy.demand()[card.name] <= (budget.cost_nano or 0)


def test_a_new_bundle_decides_from_the_next_plan_on() -> None:
    """Bundles are swapped whole by assignment; each plan names the one it rests on."""
    allocator = allocator_of(MENU, SAYS, POLICIES, auto="best")
    before = allocator.plan(ask())
    allocator.bundle = bundle_of(estimate_of([0.9, 0.1, 0.1, 0.1, 0.1, 0.1]), "v2")
    after = allocator.plan(ask())
    assert [(p.arm.id, p.versions.predictor) for p in (before, after)] == [
        (LARGE_ARM, "v1"),
        (SMALL_ARM, "v2"),
    ]


def test_the_card_shows_every_arm() -> None:
    """The decision with every estimate, probability and exclusion, and the plan that came of it."""
    allocator = allocator_of(MENU, SAYS, POLICIES)
    query = ask()
    card = allocator.card(query)
    assert np.array_equal(card.distribution, card.plan.propensities)
    assert card.plan.arm == allocator.plan(query).arm
    assert set(card.feasible.excluded) == {CHECKED}
    named = allocator.card(ask(target=VOTE))
    assert (named.plan.arm.id, named.plan.propensity) == (VOTE, 1.0)


def test_a_plan_stands_on_its_trace_as_plain_values() -> None:
    """All that a later reader needs, in JSON's own types."""
    plan = allocator_of(MENU, SAYS, POLICIES).plan(ask())
    values = plan.as_values()
    assert values["arm"] == plan.arm.id
    assert values["menu"] == MENU.hash
    assert values["configuration"] == "configuration"
    assert values["propensities"] == plan.propensities.tolist()
    assert values["propensity"] == values["propensities"][MENU.position[plan.arm.id]]
    assert values["reserve_nano"] == plan.reserve_nano
    assert set(map(type, values.values())) <= {str, float, int, list, dict, type(None)}
