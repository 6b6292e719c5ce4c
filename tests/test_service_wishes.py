"""Routing wishes end to end: caps, deadlines, quality, stakes, effort, verifiers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from sandboxes import best_sandbox
from service_process import COMPLETION_USD, PROMPT_USD, Live, ask, serving, tables, wishing

from router.call import Call

RULES = [
    {"match": "forever", "reply": "too late", "latency_s": 30.0},
    {"match": "first is quick", "reply": "42", "times": 1},
    {"match": "first is quick", "reply": "42", "latency_s": 30.0},
    {"match": "guess", "replies": ["41", "43", "42", "44"]},
    {"match": "refuse", "error": "refused"},
]


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with serving(tables(tmp_path, RULES)) as live:
        yield live


async def test_a_cost_cap_that_pays_nothing_is_the_callers_mistake(live: Live) -> None:
    """Where no arm can make its first call, the answer says what the cheapest would need."""
    with pytest.raises(openai.BadRequestError, match="cheapest may need") as caught:
        await live.client().chat.completions.create(**wishing("hi", max_cost_usd=1e-6))
    assert caught.value.code == "infeasible"
    with pytest.raises(openai.BadRequestError) as caught:
        await live.client().chat.completions.create(**wishing("hi", "small/direct", max_cost_usd=1e-6))
    assert caught.value.code == "budget_exceeded"
    [trace] = await live.traces(1)
    assert (trace.status, trace.usage.cost_nano) == ("failed", 0)


async def test_a_cost_cap_ends_an_arm_early_with_what_stands(live: Live) -> None:
    """An arm whose worst case exceeds the cap spends within it and answers partially."""
    bound_tokens = Call("small", ask("guess")["messages"], 5).prompt_token_bound
    cap = 1.5 * (bound_tokens * PROMPT_USD + 5 * COMPLETION_USD) / 1e6  # one call at a time fits
    answer = await live.client().chat.completions.create(
        **wishing("guess", "small/self_consistency:direct@4", max_cost_usd=cap), max_tokens=5
    )
    assert answer.model_extra["effortwise"]["status"] == "partial"
    assert 0 < answer.usage.model_extra["cost"] <= cap
    rows = (await live.card(effortwise={"max_cost_usd": 5 * cap}))["arms"]
    assert "max_cost_usd" in {row["arm"]: row["excluded"] for row in rows}["large/direct"]


async def test_call_and_token_caps_end_an_arm_early_with_what_stands(live: Live) -> None:
    """A request may cap the calls and the tokens of its plan; the draws that fit are voted on."""
    for cap in ({"max_calls": 2}, {"max_total_tokens": 150}):
        answer = await live.client().chat.completions.create(
            **wishing("guess", "small/self_consistency:direct@4", **cap), max_tokens=5
        )
        assert answer.model_extra["effortwise"]["status"] == "partial"
        trace = await live.trace(answer.model_extra["effortwise"]["trace_id"])
        assert 1 <= trace["usage"]["calls"] <= 2
        assert answer.usage.total_tokens <= 150


async def test_a_deadline_gives_the_best_so_far(live: Live) -> None:
    """When time is up the candidate that stands is the answer, marked partial; cancelled calls count."""
    answer = await live.client().chat.completions.create(
        **wishing("first is quick", "small/self_consistency:direct@4", deadline_s=0.5)
    )
    assert answer.choices[0].message.content == "42"
    assert answer.model_extra["effortwise"]["status"] == "partial"
    [trace] = await live.traces(1)
    assert (trace.status, trace.latency_s < 2) == ("partial", True)
    assert {call.status for call in trace.calls} == {"ok", "cancelled"}
    assert live.spent_and_reserved() == (trace.usage.cost_nano, 0)


async def test_a_deadline_without_an_answer_is_a_timeout(live: Live) -> None:
    """Nothing stands, so the caller gets 504 deadline_exceeded, soon."""
    with pytest.raises(openai.InternalServerError) as caught:
        await live.client().chat.completions.create(**wishing("forever", "small/direct", deadline_s=0.2))
    assert (caught.value.status_code, caught.value.code) == (504, "deadline_exceeded")
    [trace] = await live.traces(1)
    assert (trace.status, trace.latency_s < 2) == ("failed", True)


async def test_a_deadline_ends_a_stream_too(live: Live) -> None:
    """A stream that has begun ends with the error in it."""
    stream = await live.client().chat.completions.create(
        **wishing("forever", "small/direct", deadline_s=0.2), stream=True
    )
    with pytest.raises(openai.APIError) as caught:
        await _read(stream)
    assert caught.value.code == "deadline_exceeded"
    [trace] = await live.traces(1)
    assert (trace.status, trace.latency_s < 2) == ("failed", True)


async def _read(stream: openai.AsyncStream[Any]) -> list[Any]:
    return [chunk async for chunk in stream]


async def test_quality_wished_for_leaves_arms_out(live: Live) -> None:
    """Arms below min_quality say so and are never drawn."""
    rows = (await live.card())["arms"]
    middle = sorted(row["quality"] for row in rows)[len(rows) // 2]
    for row in (await live.card(effortwise={"min_quality": middle}))["arms"]:
        below = row["quality"] < middle and row["arm"] != "small/best_of_n@4"
        assert (row["excluded"] == "is below min_quality") == below
        assert (row["propensity"] == 0) == (row["excluded"] is not None)


async def test_stakes_buy_quality(live: Live) -> None:
    """What is worth much goes to a better arm than what is worth little; effort multiplies stakes."""

    async def quality(**fields: Any) -> float:
        found = await live.card(model="greedy", **fields)
        return next(row["quality"] for row in found["arms"] if row["arm"] == found["arm"])

    low = await quality(effortwise={"stakes": 1e-4})
    high = await quality(effortwise={"stakes": 1e4})
    assert low < high
    found = await live.card(reasoning_effort="high", effortwise={"stakes": 3.0})
    assert found["stakes"] == 6.0


async def test_effort_reaches_only_a_model_that_was_named(live: Live) -> None:
    """Where the service decides, effort is its own affair; a named model gets the field."""
    for model in ("auto", "small"):
        await live.chat("hi", model=model, reasoning_effort="low")
    efforts = [bill.call.parameters.get("reasoning_effort") for bill in live.service.backends["fake"].billed]
    assert efforts[-1] == "low"
    assert set(efforts[:-1]) == {None}


async def test_no_answer_is_judged_too(live: Live) -> None:
    """An answer with nothing to check, and none within the deadline, are wrong by the request's verifier:
    what is learnt is not of survivors alone. An upstream's fault says nothing of the arm."""
    verifier = {"type": "numeric", "reference": "42"}
    reply = await live.chat("I cannot say", effortwise={"verifier": verifier})
    late = await live.chat("forever", effortwise={"verifier": verifier, "deadline_s": 0.2})
    assert (reply.status_code, late.status_code) == (200, 504)
    for answer in (reply, late):
        [outcome] = (await live.trace(answer.headers["x-effortwise-trace-id"]))["outcomes"]
        assert (outcome["reward"], outcome["source"], outcome["outcome_id"]) == (0.0, "verifier:numeric", "0")
    broken = await live.chat("refuse", effortwise={"verifier": verifier})
    assert broken.status_code == 502
    assert (await live.trace(broken.headers["x-effortwise-trace-id"]))["outcomes"] == []


