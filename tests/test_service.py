"""The service end to end over a scripted upstream: what is passed on, streams, errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from service_process import COMPLETION_USD, PROMPT_USD, Live, ask, serving, tables, wishing

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
    for row in (await live.card("tool", tools=[WEATHER]))["arms"]:
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
@pytest.mark.parametrize("n", [1, 2])
async def test_several_calls_stream_their_final_answer_only(live: Live, model: str, n: int) -> None:
    """What a strategy draws on the way is not the caller's: each choice's answer is streamed, once."""
    stream = await live.client().chat.completions.create(**ask("say hello", model=model), n=n, stream=True)
    texts: dict[int, str] = {}
    async for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert texts == dict.fromkeys(range(n), "say hello")


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
    assert [json.loads(event)["choices"][0]["delta"].get("content") for event in events[:-1]] == [
        None,
        "a ",
        "b ",
    ]
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


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "nope", 404), ("GET", "chat/completions", 405)]
)
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
