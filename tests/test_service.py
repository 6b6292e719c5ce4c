"""The service end to end over a scripted upstream: wishes, what is passed on, streams, errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from service_process import COMPLETION_USD, PROMPT_USD, Live, serving, tables

from router.call import Call
from router.stores import KnowMenu
from serving.accounts import Accounts
from serving.execution import Execution

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {}}}
TOOL_CALL = {
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}
RULES = [
    {"match": "tool", "reply": TOOL_CALL},
    {"match": "long", "reply": " ".join(f"w{i}" for i in range(30)), "latency_s": 0.3},
    {"match": "forever", "reply": "too late", "latency_s": 30.0},
    {"match": "first is quick", "reply": "42", "times": 1},
    {"match": "first is quick", "reply": "42", "latency_s": 30.0},
    {"match": "guess", "replies": ["41", "43", "42", "44"]},
    {"match": "limit", "error": "refused", "status": 429, "retry_after_s": 7.0},
    {"match": "fail", "error": "refused", "status": 500},
    {"match": "picky", "error": "refused", "status": 400},
    {"match": "away", "error": "unreachable"},
    {"match": "late", "error": "timeout"},
    {"match": "garbled", "error": "malformed"},
    {"match": "break", "reply": "a b c d", "error": "broken_off"},
]


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with serving(tables(tmp_path, RULES)) as live:
        yield live


def ask(words: str, **fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": words}], **fields}


def wishing(words: str, model: str = "auto", **wishes: Any) -> dict[str, Any]:
    return ask(words, model=model, extra_body={"effortwise": wishes})


async def card(live: Live, words: str = "hello", **fields: Any) -> dict[str, Any]:
    reply = await live.post("plan", ask(words, **fields))
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def test_an_answer_tells_its_arm_its_trace_and_its_cost(live: Live) -> None:
    """Headers and body agree with the trace, whose calls add up to the usage."""
    reply = await live.chat("one two three", model="small/self_consistency:direct@4")
    body = reply.json()
    trace = await live.trace(reply.headers["x-effortwise-trace-id"])
    assert reply.headers["x-effortwise-arm"] == body["model"] == trace["arm"]
    calls = [call["usage"] for call in trace["calls"]]
    assert len(calls) > 1
    assert body["usage"]["prompt_tokens"] == sum(call["prompt_tokens"] for call in calls) == 3 * len(calls)
    assert body["usage"]["completion_tokens"] == sum(call["completion_tokens"] for call in calls)
    cost = sum(call["cost_usd"] for call in calls)
    assert body["usage"]["cost"] == pytest.approx(cost, abs=1e-9)
    assert float(reply.headers["x-effortwise-cost-usd"]) == pytest.approx(cost, abs=1e-9)
    assert cost == pytest.approx(3 * len(calls) * (PROMPT_USD + COMPLETION_USD) / 1e6)
    assert body["effortwise"] == {"trace_id": trace["id"], "arm": trace["arm"], "status": "complete"}


async def test_what_may_be_named_is_listed(live: Live) -> None:
    """The list holds auto, the policies, the models and the arms; each of them answers."""
    client = live.client()
    names = [model.id async for model in client.models.list()]
    assert {"auto", "greedy", "small", "large", "small/direct", "small/best_of_n@4"} <= set(names)
    assert (await client.models.retrieve("small/best_of_n@4")).id == "small/best_of_n@4"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-99")
    for name in names:
        body = {"effortwise": {"verifier": {"type": "regex", "pattern": "h"}}}
        answer = await client.chat.completions.create(**ask("hello", model=name, extra_body=body))
        assert answer.choices[0].message.content == "hello", name


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
    rows = (await card(live, effortwise={"max_cost_usd": 5 * cap}))["arms"]
    assert "max_cost_usd" in {row["arm"]: row["excluded"] for row in rows}["large/direct"]


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
    rows = (await card(live))["arms"]
    middle = sorted(row["quality"] for row in rows)[len(rows) // 2]
    for row in (await card(live, effortwise={"min_quality": middle}))["arms"]:
        below = row["quality"] < middle and row["arm"] != "small/best_of_n@4"
        assert (row["excluded"] == "is below min_quality") == below
        assert (row["propensity"] == 0) == (row["excluded"] is not None)


async def test_stakes_buy_quality(live: Live) -> None:
    """What is worth much goes to a better arm than what is worth little; effort multiplies stakes."""

    async def quality(**fields: Any) -> float:
        found = await card(live, model="greedy", **fields)
        return next(row["quality"] for row in found["arms"] if row["arm"] == found["arm"])

    low = await quality(effortwise={"stakes": 1e-4})
    high = await quality(effortwise={"stakes": 1e4})
    assert low < high
    found = await card(live, reasoning_effort="high", effortwise={"stakes": 3.0})
    assert found["stakes"] == 6.0


async def test_effort_reaches_only_a_model_that_was_named(live: Live) -> None:
    """Where the service decides, effort is its own affair; a named model gets the field."""
    for model in ("auto", "small"):
        await live.chat("hi", model=model, reasoning_effort="low")
    efforts = [bill.call.parameters.get("reasoning_effort") for bill in live.service.backends["fake"].billed]
    assert efforts[-1] == "low"
    assert set(efforts[:-1]) == {None}


async def test_a_verifier_makes_best_of_n_possible_and_judges(live: Live) -> None:
    """Without a verifier the arm is left out; with one the passing draw wins and its verdict is an
    outcome."""
    assert "verifier" in {r["arm"]: r for r in (await card(live))["arms"]}["small/best_of_n@4"]["excluded"]
    with pytest.raises(openai.BadRequestError, match="needs a verifier"):
        await live.client().chat.completions.create(**ask("guess", model="small/best_of_n@4"))
    verifier = {"type": "numeric", "reference": "42"}
    answer = await live.client().chat.completions.create(
        **wishing("guess", "small/best_of_n@4", verifier=verifier)
    )
    assert answer.choices[0].message.content == "42"
    [outcome] = (await live.trace(answer.model_extra["effortwise"]["trace_id"]))["outcomes"]
    assert (outcome["reward"], outcome["source"]) == (1.0, "verifier:numeric")


async def test_several_choices_are_drawn_and_billed(live: Live) -> None:
    """n choices are n answers, each with its own draw, and all of them are paid for."""
    answer = await live.client().chat.completions.create(**ask("guess", model="small", n=3, seed=0))
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) == 3
    assert answer.usage.completion_tokens == 3


async def test_fields_that_nobody_knows_reach_the_upstream(live: Live) -> None:
    """Unknown fields are passed on as they came; the service's own are not."""
    body = {"x_custom": {"a": [1, None]}, "effortwise": {"unit": "u"}}
    await live.client().chat.completions.create(
        **ask("hi", model="small", seed=3, stop=["x"], extra_body=body)
    )
    [bill] = live.service.backends["fake"].billed
    assert bill.call.parameters == {"x_custom": {"a": [1, None]}, "seed": 3, "stop": ["x"]}


