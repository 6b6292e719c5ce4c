"""Feasibility: which arms may serve a query, and why the others may not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import CARDS, QUESTION, RIGHT, SMALL, allocator_of, arm_of, ask, estimate_of, usual_menu
from hypothesis import given, settings
from hypothesis import strategies as st

from router.allocator import plan_budget
from router.arm import Arm
from router.budget import Budget
from router.call import PROMPT_TOKENS_PER_ATTACHMENT
from router.effort import Effort
from router.errors import InfeasibleQuery
from router.estimate import Estimate
from router.feasibility import CAPABILITIES, Feasibility, Feasible, lack
from router.menu import Menu
from router.model_card import ModelCard
from router.query import Query, Wishes
from router.strategies.cascade import Cascade, Stage
from router.strategies.direct import Direct
from router.strategies.effort import Effort as EffortStrategy
from router.strategies.verify_and_refine import VerifyAndRefine
from router.tariff import Tariff, to_usd

MENU = usual_menu()
REFINED = arm_of(VerifyAndRefine("small", 3))
"""One whose prompts quote earlier replies."""
SMALL_ARM, LARGE_ARM, STEPS, VOTE, CHECKED, CASCADE = MENU.ids
SAME = estimate_of([0.5] * len(MENU), [0.001] * len(MENU))


def checked(
    query: Query, estimate: Estimate = SAME, menu: Menu = MENU, spendable_nano: int | None = None
) -> Feasible:
    return Feasibility(menu).check(
        query, estimate, has_verifier=query.wishes.verifier is not None, spendable_nano=spendable_nano
    )


def wishing(**wishes: Any) -> Query:
    return ask(wishes=Wishes(verifier=RIGHT, **wishes))


def served(feasible: Feasible) -> list[str]:
    return [arm_id for arm_id, may in zip(MENU.ids, feasible.mask, strict=True) if may]


def test_a_plain_query_with_a_verifier_is_for_every_arm() -> None:
    """Nothing is left out without a reason."""
    feasible = checked(ask(verifier=RIGHT))
    assert served(feasible) == MENU.ids
    assert feasible.excluded == {}


@pytest.mark.parametrize(
    ("parameters", "able"),
    [
        ({"tools": [{"type": "function"}]}, [SMALL_ARM]),
        ({"functions": [{"name": "f"}]}, [SMALL_ARM]),
        ({"response_format": {"type": "json_object"}}, [SMALL_ARM, CHECKED]),
        ({"logprobs": True}, [SMALL_ARM, STEPS, VOTE, CHECKED]),
        ({"tools": [], "logprobs": False, "response_format": None}, MENU.ids),
    ],
)
def test_capabilities_are_hard(parameters: dict[str, Any], able: list[str]) -> None:
    """An arm serves what its strategy and every one of its models take; the reason names the field."""
    feasible = checked(ask(verifier=RIGHT, parameters=parameters))
    assert served(feasible) == able
    [key, *_] = parameters
    assert all(reason == f"cannot serve {key}" for reason in feasible.excluded.values())


def test_without_a_verifier_the_arms_that_need_one_are_out() -> None:
    """The reason says how to bring one."""
    feasible = checked(ask())
    assert feasible.excluded == {CHECKED: "needs a verifier (effortwise.verifier)"}


def test_a_prompt_that_cannot_fit_the_context_is_refused_there() -> None:
    """Eight bytes a token are more than any tokenizer packs."""
    feasible = checked(ask("x" * (8 * SMALL.context_tokens + 1), verifier=RIGHT))
    assert served(feasible) == [LARGE_ARM]
    assert feasible.excluded[SMALL_ARM] == "the prompt exceeds its context"


def test_a_picture_is_no_long_text() -> None:
    """Its bytes say nothing of its tokens."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    content = [{"type": "text", "text": "What is this?"}, picture]
    query = replace(ask(verifier=RIGHT), messages=[{"role": "user", "content": content}])
    assert SMALL_ARM in served(checked(query))


def test_an_allowance_leaves_out_what_it_cannot_cover() -> None:
    """An arm fits exactly where what its plan would reserve fits."""
    query = ask(verifier=RIGHT)
    reserves = {arm.id: plan_budget(query, arm).cost_nano or 0 for arm in MENU}
    for spendable in sorted(reserves.values()):
        feasible = checked(query, spendable_nano=spendable)
        assert set(served(feasible)) == {arm_id for arm_id, nano in reserves.items() if nano <= spendable}
        assert set(feasible.excluded.values()) <= {"exceeds the account's allowance"}
    with pytest.raises(InfeasibleQuery, match="exceeds the account's allowance"):
        checked(query, spendable_nano=min(reserves.values()) - 1)


caps = st.none() | st.integers(0, 200_000)