async def test_a_verifier_makes_best_of_n_possible_and_judges(live: Live) -> None:
    """Without a verifier the arm is left out; with one the passing draw wins and its verdict is an
    outcome."""
    assert "verifier" in {r["arm"]: r for r in (await live.card())["arms"]}["small/best_of_n@4"]["excluded"]
    with pytest.raises(openai.BadRequestError, match="needs a verifier"):
        await live.client().chat.completions.create(**ask("guess", model="small/best_of_n@4"))
    verifier = {"type": "numeric", "reference": "42"}
    answer = await live.client().chat.completions.create(
        **wishing("guess", "small/best_of_n@4", verifier=verifier)
    )
    assert answer.choices[0].message.content == "42"
    [outcome] = (await live.trace(answer.model_extra["effortwise"]["trace_id"]))["outcomes"]
    assert (outcome["reward"], outcome["source"]) == (1.0, "verifier:numeric")


def program(body: str) -> str:
    return f"```python\ndef unique(t):\n    return {body}\n\nprint(unique((1, 1)))\n```"


async def test_a_vote_over_programs_goes_by_what_they_do(tmp_path: Path) -> None:
    """Three that do the same, each in its own words, win over one that came first."""
    best_sandbox()  # skips where programs cannot be run
    words = ["len(t) != len(set(t))", "len(t) == len(set(t))", "len(set(t)) == len(t)",
             "all(t.count(i) == 1 for i in t)"]  # fmt: skip
    rules = [{"match": "Python function", "replies": [program(each) for each in words]}]
    async with serving(tables(tmp_path, rules, sandbox={"mode": "auto"})) as live:
        answer = await live.client().chat.completions.create(
            **wishing(
                "Write a Python function that tells a tuple without duplicates.",
                "small/self_consistency:direct@4",
            )
        )
    assert answer.choices[0].message.content in [program(each) for each in words[1:]]