async def test_tools_are_passed_through(live: Live) -> None:
    """A request with tools goes to arms that serve them, and the calls come back as they are."""
    answer = await live.client().chat.completions.create(**ask("tool", tools=[WEATHER], tool_choice="auto"))
    assert answer.model == "large/direct"
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"
    assert live.service.backends["fake"].billed[-1].call.parameters["tools"] == [WEATHER]
    for row in (await card(live, "tool", tools=[WEATHER]))["arms"]:
        assert (row["excluded"] == "cannot serve tools") == (row["arm"] != "large/direct")
    with pytest.raises(openai.BadRequestError, match="cannot serve tools"):
        await live.client().chat.completions.create(**ask("tool", model="small", tools=[WEATHER]))


async def test_one_call_is_streamed_as_it_comes(live: Live) -> None:
    """The first piece is here while the upstream still speaks; the last chunk has usage and cost."""
    stream = await live.client().chat.completions.create(
        **ask("long", model="small"), stream=True, stream_options={"include_usage": True}
    )
    assert stream.response.headers["x-effortwise-arm"] == "small/direct"
    chunks = []
    async for chunk in stream:
        if not chunks:
            assert live.service.execution.in_flight
        chunks.append(chunk)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text.split() == [f"w{i}" for i in range(30)]
    assert len(chunks) > 10
    trace = await live.trace(stream.response.headers["x-effortwise-trace-id"])
    assert chunks[-1].usage.completion_tokens == trace["usage"]["completion_tokens"] == 30
    assert chunks[-1].usage.model_extra["cost"] == trace["usage"]["cost_usd"] > 0
    assert chunks[-1].model_extra["effortwise"]["trace_id"] == trace["id"]


@pytest.mark.parametrize("model", ["small/self_consistency:direct@4", "cascade(small/direct>large/direct)"])
async def test_several_calls_stream_their_final_answer_only(live: Live, model: str) -> None:
    """What a strategy draws on the way is not the caller's: only the answer is streamed, once."""
    stream = await live.client().chat.completions.create(**ask("say hello", model=model), stream=True)
    pieces = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
    assert "".join(pieces) == "say hello"