@given(caps, caps, st.integers(1, 3), st.none() | st.integers(1, 500), st.text(max_size=300))
@settings(max_examples=60)
def test_what_an_arm_would_reserve_is_what_its_plan_reserves(
    arm_cap: int | None, wish: int | None, n: int, tokens: int | None, text: str
) -> None:
    """The vectorised worst case agrees with the plan's to the nano-dollar, caps included."""
    menu = Menu(tuple(replace(arm, budget=Budget(cost_nano=arm_cap)) for arm in MENU))
    wishes = Wishes(max_cost_usd=None if wish is None else to_usd(wish))
    query = ask(text, n=n, max_completion_tokens=tokens, wishes=wishes)
    planned = [plan_budget(query, arm).cost_nano for arm in menu]
    assert Feasibility(menu).reserve_nano(query).tolist() == planned


BESIDE = ModelCard("beside", Tariff(7.0, 9.0), 512, 4096)
"""On no arm; its replies are the longest, so every quote is."""
ASKED = {**CARDS, "beside": BESIDE}
judging = st.sampled_from(
    [{"type": "judge"}, {"type": "judge", "rubric": "r" * 300}, {"type": "reward_model"}]
)


@given(
    caps, caps, st.integers(1, 3), st.none() | st.integers(1, 500), judging, st.sampled_from(sorted(ASKED))
)
@settings(max_examples=60)
def test_a_verifier_that_asks_models_is_reserved_for(
    arm_cap: int | None, wish: int | None, n: int, tokens: int | None, verifier: dict[str, str], model: str
) -> None:
    """An arm fits exactly where what its plan would reserve fits, its verifier's calls included."""
    menu = Menu(tuple(replace(arm, budget=Budget(cost_nano=arm_cap)) for arm in (*MENU, REFINED)))
    wishes = Wishes(
        max_cost_usd=None if wish is None else to_usd(wish), verifier={**verifier, "model": model}
    )
    query = ask(n=n, max_completion_tokens=tokens, wishes=wishes)
    planned = [plan_budget(query, arm, ASKED).cost_nano for arm in menu]
    assert Feasibility(menu, ASKED).reserve_nano(query).tolist() == planned


def test_a_dear_verifier_leaves_an_arm_that_fits() -> None:
    """The cheaper plan of an account near its allowance is one that it can pay."""
    query = ask(verifier={"type": "judge", "model": "large"})
    allocator = allocator_of(MENU, estimate_of([0.1, 0.2, 0.3, 0.9, 0.5, 0.4]))
    least = min(plan_budget(query, arm, CARDS).cost_nano or 0 for arm in MENU)
    assert allocator.plan(query, spendable_nano=least).reserve_nano == least


def test_a_cap_below_a_levels_thinking_leaves_its_arms_out() -> None:
    """Nothing would be left for the answer, in a stage as by itself; as the cap grows they are back."""
    thinker = replace(SMALL, effort=Effort("vllm", ("low", "high"), {"low": 16, "high": 48}))
    low, high = EffortStrategy("small", "low"), EffortStrategy("small", "high")
    staged = Cascade((Stage("small/effort@3", low), Stage("small/effort@5", high)))
    arms = [replace(arm_of(each), models=(thinker,)) for each in (Direct("small"), low, high, staged)]
    menu, same = Menu(tuple(arms)), estimate_of([0.5] * 4)

    def left_out(tokens: int | None) -> list[str]:
        query = ask(max_completion_tokens=tokens)
        excluded = checked(query, same, menu).excluded
        assert set(excluded) == {arm.id for arm in arms if lack(query, arm)}
        assert all("max_completion_tokens" in reason for reason in excluded.values())
        return list(excluded)

    *_, cascade = menu.ids
    assert left_out(16) == ["small/effort@3", "small/effort@5", cascade]
    assert left_out(48) == ["small/effort@5", cascade]
    assert left_out(49) == left_out(None) == []


def test_a_cap_below_one_call_is_impossible_and_the_remedy_works() -> None:
    """The message says what the cheapest arm may need; asking for that much is enough."""
    with pytest.raises(InfeasibleQuery, match="max_cost_usd does not cover one call") as raised:
        checked(wishing(max_cost_usd=1e-9))
    needed = float(str(raised.value).rsplit("may need ", 1)[1].split(")")[0])
    feasible = checked(wishing(max_cost_usd=needed))
    assert SMALL_ARM in served(feasible)
    assert LARGE_ARM not in served(feasible)
    assert raised.value.param == "effortwise"


def test_every_choice_must_fit_the_cap() -> None:
    """Three choices need three calls side by side."""
    with pytest.raises(InfeasibleQuery) as raised:
        checked(replace(wishing(max_cost_usd=1e-9)))
    needed = float(str(raised.value).rsplit("may need ", 1)[1].split(")")[0])
    with pytest.raises(InfeasibleQuery):
        checked(replace(wishing(max_cost_usd=2.9 * needed), n=3))
    assert SMALL_ARM in served(checked(replace(wishing(max_cost_usd=3 * needed), n=3)))


def test_an_arms_own_cap_below_one_call_leaves_it_out() -> None:
    """It could never make a call."""
    capped = replace(MENU.arms[0], budget=Budget(cost_nano=1))
    menu = Menu((capped, *MENU.arms[1:]))
    assert "does not cover one call" in checked(ask(verifier=RIGHT), menu=menu).excluded[SMALL_ARM]


