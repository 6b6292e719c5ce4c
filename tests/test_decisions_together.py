"""Queries that arrive together are predicted for together, and each is decided as if it had come alone."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from fakes import RIGHT, allocator_of, ask, estimate_of, usual_menu

from router.allocator import Allocator
from router.errors import InfeasibleQuery
from router.plan import Plan
from router.policies.epsilon_greedy import EpsilonGreedy
from router.query import Query, Wishes
from serving.decisions import Decisions

MENU = usual_menu()
SAYS = estimate_of([0.2, 0.9, 0.4, 0.5, 0.6, 0.8], [0.001, 0.02, 0.002, 0.004, 0.004, 0.01])
POLICIES = {"auto": EpsilonGreedy(epsilon=0.5, top=3)}


def allocator(says: Any = SAYS) -> Allocator:
    return allocator_of(MENU, says, POLICIES)


def together(allocator: Allocator, queries: list[Query]) -> list[Plan | BaseException]:
    async def work() -> list[Plan | BaseException]:
        decisions = Decisions(allocator)
        return await asyncio.gather(*map(decisions.plan, queries), return_exceptions=True)

    return asyncio.run(work())


def values(plan: Plan | BaseException) -> Any:
    assert isinstance(plan, Plan)
    return plan.as_values(), plan.budget


def test_a_crowd_is_predicted_for_once_and_decided_one_by_one() -> None:
    """Each plan is what the query would have got alone; the predictor is asked once for all of them."""
    decider, queries = allocator(), [ask(verifier=RIGHT, id=f"q{i}") for i in range(20)]
    plans = together(decider, queries)
    assert decider.bundle.difficulty.asked == [20]  # type: ignore[attr-defined]
    assert [values(plan) for plan in plans] == [values(allocator().plan(query)) for query in queries]
    assert len({plan.arm.id for plan in plans if isinstance(plan, Plan)}) > 1


def test_a_lone_query_and_a_named_model_wait_for_nobody() -> None:
    """One query is predicted for by itself, and where nothing is to be decided nothing is gathered."""
    decider = allocator()
    [alone] = together(decider, [ask(verifier=RIGHT, id="q1")])
    assert values(alone) == values(allocator().plan(ask(verifier=RIGHT, id="q1")))
    assert decider.bundle.difficulty.asked == [1]  # type: ignore[attr-defined]
    [named] = together(decider, [ask(target="large")])
    assert isinstance(named, Plan)
    assert named.versions.policy == "fixed"


def test_one_that_cannot_be_served_takes_no_other_with_it() -> None:
    """An infeasible query raises for itself."""
    poor = ask(wishes=Wishes(max_cost_usd=1e-12))
    fine, refused = together(allocator(), [ask(), poor])
    assert isinstance(fine, Plan)
    assert isinstance(refused, InfeasibleQuery)


def test_a_predictor_that_fails_leaves_every_caller_a_default_plan() -> None:
    """As for a lone query: the default arm answers, and the plan says why."""
    plans = together(allocator(ValueError("broken")), [ask(), ask()])
    assert [plan.override for plan in plans if isinstance(plan, Plan)] == [
        "the decision failed: ValueError"
    ] * 2


def test_a_caller_who_left_before_the_decision_holds_up_nobody() -> None:
    """Its query is dropped; the others are decided."""

    async def work() -> Plan:
        decisions = Decisions(allocator())
        gone = asyncio.ensure_future(decisions.plan(ask()))
        stays = asyncio.ensure_future(decisions.plan(ask()))
        await asyncio.sleep(0)
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        return await stays

    assert asyncio.run(work()).arm.id in MENU


@pytest.mark.parametrize("count", [2, 3])
def test_the_next_turn_begins_anew(count: int) -> None:
    """A query decided in one turn is not decided again in the next."""

    async def work(decider: Allocator) -> None:
        decisions = Decisions(decider)
        for _ in range(2):
            await asyncio.gather(*(decisions.plan(ask()) for _ in range(count)))

    decider = allocator()
    asyncio.run(work(decider))
    assert decider.bundle.difficulty.asked == [count, count]  # type: ignore[attr-defined]