async def test_a_stream_that_fails_before_its_first_token_is_an_ordinary_error(live: Live) -> None:
    """The status code still tells, as no token was sent."""
    with pytest.raises(openai.InternalServerError) as caught:
        await live.client().chat.completions.create(**ask("fail", model="small"), stream=True)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_error")


async def test_a_stream_that_breaks_tells_so_in_the_stream(live: Live) -> None:
    """After the first token the error rides in the stream, no [DONE] follows, and the trace has it."""
    reply = await live.chat("break", stream=True)
    assert reply.status_code == 200
    events = [line.removeprefix("data: ") for line in reply.text.splitlines() if line]
    assert json.loads(events[-1])["error"]["code"] == "upstream_unreachable"
    assert [json.loads(event)["choices"][0]["delta"].get("content") for event in events[:-1]] == [None, "a ", "b "]
    [trace] = await live.traces(1)
    assert (trace.status, trace.usage.completion_tokens) == ("failed", 2)
    assert live.spent_and_reserved() == (trace.usage.cost_nano, 0)


ERRORS = [
    (ask("hi", model="gpt-99"), openai.NotFoundError, "model_not_found"),
    (ask("hi", temperature="hot"), openai.BadRequestError, None),
    (wishing("hi", max_cost_usd=-1), openai.BadRequestError, None),
    (ask("limit", model="small"), openai.RateLimitError, "rate_limit_exceeded"),
    (ask("picky", model="small"), openai.BadRequestError, "upstream_refused"),
    (ask("fail", model="small"), openai.InternalServerError, "upstream_error"),
    (ask("away", model="small"), openai.InternalServerError, "upstream_unreachable"),
    (ask("late", model="small"), openai.InternalServerError, "upstream_timeout"),
    (ask("garbled", model="small"), openai.InternalServerError, "upstream_malformed"),
]


@pytest.mark.parametrize(("request_", "kind", "code"), ERRORS)
async def test_errors_are_the_clients_own(live: Live, request_: Any, kind: type, code: str | None) -> None:
    """The official client raises its own class for each error, with its code and the service's words."""
    with pytest.raises(kind) as caught:
        await live.client().chat.completions.create(**request_)
    assert caught.value.code == code
    assert caught.value.body["message"]
    if request_["model"] == "small":
        trace = await live.trace(caught.value.response.headers["x-effortwise-trace-id"])
        assert (trace["status"], trace["calls"][0]["status"]) == ("failed", "error")


async def test_an_upstreams_waiting_time_is_passed_on(live: Live) -> None:
    """A rate limit upstream tells the caller when to come back."""
    assert (await live.chat("limit")).headers["retry-after"] == "7"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "nope", 404), ("GET", "chat/completions", 405)])
async def test_paths_that_are_not_there_have_errors_in_the_same_shape(
    live: Live, method: str, path: str, status: int
) -> None:
    """A wrong path or method is told as every error is."""
    reply = await live.http.request(method, f"{live.url}/{path}")
    assert (reply.status_code, set(reply.json()["error"])) == (status, {"message", "type", "param", "code"})


async def test_a_fault_of_our_own_is_an_internal_error_without_words(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What breaks inside is a 500 in the usual shape, and the reservation is settled."""
    monkeypatch.setattr(Execution, "_new_run", lambda *_: 1 / 0)
    reply = await live.chat("hi")
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal_error")
    assert "division" not in reply.text
    [trace] = await live.traces(1)
    assert (trace.status, live.spent_and_reserved()[1]) == ("failed", 0)
    monkeypatch.setattr(Accounts, "of_header", lambda *_: 1 / 0)
    reply = await live.http.get(f"{live.url}/models")
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal_error")


async def test_a_predictor_that_crashes_leaves_the_caller_answered(live: Live) -> None:
    """The default arm answers, no propensity is claimed, and the trace says why."""

    class Broken:
        def estimate(self, row: object) -> None:
            raise RuntimeError("broken")

    live.service.allocator.bundle = replace(live.service.allocator.bundle, difficulty=Broken())
    reply = await live.chat("hi", model="auto")
    assert (reply.status_code, reply.headers["x-effortwise-arm"]) == (200, "small/direct")
    plan = (await live.trace(reply.headers["x-effortwise-trace-id"]))["plan"]
    assert (plan["propensity"], plan["override"]) == (None, "the decision failed: RuntimeError")


async def test_the_menu_behind_a_hash_is_remembered(live: Live) -> None:
    """The store knows the arms of every menu that decided, so that propensities can be read later."""
    menu = live.service.allocator.menu
    assert live.service.store.menus() == {menu.hash: list(menu.ids)}
    await live.service.recorder.write(KnowMenu(menu.hash, {}))
    assert live.service.store.menus() == {menu.hash: list(menu.ids)}