ROWS = {
    "max_cost_usd": ([0.5] * 6, [0.001, 0.02, 0.002, 0.004, 0.004, 0.1], [1.0] * 6),
    "deadline_s": ([0.5] * 6, [0.001] * 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    "min_quality": ([0.1, 0.9, 0.3, 0.5, 0.5, 0.6], [0.001] * 6, [1.0] * 6),
}


@pytest.mark.parametrize(
    ("wish", "value", "able", "reason"),
    [
        ("max_cost_usd", 0.01, [SMALL_ARM, STEPS, VOTE, CHECKED], "likely exceeds max_cost_usd"),
        ("deadline_s", 6.5, [SMALL_ARM, LARGE_ARM, STEPS], "likely misses deadline_s"),
        ("min_quality", 0.55, [LARGE_ARM, CASCADE], "is below min_quality"),
    ],
)
def test_soft_wishes_leave_out_what_likely_breaks_them(
    wish: str, value: float, able: list[str], reason: str
) -> None:
    """Cost at its 0.9 quantile, latency at its 0.95 quantile, quality at its mean."""
    feasible = checked(wishing(**{wish: value}), estimate_of(*ROWS[wish]))
    assert served(feasible) == able
    assert set(feasible.excluded.values()) == {reason}


@pytest.mark.parametrize(
    ("wish", "value", "nearest"),
    [("max_cost_usd", 0.0015, SMALL_ARM), ("deadline_s", 0.01, SMALL_ARM), ("min_quality", 0.99, LARGE_ARM)],
)
def test_a_soft_wish_that_none_meets_leaves_the_nearest(wish: str, value: float, nearest: str) -> None:
    """An estimate is no ground to refuse a caller."""
    assert served(checked(wishing(**{wish: value}), estimate_of(*ROWS[wish]))) == [nearest]


def test_soft_wishes_choose_among_what_the_hard_ones_leave() -> None:
    """The nearest arm is the nearest of those that can serve at all."""
    query = ask(parameters={"tools": [{}]}, wishes=Wishes(min_quality=0.99, verifier=RIGHT))
    assert served(checked(query, estimate_of(*ROWS["min_quality"]))) == [SMALL_ARM]


@given(
    st.lists(st.floats(0, 1), min_size=6, max_size=6),
    st.none() | st.floats(1e-4, 0.1),
    st.none() | st.floats(0.01, 10),
    st.none() | st.floats(0, 1),
)
def test_wishes_that_one_arm_can_try_are_never_refused(
    quality: list[float], cost: float | None, deadline: float | None, least: float | None
) -> None:
    """Every arm is either served or excluded with a reason, and one at least is served."""
    query = wishing(max_cost_usd=cost, deadline_s=deadline, min_quality=least)
    feasible = checked(query, estimate_of(quality, quality, quality))
    assert feasible.mask.any()
    assert set(served(feasible)) == set(MENU.ids) - set(feasible.excluded)


def test_an_impossible_request_hears_every_reason_once() -> None:
    """The message lists what stands in the way."""
    menu = Menu((arm_of(Direct("large")), *[arm for arm in MENU if arm.id == CHECKED]))
    with pytest.raises(InfeasibleQuery) as raised:
        checked(ask(parameters={"tools": [{}]}), estimate_of([0.5, 0.5]), menu)
    assert str(raised.value).count("cannot serve tools") == 1


@pytest.mark.parametrize("arm", MENU.arms, ids=MENU.ids)
@pytest.mark.parametrize("key", CAPABILITIES)
def test_one_arm_lacks_what_the_menu_would_leave_it_out_for(arm: Arm, key: str) -> None:
    """A fixed plan is held to the same capabilities as a drawn one."""
    query = ask(verifier=RIGHT, parameters={key: [{"x": 1}]})
    assert (lack(query, arm) is None) == (arm.id in served(checked(query)))
    assert (lack(ask(), arm) is None) == (arm.id != CHECKED)


def test_the_worst_case_counts_every_call_of_every_choice() -> None:
    """Calls of the strategy's demand, times the choices, at the longest prompt and reply."""
    worst = MENU[VOTE].worst_case(ask(n=2, max_completion_tokens=10))
    assert (worst.calls, worst.completion_tokens) == (8, 80)
    assert worst.prompt_tokens >= 8 * len(QUESTION)
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    large = Query([{"role": "user", "content": [picture]}])
    assert SMALL.context_tokens < PROMPT_TOKENS_PER_ATTACHMENT
    assert MENU[SMALL_ARM].worst_case(large).prompt_tokens == SMALL.context_tokens


def test_the_mask_is_its_own() -> None:
    """Two checks of one menu share nothing that either could change."""
    feasibility = Feasibility(MENU)
    first = feasibility.check(ask(), SAME, has_verifier=False, spendable_nano=None)
    second = feasibility.check(ask(verifier=RIGHT), SAME, has_verifier=True, spendable_nano=None)
    assert np.array_equal(first.mask, np.array(MENU.ids) != CHECKED)
    assert second.mask.all()
